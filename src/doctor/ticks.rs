//! The test stream: pieces that are sent one after the other, when they were sent and when they
//! came, and what follows from that ([`verdict`]).

use super::finding::Finding;
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::Instant;

const STEP: &str = "stream";

/// Pieces of the stream.
pub(super) const TICKS: usize = 8;
/// Time between two of them: some four tokens of a model.
pub(super) const TICK_EVERY: Duration = Duration::from_millis(250);
/// A piece that is later than this has been held back.
const LATE: Duration = Duration::from_millis(750);

/// When the pieces of the last stream were sent.
#[derive(Debug, Default)]
pub(super) struct Ticks(RefCell<Vec<Instant>>);

impl Ticks {
    /// A stream begins.
    pub(super) fn begin(&self) {
        self.0.borrow_mut().clear();
    }

    /// A piece is sent.
    pub(super) fn sent(&self) {
        self.0.borrow_mut().push(Instant::now());
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Instant> {
        self.0.borrow().clone()
    }
}

/// The piece with this number, as an event.
pub(super) fn event(number: usize) -> String {
    format!("data: {number}\n\n")
}

/// How many whole pieces are in what came.
pub(super) fn whole(content: &[u8]) -> usize {
    content.windows(2).filter(|it| *it == b"\n\n").count()
}

/// Judges what came through `about`, by when pieces were sent and when they came, and whether the
/// stream came to its end.
pub(super) fn verdict(about: &str, sent: &[Instant], came: &[Instant], is_whole: bool) -> Finding {
    let held = "something in front holds the stream back: switch buffering off there (nginx: \
                proxy_buffering off; and no proxy_ignore_headers X-Accel-Buffering; Caddy: \
                flush_interval -1; Apache: ProxyPass ... flushpackets=on; a CDN: no compression, \
                no caching)";
    let (Some(first), Some(last_sent)) = (came.first(), sent.last()) else {
        let remedy = "look at the log of the server in front";
        return Finding::failure(
            STEP,
            about,
            "the test stream was cut before its first piece",
            remedy,
        );
    };
    if sent.len() == TICKS && first >= last_sent {
        let late = (*first - sent[0]).as_secs_f64();
        let what = format!("held back to its end: the first piece came {late:.1} s late");
        return Finding::failure(STEP, about, what, held);
    }
    let number = came.len();
    if number < TICKS || !is_whole {
        let what = format!("cut after {number} of {TICKS} pieces");
        let remedy = "look at the log of the server in front: it ended the response";
        return Finding::failure(STEP, about, what, remedy);
    }
    let lags = came.iter().zip(sent).map(|(came, sent)| came.saturating_duration_since(*sent));
    let most = lags.max().unwrap_or_default();
    if most > LATE {
        let what = format!("arrives in lumps: pieces were up to {:.1} s late", most.as_secs_f64());
        return Finding::warning(STEP, about, what, held);
    }
    let most = most.as_millis();
    Finding::ok(STEP, about, format!("{number} of {TICKS} pieces, each within {most} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    /// Of pieces that came after so many milliseconds.
    fn check(came: &[u64]) -> Finding {
        let begun = Instant::now();
        let sent: Vec<_> = (0..TICKS as u32).map(|it| begun + TICK_EVERY * it).collect();
        let came = came.iter().map(|it| begun + Duration::from_millis(*it));
        let came: Vec<_> = came.collect();
        verdict("a:443", &sent, &came, came.len() == TICKS)
    }

    #[test]
    fn a_stream_that_comes_piece_by_piece_is_well() {
        let good = check(&[5, 255, 505, 755, 1005, 1255, 1505, 1755]);
        assert_eq!((good.verdict, &*good.what), (Verdict::Ok, "8 of 8 pieces, each within 5 ms"));
    }

    #[test]
    fn one_that_comes_at_its_end_was_held_back() {
        let held = check(&[1760; TICKS]);
        assert!(
            held.verdict == Verdict::Failure && held.remedy.unwrap().contains("proxy_buffering")
        );
        let lumps = check(&[1000, 1000, 1000, 1000, 1000, 2000, 2000, 2000]);
        assert!(lumps.verdict == Verdict::Warning && lumps.what.contains("up to 1.0 s late"));
    }

    #[test]
    fn one_that_is_cut_says_where() {
        assert_eq!(check(&[5, 255]).what, "cut after 2 of 8 pieces");
        assert!(check(&[]).what.contains("before its first"));
    }

    #[test]
    fn pieces_are_counted_by_their_ends() {
        assert_eq!(whole(event(7).as_bytes()), 1);
        assert_eq!(whole(b"data: 1\n\ndata: 2\n\nda"), 2);
        assert_eq!(whole(b""), 0);
    }
}
