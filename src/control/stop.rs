//! The stop of the process: what it waits for, and what it says meanwhile.

use crate::control::request::{Asked, Request};
use crate::control::state::{Phase, State};
use crate::control::workers::{Events, Workers};
use crate::limits::{STOP_AT_ONCE_MAX, STOP_LOGGED_EVERY};
use crate::telemetry::metrics::Running;
use crate::telemetry::targets::{SERVER, SIGNALS};
use crate::worker::{Command, Stop};
use std::convert::Infallible;
use std::future::pending;
use std::io::{IsTerminal, stderr, stdin};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Why the process stops.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    /// This signal asked for it.
    Signal(&'static str),
    /// A new process serves, with this number.
    HandedOver(u32),
}

/// Stops: is unready for `timeouts.stop_delay`, then accepts nothing more, and returns when running
/// exchanges have ended. A second signal ends at once. If a new process serves, there is no delay.
pub(super) async fn stop(
    reason: Reason,
    state: &State,
    workers: &Workers,
    events: &mut Events,
    requests: &mut Asked,
) {
    let (signal, successor) = match reason {
        Reason::Signal(signal) => (Some(signal), None),
        Reason::HandedOver(pid) => (None, Some(pid)),
    };
    let second = async {
        if successor.is_some() {
            // Sent to the whole service, it is meant for the new process above all.
            let signal = next_stop(requests, successor).await;
            tracing::info!(target: SERVER, signal, "stopping already; another one ends it at once");
            // Somebody may wait for the end from now on.
            workers.tell(|| Command::Stop(Stop::WhenDone));
        }
        next_stop(requests, successor).await
    };
    tokio::select! {
        () = stop_in_order(signal, state, workers, events) => {
            tracing::info!(target: SERVER, "stopped");
        }
        signal = second => {
            tracing::warn!(target: SERVER, signal, "stopping at once");
            workers.tell(|| Command::Stop(Stop::AtOnce));
            // What is cut has its line of the log. A worker in the middle of something long has
            // none to give.
            let _ = timeout(STOP_AT_ONCE_MAX, events.ended()).await;
        }
    }
}

async fn stop_in_order(
    signal: Option<&str>,
    state: &State,
    workers: &Workers,
    events: &mut Events,
) {
    let timeouts = &state.snapshot().timeouts;
    let delay = if signal.is_some() { timeouts.stop_delay } else { Duration::ZERO };
    if delay > Duration::ZERO {
        state.enter(Phase::StopDelay);
        let delay_ms = delay.as_millis();
        tracing::info!(
            target: SERVER,
            signal,
            delay_ms,
            "unready; connections are accepted until timeouts.stop_delay is over"
        );
        tell_of_ctrl_c(signal);
        workers.tell(|| Command::AnnounceStop);
        sleep(delay).await;
    }
    state.enter(if signal.is_some() { Phase::Draining } else { Phase::HandedOver });
    state.close_sockets();
    let how = if signal.is_some() { Stop::WhenDone } else { Stop::HandedOver };
    workers.tell(|| Command::Stop(how));
    let left = async || workers.reports().await.totals.all_running();
    let (exchanges, oldest_ms) = numbers(left().await);
    let stop_ms = timeouts.stop.as_millis();
    tracing::info!(
        target: SERVER,
        signal,
        exchanges,
        oldest_ms,
        stop_ms,
        "stopping; running exchanges may end"
    );
    if delay.is_zero() {
        tell_of_ctrl_c(signal);
    }
    tokio::select! {
        () = events.ended() => {}
        never = tell_what_is_left(left) => match never {}
    }
}

/// Says again and again how many exchanges are left, and the age of the oldest.
async fn tell_what_is_left(left: impl AsyncFn() -> Running) -> Infallible {
    loop {
        sleep(STOP_LOGGED_EVERY).await;
        let (exchanges, oldest_ms) = numbers(left().await);
        tracing::info!(target: SERVER, exchanges, oldest_ms, "still stopping");
    }
}

/// How many there are, and the age of the oldest in milliseconds, if there is one.
fn numbers(Running { count, oldest }: Running) -> (usize, Option<u128>) {
    (count, (count > 0).then_some(oldest.as_millis()))
}

/// For a person at a terminal, who has pressed it once.
fn tell_of_ctrl_c(signal: Option<&str>) {
    if signal == Some("SIGINT") && stdin().is_terminal() && stderr().is_terminal() {
        tracing::info!(target: SERVER, "Ctrl-C again ends it at once");
    }
}

/// The name of the next signal that asks to stop. Nothing else is done any more, but by the
/// `successor`, if there is one.
async fn next_stop(requests: &mut Asked, successor: Option<u32>) -> &'static str {
    loop {
        let ignored = match requests.recv().await {
            Some(Request::Stop(signal)) => return signal,
            Some(request) => request.signal(),
            // The task that forwards signals is gone: no other can come.
            None => pending().await,
        };
        match successor {
            None => tracing::warn!(target: SIGNALS, "{ignored} is ignored: the server stops"),
            Some(pid) => tracing::warn!(
                target: SIGNALS,
                pid,
                "{ignored} is ignored: a new process serves, and is the one to signal"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{LogFormat, logged};
    use std::cell::Cell;
    use tokio::runtime::Builder;
    use tokio::time::Instant;
    use tracing::Level;

    #[test]
    fn what_is_left_is_told_every_ten_seconds_with_the_age_of_the_oldest() {
        let log = logged(LogFormat::Text, Level::INFO, || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                let (begun, count) = (Instant::now(), Cell::new(3));
                let left = async || {
                    count.set(count.get() - 1);
                    Running { count: count.get(), oldest: begun.elapsed() }
                };
                let _ = timeout(Duration::from_secs(25), tell_what_is_left(left)).await;
            });
        });
        let lines: Vec<_> = log.lines().map(|it| it.split_once(" INFO ").unwrap().1).collect();
        let want = [
            "narrows::server: still stopping exchanges=2 oldest_ms=10000",
            "narrows::server: still stopping exchanges=1 oldest_ms=20000",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn where_nothing_runs_there_is_no_oldest() {
        assert_eq!(numbers(Running::default()), (0, None));
    }
}
