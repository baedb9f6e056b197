//! What keeps all certificates from being ordered, logged at growing intervals: [`Trouble`].

use crate::limits::{
    ACME_STATE_TRIED_EVERY, ACME_TROUBLE_LOGGED_AGAIN, ACME_TROUBLE_LOGGED_EVERY_MAX,
};
use crate::telemetry::targets::ACME;
use std::time::Duration;
use tokio::time::Instant;

/// What was logged last.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<Logged>);

#[derive(Debug)]
struct Logged {
    what: String,
    at: Instant,
    /// How long the same is not logged again.
    pause: Duration,
}

impl Trouble {
    /// Logs what is wrong, unless it was logged a short time ago.
    pub(super) fn tell(&mut self, what: &str) {
        let same = self.0.as_ref().filter(|it| it.what == what);
        let pause = match same {
            None => ACME_TROUBLE_LOGGED_AGAIN,
            Some(logged) if logged.at.elapsed() < logged.pause => return,
            Some(logged) => (logged.pause * 6).min(ACME_TROUBLE_LOGGED_EVERY_MAX),
        };
        let every = ACME_STATE_TRIED_EVERY.as_secs();
        tracing::error!(
            target: ACME,
            "no certificate can be ordered: {what}; it is tried again within {every} s"
        );
        self.0 = Some(Logged { what: what.to_owned(), at: Instant::now(), pause });
    }

    /// Logs that it is over, if something was wrong.
    pub(super) fn is_over(&mut self) {
        if self.0.take().is_some() {
            tracing::info!(target: ACME, "certificates can be ordered again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{LogFormat, logged};
    use tokio::runtime::Builder;
    use tokio::time::sleep;
    use tracing::Level;

    #[test]
    fn what_stays_wrong_is_logged_at_growing_intervals_and_its_end_once() {
        let log = logged(LogFormat::Text, Level::INFO, || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                let mut trouble = Trouble::default();
                trouble.is_over();
                // At the start, after 10 minutes, an hour, 6 hours, then each day: for 3 days.
                for _ in 0..3 * 24 * 60 {
                    trouble.tell("it is full");
                    sleep(Duration::from_secs(60)).await;
                }
                trouble.tell("it is read-only");
                trouble.is_over();
                trouble.is_over();
            });
        });
        assert_eq!(log.matches("it is full").count(), 6, "{log}");
        assert_eq!(log.matches("it is read-only").count(), 1, "{log}");
        assert_eq!(log.matches("can be ordered again").count(), 1, "{log}");
    }
}
