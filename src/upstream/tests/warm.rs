//! Connections that are kept warm.

use super::*;

#[test]
fn warm_connections_are_opened_from_the_start_and_one_at_a_time() {
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
fn a_warm_connection_is_replaced_before_the_age_at_which_the_upstream_has_closed_others() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        assert!(upstream.take_idle().is_none(), "a client has come");
        for closes in 1..=2 {
            sleep(Duration::from_secs(5) + DIAL_TIME).await;
            fake.0.ends.borrow_mut().remove(0).end(End::Clean);
            sleep(SPECULATIVE_PAUSE_MIN * closes + DIAL_TIME * 2).await;
            assert_eq!(fake.dials(), closes as usize + 1);
        }
        for _ in 0..100 {
            sleep(Duration::from_millis(97)).await;
            assert!(upstream.0.pool.len() > 0, "a connection is ready at any time");
        }
        let dials = fake.0.dials.borrow();
        let gaps: Vec<_> = dials.windows(2).skip(2).map(|pair| pair[1] - pair[0]).collect();
        let longest = Duration::from_millis(4500);
        assert!(!gaps.is_empty() && gaps.iter().all(|gap| *gap < longest), "{gaps:?}");
    });
}

#[test]
fn connections_are_kept_warm_only_while_the_upstream_is_in_use() {
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
fn without_warm_connections_none_is_opened_before_it_is_needed() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(0);
        assert!(upstream.preconnect().is_none());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.dials(), 0);
    });
}

#[test]
fn no_connection_is_kept_warm_for_an_upstream_that_closes_unused_ones_within_seconds() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.take_idle();
        for _ in 0..2 {
            close_next(&fake, WARM_LIFE_MIN - DIAL_TIME).await;
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
            close_next(&fake, limit).await;
        }
        sleep(WARM_FOR / 2).await;
        assert!(fake.dials() > 50, "{}", fake.dials());
    });
}

#[test]
fn an_upstream_that_is_put_off_opens_nothing_until_then_but_for_requests() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.put_off(HOUR / 60);
        sleep(HOUR / 60 - DIAL_TIME).await;
        assert_eq!(fake.dials(), 0);
        sleep(DIAL_TIME * 3).await;
        assert_eq!((fake.dials(), upstream.0.pool.len()), (1, 1));
    });
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.put_off(HOUR);
        checkout(&upstream).await.unwrap().unwrap();
        assert_eq!(fake.dials(), 1);
    });
}

#[test]
fn an_upstream_that_is_retired_keeps_no_connection_and_serves_the_requests_that_have_begun() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(2);
        sleep(DIAL_TIME * 5).await;
        assert_eq!(upstream.0.pool.len(), 2);
        let in_use = upstream.take_idle().unwrap();
        let waiting = checkout(&upstream);
        upstream.retire();
        waiting.await.unwrap().unwrap();
        sleep(HOUR).await;
        assert_eq!(upstream.0.pool.len(), 0);
        upstream.give_back(UpstreamConnection { used: true, ..in_use });
        assert_eq!(upstream.0.pool.len(), 0);
        let dials = fake.dials();
        checkout(&upstream).await.unwrap().unwrap();
        assert_eq!(fake.dials(), dials + 1, "no connection but the one that was asked for");
    });
}

#[test]
fn the_first_client_brings_all_warm_connections_back() {
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
