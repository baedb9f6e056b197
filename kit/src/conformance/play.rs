//! Plays a row through a relay, between a client and the origin, and records what both saw.

use super::case::Case;
use super::origin::{Origin, Seen, quoted};
use super::wire::{self, Message, Reading, Role};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How the client's bytes go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// In one write.
    AtOnce,
    /// In many, of a byte each unless there are thousands.
    InPieces,
}

/// What happened.
#[derive(Debug)]
pub struct Observed {
    /// The client's side, as in a row's verdict.
    pub client: String,
    /// The heads of its responses.
    pub responses: Vec<Message>,
    /// What a later client got, if it was not what it had asked for.
    pub next_client: Option<String>,
    /// What the upstream got.
    pub upstream: Seen,
}

const PROBE: &[u8] = b"GET /gpt/probe HTTP/1.1\r\nHost: a\r\n\r\n";
const MARKER: &[u8] = b"GET /gpt/marker HTTP/1.1\r\nHost: a\r\n\r\n";
/// Most writes of one request.
const PIECES_MAX: usize = 1000;
/// Turns for the origin's connections to read what is here.
const ROUNDS: usize = 32;

/// Plays `case` through the relay at `relay`, whose upstream is `origin`.
pub async fn play(
    case: &Case,
    relay: SocketAddr,
    origin: &Origin,
    pace: Pace,
    patience: Duration,
) -> io::Result<Observed> {
    origin.play(case);
    let mut client = Client::connect(relay, patience).await?;
    client.send(&case.sent, pace).await;
    if case.hangs_up && case.sent_then.is_none() {
        client.hang_up().await;
    }
    if case.client == "waits" {
        // When another client has been served, what the relay has to say to this one is here.
        ask(relay, patience).await?;
        client.listen().await;
    } else {
        client.converse(case, origin).await;
    }
    let Client { tcp, transcript, responses, .. } = client;
    drop(tcp);
    // The same for the upstream: the relay has seen the client leave when it serves the next one.
    let next_client = ask(relay, patience).await?;
    for _ in 0..ROUNDS {
        tokio::task::yield_now().await;
    }
    let upstream = origin.seen(patience).await;
    Ok(Observed { client: transcript.join(", "), responses, next_client, upstream })
}

/// What another client gets, if it is not what it asks for.
async fn ask(relay: SocketAddr, patience: Duration) -> io::Result<Option<String>> {
    let mut client = Client::connect(relay, patience).await?;
    client.send(MARKER, Pace::AtOnce).await;
    client.next_response(false).await;
    let got = client.transcript.join(", ");
    Ok((got != "200 \"marker\"").then_some(got))
}

/// A client's connection.
struct Client {
    tcp: TcpStream,
    patience: Duration,
    bytes: Vec<u8>,
    transcript: Vec<String>,
    responses: Vec<Message>,
}

/// What a look at the connection has brought.
enum Got {
    /// Another response, which may say that it is the last.
    Response { is_last: bool, status: String },
    /// The transcript says how it ended.
    End,
}

impl Client {
    async fn connect(relay: SocketAddr, patience: Duration) -> io::Result<Self> {
        let tcp = TcpStream::connect(relay).await?;
        tcp.set_nodelay(true)?;
        let (bytes, transcript, responses) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { tcp, patience, bytes, transcript, responses })
    }

    /// Sends until the relay takes no more.
    async fn send(&mut self, bytes: &[u8], pace: Pace) {
        let size = match pace {
            Pace::AtOnce => bytes.len().max(1),
            Pace::InPieces => bytes.len().div_ceil(PIECES_MAX).max(1),
        };
        for piece in bytes.chunks(size) {
            if self.tcp.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn hang_up(&mut self) {
        // A relay that has gone already knows.
        let _gone = self.tcp.shutdown().await;
    }

    /// Takes the responses that the row wants, and finds out how the connection goes on.
    async fn converse(&mut self, case: &Case, origin: &Origin) {
        let wanted = case.client.split(", ").count() - 1;
        let mut more = case.sent_then.as_deref();
        let mut is_head = case.is_head;
        for _ in 0..wanted {
            let Got::Response { is_last, status } = self.next_response(is_head).await else {
                return;
            };
            is_head &= status.starts_with('1');
            if let Some(more) = more.take() {
                self.send(more, Pace::AtOnce).await;
                if case.hangs_up {
                    self.hang_up().await;
                }
            }
            if status == "101" {
                return self.tunnel().await;
            }
            if is_last {
                break;
            }
        }
        if let Some(bytes) = &case.later {
            origin.send_unasked(bytes).await;
        }
        let says_close = self.responses.last().is_some_and(Message::says_close);
        let mut probes = wanted > 0 && !says_close;
        loop {
            if probes {
                self.send(PROBE, Pace::AtOnce).await;
            }
            let Got::Response { is_last, .. } = self.next_response(false).await else { return };
            if self.transcript.last().is_some_and(|it| it == "200 \"probe\"") {
                self.transcript.pop();
                self.responses.pop();
                self.transcript.push("keep".to_owned());
                return;
            }
            // One that was not wanted: may another request follow?
            probes = !probes && wanted == 0 && !is_last;
        }
    }

    /// Reads one response.
    async fn next_response(&mut self, to_head: bool) -> Got {
        loop {
            let reading = wire::read(&self.bytes, Role::Response { to_head });
            match reading {
                Reading::Whole(message, len) => {
                    self.bytes.drain(..len);
                    return self.got(message);
                }
                Reading::Malformed => {
                    let shown = self.bytes.escape_ascii().to_string();
                    return self.end(&format!("malformed {shown:.80}"));
                }
                Reading::Nothing | Reading::Part(_) => {}
            }
            let read = self.tcp.read_buf(&mut self.bytes);
            match (tokio::time::timeout(self.patience, read).await, reading) {
                (Ok(Ok(count)), _) if count > 0 => {}
                (Ok(Ok(_)), Reading::Part(message)) if message.until_close => {
                    self.bytes.clear();
                    self.got(message);
                    return self.end("end");
                }
                (Ok(_), Reading::Part(message)) => {
                    let shown = describe(&message);
                    return self.end(&format!("{shown} cut"));
                }
                (Ok(Ok(_)), _) => return self.end("end"),
                (Ok(Err(_)), _) => return self.end("reset"),
                (Err(_elapsed), _) => return self.end("waits"),
            }
        }
    }

    /// Looks at what is here, without waiting for more.
    async fn listen(&mut self) {
        let mut bytes = [0; 1024];
        match self.tcp.try_read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.transcript.push("waits".to_owned());
            }
            Ok(count) => {
                self.bytes.extend(&bytes[..count]);
                self.next_response(false).await;
            }
            Err(_) => self.transcript.push("reset".to_owned()),
        }
    }

    /// Ends our direction of a tunnel, and takes what comes out of the other.
    async fn tunnel(&mut self) {
        self.hang_up().await;
        let read = async { while let Ok(1..) = self.tcp.read_buf(&mut self.bytes).await {} };
        let waits = tokio::time::timeout(self.patience, read).await.is_err();
        let shown = format!("tunnel{}", quoted(&self.bytes));
        self.transcript.push(if waits { format!("{shown} waits") } else { shown });
    }

    fn got(&mut self, message: Message) -> Got {
        let got = Got::Response { is_last: message.says_close(), status: message.second_word() };
        self.transcript.push(describe(&message));
        self.responses.push(message);
        got
    }

    fn end(&mut self, how: &str) -> Got {
        self.transcript.push(how.to_owned());
        Got::End
    }
}

/// The status with the content, which is left out of the pages that relays make themselves.
fn describe(response: &Message) -> String {
    let is_page =
        ["<", "{\"error\"", "\r\n<"].iter().any(|it| response.body.starts_with(it.as_bytes()));
    let content = if is_page { String::new() } else { quoted(&response.body) };
    format!("{}{content}", response.second_word())
}
