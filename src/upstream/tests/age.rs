//! Connections that are too old, or probably dead.

use super::*;

#[test]
fn a_connection_leaves_the_pool_at_its_age_even_if_it_is_in_use() {
    run(async {
        let fake = Fake::default();
        let age = Duration::from_secs(60);
        let health = Arc::new(Health::new("a:443", 0, 1));
        let upstream = Upstream::sharing(Box::new(fake.clone()), health, Some(age));
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
fn no_connection_is_used_that_was_idle_as_long_as_one_that_died_silently() {
    run(async {
        let fake = Fake::default();
        let [here, there] = workers::<2>(&fake, 0);
        let mut connections = Vec::new();
        for upstream in [&here, &here, &here, &there, &there] {
            connections.push(UpstreamConnection {
                used: true,
                ..checkout(upstream).await.unwrap().unwrap()
            });
        }
        let [a, b, young, c, young_there] =
            <[UpstreamConnection; 5]>::try_from(connections).unwrap();
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
        // Another worker finds out when it takes one.
        assert!(there.take_idle().is_some());
        assert!(there.take_idle().is_none());
    });
}
