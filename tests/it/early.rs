//! Answers that come before the request is over, and interim responses before the answer.

use crate::support::stage::{GET, OK, Stage};
use crate::support::stall::send_until_blocked;
use narrows_kit::http::field_value;
use narrows_kit::peer::Leave;
use narrows_kit::peer::{End, Peer};

/// More than fits into all the buffers on the way, so that it cannot be over before the answer.
const UPLOAD: &str = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
const CHUNKED_UPLOAD: &str =
    "POST /gpt/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const EXPECTING: &str =
    "POST /gpt/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const REFUSALS: [&str; 2] = [
    "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\n{\"no\":1}\n",
    "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\n{\"no\":1}\n",
];
/// An answer that is lost to a reset is lost sometimes: once is not enough.
const TIMES: usize = 10;

/// What the origin does right after its early answer.
#[derive(Clone, Copy, Debug)]
enum Then {
    Stays,
    Leaves(Leave),
}

#[tokio::test]
async fn an_answer_during_the_upload_reaches_a_client_that_sends_on() {
    for stage in Stage::all().await {
        for then in [Then::Stays, Then::Leaves(Leave::Close), Then::Leaves(Leave::Reset)] {
            for refusal in REFUSALS.iter().cycle().take(TIMES) {
                let case = format!("{stage:?}, {then:?}, {refusal:?}");
                let (mut client, mut upstream) = stage.begin(UPLOAD).await;
                client.send([b'x'; 65536]).await;
                upstream.send(refusal).await;
                let stayed = answered(upstream, then).await;
                client.send(vec![b'x'; 1024 * 1024]).await;
                expect_refusal(&mut client, refusal, &case).await;
                if let Some(mut upstream) = stayed {
                    let (_, end) = upstream.read_to_end().await;
                    assert_eq!(end, End::Reset, "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_during_the_upload_reaches_a_client_that_stops_sending() {
    for stage in Stage::all().await {
        for then in [Then::Stays, Then::Leaves(Leave::Close), Then::Leaves(Leave::Reset)] {
            for refusal in REFUSALS.iter().cycle().take(TIMES) {
                let case = format!("{stage:?}, {then:?}, {refusal:?}");
                let (mut client, mut upstream) = stage.begin(CHUNKED_UPLOAD).await;
                client.send("4\r\npart\r\n").await;
                assert_eq!(upstream.read_chunk().await, b"part", "{case}");
                upstream.send(refusal).await;
                let stayed = answered(upstream, then).await;
                expect_refusal(&mut client, refusal, &case).await;
                if let Some(mut upstream) = stayed {
                    // No last chunk: what it has is not the request.
                    upstream.expect_end(End::Reset).await;
                }
            }
        }
    }
}

/// The upstream reads nothing after the head, and the upload is blocked on both connections.
#[tokio::test]
async fn an_answer_gets_past_an_upload_that_the_upstream_does_not_read() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.begin(UPLOAD).await;
        send_until_blocked(&mut client, &stage, 99_999_999).await;
        upstream.send(REFUSALS[1]).await;
        expect_refusal(&mut client, REFUSALS[1], &format!("{stage:?}")).await;
    }
}

#[tokio::test]
async fn a_client_gets_an_early_answer_before_its_upload_ends() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.begin(CHUNKED_UPLOAD).await;
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
        let head = client.read_head().await;
        assert_eq!(field_value(&head, "connection"), Some("close"), "{stage:?}");
        assert_eq!(client.read_chunk().await, b"one");
        // Both directions go on until both are over.
        client.send("3\r\ntwo\r\n0\r\n\r\n").await;
        assert_eq!(upstream.read_chunk().await, b"two");
        assert_eq!(upstream.read_chunk().await, b"");
        upstream.send("0\r\n\r\n").await;
        assert_eq!(client.read_chunk().await, b"");
        client.expect_end(End::Clean).await;
    }
}

#[tokio::test]
async fn a_100_passes_and_lets_the_body_follow() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.begin(EXPECTING).await;
        client.assert_silent().await;
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n", "{stage:?}");
        client.send("hello").await;
        assert_eq!(upstream.read_exactly(5).await, b"hello", "{stage:?}");
        upstream.send(OK).await;
        let (head, body) = client.read_message().await;
        assert_eq!((field_value(&head, "connection"), &body[..]), (None, &b"ok"[..]), "{stage:?}");
    }
}

#[tokio::test]
async fn a_refusal_instead_of_a_100_passes_and_ends_the_connection() {
    for stage in Stage::all().await {
        for refusal in REFUSALS {
            let (mut client, mut upstream) = stage.begin(EXPECTING).await;
            upstream.send(refusal).await;
            expect_refusal(&mut client, refusal, &format!("{stage:?}")).await;
            upstream.expect_end(End::Reset).await;
        }
    }
}

#[tokio::test]
async fn an_expectation_is_passed_on_and_not_answered_by_the_relay() {
    let stage = Stage::tls().await;
    let mut client = stage.relay.connect().await;
    client.send(EXPECTING).await;
    let mut upstream = stage.origin.accept().await;
    let head = upstream.read_head().await;
    assert_eq!(field_value(&head, "expect"), Some("100-continue"));
    client.assert_silent().await;
}

#[tokio::test]
async fn interim_responses_pass_in_order_and_before_the_final_one_exists() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.begin(GET).await;
        for interim in [
            "HTTP/1.1 102 Processing\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
        ] {
            upstream.send(interim).await;
            assert_eq!(client.read_head().await, interim, "{stage:?}");
        }
        upstream.send(OK).await;
        assert_eq!(client.read_message().await.1, b"ok", "{stage:?}");
    }
}

#[tokio::test]
async fn an_interim_and_the_final_response_in_one_write_are_both_passed() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.begin(GET).await;
        upstream.send(format!("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n{OK}")).await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 103 "), "{stage:?}");
        assert_eq!(client.read_message().await.1, b"ok", "{stage:?}");
    }
}

async fn answered(upstream: Peer, then: Then) -> Option<Peer> {
    match then {
        Then::Stays => Some(upstream),
        Then::Leaves(how) => upstream.leave(how).await,
    }
}

/// The whole refusal, the announced close, and a proper end.
async fn expect_refusal(client: &mut Peer, refusal: &str, case: &str) {
    let (head, body) = client.read_message().await;
    assert_eq!(head.lines().next(), refusal.lines().next(), "{case}");
    assert_eq!(field_value(&head, "connection"), Some("close"), "{case}");
    assert_eq!(body, b"{\"no\":1}\n", "{case}");
    let (rest, end) = client.read_to_end().await;
    assert_eq!((&rest[..], end), (&b""[..], End::Clean), "{case}");
}
