//! Who gets which connection, and what the keeper does, on a paused clock.

use super::*;
use crate::error::{Cause, SocketError};
use crate::limits::{
    POOL_IDLE_MAX, UNASKED_FORGIVEN_AFTER, UNASKED_MAX, UNASKED_PAUSE_MAX, UNASKED_PAUSE_MIN,
    WARM_FOR, WARM_LIFE_MIN, WARM_LOOK_AGAIN, WARM_RENEWAL,
};
use crate::net::memory::{End, MemoryStream};
use crate::telemetry::{LogFormat, logged};
use std::future::{pending, poll_fn};
use std::io::IoSlice;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;
use tracing::Level;

const DIAL_TIME: Duration = Duration::from_millis(100);
const REFUSED: ExchangeError =
    ExchangeError::upstream(Cause::Unreachable(SocketError::ConnectionRefused));

/// An upstream in memory: dials take [`DIAL_TIME`], and fail while it is down.
#[derive(Clone, Default)]
struct Fake(Rc<FakeState>);

#[derive(Default)]
struct FakeState {
    down: Cell<bool>,
    dials: RefCell<Vec<Instant>>,
    ends: RefCell<Vec<MemoryStream>>,
    opened: Notify,
    /// So many dials fail at once.
    refused: Cell<usize>,
}

impl Dial for Fake {
    fn dial(&self, _: Option<&ProxyHeader>) -> Dialing {
        let state = Rc::clone(&self.0);
        state.dials.borrow_mut().push(Instant::now());
        Box::pin(async move {
            if let Some(left) = state.refused.get().checked_sub(1) {
                state.refused.set(left);
                return Err(REFUSED.into());
            }
            sleep(DIAL_TIME).await;
            if state.down.get() {
                return Err(REFUSED.into());
            }
            let (near, far) = MemoryStream::pair(64);
            state.ends.borrow_mut().push(far);
            state.opened.notify_one();
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

fn checkout(upstream: &Upstream) -> JoinHandle<Result<UpstreamConnection, ExchangeError>> {
    let obtaining = upstream.checkout();
    spawn_local(async move { obtaining.await.map_err(|failure| failure.error) })
}

#[test]
fn whoever_waits_longest_gets_what_is_given_back_first() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        let connection = checkout(&upstream).await.unwrap().unwrap();
        let begun = Instant::now();
        let (first, second) = (checkout(&upstream), checkout(&upstream));
        yield_now().await;
        upstream.give_back(UpstreamConnection { used: true, ..connection });
        assert!(first.await.unwrap().unwrap().used, "no need to wait for its own dial");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(!second.await.unwrap().unwrap().used);
        sleep(DIAL_TIME).await;
        assert_eq!(fake.dials(), 3);
        assert!(upstream.take_idle().is_some(), "the third connection is in the pool");
    });
}

#[test]
fn a_handshake_outlives_the_client_that_caused_it() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        let leaving = checkout(&upstream);
        yield_now().await;
        leaving.abort();
        sleep(DIAL_TIME * 2).await;
        assert!(upstream.take_idle().is_some());
        assert_eq!(fake.dials(), 1);
    });
}

#[test]
fn a_line_that_comes_while_its_taker_leaves_goes_to_the_next_one() {
    run(async {
        let upstream = Fake::default().upstream(0);
        let mut leaving = Box::pin(upstream.checkout());
        assert!(poll_fn(|cx| Poll::Ready(leaving.as_mut().poll(cx).is_pending())).await);
        sleep(DIAL_TIME * 2).await;
        assert!(upstream.take_idle().is_none(), "it was handed over, and not taken yet");
        drop(leaving);
        assert!(upstream.take_idle().is_some());
    });
}

#[test]
fn a_failed_dial_fails_one_request() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        fake.0.down.set(true);
        let first = checkout(&upstream);
        sleep(DIAL_TIME / 2).await;
        let second = checkout(&upstream);
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
        let connection = upstream.take_idle().unwrap();
        sleep(DIAL_TIME * 2).await;
        assert_eq!(fake.dials(), 3, "what was taken is replaced");
        upstream.give_back(connection);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(fake.dials(), 3, "and no more than that");
    });
}

#[test]
fn a_warm_line_that_the_upstream_closes_is_replaced_before_that_from_then_on() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        assert!(upstream.take_idle().is_none(), "a client has come");
        for closes in 1..=2 {
            sleep(Duration::from_secs(5) + DIAL_TIME).await;
            fake.0.ends.borrow_mut().remove(0).end(End::Clean);
            sleep(UNASKED_PAUSE_MIN * closes + DIAL_TIME * 2).await;
            assert_eq!(fake.dials(), closes as usize + 1);
        }
        for _ in 0..100 {
            sleep(Duration::from_millis(97)).await;
            assert!(!upstream.0.pool.is_empty(), "a connection is ready at any time");
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
        assert!(upstream.take_idle().is_none());
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
        let doubling = [1, 2, 4, 8, 16, 32].map(|factor| UNASKED_PAUSE_MIN * factor);
        assert_eq!(gaps, doubling);
    });
}

#[test]
fn an_expected_client_finds_its_connection_ready() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        sleep(DIAL_TIME * 2).await;
        let taken = upstream.take_idle();
        let preconnects: Vec<_> = (0..3).map(|_| upstream.preconnect()).collect();
        sleep(DIAL_TIME * 2).await;
        assert_eq!(upstream.0.pool.len(), 3);
        drop((taken, preconnects));
        let _preconnect = upstream.preconnect();
        sleep(DIAL_TIME).await;
        assert_eq!(fake.dials(), 4, "a free connection is there for the next one");
    });
}

#[test]
fn a_flood_of_clients_is_no_flood_of_dials() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        let _preconnects: Vec<_> = (0..1000).map(|_| upstream.preconnect()).collect();
        yield_now().await;
        assert_eq!(fake.dials(), SPECULATIVE_DIALS_MAX);
    });
}

#[test]
fn without_warm_lines_nothing_is_opened_before_it_is_needed() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        assert!(upstream.preconnect().is_none());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.dials(), 0);
    });
}

/// What becomes of the connections of an upstream that opens them.
#[derive(Clone, Copy, Debug)]
enum Persistence {
    /// A FIN with the handshake's end, or so long after it.
    Closed(Duration),
    Reset,
    /// A byte that nobody asked for.
    Byte,
}

const HOUR: Duration = Duration::from_secs(3600);

/// Keeps meeting that fate for so long, in which a client connects every `clients`; gives the
/// moments of the dials.
async fn dials_in(time: Duration, fate: Persistence, clients: Option<Duration>) -> Vec<Duration> {
    let fake = Fake::default();
    let upstream = fake.upstream(1);
    let begun = Instant::now();
    let ends = Rc::clone(&fake.0);
    let meets_its_fate = spawn_local(async move {
        loop {
            ends.opened.notified().await;
            let Some(mut end) = ends.ends.borrow_mut().pop() else { continue };
            match fate {
                Persistence::Closed(after) => {
                    sleep(after).await;
                    end.end(End::Clean);
                }
                Persistence::Reset => end.reset(),
                Persistence::Byte => {
                    let _ = poll_fn(|cx| end.poll_write(cx, &[IoSlice::new(b"x")])).await;
                    // It stays open.
                    spawn_local(async move {
                        pending::<()>().await;
                        drop(end);
                    });
                }
            }
        }
    });
    while begun.elapsed() < time {
        sleep(clients.unwrap_or(time)).await;
        if clients.is_some() {
            drop(upstream.preconnect());
        }
    }
    meets_its_fate.abort();
    let dials = fake.0.dials.borrow();
    dials.iter().map(|dial| *dial - begun).collect()
}

#[test]
fn an_upstream_that_ends_what_it_accepts_is_dialed_less_and_less_often() {
    for fate in [
        Persistence::Closed(Duration::ZERO),
        Persistence::Closed(DIAL_TIME),
        Persistence::Reset,
        Persistence::Byte,
    ] {
        run(async move {
            let dials = dials_in(HOUR, fate, Some(DIAL_TIME)).await;
            let gaps: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let pauses = (0..).map(|doublings| UNASKED_PAUSE_MIN * (1 << doublings.min(6)));
            for (gap, pause) in gaps.iter().zip(pauses) {
                let pause = pause.min(UNASKED_PAUSE_MAX);
                assert!((pause..pause + DIAL_TIME * 4).contains(gap), "{fate:?}: {gaps:?}");
            }
            assert!((60..70).contains(&dials.len()), "{fate:?}: {}", dials.len());
        });
    }
}

#[test]
fn an_upstream_that_ends_unused_connections_is_left_alone_until_a_client_comes() {
    for fate in [
        Persistence::Closed(Duration::ZERO),
        Persistence::Closed(Duration::from_secs(30)),
        Persistence::Reset,
    ] {
        run(async move {
            assert_eq!(dials_in(HOUR, fate, None).await.len(), 1, "{fate:?}");
        });
    }
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        sleep(DIAL_TIME * 2).await;
        fake.0.ends.borrow_mut().remove(0).end(End::Clean);
        sleep(Duration::from_secs(300)).await;
        assert_eq!(fake.dials(), 1);
        drop(upstream.preconnect());
        sleep(DIAL_TIME * 2).await;
        assert_eq!(fake.dials(), 2);
        assert_eq!(upstream.0.pool.len(), 1);
    });
}

#[test]
fn clients_that_only_connect_have_few_connections_opened_for_them_whatever_becomes_of_those() {
    run(async {
        // Each lives for as long as one needs to be of use.
        let fate = Persistence::Closed(WARM_LIFE_MIN + DIAL_TIME);
        let dials = dials_in(HOUR / 6, fate, Some(DIAL_TIME)).await;
        let forgiven = (HOUR / 6).as_secs() / UNASKED_FORGIVEN_AFTER.as_secs();
        assert!(dials.len() as u64 <= UNASKED_MAX as u64 + 1 + forgiven, "{}", dials.len());
    });
    run(async {
        let standing = Arc::new(Standing::new("a:443", 1, 1));
        let begun = Instant::now();
        let all_at_once = (0..1000).filter(|_| standing.prepare(begun).is_some()).count();
        assert_eq!(all_at_once, UNASKED_MAX + 1);
        sleep(UNASKED_FORGIVEN_AFTER - Duration::from_millis(1)).await;
        assert!(standing.prepare(Instant::now()).is_none());
        sleep(Duration::from_millis(1)).await;
        assert!(standing.prepare(Instant::now()).is_some());
        assert!(standing.prepare(Instant::now()).is_none());
    });
}

#[test]
fn a_connection_that_a_request_is_sent_on_makes_room_for_another() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        for _ in 0..10 * UNASKED_MAX {
            let preconnect = upstream.preconnect();
            sleep(DIAL_TIME + Duration::from_millis(1)).await;
            assert!(upstream.take_idle().is_some(), "a client that asks finds it ready");
            drop(preconnect);
        }
    });
}

#[test]
fn a_request_never_waits_for_a_pause() {
    run(async {
        let fake = Fake::default();
        fake.0.down.set(true);
        let upstream = fake.upstream(1);
        sleep(Duration::from_secs(50)).await;
        fake.0.down.set(false);
        let begun = Instant::now();
        assert!(upstream.preconnect().is_some());
        assert!(checkout(&upstream).await.unwrap().is_ok());
        assert_eq!(begun.elapsed(), DIAL_TIME);
        sleep(DIAL_TIME * 2).await;
        assert_eq!(upstream.0.pool.len(), 1, "what can be reached is kept warm at once");
    });
}

#[test]
fn a_request_whose_own_attempt_goes_on_does_not_fail_with_another() {
    run(async {
        let fake = Fake::default();
        let standing = Arc::new(Standing::new("a:443", 1, 1));
        let upstream = Upstream::sharing(Box::new(fake.clone()), standing, None);
        let waiting = checkout(&upstream);
        yield_now().await;
        fake.0.refused.set(1);
        let _preconnect = upstream.preconnect();
        assert!(waiting.await.unwrap().is_ok());
        assert_eq!(fake.0.refused.get(), 0, "the other one failed");
    });
}

/// Workers of one process, each with a part of the same upstream.
fn workers<const N: usize>(fake: &Fake, warm: usize) -> [Upstream; N] {
    let standing = Arc::new(Standing::new("a:443", warm, N));
    [(); N].map(|()| Upstream::sharing(Box::new(fake.clone()), Arc::clone(&standing), None))
}

fn ready<const N: usize>(workers: &[Upstream; N]) -> [usize; N] {
    workers.each_ref().map(|worker| worker.0.pool.len())
}

#[test]
fn what_stands_ready_is_counted_for_all_workers_together() {
    run(async {
        let fake = Fake::default();
        let workers = workers::<16>(&fake, 1);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.dials(), 1);
        assert_eq!(ready(&workers).iter().sum::<usize>(), 1);
    });
    run(async {
        let fake = Fake::default();
        let workers = workers::<4>(&fake, 4);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(ready(&workers), [1, 1, 1, 1], "each has its share");
    });
    run(async {
        let fake = Fake::default();
        let standing = Arc::new(Standing::new("a:443", 4, 4));
        let _only = Upstream::sharing(Box::new(fake.clone()), standing, None);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.dials(), 1, "and no more, as long as the others have to come");
    });
}

#[test]
fn the_worker_that_takes_a_client_opens_a_connection_for_it_and_the_next_line_is_its_own() {
    run(async {
        let fake = Fake::default();
        let workers = workers::<2>(&fake, 1);
        sleep(DIAL_TIME * 2).await;
        assert_eq!(ready(&workers), [1, 0]);
        let preconnect = workers[1].preconnect();
        sleep(DIAL_TIME * 2).await;
        assert_eq!(ready(&workers), [1, 1]);
        let connection = workers[1].take_idle().unwrap();
        drop(preconnect);
        workers[1].give_back(UpstreamConnection { used: true, ..connection });
        // The other worker's ends with its age, and there is one here.
        sleep(POOL_IDLE_MAX - Duration::from_secs(1)).await;
        let connection = workers[1].take_idle().unwrap();
        workers[1].give_back(UpstreamConnection { used: true, ..connection });
        sleep(Duration::from_secs(30)).await;
        assert_eq!((ready(&workers), fake.dials()), ([0, 1], 2));
    });
}

#[test]
fn what_one_worker_meets_with_the_others_need_not_try() {
    run(async {
        let fake = Fake::default();
        fake.0.down.set(true);
        let _workers = workers::<16>(&fake, 1);
        sleep(Duration::from_secs(100)).await;
        assert_eq!(fake.dials(), 7, "after 1, 2, 4, 8, 16 and 32 s");
    });
}

#[test]
fn a_connection_leaves_at_its_age_although_it_is_in_use() {
    run(async {
        let fake = Fake::default();
        let age = Duration::from_secs(60);
        let standing = Arc::new(Standing::new("a:443", 0, 1));
        let upstream = Upstream::sharing(Box::new(fake.clone()), standing, Some(age));
        let begun = Instant::now();
        let mut connection = checkout(&upstream).await.unwrap().unwrap();
        while begun.elapsed() < age {
            upstream.give_back(UpstreamConnection { used: true, ..connection });
            connection = upstream.take_idle().unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        upstream.give_back(UpstreamConnection { used: true, ..connection });
        assert!(upstream.take_idle().is_none());
        // An idle one does, too, long before its idle limit.
        let connection = checkout(&upstream).await.unwrap().unwrap();
        upstream.give_back(UpstreamConnection { used: true, ..connection });
        sleep(age - Duration::from_secs(1)).await;
        assert_eq!(upstream.0.pool.len(), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(upstream.0.pool.len(), 0);
    });
}

#[test]
fn what_was_idle_as_long_as_a_connection_that_died_without_a_word_is_not_used() {
    run(async {
        let fake = Fake::default();
        let [here, there] = workers::<2>(&fake, 0);
        let mut lines = Vec::new();
        for upstream in [&here, &here, &here, &there, &there] {
            lines.push(UpstreamConnection {
                used: true,
                ..checkout(upstream).await.unwrap().unwrap()
            });
        }
        let [a, b, young, c, young_there] = <[UpstreamConnection; 5]>::try_from(lines).unwrap();
        here.give_back(a);
        sleep(Duration::from_secs(10)).await;
        here.give_back(b);
        there.give_back(c);
        sleep(Duration::from_secs(100)).await;
        let dead = here.take_idle().unwrap();
        let idle = Duration::from_millis(dead.idle_ms.into());
        assert_eq!(idle, Duration::from_secs(100));
        here.give_back(young);
        there.give_back(young_there);
        sleep(Duration::from_secs(30)).await;
        here.suspect(idle);
        assert_eq!(here.0.pool.len(), 1, "one that had been idle for longer is gone");
        assert!(here.take_idle().is_some(), "one that has been idle for less is not");
        // Another worker sees it when it takes one.
        assert!(there.take_idle().is_some());
        assert!(there.take_idle().is_none());
    });
}

#[test]
fn an_upstream_that_closes_unused_connections_within_seconds_gets_none() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.take_idle();
        for _ in 0..2 {
            fake.0.opened.notified().await;
            sleep(WARM_LIFE_MIN - DIAL_TIME).await;
            fake.0.ends.borrow_mut().remove(0).end(End::Clean);
        }
        sleep(WARM_FOR / 2).await;
        assert_eq!(fake.dials(), 2);
    });
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.take_idle();
        // Ours end half a second before.
        let limit = WARM_LIFE_MIN + Duration::from_millis(500);
        for _ in 0..2 {
            fake.0.opened.notified().await;
            sleep(limit).await;
            fake.0.ends.borrow_mut().remove(0).end(End::Clean);
        }
        sleep(WARM_FOR / 2).await;
        assert!(fake.dials() > 50, "{}", fake.dials());
    });
}

#[test]
fn a_client_that_is_expected_has_its_own_connection_beside_one_that_waits() {
    run(async {
        let fake = Fake::default();
        let standing = Arc::new(Standing::new("a:443", 1, 2));
        let upstream = Upstream::sharing(Box::new(fake.clone()), standing, None);
        let waiting = checkout(&upstream);
        yield_now().await;
        let _preconnect = upstream.preconnect();
        yield_now().await;
        assert_eq!(fake.dials(), 2);
        let _line = waiting.await.unwrap().unwrap();
        sleep(DIAL_TIME).await;
        assert!(upstream.take_idle().is_some());
    });
}

#[test]
fn a_connection_that_was_of_use_after_all_ends_the_pauses() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.take_idle();
        // Closed twice in a row, so that the next pause would be of 4 s.
        for _ in 0..2 {
            fake.0.opened.notified().await;
            sleep(DIAL_TIME).await;
            fake.0.ends.borrow_mut().remove(0).end(End::Clean);
        }
        fake.0.opened.notified().await;
        sleep(WARM_LIFE_MIN).await;
        let connection = upstream.take_idle().unwrap();
        fake.0.opened.notified().await;
        let closed = Instant::now();
        sleep(DIAL_TIME).await;
        fake.0.ends.borrow_mut().pop().unwrap().end(End::Clean);
        fake.0.opened.notified().await;
        let redialed = closed.elapsed();
        let pause = UNASKED_PAUSE_MIN..UNASKED_PAUSE_MIN + DIAL_TIME * 4;
        assert!(pause.contains(&redialed), "{redialed:?}");
        drop(connection);
    });
}

#[test]
fn a_worker_that_is_in_use_opens_a_line_when_the_other_ones_is_gone() {
    run(async {
        let fake = Fake::default();
        let workers = workers::<2>(&fake, 1);
        sleep(DIAL_TIME * 2).await;
        let [away, here] = workers;
        let connection = checkout(&here).await.unwrap().unwrap();
        here.give_back(UpstreamConnection { used: true, ..connection });
        let busy = here.take_idle().unwrap();
        sleep(DIAL_TIME).await;
        drop(away);
        sleep(WARM_LOOK_AGAIN).await;
        assert!(here.take_idle().is_none(), "a client looks for one");
        sleep(DIAL_TIME * 2).await;
        assert!(here.take_idle().is_some());
        drop(busy);
    });
}

#[test]
fn a_line_that_one_worker_takes_is_missed_by_the_others() {
    run(async {
        let fake = Fake::default();
        let [one, other] = workers::<2>(&fake, 1);
        sleep(DIAL_TIME * 2).await;
        let lines = [checkout(&other).await, checkout(&other).await];
        for connection in lines {
            other.give_back(UpstreamConnection { used: true, ..connection.unwrap().unwrap() });
        }
        sleep(DIAL_TIME).await;
        let _busy = [other.take_idle().unwrap(), other.take_idle().unwrap()];
        // The other worker does not look for another yet, because one stands ready here.
        let _taken = one.take_idle().unwrap();
        let dials = fake.dials();
        sleep(DIAL_TIME * 2).await;
        assert_eq!(fake.dials(), dials + 1);
    });
}

#[test]
fn an_old_connection_is_not_handed_to_a_client_that_waits() {
    run(async {
        let fake = Fake::default();
        let (age, standing) = (DIAL_TIME * 5, Arc::new(Standing::new("a:443", 0, 1)));
        let upstream = Upstream::sharing(Box::new(fake.clone()), standing, Some(age));
        let connection = checkout(&upstream).await.unwrap().unwrap();
        sleep(age).await;
        let waiting = checkout(&upstream);
        yield_now().await;
        upstream.give_back(UpstreamConnection { used: true, ..connection });
        assert!(!waiting.await.unwrap().unwrap().used);
    });
}

#[test]
fn the_first_client_brings_all_lines_back() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(2);
        sleep(DIAL_TIME).await;
        yield_now().await;
        fake.0.ends.borrow_mut().remove(0).end(End::Clean);
        sleep(Duration::from_secs(60)).await;
        let before = fake.dials();
        drop(upstream.preconnect());
        sleep(DIAL_TIME * 5).await;
        assert!(before <= 2 && upstream.0.pool.len() == 2, "{before}");
    });
}

/// Waits for the next connection, lets it live for so long, and closes it.
async fn close_next(fake: &Fake, after: Duration) {
    fake.0.opened.notified().await;
    sleep(after).await;
    fake.0.ends.borrow_mut().pop().unwrap().end(End::Clean);
}

/// How long it takes from now until the next connection is opened.
async fn pause_before_next(fake: &Fake) -> Duration {
    let now = Instant::now();
    fake.0.opened.notified().await;
    now.elapsed() - DIAL_TIME
}

#[test]
fn the_pauses_end_when_a_line_lives_until_we_end_it_and_not_when_it_is_taken_at_once() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.take_idle();
        for _ in 0..3 {
            close_next(&fake, DIAL_TIME).await;
        }
        // The fourth is renewed half a second before its end.
        fake.0.opened.notified().await;
        close_next(&fake, WARM_RENEWAL * 2).await;
        assert_eq!(pause_before_next(&fake).await, UNASKED_PAUSE_MIN);
    });
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.take_idle();
        for _ in 0..2 {
            close_next(&fake, DIAL_TIME).await;
        }
        fake.0.opened.notified().await;
        yield_now().await;
        let _taken = upstream.take_idle().unwrap();
        close_next(&fake, DIAL_TIME).await;
        assert_eq!(pause_before_next(&fake).await, UNASKED_PAUSE_MIN * 4);
    });
}

#[test]
fn connections_that_end_too_early_are_told_and_those_that_end_late_are_not() {
    let told = |after: Duration| {
        let log = logged(LogFormat::Text, Level::WARN, || {
            run(async move {
                let fake = Fake::default();
                let upstream = fake.upstream(1);
                upstream.take_idle();
                close_next(&fake, after).await;
                sleep(WARM_LIFE_MIN * 2).await;
            });
        });
        let messages = ["ends connections before a request", "keeps connections open again"];
        messages.map(|message| log.matches(message).count())
    };
    assert_eq!(told(WARM_LIFE_MIN - DIAL_TIME), [1, 1]);
    assert_eq!(told(WARM_LIFE_MIN + DIAL_TIME), [0, 0]);
}

#[test]
fn an_old_line_is_no_proof_that_the_upstream_keeps_new_ones_open() {
    let log = logged(LogFormat::Text, Level::WARN, || {
        run(async {
            let fake = Fake::default();
            let workers = workers::<2>(&fake, 2);
            sleep(WARM_LIFE_MIN * 2).await;
            assert_eq!(ready(&workers), [1, 1]);
            let [one, other] = workers;
            let _taken = one.take_idle().unwrap();
            sleep(DIAL_TIME * 2).await;
            fake.0.ends.borrow_mut().pop().unwrap().end(End::Clean);
            yield_now().await;
            // The line of the other worker is looked at, and used.
            other.0.keeper.borrow().wake_by_ref();
            yield_now().await;
            assert!(other.take_idle().is_some());
        });
    });
    assert_eq!(log.matches("ends connections before a request").count(), 1, "{log}");
    assert_eq!(log.matches("keeps connections open again").count(), 0, "{log}");
}
