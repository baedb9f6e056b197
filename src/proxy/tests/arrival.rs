//! What precedes a cut arrives, however slowly it is read, and then the sign of the cut.
//!
//! A connection in memory loses what is not read when it is reset, as a network does with what is
//! not acknowledged.

use super::bench::{GET, SOCKET, SWITCH, log_of, run, seconds, settle, words};
use super::wire::Wire;
use crate::h1::body::BodyReader;
use crate::h1::framing::BodyLength;
use crate::limits::DRAIN_GRACE;
use crate::net::memory::End;
use std::future::poll_fn;
use std::io::ErrorKind;
use tokio::time::{Instant, sleep};

const GET_10: &str = "GET /gpt/v1 HTTP/1.0\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n";
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\n";
/// Octets of content: many times what the client's connection holds.
const LEN: usize = 2000;
const ROOM: usize = 64;

/// What cuts an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Its upstream.
    Upstream(End),
    /// A limit of ours: `to_client.read`, `tunnel`.
    Limit,
    /// A stop that has waited for long enough.
    Stop,
    /// The end of what its client says, which is taken for a departure.
    HalfClose,
}

/// A request, what its upstream says, what cuts it, and the end that its client meets.
type Case = (&'static str, &'static str, Cut, End);

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let ends = [Cut::Upstream(End::Clean), Cut::Upstream(End::Cut)];
    for cut in ends.into_iter().chain([Cut::Limit, Cut::Stop, Cut::HalfClose]) {
        cases.push((GET, CHUNKED, cut, End::Cut));
        cases.push((GET, LONG, cut, End::Cut));
        cases.push((GET_10, CHUNKED, cut, End::Reset));
        cases.push((GET_10, LONG, cut, End::Cut));
        if cut != Cut::Upstream(End::Clean) {
            cases.push((GET, UNTIL_CLOSE, cut, End::Cut));
            cases.push((GET_10, UNTIL_CLOSE, cut, End::Reset));
        }
        // A tunnel passes the end of one direction on.
        if ![Cut::Upstream(End::Clean), Cut::HalfClose].contains(&cut) {
            cases.push((SOCKET, SWITCH, cut, End::Reset));
        }
    }
    cases
}

#[test]
fn a_reader_that_starts_late_and_takes_little_at_a_time_gets_all_that_came() {
    // What the relay holds, and what the kernels do.
    for (case, room) in cases().into_iter().flat_map(|it| [(it, ROOM), (it, 2 * LEN)]) {
        let (request, response, cut, want) = case;
        let log = log_of(async |bench| {
            let mut client = bench.narrow_client(room);
            client.send(request).await;
            let mut upstream = bench.upstream().await;
            upstream.read().await;
            upstream.send(format!("{response}{}", "x".repeat(LEN))).await;
            match cut {
                Cut::Upstream(end) => upstream.end(end),
                Cut::Limit => {}
                Cut::HalfClose => {
                    settle().await;
                    client.end(End::Clean);
                }
                Cut::Stop => {
                    bench.context.drain.begin(DRAIN_GRACE);
                    sleep(seconds(1)).await;
                    bench.context.drain.cut();
                }
            }
            sleep(seconds(12)).await;
            let (bytes, end) = read_slowly(&mut client).await;
            assert_eq!((content(&bytes), end), (LEN, want), "{case:?}, {room}");
            bench.over().await;
        });
        let [line] = &*log else { panic!("{case:?}: {log:?}") };
        let counted = words(line, &["to_client", "end"]);
        assert_eq!(counted, format!("{LEN} aborted"), "{case:?}: {line}");
    }
}

/// At most 40 bytes each second.
async fn read_slowly(client: &mut Wire) -> (String, End) {
    let (mut got, mut into) = (Vec::new(), [0; 40]);
    let end = loop {
        sleep(seconds(1)).await;
        match poll_fn(|cx| client.0.poll_read(cx, &mut into)).await {
            Ok(0) => break End::Clean,
            Ok(len) => got.extend_from_slice(&into[..len]),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break End::Cut,
            Err(_) => break End::Reset,
        }
    };
    (String::from_utf8(got).unwrap(), end)
}

/// How many octets of content came behind the head.
fn content(bytes: &str) -> usize {
    let (head, body) = bytes.split_once("\r\n\r\n").unwrap_or_default();
    let is_chunked = head.to_lowercase().contains("\r\ntransfer-encoding: chunked");
    let length = if is_chunked { BodyLength::Chunked } else { BodyLength::UntilClose };
    let (mut reader, mut body, mut len) = (BodyReader::new(length), body.as_bytes(), 0);
    loop {
        let walk = reader.walk(body).unwrap();
        assert!(!walk.finished, "the last chunk was sent");
        len += walk.content_len();
        body = &body[walk.consumed..];
        if walk.consumed == 0 || body.is_empty() {
            return len;
        }
    }
}

#[test]
fn a_reader_that_takes_nothing_is_waited_for_no_longer_than_before_a_cut() {
    let broken = format!("{CHUNKED}{}\r\nx\r\n", "x".repeat(LEN));
    let cut = format!("{UNTIL_CLOSE}{}", "x".repeat(ROOM));
    for (request, response, room, cause) in [
        // What the connection has no room for is held by the relay.
        (GET, broken, LEN, "upstream_malformed_response"),
        // And what it holds is lost by a reset.
        (GET_10, cut, LEN, "upstream_closed_early"),
    ] {
        let log = run(async |bench| {
            let mut client = bench.narrow_client(room);
            client.send(request).await;
            let mut upstream = bench.upstream().await;
            upstream.read().await;
            upstream.send(response).await;
            upstream.end(End::Cut);
            let begun = Instant::now();
            bench.over().await;
            assert_eq!(begun.elapsed(), seconds(37));
            assert_eq!(client.here().1, Some(End::Reset));
        });
        assert_eq!(log, [format!("200 aborted upstream {cause}")]);
    }
    let log = run(async |bench| {
        let mut client = bench.narrow_client(1 << 10);
        let mut upstream = bench.switch(&mut client).await;
        upstream.send("x".repeat(1 << 9)).await;
        upstream.end(End::Cut);
        let begun = Instant::now();
        bench.over().await;
        assert_eq!(begun.elapsed(), seconds(19), "the limit of a tunnel is shorter");
    });
    assert_eq!(log, ["101 aborted upstream upstream_closed_early"]);
}

/// The content in front of a break, and that in front of bad trailers, is content.
#[test]
fn all_in_front_of_a_break_arrives_however_it_came() {
    for broken in ["5\r\nhello\r\nx\r\n", "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n"] {
        for cut in 0..broken.len() {
            let log = run(async |bench| {
                let mut client = bench.client();
                client.send(GET).await;
                let mut upstream = bench.upstream().await;
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                upstream.send(format!("{head}{}", &broken[..cut])).await;
                // One that has broken off already takes no more.
                let _ = upstream.try_send(&broken[cut..]).await;
                let (bytes, end) = client.read_to_end().await;
                assert_eq!((content(&bytes), end), (5, End::Cut), "{broken:?} cut at {cut}");
            });
            assert_eq!(log, ["200 aborted upstream upstream_malformed_response"]);
        }
    }
}
