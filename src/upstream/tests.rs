//! Who gets which connection, and what the keeper does, on a paused clock.

use super::*;
use crate::error::{Cause, SocketError};
use crate::limits::{WARM_BACKOFF_MIN, WARM_FOR};
use crate::net::memory::{End, MemoryStream};
use std::future::poll_fn;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

const DIAL_TIME: Duration = Duration::from_millis(100);
const REFUSED: ExchangeError = ExchangeError::upstream(Cause::Unreachable(SocketError::REFUSED));

/// An upstream in memory: dials take [`DIAL_TIME`], and fail while it is down.
#[derive(Clone, Default)]
struct Fake(Rc<FakeState>);

#[derive(Default)]
struct FakeState {
    down: Cell<bool>,
    dials: RefCell<Vec<Instant>>,
    ends: RefCell<Vec<MemoryStream>>,
}

impl Dial for Fake {
    fn dial(&self, _: Option<&Announcement>) -> Dialing {
        let state = Rc::clone(&self.0);
        state.dials.borrow_mut().push(Instant::now());
        Box::pin(async move {
            sleep(DIAL_TIME).await;
            if state.down.get() {
                return Err(REFUSED.into());
            }
            let (near, far) = MemoryStream::pair(64);
            state.ends.borrow_mut().push(far);
            Ok(Transport::from(near))
        })
    }
}

impl Fake {
    fn dials(&self) -> usize {
        self.0.dials.borrow().len()
    }

    fn upstream(&self, warm: usize) -> Upstream {
        Upstream::new(Box::new(self.clone()), warm)
    }
}

fn run(test: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let options = LocalOptions::default();
    builder.enable_all().start_paused(true).build_local(options).unwrap().block_on(test);
}

fn obtain(upstream: &Upstream) -> JoinHandle<Result<Line, ExchangeError>> {
    let obtaining = upstream.obtain();
    spawn_local(async move { obtaining.await.map_err(|failure| failure.error) })
}

#[test]
fn whoever_waits_longest_gets_what_is_given_back_first() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        let line = obtain(&upstream).await.unwrap().unwrap();
        let begun = Instant::now();
        let (first, second) = (obtain(&upstream), obtain(&upstream));
        yield_now().await;
        upstream.give_back(Line { used: true, ..line });
        assert!(first.await.unwrap().unwrap().used, "no need to wait for its own dial");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(!second.await.unwrap().unwrap().used);
        sleep(DIAL_TIME).await;
        assert_eq!(fake.dials(), 3);
        assert!(upstream.checkout().is_some(), "the third connection is in the pool");
    });
}

#[test]
fn a_handshake_outlives_the_client_that_caused_it() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        let leaving = obtain(&upstream);
        yield_now().await;
        leaving.abort();
        sleep(DIAL_TIME * 2).await;
        assert!(upstream.checkout().is_some());
        assert_eq!(fake.dials(), 1);
    });
}

#[test]
fn a_line_that_comes_while_its_taker_leaves_goes_to_the_next_one() {
    run(async {
        let upstream = Fake::default().upstream(0);
        let mut leaving = Box::pin(upstream.obtain());
        assert!(poll_fn(|cx| Poll::Ready(leaving.as_mut().poll(cx).is_pending())).await);
        sleep(DIAL_TIME * 2).await;
        assert!(upstream.checkout().is_none(), "it was handed over, and not taken yet");
        drop(leaving);
        assert!(upstream.checkout().is_some());
    });
}

#[test]
fn a_failed_dial_fails_one_request() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        fake.0.down.set(true);
        let first = obtain(&upstream);
        sleep(DIAL_TIME / 2).await;
        let second = obtain(&upstream);
        assert_eq!(first.await.unwrap().unwrap_err(), REFUSED);
        fake.0.down.set(false);
        assert!(second.await.unwrap().is_ok());
    });
}

#[test]
fn lines_stand_ready_from_the_start_and_are_opened_one_at_a_time() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(2);
        sleep(DIAL_TIME / 2).await;
        assert_eq!(fake.dials(), 1);
        sleep(DIAL_TIME * 3).await;
        assert_eq!(fake.dials(), 2);
        let line = upstream.checkout().unwrap();
        sleep(DIAL_TIME * 2).await;
        assert_eq!(fake.dials(), 3, "what was taken is replaced");
        upstream.give_back(line);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(fake.dials(), 3, "and no more than that");
    });
}

#[test]
fn a_warm_line_that_the_upstream_closes_is_replaced_before_that_from_then_on() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        for closes in 1..=2 {
            sleep(Duration::from_secs(5) + DIAL_TIME).await;
            fake.0.ends.borrow_mut().remove(0).end(End::Clean);
            sleep(DIAL_TIME * 2).await;
            assert_eq!(fake.dials(), closes + 1);
        }
        for _ in 0..100 {
            sleep(Duration::from_millis(97)).await;
            assert!(!upstream.0.pool.is_empty(), "a line is ready at any time");
        }
        let dials = fake.0.dials.borrow();
        let gaps: Vec<_> = dials.windows(2).skip(2).map(|pair| pair[1] - pair[0]).collect();
        let longest = Duration::from_millis(4500);
        assert!(!gaps.is_empty() && gaps.iter().all(|gap| *gap < longest), "{gaps:?}");
    });
}

#[test]
fn lines_are_kept_warm_only_as_long_as_the_upstream_is_in_use() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        sleep(WARM_FOR).await;
        let dials = fake.dials();
        sleep(WARM_FOR).await;
        assert_eq!(fake.dials(), dials);
        assert!(upstream.checkout().is_none());
        sleep(DIAL_TIME * 2).await;
        assert_eq!(fake.dials(), dials + 1, "in use again");
    });
}

#[test]
fn an_upstream_that_is_down_is_dialed_less_and_less_often() {
    run(async {
        let fake = Fake::default();
        fake.0.down.set(true);
        let _upstream = fake.upstream(1);
        sleep(Duration::from_secs(120)).await;
        let dials = fake.0.dials.borrow();
        let gaps: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0] - DIAL_TIME).collect();
        let doubling = [1, 2, 4, 8, 16, 32].map(|factor| WARM_BACKOFF_MIN * factor);
        assert_eq!(gaps, doubling);
    });
}

#[test]
fn an_expected_client_finds_its_connection_ready() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        sleep(DIAL_TIME * 2).await;
        let taken = upstream.checkout();
        let expectations: Vec<_> = (0..3).map(|_| upstream.expect()).collect();
        sleep(DIAL_TIME * 2).await;
        assert_eq!(upstream.0.pool.len(), 3);
        drop((taken, expectations));
        let _expectation = upstream.expect();
        sleep(DIAL_TIME).await;
        assert_eq!(fake.dials(), 4, "a free line is there for the next one");
    });
}

#[test]
fn a_flood_of_clients_is_no_flood_of_dials() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        let _expectations: Vec<_> = (0..1000).map(|_| upstream.expect()).collect();
        yield_now().await;
        assert_eq!(fake.dials(), SPECULATIVE_DIALS_MAX);
    });
}

#[test]
fn without_warm_lines_nothing_is_opened_before_it_is_needed() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        assert!(upstream.expect().is_none());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.dials(), 0);
    });
}
