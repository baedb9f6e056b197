//! What the relay may spend: allocations, writes and so reads. Counted, never timed, and therefore
//! the same on every machine; `benches` has the times.
//!
//! Allocations are counted over sockets, with everything that belongs to the relay: its tasks, the
//! runtime under them, a log line for each exchange. Writes are counted in memory, where they stay
//! apart; a read gives at most one of them, so that one write out means one read in.
//!
//! A budget that is too small is a finding: either the change is worth the allocation, and the
//! number here changes together with its reason, or it is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "the stage marks with `pub` what tests are meant to use")]

mod configuration;
mod stage;

use narrows::h1::limits::CONTENT_RANGES_MAX;
use narrows::limits::{REPLAY_BYTES_MAX, SCRATCH_BYTES};
use stage::{Pipes, Security, Sockets, allocations, run};

/// For one kept-alive exchange without TLS: the table of the field lines of the request's head,
/// and that of the response's. Buffers come from the worker's pool, the log line is written into
/// a buffer of its thread.
const PER_EXCHANGE: u64 = 2;
/// For one event of a stream, or any other read of a body that is passed on.
const PER_EVENT: u64 = 0;
/// For a request's body of any size: the copy that is kept in case the request has to be sent
/// again doubles its buffer on its way to [`REPLAY_BYTES_MAX`].
const PER_COPY: u64 = 6;
/// Longest content of a TLS record (RFC 8446, section 5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// What may happen now and then, whatever is counted: the date of a new second, a table of the
/// runtime that grows.
const NOW_AND_THEN: u64 = 8;
/// Exchanges or events that make a relay warm.
const WARM: usize = 10;
/// Exchanges or events that are counted.
const COUNTED: usize = 200;

/// As an SDK asks.
const REQUEST_HEAD: &str = "POST /gpt/v1/chat/completions HTTP/1.1\r\nHost: relay.test\r\n\
    Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nAccept: application/json\r\n\
    Content-Type: application/json\r\nUser-Agent: OpenAI/Python 1.99.1\r\nX-Stainless-Lang: py\r\n\
    Authorization: Bearer sk-0123456789abcdef0123456789abcdef\r\n";
/// As an API answers.
const RESPONSE_HEAD: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Connection: keep-alive\r\nopenai-processing-ms: 312\r\nx-request-id: req_0123456789\r\n\
    CF-RAY: 0123456789abcdef-FRA\r\nalt-svc: h3=\":443\"; ma=86400\r\n";
/// Ends every body here, and occurs nowhere else.
const END: &[u8] = b"#";

#[test]
fn an_exchange_on_kept_connections_allocates_two_tables_of_fields() {
    let each = allocations_each(|count| exchanges(Security::Plain, count));
    assert!(each <= PER_EXCHANGE, "{each}");
}

#[test]
fn an_event_of_a_stream_allocates_nothing() {
    let each = allocations_each(|count| events(Security::Plain, count));
    assert_eq!(each, PER_EVENT);
}

#[test]
fn allocations_do_not_depend_on_the_size_of_a_body() {
    let response = |len| allocations(transfer(Security::Plain, "", sized(RESPONSE_HEAD, len)));
    let _cold = response(RECORD_BYTES);
    let [small, large] = [RECORD_BYTES, 64 * RECORD_BYTES].map(response);
    assert!(large <= small + NOW_AND_THEN, "{small} for 16 KiB down, {large} for 1 MiB");

    let request = |len| allocations(transfer(Security::Plain, &sized(REQUEST_HEAD, len), answer()));
    let [small, large] = [RECORD_BYTES, 64 * RECORD_BYTES].map(request);
    const { assert!(64 * RECORD_BYTES > REPLAY_BYTES_MAX) };
    assert!(large <= small + PER_COPY + NOW_AND_THEN, "{small} for 16 KiB up, {large} for 1 MiB");
}

/// Records are opened and sealed in memory of the worker.
#[test]
fn tls_adds_no_allocation() {
    let each = allocations_each(|count| exchanges(Security::Tls, count));
    assert!(each <= PER_EXCHANGE, "{each} for an exchange");
    let each = allocations_each(|count| events(Security::Tls, count));
    assert_eq!(each, PER_EVENT);

    let response = |len| allocations(transfer(Security::Tls, "", sized(RESPONSE_HEAD, len)));
    let _cold = response(1);
    let [none, some] = [1, 64 * RECORD_BYTES].map(response);
    assert!(some <= none + NOW_AND_THEN, "{some} for 64 records, {none} without");
}

#[test]
fn a_head_and_the_first_bytes_of_its_body_leave_in_one_write() {
    run(async {
        let mut pipes = Pipes::open();
        pipes.client.write(sized(REQUEST_HEAD, 9).as_bytes()).await;
        let mut origin = pipes.origin().await;
        let got = origin.read_write().await;
        assert!(got.starts_with(b"POST /v1/chat/completions HTTP/1.1\r\n") && got.ends_with(END));
        origin.assert_silent().await;

        origin.write(sized(RESPONSE_HEAD, 9).as_bytes()).await;
        let got = pipes.client.read_write().await;
        assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n") && got.ends_with(END));
        pipes.client.assert_silent().await;
    });
}

#[test]
fn a_head_does_not_wait_for_its_body_nor_an_event_for_the_next() {
    run(async {
        let mut pipes = Pipes::open();
        pipes.client.write(sized(REQUEST_HEAD, 9).as_bytes()).await;
        let mut origin = pipes.origin().await;
        origin.read_write().await;
        origin.write(streamed().as_bytes()).await;
        let head = pipes.client.read_write().await;
        assert!(head.ends_with(b"X-Accel-Buffering: no\r\n\r\n"));
        for event in ["data: 1\n\n", "data: two\n\n", "dat", "a: 4\n\n"] {
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            origin.write(chunk.as_bytes()).await;
            assert_eq!(pipes.client.read_write().await, chunk.as_bytes());
        }
        pipes.client.assert_silent().await;
    });
}

#[test]
fn a_long_body_needs_no_more_writes_than_reads() {
    run(async {
        let mut pipes = Pipes::open();
        let request = sized(REQUEST_HEAD, 1024 * 1024);
        pipes.client.write(request.as_bytes()).await;
        let mut origin = pipes.origin().await;
        let reads = request.len().div_ceil(SCRATCH_BYTES);
        assert!(writes_through(&mut origin, END).await <= reads);

        let response = sized(RESPONSE_HEAD, 1024 * 1024);
        origin.write(response.as_bytes()).await;
        let reads = response.len().div_ceil(SCRATCH_BYTES);
        assert!(writes_through(&mut pipes.client, END).await <= reads);
    });
}

#[test]
fn chunks_of_one_read_leave_in_as_few_writes_as_ranges_allow() {
    run(async {
        for (chunks, writes) in [(1, 1), (CONTENT_RANGES_MAX, 1), (CONTENT_RANGES_MAX + 1, 2)] {
            let mut pipes = Pipes::open();
            pipes.client.write(sized(REQUEST_HEAD, 9).as_bytes()).await;
            let mut origin = pipes.origin().await;
            origin.read_write().await;
            origin.write(streamed().as_bytes()).await;
            pipes.client.read_write().await;
            origin.write("1\r\nx\r\n".repeat(chunks).as_bytes()).await;
            for _ in 0..writes {
                pipes.client.read_write().await;
            }
            pipes.client.assert_silent().await;
        }
    });
}

/// Allocations for one of what `scene` does so many times, rounded up, on a warm relay.
fn allocations_each<F: Future<Output = ()>>(scene: impl Fn(usize) -> F) -> u64 {
    let _cold = allocations(scene(WARM));
    let few = allocations(scene(WARM));
    let many = allocations(scene(WARM + COUNTED));
    many.saturating_sub(few + NOW_AND_THEN).div_ceil(COUNTED as u64)
}

async fn exchanges(security: Security, count: usize) {
    let (request, response) = (sized(REQUEST_HEAD, 400), answer());
    let mut sockets = Sockets::open(security).await;
    for _ in 0..count {
        exchange(&mut sockets, &request, &response).await;
    }
}

async fn events(security: Security, count: usize) {
    let mut sockets = Sockets::open(security).await;
    sockets.client.send(sized(REQUEST_HEAD, 400)).await;
    sockets.origin.read_through(END).await;
    sockets.origin.send(streamed().as_bytes()).await;
    sockets.client.read_through(b"\r\n\r\n").await;
    let event = format!("data: {}\n\n", "x".repeat(150));
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    for _ in 0..count {
        sockets.origin.send(chunk.as_bytes()).await;
        sockets.client.read_through(b"\n\n\r\n").await;
    }
}

/// One exchange after a small one. Without a `request`, a small one.
async fn transfer(security: Security, request: &str, response: String) {
    let mut sockets = Sockets::open(security).await;
    let small = sized(REQUEST_HEAD, 400);
    exchange(&mut sockets, &small, &answer()).await;
    let request = if request.is_empty() { &small } else { request };
    exchange(&mut sockets, request, &response).await;
}

async fn exchange(sockets: &mut Sockets, request: &str, response: &str) {
    let Sockets { client, origin } = sockets;
    tokio::join!(client.send(request.as_bytes()), origin.read_through(END));
    tokio::join!(origin.send(response.as_bytes()), client.read_through(END));
}

async fn writes_through(pipe: &mut stage::Pipe, end: &[u8]) -> usize {
    let mut writes = 1;
    while !pipe.read_write().await.ends_with(end) {
        writes += 1;
    }
    pipe.assert_silent().await;
    writes
}

/// A message with a body of `len` octets, the last of which is [`END`].
fn sized(head: &str, len: usize) -> String {
    let body = "x".repeat(len - END.len());
    format!("{head}Content-Length: {len}\r\n\r\n{body}#")
}

fn answer() -> String {
    sized(RESPONSE_HEAD, 512)
}

/// The head of an event stream.
fn streamed() -> String {
    let event_stream = "Content-Type: text/event-stream; charset=utf-8\r\n";
    format!("{RESPONSE_HEAD}{event_stream}Transfer-Encoding: chunked\r\n\r\n")
}
