//! Why a dial or a handshake failed, as the log says it.

use crate::support::stage::GET;
use narrows_kit::client::{connect_plain, connect_tls_as};
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;

#[tokio::test]
async fn an_upstream_that_cannot_be_trusted_is_logged_with_where_and_why() {
    for (certificate, reason) in [
        ("wrong-name", "wrong_name"),
        ("expired", "expired"),
        ("not-yet-valid", "not_yet_valid"),
        ("foreign", "unknown_ca"),
        ("authority", "ca_as_server"),
    ] {
        let origin = Origin::tls_with(certificate).await;
        let relay = Relay::to(&origin).await;
        let mut client = relay.connect().await;
        client.send(GET).await;
        assert!(origin.try_accept().await.is_err(), "{certificate}");
        client.read_message().await;
        let line = relay.wait_for_log("narrows::access").await;
        let address = origin.address();
        let want =
            format!(" reason=\"{reason}\" step=\"tls\" address={address} family=\"4\" step_ms=");
        assert!(line.contains(&want), "{certificate}: {line}");
    }
}

#[tokio::test]
async fn in_json_where_and_why_are_fields() {
    let origin = Origin::tls_with("not-yet-valid").await;
    let relay = Relay::to(&origin).argument("--log-format=json").await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    assert!(origin.try_accept().await.is_err());
    let (_, body) = client.read_message().await;
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("\"code\":\"upstream_certificate_not_yet_valid\""), "{body}");
    let line = relay.wait_for_log("narrows::access").await;
    let address = origin.address();
    let want = format!(
        "\"cause\":\"upstream_certificate_not_yet_valid\",\"reason\":\"not_yet_valid\",\
         \"step\":\"tls\",\"address\":\"{address}\",\"family\":\"4\",\"step_ms\":"
    );
    assert!(line.contains(&want), "{line}");
}

/// With TLS 1.3 the refusal comes after our handshake is done.
#[tokio::test]
async fn an_upstream_that_wants_a_client_certificate_is_reported_by_its_alert() {
    let origin = Origin::tls_for_certified_clients().await;
    let relay = Relay::to(&origin).await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    assert!(origin.try_accept().await.is_err());
    let (head, body) = client.read_message().await;
    let body = String::from_utf8(body).unwrap();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert!(body.contains("\"code\":\"upstream_tls_failed\""), "{body}");
    let line = relay.wait_for_log("narrows::access").await;
    let want = "cause=\"upstream_tls_failed\" reason=\"alert=certificate_required\"";
    assert!(line.contains(want), "{line}");
}

#[tokio::test]
async fn a_client_whose_handshake_fails_is_logged_with_its_reason() {
    let origin = Origin::plain().await;
    for listener in ["", "\nmode = \"tcp\""] {
        let relay = Relay::start(&tls_listener(&origin, listener)).await;
        let mut client = connect_plain(relay.address()).await;
        client.send("SSH-2.0-OpenSSH_9.9\r\n").await;
        client.read_to_end().await;
        let line = relay.wait_for_log("client_tls_failed").await;
        assert!(line.contains(" INFO ") && line.contains("reason=\"not_tls\""), "{line}");
        // One that does not take the certificate for the right one.
        assert!(connect_tls_as("elsewhere.test", relay.address()).await.is_err());
        let line = relay.wait_for_log("alert=").await;
        assert!(line.contains("reason=\"alert=bad_certificate\""), "{line}");
        assert!(line.contains("cause=\"client_tls_failed\""), "{line}");
    }
}

/// Each hello is a record of what a client of that kind sends, without what makes no difference.
#[tokio::test]
async fn a_client_without_a_common_parameter_is_logged_with_what_is_missing() {
    const SIGNATURES: &[u8] = b"\x00\x0d\x00\x04\x00\x02\x04\x03";
    const X25519: &[u8] = b"\x00\x0a\x00\x04\x00\x02\x00\x1d";
    const X448: &[u8] = b"\x00\x0a\x00\x04\x00\x02\x00\x1e";
    const RSA_AES_128: u16 = 0x002f;
    const ECDHE_ECDSA_AES_128_GCM: u16 = 0xc02b;
    let origin = Origin::plain().await;
    let relay = Relay::start(&tls_listener(&origin, "")).await;
    let mut count = 0;
    for (version, suite, extensions, reason) in [
        (0x0301, RSA_AES_128, &[][..], "no_common_version"),
        (0x0302, ECDHE_ECDSA_AES_128_GCM, &[X25519], "no_common_version"),
        (0x0302, ECDHE_ECDSA_AES_128_GCM, &[X25519, SIGNATURES], "no_common_version"),
        (0x0303, RSA_AES_128, &[SIGNATURES], "no_common_suite"),
        (0x0303, RSA_AES_128, &[X25519, SIGNATURES], "no_common_suite"),
        (0x0303, ECDHE_ECDSA_AES_128_GCM, &[X448, SIGNATURES], "no_common_group"),
    ] {
        let mut client = connect_plain(relay.address()).await;
        client.send(hello(version, suite, &extensions.concat())).await;
        client.read_to_end().await;
        count += 1;
        relay.wait_for_log_lines("handshake failed", count).await;
        let lines = relay.log_lines();
        let line = lines.iter().rfind(|line| line.contains("handshake failed")).unwrap();
        assert!(line.contains(&format!("reason=\"{reason}\"")), "{version:x} {suite:x}: {line}");
    }
}

/// A `ClientHello` in its record, with one suite and without compression.
fn hello(version: u16, suite: u16, extensions: &[u8]) -> Vec<u8> {
    let mut hello = version.to_be_bytes().to_vec();
    hello.extend([7; 32]);
    hello.extend(b"\0\0\x02");
    hello.extend(suite.to_be_bytes());
    hello.extend(b"\x01\0");
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut record = b"\x16\x03\x01".to_vec();
    record.extend((hello.len() as u16 + 4).to_be_bytes());
    record.extend(b"\x01\0");
    record.extend((hello.len() as u16).to_be_bytes());
    record.extend(hello);
    record
}

/// As load balancers and monitors do.
#[tokio::test]
async fn a_client_that_only_connects_is_not_logged_at_info() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&tls_listener(&origin, "")).argument("--log-level=debug").await;
    connect_plain(relay.address()).await.close().await;
    let line = relay.wait_for_log("no_hello").await;
    assert!(line.contains("DEBUG narrows::client: handshake failed"), "{line}");
}

fn tls_listener(origin: &Origin, further: &str) -> String {
    let [certificate, key] =
        ["server.pem", "server.key"].map(narrows_kit::certificates::certificate_file);
    let address = origin.address();
    let way = match further {
        "" => format!("[[route]]\npath = \"/\"\nupstream = \"http://{address}/\"\n"),
        _ => format!("[[forward]]\nserver_name = \"*\"\nupstream = \"tcp://{address}\"\n"),
    };
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ncertificate = {certificate:?}\nkey = {key:?}\
         {further}\n{way}"
    )
}

#[tokio::test]
async fn at_debug_each_address_that_failed_is_a_line_and_at_trace_each_connection() {
    let origin = Origin::asleep();
    let relay = Relay::plain_to(&origin).argument("--log-level=trace").await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    client.read_message().await;
    let line = relay.wait_for_log("DEBUG narrows::upstream: dial failed").await;
    let address = origin.address();
    let want = format!(
        "cause=\"upstream_unreachable\" reason=\"ECONNREFUSED\" step=\"connect\" address={address} \
         family=\"4\" step_ms="
    );
    assert!(line.contains(&want), "{line}");
    relay.wait_for_log("TRACE narrows::client: connected client=127.0.0.1:").await;
    origin.wake_up();
    client.send(GET).await;
    let _upstream = origin.accept().await;
    let line = relay.wait_for_log("TRACE narrows::upstream: connected").await;
    assert!(line.contains(&format!(" address={address} connect_ms=")), "{line}");
}
