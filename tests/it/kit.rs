//! The kit itself: a client and an origin face to face, with no relay between them.

use narrows_kit::client::{connect_plain, connect_tls, connect_tls_as};
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;

#[tokio::test]
async fn tls_agrees_on_http_1_1_and_carries_the_name() {
    let (client, origin) = tls_pair().await;
    assert_eq!(client.alpn().as_deref(), Some("http/1.1"));
    assert_eq!(origin.server_name().as_deref(), Some("localhost"));
}

#[tokio::test]
async fn a_client_refuses_an_expired_a_foreign_and_a_misnamed_certificate() {
    for (certificate, name, reason) in [
        ("expired", "localhost", "expired"),
        ("foreign", "localhost", "UnknownIssuer"),
        ("wrong-name", "localhost", "not valid for name"),
    ] {
        let origin = Origin::tls_with(certificate).await;
        let handshakes = (connect_tls_as(name, origin.address()), origin.try_accept());
        let (client, accepted) = tokio::join!(handshakes.0, handshakes.1);
        let error = client.err().expect(certificate).to_string();
        assert!(error.contains(reason), "{certificate}: {error}");
        assert!(accepted.is_err(), "{certificate}");
    }
}

#[tokio::test]
async fn bodies_of_all_three_framings_are_read_to_their_end() {
    for (mut client, mut origin) in [plain_pair().await, tls_pair().await] {
        client.send("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").await;
        assert_eq!(origin.read_message().await.1, b"hello");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(origin.read_message().await.1, b"");

        origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        origin.send("3\r\nabc\r\nA\r\n0123456789\r\n0\r\nSum: 1\r\n\r\n").await;
        assert_eq!(client.read_message().await.1, b"abc0123456789");
        assert_eq!(client.trailers(), "Sum: 1\r\n");

        origin.send("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
        origin.close().await;
        assert_eq!(client.read_message().await.1, b"until the end");
    }
}

#[tokio::test]
async fn one_chunk_can_be_read_before_the_next_is_sent() {
    let (mut client, mut origin) = tls_pair().await;
    origin.send("3\r\nabc\r\n").await;
    assert_eq!(client.read_chunk().await, b"abc");
    client.assert_silent().await;
    origin.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
}

#[tokio::test]
async fn each_way_to_end_is_recognised() {
    let (mut client, origin) = plain_pair().await;
    origin.close().await;
    client.expect_end(End::Clean).await;

    let (mut client, origin) = plain_pair().await;
    origin.reset();
    client.expect_end(End::Reset).await;

    let (mut client, origin) = tls_pair().await;
    origin.close().await;
    client.expect_end(End::Clean).await;

    let (mut client, mut origin) = tls_pair().await;
    origin.send("cut").await;
    origin.close_without_notify();
    assert_eq!(client.read_to_end().await, (b"cut".to_vec(), End::Truncated));

    let (mut client, origin) = tls_pair().await;
    origin.reset();
    client.expect_end(End::Reset).await;
}

#[tokio::test]
async fn a_half_closed_side_still_reads() {
    for (mut client, mut origin) in [plain_pair().await, tls_pair().await] {
        client.half_close().await;
        origin.expect_end(End::Clean).await;
        origin.send("late").await;
        assert_eq!(client.read_exactly(4).await, b"late");
    }
}

#[tokio::test]
#[should_panic(expected = "should be silent, but read \"x\"")]
async fn a_byte_breaks_the_silence() {
    let (mut client, mut origin) = tls_pair().await;
    origin.send("x").await;
    client.assert_silent().await;
}

#[tokio::test]
#[should_panic(expected = "should be silent, but read \"\"")]
async fn an_end_breaks_the_silence() {
    let (mut client, origin) = plain_pair().await;
    origin.close().await;
    client.assert_silent().await;
}

#[tokio::test]
#[should_panic(expected = "is no chunk-size line")]
async fn a_chunk_with_an_extension_is_refused_by_the_kit() {
    let (mut client, mut origin) = plain_pair().await;
    origin.send("3;x=1\r\nabc\r\n").await;
    client.read_chunk().await;
}

#[tokio::test]
#[should_panic(expected = "two lengths")]
async fn a_head_with_two_lengths_is_refused_by_the_kit() {
    let (mut client, mut origin) = plain_pair().await;
    let fields = "Content-Length: 3\r\nTransfer-Encoding: chunked";
    origin.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).await;
    client.read_message().await;
}

#[tokio::test]
async fn an_origin_sees_whether_a_client_came() {
    let origin = Origin::plain().await;
    origin.assert_untouched().await;
    let (mut client, mut accepted) = tokio::join!(connect_plain(origin.address()), origin.accept());
    accepted.send("hello").await;
    assert_eq!(client.read_some().await, b"hello");
    client.close().await;
}

#[tokio::test]
#[should_panic(expected = "secrets are in the log")]
async fn a_relay_that_logs_a_secret_fails_its_test() {
    let toml = "[[listener]]\naddress = \"127.0.0.1:0\"\n\
                [[route]]\npath = \"/canary/\"\nupstream = \"http://127.0.0.1:9/\"\n";
    let relay = Relay::start(toml).await;
    let mut client = relay.connect().await;
    client.send("GET /canary/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_message().await;
    relay.wait_for_log("route=\"/canary/\"").await;
    relay.stop().await;
}

async fn plain_pair() -> (Peer, Peer) {
    let origin = Origin::plain().await;
    tokio::join!(connect_plain(origin.address()), origin.accept())
}

async fn tls_pair() -> (Peer, Peer) {
    let origin = Origin::tls().await;
    tokio::join!(connect_tls(origin.address()), origin.accept())
}
