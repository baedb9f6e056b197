//! How bytes arrive does not change what they mean: fixed exchanges, the bytes of both sides cut
//! at every place and at many random ones, give the same messages on both sides.

use super::bench::{Bench, GET, SOCKET, SWITCH, run, settle};
use super::message::Message;
use super::wire::Wire;
use crate::net::memory::End;
use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io::IoSlice;
use tokio::sync::Notify;
use tokio::task::yield_now;

/// What both sides have to say.
struct Script {
    requests: String,
    /// One for each request that gets through, and whether the connection ends with it.
    responses: Vec<(String, bool)>,
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
    Content-Length: 5\r\n\r\nhello";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
    Transfer-Encoding: chunked\r\n\r\n\
    5;a=\"b\"\r\nhello\r\n1\r\n!\r\n000\r\nA: b\r\nDate: no\r\n\r\n";
const CLOSE: &str = "HTTP/1.0 200 Fine\r\nDate: d\r\nX-Request-Id: i\r\n\r\nhello\r\n\r\n0\r\n\r\n";
const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                       HTTP/1.1 204 No Content\r\nDate: d\r\nX-Request-Id: i\r\n\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
    Content-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n5\r\na\r\n\r\n\r\n0\r\n\r\n";

fn scripts() -> Vec<Script> {
    let post = "POST /gpt/a?b HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: b\r\nKept:  c \r\n";
    let script = |requests: String, responses: &[(&str, bool)]| Script {
        requests,
        responses: responses.iter().map(|&(text, closes)| (text.to_owned(), closes)).collect(),
    };
    vec![
        script(GET.repeat(3), &[(LENGTH, false), (CHUNKS, false), (LENGTH, false)]),
        script(
            format!("{post}Content-Length: 7\r\n\r\n\r\n\r\nabc{GET}"),
            &[(CHUNKS, false), (CLOSE, true)],
        ),
        script(
            format!(
                "\r\n{post}Transfer-Encoding: chunked\r\n\r\n\
                 3;x=y\r\n0\r\n\r\n2\r\nab\r\n0\r\nA: b\r\nHost: x\r\n\r\n{GET}"
            ),
            &[(CLOSE, true), (EVENTS, false)],
        ),
        script("GET /gpt/v1 HTTP/1.0\r\n\r\n".into(), &[(CHUNKS, false)]),
        script("GET /gpt/v1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".into(), &[(LENGTH, false)]),
        script(format!("{GET}{GET}"), &[(INTERIM, false), (EVENTS, false)]),
        script(format!("{GET}GET /none HTTP/1.1\r\nHost: a\r\n\r\n{GET}"), &[(LENGTH, false); 2]),
        script(format!("{GET}GET /gpt/ HTTP/1.1\nHost: a\r\n\r\n{GET}"), &[(LENGTH, false)]),
        script(GET.into(), &[("HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\nx", false)]),
        script(format!("{SOCKET}ear\r\nly"), &[(&format!("{SWITCH}hello \r\n"), false)]),
    ]
}

/// How the bytes of one run arrive.
struct Arrival {
    /// Where to cut; `None`: at random places.
    requests_at: Option<usize>,
    responses_at: Option<usize>,
    /// The largest piece, without cuts.
    piece: usize,
    /// Room in the connections.
    capacity: usize,
    random: Random,
}

/// Xorshift: enough for arrivals, and the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

impl Arrival {
    fn pieces<'b>(&mut self, bytes: &'b str, at: Option<usize>) -> Vec<&'b str> {
        if let Some(at) = at {
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            return vec![first, second];
        }
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let len = 1 + self.random.below(self.piece.min(rest.len()));
            let (piece, behind) = rest.split_at(len);
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }
}

/// What both sides have got in the end.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    upstream: (Vec<Message>, String),
    client: (Vec<Message>, String),
    client_end: Option<End>,
}

async fn send_pieces(wire: &RefCell<Wire>, pieces: Vec<&str>, apart: bool) {
    for piece in pieces {
        let mut left = piece.as_bytes();
        while !left.is_empty() {
            let bytes = [IoSlice::new(left)];
            match poll_fn(|cx| wire.borrow_mut().0.poll_write(cx, &bytes)).await {
                Ok(len) => left = &left[len..],
                // A relay that is done with us.
                Err(_) => return,
            }
        }
        if apart {
            settle().await;
        } else {
            yield_now().await;
        }
    }
}

/// Reads into `got`, without end.
async fn collect(wire: &RefCell<Wire>, got: &RefCell<String>, end: &RefCell<Option<End>>) {
    let mut into = vec![0; 1 << 16];
    loop {
        match poll_fn(|cx| wire.borrow_mut().0.poll_read(cx, &mut into)).await {
            Ok(0) => *end.borrow_mut() = Some(End::Clean),
            Ok(len) => {
                got.borrow_mut().push_str(std::str::from_utf8(&into[..len]).unwrap());
                continue;
            }
            Err(_) => *end.borrow_mut() = Some(End::Reset),
        }
        return pending().await;
    }
}

/// Plays the upstream: each response follows its whole request. Then tells that it is done, and
/// goes on reading what a tunnel brings.
async fn answer(
    bench: &Bench,
    script: &Script,
    arrival: &mut Arrival,
    got: &RefCell<String>,
    done: &Notify,
) {
    let mut open: Option<Wire> = None;
    for (number, (response, closes)) in script.responses.iter().enumerate() {
        let mut wire = match open.take() {
            Some(wire) => wire,
            None => bench.upstream().await,
        };
        while Message::all(&got.borrow(), false).0.iter().filter(|it| it.is_complete).count()
            <= number
        {
            let bytes = wire.read_some(1 << 16).await;
            got.borrow_mut().push_str(std::str::from_utf8(&bytes).unwrap());
        }
        let apart = arrival.random.below(2) == 0;
        let pieces = arrival.pieces(response, arrival.responses_at);
        let (shared, ignored) = (RefCell::new(wire), RefCell::default());
        tokio::select! {
            biased;
            () = send_pieces(&shared, pieces, apart) => {}
            () = collect(&shared, got, &ignored) => {}
        }
        wire = shared.into_inner();
        if *closes {
            wire.end(End::Clean);
        } else {
            open = Some(wire);
        }
    }
    done.notify_one();
    match open {
        Some(wire) => collect(&RefCell::new(wire), got, &RefCell::default()).await,
        None => pending().await,
    }
}

async fn play(bench: &Bench, script: &Script, mut arrival: Arrival) -> Outcome {
    bench.narrow_upstreams(arrival.capacity);
    let client = RefCell::new(bench.narrow_client(arrival.capacity));
    let (up, down, end) = (RefCell::default(), RefCell::default(), RefCell::default());
    let apart = arrival.random.below(2) == 0;
    let pieces = arrival.pieces(&script.requests, arrival.requests_at);
    let done = Notify::new();
    let moved = async {
        tokio::join!(send_pieces(&client, pieces, apart), done.notified());
        settle().await;
    };
    tokio::select! {
        biased;
        () = moved => {}
        () = answer(bench, script, &mut arrival, &up, &done) => {}
        () = collect(&client, &down, &end) => {}
    }
    let client_end = end.take();
    let mut client = Message::all(&down.take(), client_end == Some(End::Clean));
    for message in &mut client.0 {
        message.head = without_own_fields(&message.head);
    }
    Outcome { upstream: Message::all(&up.take(), false), client, client_end }
}

/// Our own Date is the time of the day, and each exchange has another id.
fn without_own_fields(head: &str) -> String {
    let is_own = |line: &&str| {
        line.starts_with("Date: ") && *line != "Date: d"
            || line.starts_with("X-Request-Id: ") && *line != "X-Request-Id: i"
    };
    head.split("\r\n").filter(|line| !is_own(line)).collect::<Vec<_>>().join("\r\n")
}

fn arrival(requests_at: Option<usize>, responses_at: Option<usize>, seed: u64) -> Arrival {
    Arrival { requests_at, responses_at, piece: 1, capacity: 1 << 20, random: Random(seed) }
}

/// Everything at once, for comparison, and that it means what it should.
async fn whole(bench: &Bench, script: &Script) -> Outcome {
    let outcome = play(bench, script, arrival(Some(0), Some(0), 1)).await;
    let requests = outcome.upstream.0.iter().filter(|it| it.is_complete).count();
    assert_eq!(requests, script.responses.len(), "{outcome:?}");
    assert!(outcome.client.0.len() >= script.responses.len(), "{outcome:?}");
    outcome
}

#[test]
fn one_cut_anywhere_on_either_side_changes_nothing() {
    run(async |bench| {
        for script in scripts() {
            let want = whole(bench, &script).await;
            for at in 1..script.requests.len() {
                let got = play(bench, &script, arrival(Some(at), Some(0), at as u64)).await;
                assert_eq!(got, want, "requests cut at {at}: {:?}", script.requests);
            }
            let longest = script.responses.iter().map(|(text, _)| text.len()).max().unwrap();
            for at in 1..longest {
                let got = play(bench, &script, arrival(Some(0), Some(at), at as u64)).await;
                assert_eq!(got, want, "responses cut at {at}: {:?}", script.responses);
            }
        }
    });
}

#[test]
fn byte_by_byte_and_in_random_pieces_through_narrow_connections_changes_nothing() {
    run(async |bench| {
        for script in scripts() {
            let want = whole(bench, &script).await;
            for seed in 1..=60 {
                let mut random = Random(u64::MAX / 61 * seed);
                let piece = [1, 2, 7, 40, 400][random.below(5)];
                let capacity = [1, 3, 16, 100, 1 << 20][random.below(5)];
                let case = format!("seed {seed}: {:?}", script.requests);
                let arrival =
                    Arrival { requests_at: None, responses_at: None, piece, capacity, random };
                assert_eq!(play(bench, &script, arrival).await, want, "{case}");
            }
        }
    });
}
