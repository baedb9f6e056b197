//! What the service manager is told from time to time: how many exchanges run, and that all workers
//! answer.

use crate::control::notify::Notifier;
use crate::control::state::{Phase, State};
use crate::control::workers::Workers;
use crate::limits::{SERVICE_STATUS_EVERY, SERVICE_STOP_EXTENSION};
use crate::telemetry::metrics::Running;
use crate::telemetry::targets::SERVER;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

/// Tells the service manager how many exchanges run; while all workers answer, tells the watchdog
/// so, three times in its period; while the process stops, says that this may go on.
pub(super) async fn inform(notifier: Rc<Notifier>, state: Rc<State>, workers: Workers) {
    if !notifier.has_manager() {
        return;
    }
    let (mut told, mut hung) = (String::new(), 0);
    loop {
        let reports = workers.reports().await;
        let phase = state.phase();
        let stops = !matches!(phase, Phase::Starting | Phase::Ready);
        if stops || reports.silent == 0 {
            notifier.watchdog();
        }
        hung = log_silent(hung, reports.silent, stops);
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

/// Logs that workers do not answer, or do so again, if there were others `before`, and returns how
/// many there are. When the process stops, workers without exchanges end, and are silent then.
fn log_silent(before: usize, silent: usize, stops: bool) -> usize {
    if stops {
        return before;
    }
    match (before, silent) {
        (before, silent) if before == silent => {}
        (_, 0) => tracing::info!(target: SERVER, "all workers answer again"),
        (_, silent) => tracing::error!(
            target: SERVER,
            workers = silent,
            "workers do not answer, so the watchdog is not answered either"
        ),
    }
    silent
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
    use crate::telemetry::{LogFormat, logged};
    use tracing::Level;

    #[test]
    fn workers_that_hang_are_logged_once_and_when_they_answer_again() {
        let log = logged(LogFormat::Text, Level::INFO, || {
            let looks = [1, 1, 2, 2, 0, 0];
            looks.into_iter().fold(0, |before, silent| log_silent(before, silent, false));
        });
        let lines: Vec<_> = log.lines().map(|it| it.split(" narrows::server: ").nth(1)).collect();
        let hang = "workers do not answer, so the watchdog is not answered either workers=";
        let want = [format!("{hang}1"), format!("{hang}2"), "all workers answer again".to_owned()];
        assert_eq!(lines, want.each_ref().map(|it| Some(it.as_str())));
    }

    #[test]
    fn a_stop_says_nothing_of_workers_that_hang_or_have_ended() {
        let log = logged(LogFormat::Text, Level::INFO, || {
            assert_eq!([log_silent(2, 0, true), log_silent(0, 1, true)], [2, 0]);
        });
        assert_eq!(log, "");
    }

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
