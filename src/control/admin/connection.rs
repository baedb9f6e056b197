//! One connection of the admin listener: one request after the other.
//!
//! Its limits of time are those of clients: `keep_alive` between requests, `request_head` for a
//! head, `to_client.write` for an answer, `linger` at the end. Its buffer holds one head and what a
//! client sends ahead of its turn, within the limits that all connections have.

use crate::clock::{Alarm, Deadline, Halt};
use crate::control::admin::page::{Content, Pages, Rules};
use crate::control::admin::request::{Names, Request, read_request, refuse};
use crate::error::{Cause, ExchangeError, Fault};
use crate::gateway::answer::{Answer, ResponseOptions};
use crate::gateway::own_response::{OwnHead, put_own_head, put_own_response};
use crate::gateway::request::has_begun;
use crate::h1::head_reader::{HeadReader, HeadSpan};
use crate::limits::{BUFFER_BYTES, DRAIN_GRACE, LINGER_MAX, PIPELINED_BYTES_MAX};
use crate::net::date::with_date;
use crate::proxy::context::Drain;
use crate::timeouts::Timer;
use crate::tls::fault;
use bytes::{Buf, BufMut, BytesMut};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep};

/// A stream of bytes, over TCP or a unix socket.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// What all connections of one listener share.
pub(super) struct Context<P> {
    pub(super) pages: Rc<P>,
    pub(super) names: Names,
    /// Begins when the listener is removed: each connection then ends after its answer.
    pub(super) drain: Drain,
}

/// One connection.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    bytes: BytesMut,
    alarm: Alarm,
    /// When the client last did what was expected of it: it connected, asked, or was answered.
    progress: Rc<Cell<Instant>>,
}

/// Why a connection ends without a word: the client is gone, or its time is over.
struct Gone;

impl Connection {
    /// A connection whose `progress` is stamped.
    pub(super) fn new(stream: Box<dyn Stream>, progress: Rc<Cell<Instant>>) -> Self {
        let (bytes, alarm) = Default::default();
        Self { stream, bytes, alarm, progress }
    }

    /// Answers requests until the connection ends.
    pub(super) async fn run<P: Pages>(mut self, context: &Context<P>) {
        loop {
            let rules = context.pages.rules();
            match self.exchange(context, &rules).await {
                Ok(options) if options.close => return self.end(&rules).await,
                Ok(_) => {}
                Err(Gone) => return,
            }
        }
    }

    /// Waits for a request and answers it.
    async fn exchange<P: Pages>(
        &mut self,
        context: &Context<P>,
        rules: &Rules,
    ) -> Result<ResponseOptions, Gone> {
        self.begin(&context.drain, rules).await?;
        let Request { asks, options, body_bytes } = match self.head(rules).await {
            Ok(HeadSpan { start, end }) => {
                let (head, behind) = (&self.bytes[start..end], &self.bytes[end..]);
                let draining = context.drain.has_begun();
                let request = read_request(head, behind, &rules.head, context.names, draining);
                self.bytes.advance(end);
                request
            }
            Err(error) => refuse(&self.bytes, &error).ok_or(Gone)?,
        };
        self.bytes.advance(body_bytes);
        self.progress.set(Instant::now());
        let answer = match asks {
            Ok(page) => context.pages.page(page).await,
            Err(answer) => Err(answer),
        };
        let response = with_date(|date| response(&answer, options, date));
        self.send(&response, rules).await?;
        self.progress.set(Instant::now());
        Ok(options)
    }

    /// Waits for the first byte of a request. When its listener ends, a connection has
    /// [`DRAIN_GRACE`] for its last request.
    async fn begin(&mut self, drain: &Drain, rules: &Rules) -> Result<(), Gone> {
        let deadline = Deadline::start(Timer::KeepAlive, &rules.timeouts);
        let mut drained = pin!(async {
            drain.begun().await;
            sleep(DRAIN_GRACE).await;
        });
        while !has_begun(&self.bytes) {
            let mut read = pin!(self.read(deadline, rules));
            let read = poll_fn(|cx| match read.as_mut().poll(cx) {
                Poll::Pending => drained.as_mut().poll(cx).map(|()| Ok(0)),
                read @ Poll::Ready(_) => read,
            });
            if !matches!(read.await, Ok(1..)) {
                return Err(Gone);
            }
        }
        Ok(())
    }

    /// Waits for the rest of a request head.
    async fn head(&mut self, rules: &Rules) -> Result<HeadSpan, ExchangeError> {
        let mut reader = HeadReader::default();
        let deadline = Deadline::start(Timer::RequestHead, &rules.timeouts);
        loop {
            let found = reader.find(&self.bytes, &rules.head);
            let found = found.map_err(|it| ExchangeError::client(Cause::Request(it.into())))?;
            if let Some(span) = found {
                return Ok(span);
            }
            match self.read(deadline, rules).await {
                Ok(0) => return Err(ExchangeError::client(Cause::ClosedEarly)),
                Ok(_) => {}
                Err(halt) => return Err(fault::halted(Fault::Client, &halt)),
            }
        }
    }

    /// Reads once, no more than a head and what may follow it. 0 is the end.
    async fn read(&mut self, deadline: Deadline, rules: &Rules) -> Result<usize, Halt> {
        let most = rules.head.bytes + PIPELINED_BYTES_MAX;
        let room = most.saturating_sub(self.bytes.len()).clamp(1, BUFFER_BYTES);
        self.bytes.reserve(room);
        let mut into = (&mut self.bytes).limit(room);
        self.alarm.bound(deadline, self.stream.read_buf(&mut into)).await
    }

    async fn send(&mut self, response: &[u8], rules: &Rules) -> Result<(), Gone> {
        let deadline = Deadline::start(Timer::ToClientWrite, &rules.timeouts);
        let sent = self.alarm.bound(deadline, self.stream.write_all(response)).await;
        sent.map_err(|_| Gone)
    }

    /// Ends in order (RFC 9112, section 9.6): what the client still sends is read, because a close
    /// with unread bytes is a reset, which can overtake the answer.
    async fn end(mut self, rules: &Rules) {
        let last = Instant::now() + LINGER_MAX;
        let mut discarded = [0; 1024];
        let mut step = self.stream.shutdown().await.map(|()| 1);
        while matches!(step, Ok(1..)) {
            let at = last.min(Instant::now() + rules.timeouts.linger);
            let deadline = Deadline { at, timer: Timer::Linger };
            let read = self.alarm.bound(deadline, self.stream.read(&mut discarded)).await;
            step = read.map_err(|_| io::ErrorKind::TimedOut.into());
        }
    }
}

/// The whole response.
fn response(answer: &Result<Content, Answer>, options: ResponseOptions, date: &str) -> BytesMut {
    let mut out = BytesMut::new();
    match answer {
        Ok(Content { media_type, body }) => {
            // What it says is true now.
            let fields = "Cache-Control: no-store\r\n";
            let (status, reason, length) = (200, "OK", body.len());
            let head = OwnHead { status, reason, media_type, length, id: None, fields };
            put_own_head(&mut out, &head, options, date);
            if !options.head_only {
                out.put_slice(body.as_bytes());
            }
        }
        Err(answer) => {
            put_own_response(&mut out, answer, options, date, None);
        }
    }
    out
}
