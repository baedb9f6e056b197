//! What workers know of each other's connections.

use super::*;

#[test]
fn warm_connections_are_counted_for_all_workers_together() {
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
        let health = Arc::new(Health::new("a:443", 4, 4));
        let _only = Upstream::sharing(Box::new(fake.clone()), health, None);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.dials(), 1, "and no more, as long as the others have to come");
    });
}

#[test]
fn a_worker_opens_a_connection_for_its_client_although_another_worker_has_a_warm_one() {
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
fn a_failure_that_one_worker_meets_pauses_all_of_them() {
    run(async {
        let fake = Fake::default();
        fake.0.down.set(true);
        let _workers = workers::<16>(&fake, 1);
        sleep(Duration::from_secs(100)).await;
        assert_eq!(fake.dials(), 7, "after 1, 2, 4, 8, 16 and 32 s");
    });
}

#[test]
fn a_busy_worker_opens_a_warm_connection_when_that_of_another_is_gone() {
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
        sleep(WARM_COUNTED_AGAIN_AFTER).await;
        assert!(here.take_idle().is_none(), "a client asks for one");
        sleep(DIAL_TIME * 2).await;
        assert!(here.take_idle().is_some());
        drop(busy);
    });
}

#[test]
fn a_warm_connection_that_one_worker_takes_is_replaced_by_another_worker_if_need_be() {
    run(async {
        let fake = Fake::default();
        let [one, other] = workers::<2>(&fake, 1);
        sleep(DIAL_TIME * 2).await;
        let busy = [checkout(&other).await, checkout(&other).await];
        for connection in busy {
            other.give_back(UpstreamConnection { used: true, ..connection.unwrap().unwrap() });
        }
        sleep(DIAL_TIME).await;
        let _busy = [other.take_idle().unwrap(), other.take_idle().unwrap()];
        // The other worker does not open another yet, because one is ready here.
        let _taken = one.take_idle().unwrap();
        let dials = fake.dials();
        sleep(DIAL_TIME * 2).await;
        assert_eq!(fake.dials(), dials + 1);
    });
}
