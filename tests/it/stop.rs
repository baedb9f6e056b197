//! The stop: the delay before it, its limit, and what it says meanwhile.

use crate::admin::{ADMIN, admin_address, get};
use crate::kept::ask;
use crate::support::stage::{CHUNKED, GET, Stage, expect_ok};
use narrows_kit::client::connect_plain;
use narrows_kit::origin::Origin;
use narrows_kit::peer::End;
use narrows_kit::relay::Relay;
use rustix::process::Signal;

#[tokio::test]
async fn a_stop_says_at_once_how_much_is_left_and_how_old_it_is() {
    let stage = Stage::plain().await;
    let (mut first, mut first_upstream) = stage.answered(GET, CHUNKED).await;
    let (mut second, mut second_upstream) = stage.answered(GET, CHUNKED).await;
    let _idle = stage.relay.connect().await;
    stage.relay.signal(Signal::TERM);
    let line = stage.relay.wait_for_log("stopping; running exchanges may end").await;
    let (_, numbers) = line.split_once("signal=\"SIGTERM\" exchanges=2 oldest_ms=").expect(&line);
    let (oldest, rest) = numbers.split_once(' ').expect(&line);
    assert!(oldest.parse::<u64>().is_ok() && rest == "stop_ms=30000", "{line}");
    for signal in [Signal::HUP, Signal::USR2] {
        stage.relay.signal(signal);
    }
    stage.relay.wait_for_log("SIGHUP is ignored: the server stops").await;
    stage.relay.wait_for_log("SIGUSR2 is ignored: the server stops").await;
    for (client, upstream) in
        [(&mut first, &mut first_upstream), (&mut second, &mut second_upstream)]
    {
        upstream.send("0\r\n\r\n").await;
        assert_eq!(client.read_chunk().await, b"");
    }
    let mut relay = stage.relay;
    let (status, log) = relay.ended().await;
    assert!(status.success() && log.last().is_some_and(|it| it.ends_with(": stopped")), "{log:#?}");
}

#[tokio::test]
async fn before_a_stop_with_a_delay_clients_are_served_and_probes_told_that_it_is_unready() {
    let origin = Origin::plain().await;
    let delay = "[timeouts]\nstop_delay = \"1h\"\n";
    let mut relay = Relay::plain_to(&origin).with(delay).argument(ADMIN).await;
    let mut kept = relay.connect().await;
    assert!(ask(&mut kept).await);
    let mut probe = connect_plain(admin_address(&relay).await).await;
    relay.signal(Signal::TERM);
    let line = relay.wait_for_log("unready; ").await;
    assert!(line.ends_with("signal=\"SIGTERM\" delay_ms=3600000"), "{line}");
    assert_eq!(get(&mut probe, "/readyz").await.0, 503);
    assert!(get(&mut probe, "/status").await.1.contains("\"phase\": \"stop_delay\""));
    let mut forwarded = relay.connect().await;
    expect_ok(&mut forwarded, &origin).await;
    forwarded.expect_end(End::Clean).await;
    // Its next one may go elsewhere.
    while ask(&mut kept).await {}
    kept.expect_end(End::Clean).await;
    relay.signal(Signal::TERM);
    let (status, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
    assert!(log.iter().any(|it| it.contains("stopping at once signal=\"SIGTERM\"")), "{log:#?}");
}

#[tokio::test]
async fn a_stop_begins_after_its_delay_and_cuts_what_runs_after_its_limit() {
    for (stop, delay) in [("0s", "0s"), ("1ms", "1ms")] {
        let timeouts = format!("[timeouts]\nstop = \"{stop}\"\nstop_delay = \"{delay}\"\n");
        let stage = Stage::new(false, false, &timeouts).await;
        let (mut client, upstream) = stage.answered(GET, CHUNKED).await;
        stage.relay.signal(Signal::TERM);
        let (bytes, _) = client.read_to_end().await;
        assert_eq!(bytes, b"", "no last chunk");
        upstream.close().await;
        let mut relay = stage.relay;
        let (status, log) = relay.ended().await;
        assert_eq!(status.code(), Some(0), "{log:#?}");
        assert!(log.iter().any(|it| it.contains("cause=\"stopped\"")), "{log:#?}");
        let delayed = log.iter().any(|it| it.contains("unready; "));
        assert_eq!(delayed, delay != "0s", "{log:#?}");
    }
}
