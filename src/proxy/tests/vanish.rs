//! A client that vanishes without FIN or reset: it sends nothing and accepts nothing. Each phase
//! has a limit that ends it, and the upstream's work with it.
//!
//! On the network the kernel is often faster (`TCP_USER_TIMEOUT`, keepalive probes); in memory only
//! our own limits apply.

use super::bench::{CHUNKED_POST, EMPTY, GET, POST, SOCKET, STREAM, SWITCH, run, seconds};
use super::wire::Wire;
use crate::net::memory::End;
use tokio::time::{Instant, sleep};

/// The phase in which a client vanishes.
struct Phase {
    name: &'static str,
    /// What it has sent by then.
    request: String,
    /// What its upstream has answered by then.
    response: &'static str,
    /// What its upstream sends each second from then on.
    event: &'static str,
    /// Seconds until its exchange ends, and until then its connection.
    ends: [u64; 2],
    log: &'static str,
}

/// Room in the client's connection: for an answer of our own, or 40 events.
const ROOM: usize = 400;
const EVENT: &str = "5\r\n: hi\n\r\n";
/// The limits: [`super::bench::timeouts`]. An end that is no reset is followed by `linger`, twice
/// where something is left that may still be taken.
const LINGER: u64 = 2;
const KEEP_ALIVE: u64 = 13;

fn phases() -> Vec<Phase> {
    let phase = |name, request: &str, response, ends, log| Phase {
        name,
        request: request.to_owned(),
        response,
        event: "",
        ends,
        log,
    };
    let closed = |limit| [limit, limit + LINGER];
    let answered = |limit| [limit, limit + 2 * LINGER];
    let kept = |limit, lingering| [limit, limit + KEEP_ALIVE + lingering];
    let slow = "408 answered client request_timeout";
    let chunk = format!("{CHUNKED_POST}5\r\nhel");
    let no_answer = "504 answered upstream upstream_response_timeout";
    let silent = "200 aborted upstream response_body_timeout";
    let reads_nothing = "200 aborted client slow_reader";
    let in_tunnel = "101 aborted client tunnel_timeout";
    vec![
        phase("before its first request", "", "", closed(KEEP_ALIVE), ""),
        phase("in a head", &GET[..9], "", answered(11), slow),
        phase("in a body", POST, "", answered(23), slow),
        phase("in a chunk", &chunk, "", answered(23), slow),
        phase("before the response", GET, "", kept(17, 2 * LINGER), no_answer),
        phase("between two requests", GET, EMPTY, kept(0, LINGER), "200 completed"),
        phase("in a silent stream", GET, STREAM, closed(31), silent),
        // 40 events fit, and the next one waits.
        Phase { event: EVENT, ..phase("in a stream", GET, STREAM, [40 + 37; 2], reads_nothing) },
        phase("in a tunnel", SOCKET, SWITCH, [19, 19], in_tunnel),
    ]
}

#[test]
fn a_client_that_vanishes_without_a_word_is_let_go_in_every_phase() {
    for Phase { name, request, response, event, ends, log } in phases() {
        let got = run(async |bench| {
            let mut client = bench.narrow_client(ROOM);
            client.send(&request).await;
            let mut upstream = None;
            if request.contains("\r\n\r\n") {
                let mut wire = bench.upstream().await;
                wire.read().await;
                wire.send(response).await;
                upstream = Some(wire);
            }
            if !response.is_empty() {
                client.read().await;
            }
            let vanished = Instant::now();
            let elapsed = || vanished.elapsed().as_secs();
            let working = async {
                match upstream {
                    Some(wire) if log != "200 completed" => {
                        work_until_reset(wire, event).await;
                        assert_eq!(elapsed(), ends[0], "{name}: the upstream");
                    }
                    // Its connection has done its work, or there is none.
                    _ => {}
                }
            };
            let ((), ()) = tokio::join!(working, bench.over());
            assert_eq!(elapsed(), ends[1], "{name}: the connection");
        });
        assert_eq!(got.join(""), log, "{name}");
    }
}

/// An upstream that sends `event` each second, until the relay ends its connection.
async fn work_until_reset(mut wire: Wire, event: &str) {
    loop {
        wire.send(event).await;
        tokio::select! {
            (_, end) = wire.read_to_end() => return assert_eq!(end, End::Reset),
            () = sleep(seconds(1)) => {}
        }
    }
}
