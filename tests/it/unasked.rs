//! Connections that no request has asked for: when they are opened, how few they are, and what the
//! log says when they fail.

use crate::support::stage::{GET, OK};
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;

#[tokio::test]
async fn an_unreachable_upstream_is_logged_before_the_first_client() {
    let origin = Origin::asleep();
    let relay = Relay::plain_to(&origin).with("warm = 1\n").await;
    let line = relay.wait_for_log("the upstream cannot be reached").await;
    assert!(line.contains(" WARN narrows::upstream: "), "{line}");
    assert!(line.contains(" upstream=\"api.openai.test:80\" "), "{line}");
    assert!(line.contains("cause=\"upstream_unreachable\" reason=\"ECONNREFUSED\""), "{line}");
    origin.wake_up();
    let line = relay.wait_for_log("the upstream can be reached again").await;
    assert!(line.contains(" WARN "), "{line}");
    let logged = relay.log_lines().iter().filter(|it| it.contains("cannot be reached")).count();
    assert_eq!(logged, 1, "not for each attempt");
}

/// With TLS 1.3 our handshake is done before the upstream refuses us.
#[tokio::test]
async fn an_upstream_that_wants_a_client_certificate_is_logged_and_not_dialled_in_a_row() {
    let origin = Origin::tls_for_certified_clients().await;
    let relay = Relay::to(&origin).with("warm = 1\n").await;
    assert!(origin.try_accept().await.is_err());
    let line = relay.wait_for_log("the upstream ends connections before a request").await;
    assert!(line.contains("reason=\"alert=certificate_required\""), "{line}");
    // A client makes it try again, and no more than that.
    let mut client = relay.connect().await;
    assert!(origin.try_accept().await.is_err());
    client.send(GET).await;
    assert!(origin.try_accept().await.is_err());
    client.read_message().await;
    origin.assert_untouched().await;
}

/// Says nothing of `warm`, where the support of the tests would say 0.
const BY_DEFAULT: &str = "# warm = by default\n";

#[tokio::test]
async fn by_default_nothing_is_opened_to_a_plain_upstream_before_a_request() {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).with(BY_DEFAULT).workers(4).await;
    let mut client = relay.connect().await;
    origin.assert_untouched().await;
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK).await;
    client.read_message().await;
    origin.assert_untouched().await;
}

#[tokio::test]
async fn by_default_one_idle_connection_is_kept_for_all_workers() {
    let origin = Origin::tls().await;
    let relay = Relay::to(&origin).with(BY_DEFAULT).workers(8).await;
    let _ready = origin.accept().await;
    origin.assert_untouched().await;
    drop(relay);
}
