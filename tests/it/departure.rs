//! A client that leaves ends the upstream's work at once, in every phase: tokens cost money.

use crate::support::stage::{CHUNKED, GET, Stage};
use crate::support::stall::send_until_blocked;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Leave;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_request() {
    for stage in Stage::all().await {
        for how in Leave::all(stage.client_tls) {
            let (client, upstream) = stage.begin(GET).await;
            let _open = client.leave(*how).await;
            expect_abort(upstream, "", &format!("{stage:?}, {how:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_between_two_events_ends_the_request() {
    for stage in Stage::all().await {
        for how in Leave::all(stage.client_tls) {
            let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
            upstream.send("9\r\ndata: 1\n\n\r\n").await;
            assert_eq!(client.read_chunk().await, b"data: 1\n\n");
            let _open = client.leave(*how).await;
            expect_abort(upstream, "", &format!("{stage:?}, {how:?}")).await;
        }
    }
}

/// The upstream accepts the connection and never says a word of TLS. The handshake may go on, for
/// the next request, but the exchange is over.
#[tokio::test]
async fn a_client_that_leaves_while_the_upstream_shakes_hands_ends_its_exchange() {
    for client_tls in [false, true] {
        for how in Leave::all(client_tls) {
            let stage = Stage::new(client_tls, true, "").await;
            let mut client = stage.relay.connect().await;
            client.send(GET).await;
            let mut upstream = stage.origin.accept_tcp().await;
            let record = upstream.read_exactly(5).await;
            assert_eq!(record[0], 0x16, "a handshake record");
            upstream.read_exactly(usize::from(u16::from_be_bytes([record[3], record[4]]))).await;
            let _open = client.leave(*how).await;
            let line = stage.relay.wait_for_log("exchange").await;
            assert!(line.contains("fault=\"client\" cause=\"gone\""), "{how:?}: {line}");
            upstream.assert_silent().await;
        }
    }
}

/// An end that follows unread bytes is seen later than another one, but it is seen.
#[tokio::test]
async fn a_client_that_leaves_while_its_upload_is_stuck_ends_the_request() {
    for stage in Stage::all().await {
        let request = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
        let (mut client, _upstream) = stage.begin(request).await;
        send_until_blocked(&mut client, &stage, 99_999_999).await;
        client.reset();
        let line = stage.relay.wait_for_log("gone").await;
        assert!(line.contains("fault=\"client\""), "{stage:?}: {line}");
    }
}

/// The client leaves when its download has stalled.
#[tokio::test]
async fn a_client_that_leaves_without_having_read_its_answer_ends_the_request() {
    for stage in Stage::all().await {
        for how in Leave::all(stage.client_tls) {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
            let (client, mut upstream) = stage.answered(GET, head).await;
            send_until_blocked(&mut upstream, &stage, 99_999_999).await;
            let _open = client.leave(*how).await;
            expect_abort(upstream, "", &format!("{stage:?}, {how:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_ends_the_request() {
    for stage in Stage::all().await {
        for how in Leave::all(stage.client_tls) {
            let request = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
            let (mut client, mut upstream) = stage.begin(request).await;
            client.send("part").await;
            assert_eq!(upstream.read_exactly(4).await, b"part");
            let _open = client.leave(*how).await;
            expect_abort(upstream, "", &format!("{stage:?}, {how:?}")).await;
        }
    }
}

/// A half-close looks like a departure.
#[tokio::test]
async fn a_client_that_half_closes_after_its_request_counts_as_gone() {
    for stage in Stage::all().await {
        let (mut client, upstream) = stage.begin(GET).await;
        client.half_close().await;
        expect_abort(upstream, "", &format!("{stage:?}")).await;
        let (bytes, end) = client.read_to_end().await;
        assert_eq!(bytes, b"", "{stage:?}");
        assert_ne!((stage.client_tls, end), (true, End::Clean), "{stage:?}");
    }
}

#[tokio::test]
async fn a_client_that_has_pipelined_a_request_is_still_watched() {
    for stage in Stage::all().await {
        let (mut client, upstream) = stage.begin(GET).await;
        client.send(GET).await;
        client.close().await;
        expect_abort(upstream, "", &format!("{stage:?}")).await;
        // The pipelined request never left.
        stage.origin.assert_untouched().await;
    }
}

#[tokio::test]
async fn a_departure_is_logged_as_the_clients_fault() {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    client.close().await;
    let line = relay.wait_for_log("end=\"aborted\"").await;
    assert!(!line.contains("status="), "{line}");
    assert!(line.ends_with("fault=\"client\" cause=\"gone\""), "{line}");
}

/// The upstream gets a reset, and only `seen` before it.
async fn expect_abort(mut upstream: Peer, seen: &str, case: &str) {
    let (bytes, end) = upstream.read_to_end().await;
    assert_eq!((&*String::from_utf8_lossy(&bytes), end), (seen, End::Reset), "{case}");
}
