//! Whom an exchange waits for, and how long: [`Waits`].
//!
//! A driver says when a wait begins; that ends the one before. So it needs no look at the time
//! besides those that its limits of time take anyway.

use std::time::Duration;
use tokio::time::Instant;

/// Whom an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The client: for more of its request, or for it to take what we have for it.
    Client,
    /// The upstream: for more content of a response of which some has come.
    Content,
    /// The upstream, in any other way.
    Upstream,
}

/// What the waits of an exchange come to.
#[derive(Debug, Default)]
pub(super) struct Waits {
    current: Option<(Awaited, Instant)>,
    client: Duration,
    longest_gap: Option<Duration>,
}

impl Waits {
    /// Since `since`, the exchange waits for `awaited` and for no one else.
    pub(super) fn begin(&mut self, awaited: Awaited, since: Instant) {
        if self.current != Some((awaited, since)) {
            self.end(since);
            self.current = Some((awaited, since));
        }
    }

    /// Nothing has been waited for since `now`.
    pub(super) fn end(&mut self, now: Instant) {
        let Some((awaited, since)) = self.current.take() else { return };
        match awaited {
            Awaited::Client => self.client += now.duration_since(since),
            // Of a stream most gaps are shorter, and a sum is cheaper than a difference.
            Awaited::Content if self.longest_gap.is_some_and(|gap| now <= since + gap) => {}
            Awaited::Content => self.longest_gap = Some(now.duration_since(since)),
            Awaited::Upstream => {}
        }
    }

    /// Whether there is a wait.
    pub(super) fn is_waiting(&self) -> bool {
        self.current.is_some()
    }

    /// All the waits for the client, if there were any.
    pub(super) fn client(&self) -> Option<Duration> {
        (!self.client.is_zero()).then_some(self.client)
    }

    /// The longest wait for more content.
    pub(super) fn longest_gap(&self) -> Option<Duration> {
        self.longest_gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_client_add_up_and_of_gaps_the_longest_counts() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut waits = Waits::default();
        assert_eq!((waits.client(), waits.longest_gap()), (None, None));
        for (awaited, since) in [
            (Awaited::Client, 0),
            (Awaited::Upstream, 1),
            (Awaited::Content, 5),
            // The same wait, said again.
            (Awaited::Content, 5),
            (Awaited::Content, 8),
            (Awaited::Client, 10),
        ] {
            waits.begin(awaited, at(since));
            assert!(waits.is_waiting());
        }
        waits.end(at(14));
        assert_eq!(waits.client(), Some(Duration::from_secs(1 + 4)));
        assert_eq!(waits.longest_gap(), Some(Duration::from_secs(3)));
        assert!(!waits.is_waiting());
    }
}
