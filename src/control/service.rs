//! What the service manager is told from time to time: how many exchanges run, and that all workers
//! answer.

use crate::control::notify::Notifier;
use crate::control::state::{Phase, State};
use crate::control::workers::Workers;
use crate::limits::{SERVICE_STATUS_EVERY, SERVICE_STOP_EXTENSION};
use crate::telemetry::metrics::Running;
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

/// Tells the service manager how many exchanges run; while all workers answer, tells the watchdog
/// so, three times in its period; while the process stops, says that this may go on.
pub(super) async fn inform(
    notifier: Rc<Notifier>,
    state: Rc<State>,
    workers: Workers,
) -> Infallible {
    if !notifier.has_manager() {
        return pending().await;
    }
    let mut told = String::new();
    loop {
        let reports = workers.reports().await;
        let phase = state.phase();
        let stops = !matches!(phase, Phase::Starting | Phase::Ready);
        // Workers without exchanges end at a stop, and are silent then.
        if stops || reports.silent == 0 {
            notifier.watchdog();
        }
        if stops {
            notifier.extend_timeout(SERVICE_STOP_EXTENSION);
        }
        let status = status(phase, &reports.totals.all_running());
        if status != told {
            notifier.status(&status);
            told = status;
        }
        sleep(period(notifier.silence_max())).await;
    }
}

fn period(silence_max: Option<Duration>) -> Duration {
    silence_max.map_or(SERVICE_STATUS_EVERY, |max| SERVICE_STATUS_EVERY.min(max / 3))
}

fn status(phase: Phase, running: &Running) -> String {
    let phase = match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::StopDelay | Phase::Draining | Phase::HandedOver => "stopping",
    };
    match running.count {
        1 => format!("{phase}; 1 exchange runs"),
        count => format!("{phase}; {count} exchanges run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_answered_three_times_in_its_period() {
        assert_eq!(period(None), SERVICE_STATUS_EVERY);
        assert_eq!(period(Some(Duration::from_secs(3))), Duration::from_secs(1));
        assert_eq!(period(Some(Duration::from_secs(3600))), SERVICE_STATUS_EVERY);
    }

    #[test]
    fn the_status_says_how_many_exchanges_run() {
        let running = |count| Running { count, ..Running::default() };
        assert_eq!(status(Phase::Ready, &running(1)), "ready; 1 exchange runs");
        assert_eq!(status(Phase::Draining, &running(2)), "stopping; 2 exchanges run");
        assert_eq!(status(Phase::Starting, &running(0)), "starting; 0 exchanges run");
    }
}
