//! An incomplete message is never turned into a complete one: every message, cut off at every
//! byte, in every way, for every kind of peer.

use super::bench::{Bench, GET, run, settle};
use super::message::Message;
use super::wire::Wire;
use crate::net::memory::End;

const ENDS: [End; 3] = [End::Clean, End::Cut, End::Reset];

/// Clients: of the version, and whether the connection would go on.
const CLIENTS: [(&str, bool); 4] = [
    (GET, true),
    ("GET /gpt/v1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
    ("GET /gpt/v1 HTTP/1.0\r\n\r\n", false),
    ("GET /gpt/v1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
];

const CONTENT: &str = "hello world";

/// Responses with the content of [`CONTENT`]; of the last three, only a clean end is the end.
const RESPONSES: [&str; 9] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
     5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n00\r\nA: b\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\nhello world",
    "HTTP/1.1 200 OK\r\n\r\nhello world",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world",
    "HTTP/1.0 200 OK\r\n\r\nhello world",
];
const UNTIL_CLOSE: std::ops::Range<usize> = 6..9;

/// The messages in `got`, and nothing but messages.
fn all(got: &str, ended: bool) -> Vec<Message> {
    let (messages, rest) = Message::all(got, ended);
    assert_eq!(rest, "", "behind {messages:?}");
    messages
}

/// What `wire` has got by now.
async fn arrived(wire: &mut Wire, got: &mut String) -> Option<End> {
    settle().await;
    let (writes, end) = wire.here();
    got.push_str(&writes.concat());
    end
}

/// What a client gets of a response of which so much exists.
async fn response_cut_off(
    bench: &Bench,
    request: &str,
    response: &str,
    end: End,
) -> (Vec<Message>, Option<End>) {
    let mut client = bench.client();
    client.send(request).await;
    let mut upstream = bench.upstream().await;
    upstream.send(response).await;
    let mut got = String::new();
    let early = arrived(&mut client, &mut got).await;
    upstream.end(end);
    let end = arrived(&mut client, &mut got).await.or(early);
    (all(&got, end == Some(End::Clean)), end)
}

#[test]
fn a_response_that_ends_early_anywhere_is_never_complete_for_any_client() {
    run(async |bench| {
        for (index, response) in RESPONSES.into_iter().enumerate() {
            let head_end = response.find("200 OK").unwrap();
            let head_end = head_end + response[head_end..].find("\r\n\r\n").unwrap() + 4;
            for cut in 0..=response.len() {
                for (request, persistent) in CLIENTS {
                    for end in ENDS {
                        let case = format!("{request:?}, {:?}, {end:?}", &response[..cut]);
                        let (mut messages, client_end) =
                            response_cut_off(bench, request, &response[..cut], end).await;
                        messages.retain(|it| !it.head.starts_with("HTTP/1.1 103"));
                        let [message] = &*messages else { panic!("{messages:?}: {case}") };
                        if cut < head_end {
                            assert_own_answer(message, client_end, persistent, &case);
                        } else if is_whole(index, response, cut, end) {
                            assert!(message.is_complete, "{message:?}: {case}");
                            assert_eq!(message.content, CONTENT[..content_len(index, cut)]);
                            assert_ne!(client_end, Some(End::Reset), "{case}");
                        } else {
                            assert!(!message.is_complete, "{message:?}: {case}");
                            assert!(CONTENT.starts_with(&message.content), "{case}");
                            let want = if is_framed(message) { End::Cut } else { End::Reset };
                            assert_eq!(client_end, Some(want), "{case}");
                        }
                    }
                }
            }
        }
    });
}

/// Whether the client sees by itself that the end of a message is missing.
fn is_framed(message: &Message) -> bool {
    let head = message.head.to_lowercase();
    head.contains("\r\ncontent-length:") || head.contains("\r\ntransfer-encoding:")
}

/// Whether an upstream that ends in this way has said all it had to say.
fn is_whole(index: usize, response: &str, cut: usize, end: End) -> bool {
    if UNTIL_CLOSE.contains(&index) { end == End::Clean } else { cut == response.len() }
}

/// How much of the content stands before `cut` in a whole response.
fn content_len(index: usize, cut: usize) -> usize {
    let missing = RESPONSES[index].len() - cut;
    CONTENT.len() - missing
}

#[track_caller]
fn assert_own_answer(message: &Message, end: Option<End>, persistent: bool, case: &str) {
    assert!(message.head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{message:?}: {case}");
    assert!(message.is_complete, "{message:?}: {case}");
    assert_eq!(end, (!persistent).then_some(End::Clean), "{case}");
}

const REQUESTS: [&str; 4] = [
    "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    "POST /gpt/v1 HTTP/1.0\r\nContent-Length: 11\r\n\r\nhello world",
    "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     b\r\nhello world\r\n00\r\nA: b\r\nC: d\r\n\r\n",
];

#[test]
fn a_request_that_ends_early_anywhere_is_never_complete_for_the_upstream() {
    run(async |bench| {
        for request in REQUESTS {
            let head_end = request.find("\r\n\r\n").unwrap() + 4;
            for cut in 0..=request.len() {
                for end in ENDS {
                    let case = format!("{:?}, {end:?}", &request[..cut]);
                    let dials = bench.dials();
                    let mut client = bench.client();
                    client.send(&request[..cut]).await;
                    settle().await;
                    if cut < head_end {
                        client.end(end);
                        bench.over().await;
                        assert_eq!(bench.dials(), dials, "{case}");
                        continue;
                    }
                    let mut upstream = bench.upstream().await;
                    let mut got = String::new();
                    assert_eq!(arrived(&mut upstream, &mut got).await, None, "{case}");
                    client.end(end);
                    let upstream_end = arrived(&mut upstream, &mut got).await;
                    let messages = all(&got, false);
                    let [message] = &*messages else { panic!("{messages:?}: {case}") };
                    assert_eq!(message.is_complete, cut == request.len(), "{message:?}: {case}");
                    assert!(CONTENT.starts_with(&message.content), "{case}");
                    assert_eq!(upstream_end, Some(End::Reset), "{case}");
                }
            }
        }
    });
}

/// Bytes that break the coding must not end it, wherever they stand.
#[test]
fn a_chunked_body_that_breaks_off_into_nonsense_is_never_complete_on_either_side() {
    let bodies =
        ["5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n", "b\r\nhello world\r\n0\r\nA: b\r\n\r\n"];
    run(async |bench| {
        for body in bodies {
            for cut in 0..body.len() {
                // Too long for a chunk line, no trailer, and longer than the content that is due.
                let broken = format!("{}{}", &body[..cut], "\u{1}".repeat(20_000));
                check_broken_response(bench, &broken).await;
                check_broken_request(bench, &broken).await;
            }
        }
    });
}

async fn check_broken_response(bench: &Bench, body: &str) {
    let mut client = bench.client();
    client.send(GET).await;
    let mut upstream = bench.upstream().await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let mut got = String::new();
    assert_eq!(arrived(&mut client, &mut got).await, None);
    upstream.send(body).await;
    let end = arrived(&mut client, &mut got).await;
    assert!(!all(&got, false)[0].is_complete, "{got:?}");
    assert_eq!((end, upstream.here().1), (Some(End::Cut), Some(End::Reset)), "{got:?}");
}

async fn check_broken_request(bench: &Bench, body: &str) {
    let mut client = bench.client();
    client.send("POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let mut upstream = bench.upstream().await;
    let mut got = String::new();
    assert_eq!(arrived(&mut upstream, &mut got).await, None);
    client.send(body).await;
    let end = arrived(&mut upstream, &mut got).await;
    assert!(!all(&got, false)[0].is_complete, "{got:?}");
    assert_eq!(end, Some(End::Reset), "{got:?}");
    let (answer, end) = client.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert_eq!(end, End::Clean);
}
