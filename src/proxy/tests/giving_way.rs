//! Connections that wait for a request while descriptors run short.

use super::bench::{EMPTY, GET, run, seconds, settle};
use crate::limits::{CROWDED_IDLE_MAX, CROWDED_SILENCE_MAX};
use crate::net::memory::End;
use tokio::time::{Instant, sleep};

#[test]
fn a_silent_client_gives_way_after_a_second_and_one_that_has_asked_after_two() {
    let log = run(async |bench| {
        let admission = &bench.context.admission;
        let _permit = admission.acquire().unwrap();
        let (mut silent, mut asking) = (bench.client(), bench.client());
        asking.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(asking.read().await, EMPTY);
        settle().await;
        sleep(seconds(5)).await;
        let since = Instant::now();
        admission.set_room(1);
        bench.context.drain.wake();
        assert_eq!(silent.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(since.elapsed(), CROWDED_SILENCE_MAX);
        assert_eq!(asking.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(since.elapsed(), CROWDED_IDLE_MAX);
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_client_stays_when_others_have_made_room_and_one_that_has_begun_a_request_stays_anyway() {
    let log = run(async |bench| {
        let admission = &bench.context.admission;
        let permit = admission.acquire().unwrap();
        admission.set_room(1);
        let (mut idle, mut slow) = (bench.client(), bench.client());
        slow.send(&GET[..5]).await;
        settle().await;
        drop(permit);
        sleep(CROWDED_SILENCE_MAX * 2).await;
        let permit = admission.acquire().unwrap();
        slow.send(&GET[5..]).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        // An exchange takes as long as it does.
        sleep(seconds(8)).await;
        drop(permit);
        upstream.send(EMPTY).await;
        assert_eq!(slow.read().await, EMPTY);
        idle.send(GET).await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(idle.read().await, EMPTY);
    });
    assert_eq!(log, ["200 completed", "200 completed"]);
}
