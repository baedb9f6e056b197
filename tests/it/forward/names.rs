//! Tcp mode: which connections are forwarded where, and which are refused.

use crate::support::passage::{Pair, Passage, connect, expect_alert, forward, hello, listener};
use narrows_kit::client::connect_tls_as;
use narrows_kit::origin::Origin;
use narrows_kit::peer::End;
use narrows_kit::relay::Relay;

const UNRECOGNIZED_NAME: u8 = 112;
const INTERNAL_ERROR: u8 = 80;
const DECODE_ERROR: u8 = 50;

#[tokio::test]
async fn clients_reach_the_origin_of_the_name_they_ask_for_with_its_own_certificate() {
    let (one, two) = (Origin::tls().await, Origin::tls_with("wrong-name").await);
    let rest = Origin::plain().await;
    let toml = listener(false)
        + &forward("LOCALHOST", Pair::Through, one.address())
        + &forward("*.test", Pair::Through, two.address())
        + &forward("*", Pair::Through, rest.address());
    let relay = Relay::start(&toml).await;
    for (name, origin) in [("localhost", &one), ("wrong-name.test", &two)] {
        // The client's verification distinguishes the certificates.
        let (client, upstream) =
            tokio::join!(connect_tls_as(name, relay.address()), origin.accept());
        let (mut client, mut upstream) = (client.unwrap(), upstream);
        assert_eq!(upstream.server_name().as_deref(), Some(name));
        upstream.send("hello").await;
        assert_eq!(client.read_exactly(5).await, b"hello");
        client.close().await;
        upstream.close().await;
        relay.wait_for_log(&format!("server_name=\"{name}\"")).await;
    }
    // Unknown names, and bytes that are not TLS, reach the last one whole.
    for bytes in [hello("example.com"), b"SSH-2.0-client\r\n".to_vec(), b"\x80".to_vec()] {
        let mut client = connect(&relay).await;
        client.send(&bytes).await;
        let mut upstream = rest.accept().await;
        assert_eq!(upstream.read_exactly(bytes.len()).await, bytes);
    }
    let log = relay.log_lines().join("\n");
    assert!(log.contains("forward=\"LOCALHOST\" server_name=\"localhost\""), "{log}");
    assert!(log.contains("forward=\"*.test\" server_name=\"wrong-name.test\""), "{log}");
}

#[tokio::test]
async fn a_listener_with_a_certificate_routes_by_name_as_well() {
    let (one, two) = (Origin::plain().await, Origin::plain().await);
    let toml = listener(true)
        + &forward("localhost", Pair::TlsToTcp, one.address())
        + &forward("api.openai.test", Pair::TlsToTcp, two.address());
    let relay = Relay::start(&toml).await;
    for (name, origin) in [("localhost", &one), ("api.openai.test", &two)] {
        let mut client = connect_tls_as(name, relay.address()).await.unwrap();
        client.send("hello").await;
        assert_eq!(origin.accept().await.read_exactly(5).await, b"hello");
    }
    let mut client = connect(&relay).await;
    client.send(hello("wrong-name.test")).await;
    expect_alert(&mut client, UNRECOGNIZED_NAME).await;
    one.assert_untouched().await;
    two.assert_untouched().await;
}

#[tokio::test]
async fn an_unknown_name_gets_an_alert_and_other_bytes_a_reset() {
    let passage = Passage::with(Pair::Through, "localhost", "", "").await;
    let mut client = connect(&passage.relay).await;
    client.send(hello("example.com")).await;
    expect_alert(&mut client, UNRECOGNIZED_NAME).await;
    let line = passage.relay.wait_for_log("cause=\"forward_not_found\"").await;
    assert!(line.contains(" connection server_name=\"example.com\" client=127.0.0.1:"), "{line}");
    assert!(line.contains("to_upstream=0 to_client=0 end=\"refused\" fault=\"client\""), "{line}");

    // Without a name at all, by an address in its place.
    let mut client = connect(&passage.relay).await;
    client.send(hello("127.0.0.1")).await;
    expect_alert(&mut client, UNRECOGNIZED_NAME).await;

    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", b"\x80\x2e\x01\x03\x01"] {
        let mut client = connect(&passage.relay).await;
        client.send(bytes).await;
        client.expect_end(End::Reset).await;
    }
    passage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_broken_hello_gets_an_alert_and_a_log_line_and_reaches_no_upstream() {
    let passage = Passage::with(Pair::Through, "localhost", "", "").await;
    let record =
        |bytes: &[u8]| [b"\x16\x03\x01".as_slice(), &[0, bytes.len() as u8], bytes].concat();
    for (bytes, alert, cause) in [
        // A message that is no hello, a record without a byte, another type in between.
        (record(b"\x02\0\0\x01x"), 10, "malformed_hello"),
        (b"\x16\x03\x01\0\0".to_vec(), DECODE_ERROR, "malformed_hello"),
        ([record(b"\x01"), b"\x17\x03\x03\0\x01x".to_vec()].concat(), 10, "malformed_hello"),
        // A hello of half a megabyte, one of which the second byte of its length lies.
        (record(b"\x01\x08\0\0"), 47, "hello_too_long"),
        (record(b"\x01\0\0\x03\x03\x03\0"), DECODE_ERROR, "malformed_hello"),
    ] {
        let mut client = connect(&passage.relay).await;
        client.send(&bytes).await;
        expect_alert(&mut client, alert).await;
        let own = format!("client=127.0.0.1:{} ", client.local_port());
        let line = passage.relay.wait_for_log(&own).await;
        assert!(line.contains(&format!("fault=\"client\" cause=\"{cause}\"")), "{line}");
    }
    let mut client = connect(&passage.relay).await;
    client.send(&hello("localhost")[..100]).await;
    client.half_close().await;
    expect_alert(&mut client, DECODE_ERROR).await;
    passage.relay.wait_for_log("cause=\"incomplete_hello\"").await;
    passage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_hello_that_is_late_ends_the_connection() {
    let limits = "[timeouts]\nhandshake = \"3s\"";
    let passage = Passage::with(Pair::Through, "localhost", "", limits).await;
    let mut silent = connect(&passage.relay).await;
    let mut slow = connect(&passage.relay).await;
    slow.send(&hello("localhost")[..100]).await;
    silent.expect_end(End::Reset).await;
    expect_alert(&mut slow, DECODE_ERROR).await;
    passage.relay.wait_for_log("cause=\"handshake_timeout\"").await;
    passage.origin.assert_untouched().await;

    let passage = Passage::with(Pair::TlsToTcp, "*", "", limits).await;
    let mut silent = connect(&passage.relay).await;
    silent.expect_end(End::Clean).await;
    passage.relay.wait_for_log("cause=\"handshake_timeout\"").await;
    passage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_client_that_leaves_silently_is_logged_as_gone_and_reaches_no_upstream() {
    let origin = Origin::plain().await;
    let to_origin = |names| forward(names, Pair::PlainToTcp, origin.address());
    let toml = listener(false) + &to_origin("localhost") + &to_origin("*");
    let relay = Relay::start(&toml).await;
    let mut client = connect(&relay).await;
    client.half_close().await;
    client.expect_end(End::Reset).await;
    let line = relay.wait_for_log("cause=\"gone\"").await;
    assert!(line.contains(" INFO ") && !line.contains("forward="), "{line}");
    assert!(line.contains("end=\"refused\" fault=\"client\""), "{line}");
    origin.assert_untouched().await;
}

#[tokio::test]
async fn bytes_that_are_not_tls_end_a_connection_that_we_terminate() {
    let passage = Passage::with(Pair::TlsToTcp, "*", "", "").await;
    let mut lost = connect(&passage.relay).await;
    lost.send("GET / HTTP/1.1\r\n\r\n").await;
    let (answer, _) = lost.read_to_end().await;
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    passage.relay.wait_for_log("cause=\"client_tls_failed\"").await;
    passage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_hello_in_many_pieces_is_forwarded_whole() {
    let passage = Passage::with(Pair::Through, "localhost", "", "").await;
    let bytes = hello("localhost");
    let mut client = connect(&passage.relay).await;
    for byte in &bytes {
        client.send([*byte]).await;
    }
    let mut upstream = passage.origin.accept_tcp().await;
    assert_eq!(upstream.read_exactly(bytes.len()).await, bytes);
    client.send("more").await;
    assert_eq!(upstream.read_exactly(4).await, b"more");
}

#[tokio::test]
async fn an_unreachable_upstream_is_a_reset_or_an_alert_and_a_log_line() {
    let origin = Origin::asleep();
    let toml = listener(false) + &forward("localhost", Pair::Through, origin.address());
    let relay =
        Relay::start(&format!("{toml}{}", forward("*", Pair::Through, origin.address()))).await;
    let mut client = connect(&relay).await;
    client.send(hello("localhost")).await;
    expect_alert(&mut client, INTERNAL_ERROR).await;
    let mut client = connect(&relay).await;
    client.send("x").await;
    client.expect_end(End::Reset).await;
    let line = relay.wait_for_log("cause=\"upstream_unreachable\"").await;
    assert!(
        line.contains(" WARN ") && line.contains("end=\"refused\" fault=\"upstream\""),
        "{line}"
    );
}

#[tokio::test]
async fn an_upstream_with_a_bad_certificate_sees_no_byte() {
    for (certificate, cause) in [
        ("wrong-name", "upstream_certificate_wrong_name"),
        ("foreign", "upstream_certificate_unknown_ca"),
    ] {
        let origin = Origin::tls_with(certificate).await;
        let toml = listener(false) + &forward("*", Pair::PlainToTls, origin.address());
        let relay = Relay::start(&toml).await;
        let mut client = connect(&relay).await;
        client.send("secret").await;
        assert!(origin.try_accept().await.is_err());
        client.expect_end(End::Reset).await;
        relay.wait_for_log(&format!("cause=\"{cause}\"")).await;
    }
}
