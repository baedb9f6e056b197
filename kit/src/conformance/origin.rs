//! The upstream of the suite: it answers as a row says, and records what it gets.

use super::case::{Case, Manner, Then};
use super::wire::{self, Message, Reading, Role};
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Asked for, and answered with, by the client of a row when the row is over.
pub const PROBE: &str = "/probe";
/// The same of another client.
pub const MARKER: &str = "/marker";
/// What must not be served when it is inside another request.
pub const HIDDEN: &str = "/hidden";
/// The answer to [`HIDDEN`].
pub const EVIL: &str = "evil";

/// A listener whose connections are tasks of the runtime it was made in.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    stage: Arc<Stage>,
}

#[derive(Default)]
struct Stage {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    case: Option<Arc<Case>>,
    /// How many rows have been played.
    row: usize,
    answered: usize,
    seen: Seen,
    /// Connections in the middle of a request or of a tunnel.
    busy: usize,
    /// The connection that had the last request.
    last: Option<Arc<TcpStream>>,
}

/// What the upstream got of a row.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The requests, as in a row's verdict.
    pub requests: Vec<String>,
    /// Their heads.
    pub heads: Vec<Message>,
    /// All bytes.
    pub bytes: Vec<u8>,
}

impl Origin {
    /// Begins to listen.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, stage) = (listener.local_addr()?, Arc::<Stage>::default());
        let of_listener = Arc::clone(&stage);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let stage = Arc::clone(&of_listener);
                tokio::spawn(async move { Connection::new(tcp, stage).run().await });
            }
        });
        Ok(Self { address, stage })
    }

    /// Answers as `case` says, from now on.
    pub fn play(&self, case: &Case) {
        let mut state = self.stage.lock();
        (state.answered, state.seen, state.last) = (0, Seen::default(), None);
        state.case = Some(Arc::new(case.clone()));
        state.row += 1;
    }

    /// Sends, unasked, where the last request came from.
    pub async fn send_unasked(&self, bytes: &[u8]) {
        let last = self.stage.lock().last.clone();
        if let Some(last) = last {
            // Its connection may be gone.
            let _gone = write_all(&last, bytes).await;
        }
    }

    /// What it got, once no connection is in the middle of anything.
    pub async fn seen(&self, patience: Duration) -> Seen {
        let settled = async {
            loop {
                let news = self.stage.news.notified();
                if self.stage.lock().busy == 0 {
                    return;
                }
                news.await;
            }
        };
        let late = tokio::time::timeout(patience, settled).await.is_err();
        let mut seen = std::mem::take(&mut self.stage.lock().seen);
        if late {
            seen.requests.push("unfinished".to_owned());
        }
        seen
    }
}

impl Stage {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of the relay's.
struct Connection {
    stage: Arc<Stage>,
    tcp: Arc<TcpStream>,
    bytes: Vec<u8>,
    /// What the request whose beginning is here has been answered with.
    answered: Answered,
    is_busy: bool,
    /// The row after which it may not be used again.
    spent_by: Option<usize>,
}

/// How far the answer to a request has come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Answered {
    #[default]
    No,
    Interim,
    Final,
}

/// What becomes of a connection.
enum Next {
    Read,
    End,
    Tunnel,
}

impl Connection {
    fn new(tcp: TcpStream, stage: Arc<Stage>) -> Self {
        // A socket that fails is seen by the next read.
        let _failed = tcp.set_nodelay(true);
        Self {
            stage,
            tcp: Arc::new(tcp),
            bytes: Vec::new(),
            answered: Answered::No,
            is_busy: false,
            spent_by: None,
        }
    }

    async fn run(mut self) {
        loop {
            match self.take_requests().await {
                Next::Read => {}
                Next::End => break,
                Next::Tunnel => return self.tunnel().await,
            }
            if !self.read().await {
                self.ended();
                break;
            }
        }
        self.set_busy(false);
    }

    /// Whether more bytes have come before the end.
    async fn read(&mut self) -> bool {
        loop {
            let ready =
                self.tcp.readable().await.and_then(|()| self.tcp.try_read_buf(&mut self.bytes));
            match ready {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(count) => return count > 0,
                // A reset ends it as well, and what came before counts.
                Err(_) => return false,
            }
        }
    }

    /// Deals with the requests that are here.
    async fn take_requests(&mut self) -> Next {
        loop {
            match wire::read(&self.bytes, Role::Request) {
                Reading::Nothing => {
                    self.set_busy(false);
                    return Next::Read;
                }
                Reading::Part(message) => {
                    self.set_busy(true);
                    let has_head = message.head.len() < self.bytes.len();
                    return if has_head { self.begun(message).await } else { Next::Read };
                }
                Reading::Whole(message, len) => {
                    let len = match self.manner() {
                        Manner::Blind => message.head.len() + b"\r\n\r\n".len(),
                        Manner::Whole | Manner::Early => len,
                    };
                    self.log(&message, &describe(&message), len);
                    if self.spent_by == Some(self.stage.lock().row) && is_own(&message) {
                        self.stage.lock().seen.requests.push("reused".to_owned());
                    }
                    let is_answered = self.answered == Answered::Final;
                    self.answered = Answered::No;
                    if is_answered {
                        continue;
                    }
                    match self.answer(&message).await {
                        Next::Read => {}
                        next => return next,
                    }
                    self.answered = Answered::No;
                }
                Reading::Malformed => {
                    let shown = self.bytes.escape_ascii().to_string();
                    self.log(&Message::default(), &format!("malformed {shown:.80}"), 0);
                    return Next::End;
                }
            }
        }
    }

    /// The head of a request is here, and not all of its body.
    async fn begun(&mut self, message: Message) -> Next {
        match self.manner() {
            Manner::Whole => Next::Read,
            Manner::Early if self.answered != Answered::No => Next::Read,
            Manner::Early => self.answer(&message).await,
            Manner::Blind => {
                let len = message.head.len() + b"\r\n\r\n".len();
                let message = Message { body: Vec::new(), ..message };
                self.log(&message, &describe(&message), len);
                let next = self.answer(&message).await;
                match next {
                    Next::Read => Box::pin(self.take_requests()).await,
                    next => next,
                }
            }
        }
    }

    async fn answer(&mut self, request: &Message) -> Next {
        let target = request.second_word();
        let own = [PROBE, MARKER].into_iter().find(|own| target.ends_with(own));
        let (answer, then) = match own {
            Some(own) => (ok(own.trim_start_matches('/')), Then::Stay),
            None => self.part(request),
        };
        if own.is_none() && self.spends() {
            self.spent_by = Some(self.stage.lock().row);
        }
        let is_interim = answer.starts_with(b"HTTP/1.1 1") && !answer.starts_with(b"HTTP/1.1 101");
        self.answered = if is_interim { Answered::Interim } else { Answered::Final };
        if write_all(&self.tcp, &answer).await.is_err() {
            return Next::End;
        }
        match then {
            Then::Stay if answer.starts_with(b"HTTP/1.1 101") => Next::Tunnel,
            Then::Stay => Next::Read,
            Then::Close => {
                // Whether the relay is still there changes nothing.
                let _gone = SockRef::from(&*self.tcp).shutdown(Shutdown::Write);
                Next::Read
            }
            Then::Reset => {
                // Held by anyone else, it would not end.
                self.stage.lock().last = None;
                let _failed = SockRef::from(&*self.tcp).set_linger(Some(Duration::ZERO));
                Next::End
            }
        }
    }

    /// What the row wants to be answered.
    fn part(&self, request: &Message) -> (Vec<u8>, Then) {
        let mut state = self.stage.lock();
        state.last = Some(Arc::clone(&self.tcp));
        let Some(case) = state.case.clone() else { return (ok(""), Then::Stay) };
        let number = state.answered;
        state.answered += 1;
        let answer = case.answers.get(number).or(case.answers.last()).cloned();
        let answer = answer.unwrap_or_else(|| match request.line() {
            line if line.starts_with("HEAD ") => ok("ok")[..ok("ok").len() - 2].to_vec(),
            line if line.contains(HIDDEN) => ok(EVIL),
            _ => ok("ok"),
        });
        (answer, case.then)
    }

    async fn tunnel(mut self) {
        self.set_busy(true);
        while self.read().await {}
        if !self.bytes.is_empty() {
            let shown = format!("tunnel{}", quoted(&self.bytes));
            self.log(&Message::default(), &shown, self.bytes.len());
        }
        let _gone = SockRef::from(&*self.tcp).shutdown(Shutdown::Write);
        self.set_busy(false);
    }

    /// The relay has ended the connection.
    fn ended(&mut self) {
        if let Reading::Part(message) = wire::read(&self.bytes, Role::Request) {
            self.log(&message, &format!("{} cut", describe(&message)), self.bytes.len());
        }
    }

    /// Records a request, unless it is one of the suite's own, and drops its bytes.
    fn log(&mut self, message: &Message, shown: &str, len: usize) {
        let bytes: Vec<u8> = self.bytes.drain(..len).collect();
        if !is_own(message) {
            let seen = &mut self.stage.lock().seen;
            seen.requests.push(shown.to_owned());
            seen.heads.push(message.clone());
            seen.bytes.extend(bytes);
        }
    }

    fn manner(&self) -> Manner {
        self.stage.lock().case.as_ref().map_or(Manner::Whole, |case| case.manner)
    }

    fn spends(&self) -> bool {
        self.stage.lock().case.as_ref().is_some_and(|case| case.spends)
    }

    fn set_busy(&mut self, busy: bool) {
        if busy != self.is_busy {
            self.is_busy = busy;
            let count = &mut self.stage.lock().busy;
            *count = if busy { *count + 1 } else { count.saturating_sub(1) };
            self.stage.news.notify_waiters();
        }
    }
}

/// Whether it is a request of the suite itself.
fn is_own(request: &Message) -> bool {
    let target = request.second_word();
    [PROBE, MARKER].iter().any(|own| target.ends_with(own))
}

async fn write_all(tcp: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        tcp.writable().await?;
        match tcp.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn describe(request: &Message) -> String {
    let line = request.line();
    let line = line.rsplit_once(' ').map_or(&*line, |(line, _version)| line);
    format!("{line}{}", quoted(&request.body))
}

/// Content as verdicts show it: nothing for none.
pub fn quoted(content: &[u8]) -> String {
    match content.len() {
        0 => String::new(),
        1..=60 => format!(" \"{}\"", content.escape_ascii()),
        length => format!(" ({length} bytes)"),
    }
}

fn ok(content: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len()).into_bytes()
}
