//! How often connections are opened to an upstream that refuses or ends them.

use super::*;

#[test]
fn an_upstream_that_is_down_is_dialed_less_and_less_often() {
    run(async {
        let fake = Fake::default();
        fake.0.down.set(true);
        let _upstream = fake.upstream(1);
        sleep(Duration::from_secs(120)).await;
        let dials = fake.0.dials.borrow();
        let gaps: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0] - DIAL_TIME).collect();
        let doubling = [1, 2, 4, 8, 16, 32].map(|factor| SPECULATIVE_PAUSE_MIN * factor);
        assert_eq!(gaps, doubling);
    });
}

#[test]
fn an_upstream_that_ends_what_it_accepts_is_dialed_less_and_less_often() {
    for fate in [Fate::Closed(Duration::ZERO), Fate::Closed(DIAL_TIME), Fate::Reset, Fate::Byte] {
        run(async move {
            let dials = dials_in(HOUR, fate, Some(DIAL_TIME)).await;
            let gaps: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let pauses = (0..).map(|doublings| SPECULATIVE_PAUSE_MIN * (1 << doublings.min(6)));
            for (gap, pause) in gaps.iter().zip(pauses) {
                let pause = pause.min(SPECULATIVE_PAUSE_MAX);
                assert!((pause..pause + DIAL_TIME * 4).contains(gap), "{fate:?}: {gaps:?}");
            }
            assert!((60..70).contains(&dials.len()), "{fate:?}: {}", dials.len());
        });
    }
}

#[test]
fn an_upstream_that_ends_unused_connections_is_left_alone_until_a_client_comes() {
    for fate in [Fate::Closed(Duration::ZERO), Fate::Closed(Duration::from_secs(30)), Fate::Reset] {
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
fn a_connection_that_proves_to_be_of_use_ends_the_pauses() {
    run(async {
        let fake = Fake::default();
        let upstream = fake.upstream(1);
        upstream.take_idle();
        // Closed twice in a row, so that the next pause would be of 4 s.
        for _ in 0..2 {
            close_next(&fake, DIAL_TIME).await;
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
        let pause = SPECULATIVE_PAUSE_MIN..SPECULATIVE_PAUSE_MIN + DIAL_TIME * 4;
        assert!(pause.contains(&redialed), "{redialed:?}");
        drop(connection);
    });
}

#[test]
fn a_connection_that_lives_until_we_close_it_ends_the_pauses_and_one_taken_at_once_does_not() {
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
        assert_eq!(pause_before_next(&fake).await, SPECULATIVE_PAUSE_MIN);
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
        assert_eq!(pause_before_next(&fake).await, SPECULATIVE_PAUSE_MIN * 4);
    });
}
