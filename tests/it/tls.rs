//! TLS on both sides: what is agreed on, and upstreams that are not what they should be.

use crate::support::rig::expect_own_error;
use crate::support::stage::{GET, OK, OK_LAST, Stage};
use narrows_kit::certificates::listener_keys;
use narrows_kit::certificates::{client_config, client_config_offering};
use narrows_kit::client::{connect_plain, connect_tls_as, connect_tls_with};
use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Leave;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use std::sync::Arc;
use tokio_rustls::rustls::ALL_VERSIONS;
use tokio_rustls::rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// `http://` in place of `https://`: the client reads what is wrong, in its own language, as soon
/// as its first bytes say so, and also while it goes on sending.
#[tokio::test]
async fn plain_http_on_an_https_port_gets_400_in_plain_http() {
    let origin = Origin::plain().await;
    let tcp = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n{}\
         [[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n\
         [[forward]]\nserver_name = \"*\"\nupstream = \"http\"\n",
        listener_keys(),
        origin.address()
    );
    let upload = format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n{}", "x".repeat(200_000));
    for relay in [Relay::to(&origin).await, Relay::start(&tcp).await] {
        for request in [GET, "G", "CONNECT a:443 HTTP/1.1\r\n\r\n", &upload] {
            let mut client = connect_plain(relay.address()).await;
            client.send(request).await;
            let head = expect_own_error(&mut client, 400, "plain_http_on_tls_port").await;
            assert_eq!(field_value(&head, "connection"), Some("close"));
            client.expect_end(End::Clean).await;
        }
        relay.wait_for_log_lines("cause=\"plain_http_on_tls_port\"", 4).await;
        let line = relay.wait_for_log("plain_http_on_tls_port").await;
        assert!(line.contains(" INFO ") && line.contains("status=400"), "{line}");
    }
    origin.assert_untouched().await;
}

#[tokio::test]
async fn a_plain_http_head_request_on_an_https_port_gets_a_head_alone() {
    let stage = Stage::tls().await;
    for request in ["HEAD /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n", "HEA"] {
        let mut client = connect_plain(stage.relay.address()).await;
        client.send(request).await;
        let (answer, _) = client.read_to_end().await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\ncontent-length: "), "{answer}");
    }
    stage.relay.wait_for_log_lines("cause=\"plain_http_on_tls_port\"", 2).await;
}

/// A client that speaks neither TLS nor HTTP is not answered in HTTP.
#[tokio::test]
async fn other_protocols_on_an_https_port_are_not_answered_in_http() {
    let stage = Stage::tls().await;
    for bytes in ["SSH-2.0-OpenSSH_9.9\r\n", "EHLO a\r\n", "\0\0\0\0\0"] {
        let mut client = connect_plain(stage.relay.address()).await;
        client.send(bytes).await;
        let (answer, _) = client.read_to_end().await;
        assert!(!answer.starts_with(b"HTTP/"), "{bytes:?}");
    }
    stage.relay.wait_for_log_lines("reason=\"not_tls\"", 3).await;
}

#[tokio::test]
async fn an_upstream_with_a_bad_certificate_sees_no_request() {
    for (certificate, code) in [
        ("wrong-name", "upstream_certificate_wrong_name"),
        ("expired", "upstream_certificate_expired"),
        ("foreign", "upstream_certificate_unknown_ca"),
    ] {
        let mut origin = Origin::tls_with(certificate).await;
        let relay = Relay::to(&origin).await;
        let mut client = relay.connect().await;
        for _ in 0..2 {
            client.send(GET).await;
            // A handshake that fails has carried nothing of the request.
            assert!(origin.try_accept().await.is_err(), "{certificate}");
            expect_502(&mut client, code).await;
        }
        origin.present("server");
        expect_recovery(&mut client, &origin).await;
    }
}

#[tokio::test]
async fn an_upstream_that_answers_in_plain_text_sees_no_request() {
    let stage = Stage::tls().await;
    let mut client = stage.relay.connect().await;
    client.send(GET).await;
    let mut upstream = stage.origin.accept_tcp().await;
    upstream.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let (seen, _) = upstream.read_to_end().await;
    assert!(!String::from_utf8_lossy(&seen).contains("HTTP/1.1\r\n"), "{seen:?}");
    expect_502(&mut client, "upstream_tls_failed").await;
    expect_recovery(&mut client, &stage.origin).await;
}

#[tokio::test]
async fn an_upstream_that_leaves_during_the_handshake_is_a_502() {
    let stage = Stage::tls().await;
    let mut client = stage.relay.connect().await;
    for how in Leave::OF_TCP {
        client.send(GET).await;
        let mut upstream = stage.origin.accept_tcp().await;
        upstream.read_exactly(5).await;
        assert!(upstream.leave(*how).await.is_none());
        expect_502(&mut client, "upstream_tls_failed").await;
    }
    expect_recovery(&mut client, &stage.origin).await;
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_asked_again_by_the_next_request() {
    let origin = Origin::asleep();
    let relay = Relay::plain_to(&origin).await;
    let mut client = relay.connect().await;
    for _ in 0..3 {
        client.send(GET).await;
        expect_502(&mut client, "upstream_unreachable").await;
    }
    origin.wake_up();
    expect_recovery(&mut client, &origin).await;
}

#[tokio::test]
async fn the_upstream_is_asked_under_its_own_name_by_both_versions_of_tls() {
    for (origin, version) in [(Origin::tls().await, TLSv1_3), (Origin::tls12().await, TLSv1_2)] {
        let relay = Relay::to(&origin).await;
        let mut client = relay.connect().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        assert_eq!(upstream.tls_version(), Some(version));
        assert_eq!(upstream.alpn().as_deref(), Some("http/1.1"));
        assert_eq!(upstream.server_name().as_deref(), Some("api.openai.test"));
        let head = upstream.read_head().await;
        assert_eq!(field_value(&head, "host"), Some("api.openai.test"));
    }
}

#[tokio::test]
async fn clients_of_tls_1_2_and_1_3_are_served_whatever_http_1_they_offer() {
    let stage = Stage::new(true, false, "").await;
    for (version, want) in [(&TLS12, TLSv1_2), (&TLS13, TLSv1_3)] {
        for (offered, agreed) in [
            (&["http/1.1"][..], Some("http/1.1")),
            (&["h2", "http/1.1"], Some("http/1.1")),
            (&["http/1.0"], Some("http/1.0")),
            (&[], None),
        ] {
            let config = Arc::new(client_config_offering(&[version], offered));
            let connecting = connect_tls_with(&config, "localhost", stage.relay.address());
            let mut client = connecting.await.unwrap();
            assert_eq!(client.tls_version(), Some(want));
            assert_eq!(client.alpn().as_deref(), agreed);
            client.send(GET).await;
            let mut upstream = stage.origin.accept().await;
            upstream.read_head().await;
            upstream.send(OK_LAST).await;
            client.read_message().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_speaks_only_h2_is_refused_in_the_handshake() {
    let stage = Stage::new(true, false, "").await;
    let config = Arc::new(client_config_offering(ALL_VERSIONS, &["h2"]));
    let connected = connect_tls_with(&config, "localhost", stage.relay.address()).await;
    let error = connected.err().expect("a refusal").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    stage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_client_resumes_its_tls_session() {
    let stage = Stage::new(true, false, "").await;
    let mut upstream = None;
    for version in [&TLS12, &TLS13] {
        let config = client_config(&[version]);
        for resumed in [false, true, true] {
            let connecting = connect_tls_with(&config, "localhost", stage.relay.address());
            let mut client = connecting.await.unwrap();
            assert_eq!(client.is_resumed(), resumed, "{:?}", client.tls_version());
            client.send(GET).await;
            let mut at_work = match upstream.take() {
                Some(upstream) => upstream,
                None => stage.origin.accept().await,
            };
            at_work.read_head().await;
            at_work.send(OK).await;
            client.read_message().await;
            upstream = Some(at_work);
            client.close().await;
        }
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_off_affects_no_other_client() {
    let stage = Stage::tls().await;
    let mut half = connect_plain(stage.relay.address()).await;
    half.send(b"\x16\x03\x01").await;
    half.close().await;

    let refused = connect_tls_as("wrong-name.test", stage.relay.address()).await;
    assert!(refused.is_err(), "the certificate is not for that name");
    stage.origin.assert_untouched().await;

    let mut client = stage.relay.connect().await;
    expect_recovery(&mut client, &stage.origin).await;
}

#[tokio::test]
async fn a_client_that_half_closes_tls_after_its_answer_gets_a_proper_end() {
    let stage = Stage::tls().await;
    let mut client = stage.relay.connect().await;
    expect_recovery(&mut client, &stage.origin).await;
    client.half_close().await;
    client.expect_end(End::Clean).await;
}

/// What comes then is read only to be thrown away, or has nowhere to go.
#[tokio::test]
async fn garbage_after_our_end_of_a_connection_causes_no_panic() {
    let stage = Stage::tls().await;
    let mut client = stage.relay.connect().await;
    client.send("nonsense\r\n\r\n").await;
    client.read_message().await;
    client.expect_end(End::Clean).await;
    let _open = client.leave(Leave::Garbage).await;

    let offer = "GET /gpt/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n";
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                  Upgrade: websocket\r\n\r\n";
    let (mut client, mut upstream) = stage.begin(offer).await;
    upstream.send(agreed).await;
    client.read_head().await;
    upstream.half_close().await;
    client.expect_end(End::Clean).await;
    let _open = client.leave(Leave::Garbage).await;
    assert_eq!(upstream.read_to_end().await.1, End::Reset);
    stage.relay.wait_for_log("status=101").await;
    let log = stage.relay.log_lines();
    assert!(!log.iter().any(|line| line.contains("panic")), "{log:#?}");
}

async fn expect_502(client: &mut Peer, code: &str) {
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(field_value(&head, "content-type"), Some("application/json"));
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(&format!("\"code\":\"{code}\"")), "{body}");
}

/// The next request of the same client works.
async fn expect_recovery(client: &mut Peer, origin: &Origin) {
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK).await;
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, b"ok");
}
