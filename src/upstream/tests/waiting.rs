//! Which waiting request gets which connection.

use super::*;
use std::task::Poll;

#[test]
fn a_returned_connection_goes_to_the_longest_waiter() {
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
fn a_connection_delivered_to_a_waiter_that_leaves_goes_to_the_next_one() {
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
fn a_request_whose_own_attempt_goes_on_does_not_fail_with_another() {
    run(async {
        let fake = Fake::default();
        let health = Arc::new(Health::new("a:443", 1, 1));
        let upstream = Upstream::sharing(Box::new(fake.clone()), health, None);
        let waiting = checkout(&upstream);
        yield_now().await;
        fake.0.refused.set(1);
        let _preconnect = upstream.preconnect();
        assert!(waiting.await.unwrap().is_ok());
        assert_eq!(fake.0.refused.get(), 0, "the other one failed");
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
fn a_connection_past_its_age_is_not_given_to_a_waiter() {
    run(async {
        let fake = Fake::default();
        let (age, health) = (DIAL_TIME * 5, Arc::new(Health::new("a:443", 0, 1)));
        let upstream = Upstream::sharing(Box::new(fake.clone()), health, Some(age));
        let connection = checkout(&upstream).await.unwrap().unwrap();
        sleep(age).await;
        let waiting = checkout(&upstream);
        yield_now().await;
        upstream.give_back(UpstreamConnection { used: true, ..connection });
        assert!(!waiting.await.unwrap().unwrap().used);
    });
}
