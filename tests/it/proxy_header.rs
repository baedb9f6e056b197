//! PROXY headers: from whom they are taken, and to whom they are sent.

use crate::support::passage::{FROM_US, Pair, Passage, V1, V2, connect, hello, two_listeners};
use crate::support::stage::{GET, OK_LAST};
use narrows_kit::certificates::listener_keys;
use narrows_kit::client::connect_plain;
use narrows_kit::origin::Origin;
use narrows_kit::peer::End;
use std::time::Duration;

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

const FROM_OTHERS: &str = "proxy_protocol = [\"192.0.2.0/24\"]\n";

#[tokio::test]
async fn a_header_from_a_listed_peer_names_the_client_and_is_not_forwarded() {
    let origin = Origin::plain().await;
    let relay = two_listeners(&origin, FROM_US, "").await;
    for header in [V1.as_bytes(), V2] {
        // In one piece with what follows, and in two.
        for together in [true, false] {
            let mut client = connect(&relay).await;
            if together {
                client.send([header, b"hello"].concat()).await;
            } else {
                client.send(&header[..9]).await;
                client.send(&header[9..]).await;
                client.send("hello").await;
            }
            let mut upstream = origin.accept().await;
            assert_eq!(upstream.read_exactly(5).await, b"hello");
            client.close().await;
            upstream.expect_end(End::Clean).await;
            upstream.close().await;
        }
        relay.wait_for_log("connection forward=\"*\" client=192.0.2.7:4711 ").await;

        let mut client = connect_plain(relay.addresses()[1]).await;
        client.send([header, GET.as_bytes()].concat()).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK_LAST).await;
        client.read_message().await;
        relay.wait_for_log("exchange route=\"/gpt/\" client=192.0.2.7:4711 ").await;
    }
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_is_the_client() {
    let origin = Origin::plain().await;
    let relay = two_listeners(&origin, FROM_US, "").await;
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut client = connect(&relay).await;
        client.send([header, b"hello"].concat()).await;
        let mut upstream = origin.accept().await;
        assert_eq!(upstream.read_exactly(5).await, b"hello");
        client.close().await;
        upstream.close().await;
        relay.wait_for_log("client=127.0.0.1:").await;
    }
}

#[tokio::test]
async fn a_listed_peer_without_a_header_is_closed_and_reaches_no_upstream() {
    for bytes in [GET, "\r\n\r\n\0\r\nQUIT\r"] {
        expect_refusal(bytes, "no PROXY header came", "cause=\"no_proxy_header\"").await;
    }
}

/// As HAProxy, the balancers of clouds and Kubernetes do it, once a second each.
#[tokio::test]
async fn a_health_check_that_only_connects_is_not_a_warning() {
    let origin = Origin::plain().await;
    let keys = format!("{FROM_US}{}", listener_keys());
    for keys in [FROM_US, &keys] {
        let relay = two_listeners(&origin, keys, "").argument("--log-level=debug").await;
        let mut checks = 0;
        for address in relay.addresses() {
            connect_plain(*address).await.close().await;
            connect_plain(*address).await.reset();
            checks += 2;
        }
        relay.wait_for_log_lines("a peer connected and left without a byte", checks).await;
        let (_, log) = relay.stop().await;
        // That it has no intermediate is said of the certificate.
        let is_odd = |it: &&String| !it.contains("narrows::certificate");
        let is_reported = |it: &&String| it.contains(" WARN ") || it.contains("narrows::access");
        assert_eq!(log.iter().filter(is_odd).filter(is_reported).count(), 0, "{log:#?}");
    }
    origin.assert_untouched().await;
}

#[tokio::test]
async fn a_malformed_header_is_closed_and_logged_with_its_own_cause() {
    for (bytes, reason) in [
        ("PROXY TCP4 192.0.2.7 \r\n", "bad_address"),
        ("PROXY TCP9 a\r\n", "bad_protocol_word"),
        ("PROXY TCP4 192.0.2.7", "incomplete_header"),
    ] {
        let words = format!("cause=\"bad_proxy_header\" reason=\"{reason}\"");
        expect_refusal(bytes, "a malformed PROXY header came", &words).await;
    }
}

/// Sends `bytes`, and an end, in place of a header.
async fn expect_refusal(bytes: &str, what: &str, words: &str) {
    let origin = Origin::plain().await;
    let relay = two_listeners(&origin, FROM_US, "").await;
    for address in relay.addresses() {
        let mut client = connect_plain(*address).await;
        client.send(bytes).await;
        // It may be refused by then.
        client.try_half_close().await;
        client.expect_end(End::Reset).await;
    }
    let line = relay.wait_for_log(&format!(": {what} peer=127.0.0.1:")).await;
    assert!(line.contains(" WARN ") && line.ends_with(words), "{line}");
    origin.assert_untouched().await;
}

#[tokio::test]
async fn a_header_that_is_late_ends_the_connection() {
    let origin = Origin::plain().await;
    let limits = "[timeouts]\nhandshake = \"2s\"";
    let relay = two_listeners(&origin, FROM_US, "").with(limits).await;
    for address in relay.addresses() {
        let mut client = connect_plain(*address).await;
        client.send("PROXY TCP4 192.").await;
        client.expect_end(End::Reset).await;
    }
    let line = relay.wait_for_log("no PROXY header came").await;
    assert!(line.contains(" WARN narrows::worker: "), "{line}");
    assert!(line.ends_with("cause=\"handshake_timeout\""), "{line}");
    origin.assert_untouched().await;
}

#[tokio::test]
async fn one_limit_bounds_a_header_and_the_handshake_that_follows() {
    const LIMIT: Duration = Duration::from_secs(2);
    let origin = Origin::plain().await;
    let keys = format!("{FROM_US}{}", listener_keys());
    let limits = "[timeouts]\nhandshake = \"2s\"";
    let relay = two_listeners(&origin, &keys, "").with(limits).await;
    let hello = hello("localhost");
    let take = async |address| {
        let mut client = connect_plain(address).await;
        client.send(&V1[..20]).await;
        assert!(client.is_silent_for(LIMIT / 2).await, "there is time left");
        // A limit that restarted after the header would end later than that of this one.
        let mut other = connect_plain(address).await;
        assert!(other.is_silent_for(LIMIT / 4).await, "there is time left");
        client.send([&V1.as_bytes()[20..], &hello[..100]].concat()).await;
        tokio::select! {
            biased;
            (bytes, _) = client.read_to_end() => assert!(bytes.is_empty(), "{bytes:?}"),
            _ = other.read_to_end() => panic!("the limit began anew"),
        }
    };
    tokio::join!(take(relay.addresses()[0]), take(relay.addresses()[1]));
    origin.assert_untouched().await;
}

#[tokio::test]
async fn a_header_from_an_unlisted_peer_is_not_parsed() {
    let origin = Origin::plain().await;
    let relay = two_listeners(&origin, FROM_OTHERS, "").await;
    let mut client = connect(&relay).await;
    client.send(V1).await;
    let mut upstream = origin.accept().await;
    assert_eq!(upstream.read_exactly(V1.len()).await, V1.as_bytes());
    let mut client = connect_plain(relay.addresses()[1]).await;
    client.send(format!("{V1}{GET}")).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn forwards_send_the_header_first() {
    for pair in [Pair::PlainToTcp, Pair::PlainToTls, Pair::TlsToTcp] {
        for version in ["v1", "v2"] {
            let sends = format!("proxy_protocol = \"{version}\"");
            let passage = Passage::with(pair, "*", &sends, "").await;
            let client = passage.connect();
            let (client, mut upstream) = tokio::join!(client, passage.origin.accept_tcp());
            let port = client.local_port();
            let arrived = passage.relay.address().port();
            if version == "v1" {
                let want = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {arrived}\r\n");
                let got = upstream.read_exactly(want.len()).await;
                assert_eq!(String::from_utf8_lossy(&got), want, "{pair:?}");
            } else {
                let mut want =
                    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
                want.extend(port.to_be_bytes());
                want.extend(arrived.to_be_bytes());
                assert_eq!(upstream.read_exactly(want.len()).await, want, "{pair:?}");
            }
            if pair == Pair::PlainToTls {
                assert_eq!(upstream.read_exactly(2).await, b"\x16\x03", "then comes TLS");
            }
        }
    }
}

#[tokio::test]
async fn the_client_of_a_header_is_sent_on_in_a_header() {
    let origin = Origin::plain().await;
    let relay = two_listeners(&origin, FROM_US, "proxy_protocol = \"v1\"\n").await;
    let mut client = connect(&relay).await;
    client.send([V2, b"hello"].concat()).await;
    let mut upstream = origin.accept().await;
    assert_eq!(upstream.read_exactly(V1.len()).await, V1.as_bytes());
    assert_eq!(upstream.read_exactly(5).await, b"hello");
}

#[tokio::test]
async fn a_header_of_a_local_proxy_is_sent_on_with_the_ends_of_its_connection() {
    let origin = Origin::plain().await;
    let relay = two_listeners(&origin, FROM_US, "proxy_protocol = \"v1\"\n").await;
    let arrived = relay.address().port();
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut client = connect(&relay).await;
        client.send([header, b"hello"].concat()).await;
        let mut upstream = origin.accept().await;
        let port = client.local_port();
        let want = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {arrived}\r\nhello");
        let got = upstream.read_exactly(want.len()).await;
        assert_eq!(String::from_utf8_lossy(&got), want);
    }
}

#[tokio::test]
async fn routes_that_send_a_header_share_no_connection_among_clients() {
    let origin = Origin::plain().await;
    let relay = two_listeners(&origin, FROM_US, "proxy_protocol = \"v1\"\n").await;
    let mut client = connect_plain(relay.addresses()[1]).await;
    client.send(V1).await;
    for _ in 0..2 {
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        assert_eq!(upstream.read_exactly(V1.len()).await, V1.as_bytes());
        upstream.read_head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(client.read_message().await.1, b"ok");
        upstream.expect_end(End::Clean).await;
    }
    assert!(relay.wait_for_log("exchange").await.contains("reused=false"));
}
