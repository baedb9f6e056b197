//! Connections opened for clients that have only just connected.

use super::*;

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
fn a_flood_of_clients_does_not_become_a_flood_of_dials() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        let _preconnects: Vec<_> = (0..1000).map(|_| upstream.preconnect()).collect();
        yield_now().await;
        assert_eq!(fake.dials(), SPECULATIVE_DIALS_MAX);
    });
}

#[test]
fn few_connections_are_opened_for_clients_that_only_connect() {
    run(async {
        // Each lives for as long as one needs to be of use.
        let fate = Fate::Closed(WARM_LIFE_MIN + DIAL_TIME);
        let dials = dials_in(HOUR / 6, fate, Some(DIAL_TIME)).await;
        let forgiven = (HOUR / 6).as_secs() / SPECULATIVE_FORGIVEN_AFTER.as_secs();
        assert!(
            dials.len() as u64 <= SPECULATIVE_UNUSED_MAX as u64 + 1 + forgiven,
            "{}",
            dials.len()
        );
    });
    run(async {
        let health = Arc::new(Health::new("a:443", 1, 1));
        let begun = Instant::now();
        let all_at_once = (0..1000).filter(|_| health.preconnect(begun).is_some()).count();
        assert_eq!(all_at_once, SPECULATIVE_UNUSED_MAX + 1);
        sleep(SPECULATIVE_FORGIVEN_AFTER - Duration::from_millis(1)).await;
        assert!(health.preconnect(Instant::now()).is_none());
        sleep(Duration::from_millis(1)).await;
        assert!(health.preconnect(Instant::now()).is_some());
        assert!(health.preconnect(Instant::now()).is_none());
    });
}

#[test]
fn a_connection_that_a_request_is_sent_on_makes_room_for_another() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        for _ in 0..10 * SPECULATIVE_UNUSED_MAX {
            let preconnect = upstream.preconnect();
            sleep(DIAL_TIME + Duration::from_millis(1)).await;
            assert!(upstream.take_idle().is_some(), "a client that asks finds it ready");
            drop(preconnect);
        }
    });
}

#[test]
fn an_expected_client_gets_a_connection_beside_that_of_a_waiter() {
    run(async {
        let fake = Fake::default();
        let health = Arc::new(Health::new("a:443", 1, 2));
        let upstream = Upstream::sharing(Box::new(fake.clone()), health, None);
        let waiting = checkout(&upstream);
        yield_now().await;
        let _preconnect = upstream.preconnect();
        yield_now().await;
        assert_eq!(fake.dials(), 2);
        let _connection = waiting.await.unwrap().unwrap();
        sleep(DIAL_TIME).await;
        assert!(upstream.take_idle().is_some());
    });
}
