//! The time, [`now`] and [`since_epoch`]; and time limits while they run: [`Deadline`] for one
//! phase, [`IdleClock`] for the gaps of one direction, and the lazily re-armed [`Alarm`] below
//! both.
//!
//! To look at the time takes as long as some hundred instructions, and a small exchange would do so
//! ten times. So its task looks once in each turn ([`in_turns`]).
//!
//! A connection owns one [`Alarm`], and so one entry in the runtime's timer wheel. Moving a
//! deadline into the future costs a store: the alarm is left to fire early and is armed again
//! then. Only a deadline nearer than the armed one is registered at once.
//!
//! Not here: which limits there are (`timeouts`), and what an expiry means to the peers (`error`).

use crate::timeouts::{Timeouts, Timer};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// For how long the time of day is reckoned from one look at the system's clock.
const TIME_OF_DAY_KEPT: Duration = Duration::from_secs(1);

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::None) };
    /// The time since 1970 at the last look at the system's clock, and when that was.
    static TIME_OF_DAY: Cell<Option<(Duration, Instant)>> = const { Cell::new(None) };
}

/// What a task has seen of the time in its current turn.
#[derive(Clone, Copy)]
enum Turn {
    /// The thread runs no task that has turns.
    None,
    /// Nothing yet.
    Begun,
    At(Instant),
}

/// The time: within a turn, as it was when the turn first asked.
pub fn now() -> Instant {
    match TURN.get() {
        Turn::None => Instant::now(),
        Turn::Begun => {
            let now = Instant::now();
            TURN.set(Turn::At(now));
            now
        }
        Turn::At(now) => now,
    }
}

/// Makes each poll of `work` one turn, in which the time stands still for [`now`].
pub fn in_turns<T>(mut work: impl Future<Output = T> + Unpin) -> impl Future<Output = T> {
    /// Ends the turn, also when it panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            TURN.set(Turn::None);
        }
    }
    poll_fn(move |cx| {
        let _end = End;
        TURN.set(Turn::Begun);
        Pin::new(&mut work).poll(cx)
    })
}

/// The time since 1970, by the system's clock. One that is set shows a second later.
pub fn since_epoch() -> Duration {
    let now = now();
    if let Some((time_of_day, at)) = TIME_OF_DAY.get()
        && let Some(since) = now.checked_duration_since(at)
        && since < TIME_OF_DAY_KEPT
    {
        return time_of_day + since;
    }
    let time_of_day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TIME_OF_DAY.set(Some((time_of_day, Instant::now())));
    time_of_day
}

/// The end of one phase, by name. One deadline may bound many steps: it does not restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When the phase must be over.
    pub at: Instant,
    /// Which limit that is.
    pub timer: Timer,
}

impl Deadline {
    /// Starts the clock that `timer` names.
    pub fn start(timer: Timer, timeouts: &Timeouts) -> Self {
        Self { at: now() + timeouts.of(timer), timer }
    }

    /// The nearer of two ends.
    pub fn earlier(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.at < self.at => other,
            Some(_) | None => self,
        }
    }
}

/// How long ago this process first asked: a time that all of its threads share.
pub fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = now();
    now.saturating_duration_since(*START.get_or_init(|| now))
}

/// Why a bounded step did not succeed.
#[derive(Debug)]
pub enum Halt {
    /// The step itself failed.
    Io(io::Error),
    /// The named limit ran out first.
    Expired(Timer),
}

/// When one direction last moved. The limit that applies depends on what it waits for now.
///
/// A gap begins when it is first asked for, which is when a task has moved what it could and waits:
/// bytes that come and go at once, as most do, cost no look at the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdleClock {
    since: Option<Instant>,
}

impl IdleClock {
    /// Bytes moved: the gap starts anew.
    pub fn stamp(&mut self) {
        self.since = None;
    }

    /// When the gap began.
    pub fn since(&mut self) -> Instant {
        *self.since.get_or_insert_with(now)
    }

    /// When the gap that `timer` limits will have lasted too long.
    pub fn deadline(&mut self, timer: Timer, timeouts: &Timeouts) -> Deadline {
        Deadline { at: self.since() + timeouts.of(timer), timer }
    }
}

/// One timer of the runtime for all the deadlines of one connection, armed as seldom as possible.
/// It belongs to the one task that polls it.
#[derive(Debug, Default)]
pub struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready once `at` has passed. Until then the calling task is woken at `at` or earlier.
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if at < sleep.deadline() => sleep.as_mut().reset(at),
            // It is armed for `at` or sooner, and will wake its task.
            Some(sleep) if !sleep.is_elapsed() => return Poll::Pending,
            Some(_) | None => {}
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            // Also when the task has had its turn of the runtime: a peer that keeps it busy from
            // one turn to the next would have no limit otherwise.
            ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            // It was armed for something sooner, long settled: now is the time to move it.
            sleep.as_mut().reset(at);
        }
    }

    /// Runs one I/O step, or fails by name. On expiry the step is dropped: it must be cancel-safe.
    ///
    /// # Errors
    /// [`Halt::Io`] when the step fails, [`Halt::Expired`] when the deadline passes first.
    pub async fn bound<T>(
        &mut self,
        deadline: Deadline,
        step: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Halt> {
        let mut step = pin!(step);
        poll_fn(|cx| {
            if let Poll::Ready(result) = step.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(Halt::Io));
            }
            self.poll(cx, deadline.at).map(|()| Err(Halt::Expired(deadline.timer)))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::time::Duration;
    use tokio::task::coop::poll_proceed;
    use tokio::task::yield_now;
    use tokio::time::{advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn within_a_turn_the_time_stands_still_and_in_the_next_it_is_new() {
        let begun = Instant::now();
        let later = begun + Duration::from_secs(1);
        let work = pin!(async {
            assert_eq!(now(), begun);
            let mut step = pin!(advance(Duration::from_secs(1)));
            poll_fn(|cx| {
                assert!(step.as_mut().poll(cx).is_pending());
                assert_eq!((now(), Instant::now()), (begun, later));
                Poll::Ready(())
            })
            .await;
            yield_now().await;
            assert_eq!(now(), later);
        });
        in_turns(work).await;
        advance(Duration::from_secs(1)).await;
        assert_eq!(now(), Instant::now(), "behind its last turn");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_day_goes_on_between_two_looks_at_the_clock_of_the_system() {
        let by_system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        TIME_OF_DAY.set(None);
        let first = since_epoch();
        let most = TIME_OF_DAY_KEPT - Duration::from_nanos(1);
        advance(most).await;
        assert_eq!(since_epoch(), first + most);
        advance(TIME_OF_DAY_KEPT).await;
        let before = by_system();
        let looked = since_epoch();
        assert!(before <= looked && looked <= by_system());
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_never_ends_fails_by_the_name_of_its_limit() {
        let timeouts = Timeouts::default();
        let started = Instant::now();
        let deadline = Deadline::start(Timer::RequestHead, &timeouts);
        let result = Alarm::default().bound(deadline, pending::<io::Result<()>>()).await;
        assert!(matches!(result, Err(Halt::Expired(Timer::RequestHead))));
        assert_eq!(started.elapsed(), timeouts.request_head);
    }

    #[tokio::test(start_paused = true)]
    async fn one_deadline_bounds_many_steps_without_starting_again() {
        let deadline = Deadline::start(Timer::RequestHead, &Timeouts::default());
        let mut alarm = Alarm::default();
        for _ in 0..9 {
            let step = takes(Duration::from_secs(1));
            alarm.bound(deadline, step).await.unwrap();
        }
        let step = takes(Duration::from_secs(2));
        let expired = alarm.bound(deadline, step).await;
        assert!(matches!(expired, Err(Halt::Expired(Timer::RequestHead))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_lasts_from_the_first_wait_behind_a_move() {
        let (mut clock, timeouts, begun) =
            (IdleClock::default(), Timeouts::default(), Instant::now());
        let gap_begins = |clock: &mut IdleClock| {
            let end = clock.deadline(Timer::ToClientRead, &timeouts).at;
            (end - timeouts.to_client_read).duration_since(begun).as_secs()
        };
        sleep(Duration::from_secs(1)).await;
        assert_eq!(gap_begins(&mut clock), 1);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(gap_begins(&mut clock), 1, "nothing has moved");
        clock.stamp();
        assert_eq!(gap_begins(&mut clock), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_serves_a_later_deadline_after_an_earlier_one_and_an_earlier_after_a_later() {
        let mut alarm = Alarm::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert!(poll_once(&mut alarm, at(5)).await.is_pending());
        poll_fn(|cx| alarm.poll(cx, at(60))).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(60));
        assert!(poll_once(&mut alarm, at(600)).await.is_pending());
        poll_fn(|cx| alarm.poll(cx, at(61))).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(61));
    }

    /// The runtime lets a task do so much at a time, and then finds nothing ready for it.
    #[tokio::test]
    async fn a_step_that_uses_up_every_turn_of_its_task_fails_at_its_limit_all_the_same() {
        let deadline = Deadline { at: Instant::now(), timer: Timer::Linger };
        let mut turns = 0;
        let endless = poll_fn(|cx| {
            turns += 1;
            assert!(turns < 1000, "the limit is never seen");
            while let Poll::Ready(progress) = poll_proceed(cx) {
                progress.made_progress();
            }
            Poll::<io::Result<()>>::Pending
        });
        let result = Alarm::default().bound(deadline, endless).await;
        assert!(matches!(result, Err(Halt::Expired(Timer::Linger))));
    }

    async fn takes(time: Duration) -> io::Result<()> {
        sleep(time).await;
        Ok(())
    }

    async fn poll_once(alarm: &mut Alarm, at: Instant) -> Poll<()> {
        poll_fn(|cx| Poll::Ready(alarm.poll(cx, at))).await
    }
}
