//! What the rules of HTTP cost: heads and chunked bodies, without a socket.
//!
//!     cargo bench --bench h1 [-- PART-OF-A-NAME]
//!
//! Times are medians of many short rounds, and move with the machine. Instructions do not: where
//! valgrind is installed, each case runs under callgrind in a process of its own, once for so many
//! operations and once for twice as many, and the difference is the operations' alone.

use bytes::BytesMut;
use narrows::gateway::exchange::Exchange;
use narrows::gateway::request::{ValidRequest, validate};
use narrows::gateway::request_id::RequestId;
use narrows::gateway::response::{FinalResponse, ResponseKind};
use narrows::gateway::rewrite::{NewTarget, put_final_head, put_request_head};
use narrows::h1::body::BodyReader;
use narrows::h1::framing::BodyLength;
use narrows::h1::head::{RequestHead, ResponseHead};
use narrows::h1::head_reader::HeadReader;
use narrows::h1::limits::{HEAD_BYTES_DEFAULT, HEADER_FIELDS_DEFAULT, HeadLimits};
use std::env;
use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What goes wrong here ends the benchmark.
type Fault = Box<dyn Error>;

/// As the OpenAI SDK for Python asks.
const REQUEST: &[u8] = b"POST /gpt/v1/chat/completions HTTP/1.1\r\n\
    Host: relay.example.com\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Connection: keep-alive\r\n\
    Accept: application/json\r\n\
    Content-Type: application/json\r\n\
    User-Agent: OpenAI/Python 1.99.1\r\n\
    X-Stainless-Lang: python\r\n\
    X-Stainless-Package-Version: 1.99.1\r\n\
    X-Stainless-OS: Linux\r\n\
    X-Stainless-Arch: x64\r\n\
    X-Stainless-Runtime: CPython\r\n\
    X-Stainless-Runtime-Version: 3.12.3\r\n\
    Authorization: Bearer sk-0123456789abcdef0123456789abcdef0123456789abcdef\r\n\
    X-Stainless-Async: false\r\n\
    x-stainless-retry-count: 0\r\n\
    x-stainless-read-timeout: 600\r\n\
    Content-Length: 412\r\n\r\n";

/// As its API answers.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: text/event-stream; charset=utf-8\r\n\
    Transfer-Encoding: chunked\r\n\
    Connection: keep-alive\r\n\
    access-control-expose-headers: X-Request-ID\r\n\
    openai-organization: example\r\n\
    openai-processing-ms: 312\r\n\
    openai-version: 2020-10-01\r\n\
    x-ratelimit-limit-requests: 10000\r\n\
    x-ratelimit-limit-tokens: 200000\r\n\
    x-ratelimit-remaining-requests: 9999\r\n\
    x-ratelimit-remaining-tokens: 199988\r\n\
    x-ratelimit-reset-requests: 8.64s\r\n\
    x-ratelimit-reset-tokens: 3ms\r\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\r\n\
    strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n\
    cf-cache-status: DYNAMIC\r\n\
    Set-Cookie: __cf_bm=0123456789abcdef; path=/; HttpOnly; Secure; SameSite=None\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Server: cloudflare\r\n\
    CF-RAY: 0123456789abcdef-FRA\r\n\
    alt-svc: h3=\":443\"; ma=86400\r\n\r\n";

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const ID: Option<RequestId> = Some(RequestId::new(0x0123_4567_89ab_cdef));
const LIMITS: HeadLimits = HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: HEADER_FIELDS_DEFAULT };
/// Content of the bodies: what one TLS record holds.
const CONTENT_BYTES: usize = 16 * 1024;

/// Rounds of one case, and how long each takes.
const ROUNDS: usize = 21;
const ROUND: Duration = Duration::from_millis(8);
/// Operations of the shorter run under callgrind.
const COUNTED: u64 = 100;
/// No count is begun after this: the whole ends within some 20 s on any machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// Something to measure: what it is called, and how to set up one operation.
struct Case {
    name: &'static str,
    set_up: fn() -> Result<Operation, Fault>,
}

type Operation = Box<dyn FnMut()>;

const CASES: &[Case] = &[
    Case { name: "request head: find, parse", set_up: request_parse },
    Case { name: "request head: validate", set_up: request_validate },
    Case { name: "request head: rewrite", set_up: request_rewrite },
    Case { name: "response head: find, parse", set_up: response_parse },
    Case { name: "response head: advance", set_up: response_advance },
    Case { name: "response head: rewrite", set_up: response_rewrite },
    Case { name: "16 KiB in 1 chunk", set_up: || chunks_of(CONTENT_BYTES) },
    Case { name: "16 KiB in chunks of 160", set_up: || chunks_of(160) },
    Case { name: "16 KiB in chunks of 8", set_up: || chunks_of(8) },
];

fn main() -> Result<(), Fault> {
    // cargo adds `--bench`.
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--instructions", name, count] => repeat(name, count.parse()?),
        [] => report(""),
        [part] => report(part),
        _ => Err("usage: cargo bench --bench h1 [-- PART-OF-A-NAME]".into()),
    }
}

fn report(part: &str) -> Result<(), Fault> {
    let begun = Instant::now();
    let mut out = io::stdout();
    writeln!(out, "{:<30}{:>12}{:>15}", "one operation", "ns", "instructions")?;
    for case in CASES.iter().filter(|case| case.name.contains(part)) {
        let nanoseconds = nanoseconds(&mut (case.set_up)()?);
        let instructions = if begun.elapsed() < PATIENCE { instructions(case) } else { None };
        let instructions = instructions.map_or("-".to_owned(), |count| count.to_string());
        writeln!(out, "{:<30}{nanoseconds:>12.1}{instructions:>15}", case.name)?;
    }
    Ok(())
}

/// The median of the rounds, for one operation.
fn nanoseconds(operation: &mut Operation) -> f64 {
    let mut count = 1;
    while time(operation, count) < ROUND {
        count *= 2;
    }
    let mut rounds = [(); ROUNDS].map(|()| time(operation, count));
    rounds.sort_unstable();
    rounds[ROUNDS / 2].as_nanos() as f64 / count as f64
}

fn time(operation: &mut Operation, count: u64) -> Duration {
    let begun = Instant::now();
    (0..count).for_each(|_| operation());
    begun.elapsed()
}

/// Instructions of one operation; `None` when there is no valgrind, or it does not know this CPU.
fn instructions(case: &Case) -> Option<u64> {
    // Both at once: it is not their time that counts.
    let [fewer, more] = [COUNTED, 2 * COUNTED].map(|count| under_callgrind(case.name, count));
    let [fewer, more] = [collected(fewer?)?, collected(more?)?];
    Some(more.checked_sub(fewer)? / COUNTED)
}

fn under_callgrind(name: &str, count: u64) -> Option<Child> {
    Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args(["--instructions", name, &count.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()
}

/// The number in callgrind's last word: `==1== Collected : 123`.
fn collected(child: Child) -> Option<u64> {
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8(output.stderr).ok()?;
    let line = text.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// What runs under callgrind.
fn repeat(name: &str, count: u64) -> Result<(), Fault> {
    let case = CASES.iter().find(|case| case.name == name).ok_or("there is no such case")?;
    let mut operation = (case.set_up)()?;
    (0..count).for_each(|_| operation());
    Ok(())
}

fn request_parse() -> Result<Operation, Fault> {
    parsed_request()?;
    Ok(Box::new(|| {
        let bytes = black_box(REQUEST);
        let span = HeadReader::default().find(bytes, &LIMITS);
        if let Ok(Some(span)) = black_box(span) {
            let _ = black_box(RequestHead::parse(&bytes[span.start..span.end], &LIMITS));
        }
    }))
}

fn request_validate() -> Result<Operation, Fault> {
    let head = parsed_request()?;
    Ok(Box::new(move || drop(black_box(validate(black_box(&head))))))
}

fn request_rewrite() -> Result<Operation, Fault> {
    let head = parsed_request()?;
    let ValidRequest { request, path, query, .. } = valid_request(&head)?;
    let rest = path.strip_prefix(b"/gpt/").ok_or("the route is /gpt/")?;
    let target = NewTarget { replacement: b"/", rest, query };
    let mut out = BytesMut::with_capacity(8192);
    Ok(Box::new(move || {
        out.clear();
        put_request_head(&mut out, black_box(&head), &request, &target, b"api.openai.com", None);
        black_box(&out);
    }))
}

fn response_parse() -> Result<Operation, Fault> {
    parsed_response()?;
    Ok(Box::new(|| {
        let bytes = black_box(RESPONSE);
        let span = HeadReader::for_response().find(bytes, &LIMITS);
        if let Ok(Some(span)) = black_box(span) {
            let _ = black_box(ResponseHead::parse(&bytes[span.start..span.end], &LIMITS));
        }
    }))
}

fn response_advance() -> Result<Operation, Fault> {
    let request = valid_request(&parsed_request()?)?.request;
    let head = parsed_response()?;
    final_response(&head)?;
    Ok(Box::new(move || {
        let mut exchange = Exchange::new(black_box(request));
        exchange.end_request();
        let _ = black_box(exchange.response_head(black_box(&head), false));
    }))
}

fn response_rewrite() -> Result<Operation, Fault> {
    let head = parsed_response()?;
    let response = final_response(&head)?;
    let mut out = BytesMut::with_capacity(8192);
    Ok(Box::new(move || {
        out.clear();
        put_final_head(&mut out, black_box(&head), &response, DATE, ID, None);
        black_box(&out);
    }))
}

/// Walks over a chunked body that came in one read, as the relay does.
fn chunks_of(size: usize) -> Result<Operation, Fault> {
    let mut body = Vec::new();
    for content in vec![b'x'; CONTENT_BYTES].chunks(size) {
        write!(body, "{:x}\r\n", content.len())?;
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    if walk(&body) != CONTENT_BYTES {
        return Err("the body is not read as it was written".into());
    }
    Ok(Box::new(move || {
        black_box(walk(black_box(&body)));
    }))
}

/// Octets of content, of a body that is sound.
fn walk(mut input: &[u8]) -> usize {
    let mut reader = BodyReader::new(BodyLength::Chunked);
    let mut content = 0;
    while !reader.is_finished() {
        let Ok(walk) = reader.walk(input) else { break };
        content += walk.content_len();
        input = &input[walk.consumed..];
    }
    content
}

fn parsed_request() -> Result<RequestHead<'static>, Fault> {
    RequestHead::parse(REQUEST, &LIMITS).map_err(|error| format!("{error:?}").into())
}

fn parsed_response() -> Result<ResponseHead<'static>, Fault> {
    ResponseHead::parse(RESPONSE, &LIMITS).map_err(|error| format!("{error:?}").into())
}

fn valid_request<'b>(head: &RequestHead<'b>) -> Result<ValidRequest<'b>, Fault> {
    validate(head).map_err(|error| format!("{error:?}").into())
}

fn final_response(head: &ResponseHead<'_>) -> Result<FinalResponse, Fault> {
    let mut exchange = Exchange::new(valid_request(&parsed_request()?)?.request);
    exchange.end_request();
    match exchange.response_head(head, false) {
        Ok(ResponseKind::Final(response)) => Ok(response),
        other => Err(format!("not final: {other:?}").into()),
    }
}
