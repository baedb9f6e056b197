//! What is logged about connections that end unused.

use super::*;

#[test]
fn connections_that_end_too_early_are_logged_and_those_that_end_late_are_not() {
    let lines_after = |after: Duration| {
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
    assert_eq!(lines_after(WARM_LIFE_MIN - DIAL_TIME), [1, 1]);
    assert_eq!(lines_after(WARM_LIFE_MIN + DIAL_TIME), [0, 0]);
}

#[test]
fn an_old_connection_does_not_prove_that_the_upstream_keeps_new_ones_open() {
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
            // The connection of the other worker is polled, and used.
            other.0.maintenance.wake();
            yield_now().await;
            assert!(other.take_idle().is_some());
        });
    });
    assert_eq!(log.matches("ends connections before a request").count(), 1, "{log}");
    assert_eq!(log.matches("keeps connections open again").count(), 0, "{log}");
}
