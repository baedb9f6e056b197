//! The connection of one client: it waits for request heads, sends our own answers, and ends the
//! connection, in order or by a cut.
//!
//! It has the record of the current exchange, and knows nothing about upstreams.

use crate::clock::{Alarm, Deadline, Halt, now};
use crate::error::{Cause, DialFailure, ExchangeError, Fault};
use crate::gateway::answer::{Answer, Reply, ResponseOptions};
use crate::gateway::own_response::{OwnHead, put_own_head, put_own_response};
use crate::gateway::request::has_begun;
use crate::h1::head_error::HeadError;
use crate::h1::head_reader::{HeadReader, HeadSpan};
use crate::limits::DRAIN_GRACE;
use crate::net::buffer::with_scratch;
use crate::net::date::with_date;
use crate::net::read_buffer::{Fill, ReadBuffer};
use crate::net::transport::{Peek, Transport};
use crate::net::wrong_tokens::Pace;
use crate::proxy::connection::Connection;
use crate::proxy::context::{About, Client, Context, client_name};
use crate::proxy::delivery::{Delivery, Patience};
use crate::proxy::departure::{GONE, watch};
use crate::proxy::linger::linger;
use crate::telemetry::metrics::WorkerMetrics;
use crate::telemetry::{Awaited, ExchangeRecorder, Outcome, Who};
use crate::timeouts::Timer;
use crate::tls::fault;
use crate::upstream::Preconnect;
use bytes::BufMut;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// A client's connection, and what is remembered for as long as it lasts.
pub(super) struct ClientConnection {
    pub(super) io: Connection,
    /// The record of the current exchange.
    pub(super) recorder: ExchangeRecorder,
    /// The one timer of all limits of the connection.
    pub(super) alarm: Alarm,
    /// What is known of the client beyond its address.
    pub(super) about: About,
    /// Announces the need of an upstream connection, until the first request has one.
    pub(super) preconnect: Option<Preconnect>,
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another request may follow.
    Request,
    /// The last response is sent: end in order.
    End,
    /// The response is not complete, and the client must not take it for complete: what there is
    /// of it arrives first. The exchange has not written its line yet.
    Cut(ExchangeError),
    /// The client is gone, or takes nothing.
    Abort,
    /// The client has all it asked for, and another one needs the place.
    GiveWay,
}

/// Why there is no other request.
pub(super) enum NoHead {
    /// A clean end: silence or a close between requests.
    Ended,
    /// Silence, for long enough that another client gets the place.
    GivesWay,
    /// The head does not come to its end, or is malformed.
    Malformed(ExchangeError),
}

/// A request that is not answered by its upstream. In a box where it is handed on, or every
/// exchange would have the place for it.
pub(super) struct Unserved {
    pub(super) reply: Reply,
    pub(super) options: ResponseOptions,
    /// The dial that failed, if it was one.
    pub(super) dial: Option<Box<DialFailure>>,
}

impl Unserved {
    pub(super) fn boxed(
        reply: Reply,
        options: ResponseOptions,
        dial: Option<Box<DialFailure>>,
    ) -> Box<Self> {
        Box::new(Self { reply, options, dial })
    }
}

impl ClientConnection {
    pub(super) fn new(transport: Transport, who: Client, metrics: &Rc<WorkerMetrics>) -> Self {
        let client = Who::new(who.address, client_name(&transport));
        Self {
            io: Connection::new(transport),
            recorder: ExchangeRecorder::new(client, metrics),
            alarm: Alarm::default(),
            about: About::new(who.destination),
            preconnect: None,
        }
    }

    /// The client, for upstreams that get a PROXY header.
    pub(super) fn who(&self) -> Client {
        Client { address: self.recorder.client(), destination: self.about.destination() }
    }

    /// Waits for a whole request head, the first one unless the client `has_asked` before.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn next_head(
        &mut self,
        context: &Context,
        has_asked: bool,
    ) -> Result<HeadSpan, NoHead> {
        // After a stray CRLF a client may idle: no request has begun with it, so none may be late.
        while !has_begun(self.io.read_buffer.bytes()) {
            self.first_byte_arrives(context, has_asked).await?;
        }
        self.recorder.start();
        self.whole_head(context).await.map_err(NoHead::Malformed)
    }

    /// Waits for a byte of a request: for `keep_alive`, or for as long as a drain or a lack of
    /// descriptors allows.
    async fn first_byte_arrives(
        &mut self,
        context: &Context,
        has_asked: bool,
    ) -> Result<(), NoHead> {
        let since = now();
        let keep_alive = since + context.site().timeouts.keep_alive;
        let mut crowded_since = None;
        let Self { io, alarm, .. } = self;
        let arrived = poll_fn(|cx| match io.read_buffer.poll_fill(cx, &mut io.transport) {
            Poll::Ready(fill) => Poll::Ready(Some(matches!(fill, Ok(Fill::Bytes)))),
            Poll::Pending => {
                let due = context.request_due(since, has_asked, &mut crowded_since);
                let until = due.map_or(keep_alive, |it| it.min(keep_alive));
                alarm.poll(cx, until).map(|()| None)
            }
        });
        let arrived = match arrived.await {
            Some(arrived) => arrived,
            None => self.has_come_meanwhile().await,
        };
        match (arrived, crowded_since.is_some()) {
            (true, _) => Ok(()),
            (false, true) => Err(NoHead::GivesWay),
            (false, false) => Err(NoHead::Ended),
        }
    }

    /// The connection has been idle for too long. A request that is here already is still served:
    /// the runtime only knows what its last round brought.
    async fn has_come_meanwhile(&mut self) -> bool {
        if self.io.transport.peek() != Peek::Bytes {
            return false;
        }
        let deadline = Deadline { at: Instant::now() + DRAIN_GRACE, timer: Timer::KeepAlive };
        let io = &mut self.io;
        let step = poll_fn(|cx| io.read_buffer.poll_fill(cx, &mut io.transport));
        matches!(self.alarm.bound(deadline, step).await, Ok(Fill::Bytes))
    }

    async fn whole_head(&mut self, context: &Context) -> Result<HeadSpan, ExchangeError> {
        let site = context.site();
        let mut reader = HeadReader::default();
        let mut deadline = None;
        loop {
            let found = reader.find(self.io.read_buffer.bytes(), &site.head_limits);
            let malformed = |error: HeadError| ExchangeError::client(Cause::Request(error.into()));
            if let Some(span) = found.map_err(malformed)? {
                if deadline.is_some() {
                    self.recorder.waits(Awaited::Upstream, Instant::now());
                }
                return Ok(span);
            }
            // A head that is here at once, as most are, needs no clock.
            let deadline = *deadline.get_or_insert_with(|| {
                self.recorder.waits(Awaited::Client, Instant::now());
                Deadline::start(Timer::RequestHead, &site.timeouts)
            });
            let (io, bytes_max) = (&mut self.io, site.head_limits.bytes);
            let step = poll_fn(|cx| io.poll_rest_of_head(cx, bytes_max));
            match self.alarm.bound(deadline, step).await {
                Ok(Fill::Bytes) => {}
                Ok(Fill::End) => return Err(ExchangeError::client(Cause::ClosedEarly)),
                Err(halt) => return Err(fault::halted(Fault::Client, &halt)),
            }
        }
    }

    /// A head that is malformed or incomplete. Where another request would begin is unknown.
    pub(super) fn malformed(&self, error: ExchangeError) -> Box<Unserved> {
        let options = ResponseOptions::malformed(self.io.read_buffer.bytes());
        Unserved::boxed(Reply::Error(error), options, None)
    }

    /// Answers a request that is not forwarded, or whose exchange failed, and writes its line. An
    /// error for which the client can get no answer cuts the connection.
    pub(super) async fn reply(&mut self, context: &Context, unserved: Box<Unserved>) -> Next {
        let Unserved { reply, mut options, dial } = *unserved;
        if let Reply::Error(error @ ExchangeError { cause: Cause::TokenUnknown, .. }) = reply
            && self.slow_down(context, &mut options).await.is_err()
        {
            self.recorder.fail(&error, false);
            return Next::Abort;
        }
        if options.close {
            // No other request is read, and the client may take its time.
            self.io.read_buffer = ReadBuffer::default();
        }
        match (reply.answer(), reply) {
            (None, Reply::Error(error)) => return Next::Cut(error),
            (None, Reply::Allowed | Reply::Preflight) => return Next::End,
            (None, Reply::Queued) => {}
            (Some(answer), _) => {
                self.recorder.answered(answer.status);
                self.queue_answer(&answer, options);
            }
        }
        let sent = self.send_answer(context).await;
        let next = if options.close { Next::End } else { Next::Request };
        match (reply, sent) {
            (Reply::Allowed | Reply::Preflight | Reply::Queued, Ok(())) => {
                self.recorder.end(Outcome::Completed);
                next
            }
            (Reply::Error(error), Ok(())) => {
                match dial {
                    Some(failure) => self.recorder.fail_to_dial(failure, true),
                    None => self.recorder.fail(&error, true),
                }
                next
            }
            (Reply::Allowed | Reply::Preflight | Reply::Queued | Reply::Error(_), Err(halt)) => {
                self.recorder.not_sent(self.io.write_buffer.held_bytes());
                let error = match halt {
                    Halt::Io(_) => GONE,
                    Halt::Expired(timer) => ExchangeError::expired(timer),
                };
                self.recorder.fail(&error, false);
                Next::Abort
            }
        }
    }

    /// Lets the answer to a wrong token wait, if many have come from the client's address. Where
    /// too many wait already, it ends its connection instead.
    ///
    /// # Errors
    /// The client has left.
    async fn slow_down(
        &mut self,
        context: &Context,
        options: &mut ResponseOptions,
    ) -> Result<(), ExchangeError> {
        let (now, address) = (Instant::now(), self.recorder.client().ip());
        let (wait, _waiting) = match context.admission.pace(address, now) {
            Pace::AtOnce => return Ok(()),
            Pace::After(wait, waiting) => (wait, waiting),
            Pace::AtOnceAndLast => {
                options.close = true;
                return Ok(());
            }
        };
        let Self { io, alarm, .. } = self;
        poll_fn(|cx| {
            watch(io, cx)?;
            match context.drain.is_over() {
                true => Poll::Ready(Ok(())),
                false => alarm.poll(cx, now + wait).map(Ok),
            }
        })
        .await
    }

    /// Does nothing until `end`, or until the relay ends.
    pub(super) async fn pause(&mut self, context: &Context, end: Instant) {
        let alarm = &mut self.alarm;
        poll_fn(|cx| match context.drain.is_over() {
            true => Poll::Ready(()),
            false => alarm.poll(cx, end),
        })
        .await;
    }

    /// Queues an answer of our own.
    pub(super) fn queue_answer(&mut self, answer: &Answer, options: ResponseOptions) {
        let (out, id) = (self.io.write_buffer.queue(), self.recorder.request_id());
        let content = with_date(|date| put_own_response(out, answer, options, date, id));
        self.recorder.own_content(content);
    }

    /// Queues another response of our own, which is no answer to an error.
    pub(super) fn queue_own(
        &mut self,
        head: &OwnHead<'_>,
        content: &[u8],
        options: ResponseOptions,
    ) -> Reply {
        let out = self.io.write_buffer.queue();
        with_date(|date| put_own_head(out, head, options, date));
        if !options.head_only {
            out.put_slice(content);
            self.recorder.own_content(content.len());
        }
        self.recorder.answered(head.status);
        Reply::Queued
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The client does not take it: by its socket, or in time.
    pub(super) async fn send_answer(&mut self, context: &Context) -> Result<(), Halt> {
        let deadline = Deadline::start(Timer::ToClientWrite, &context.site().timeouts);
        let io = &mut self.io;
        self.alarm.bound(deadline, poll_fn(|cx| io.poll_drain(cx))).await
    }

    /// Ends the connection so that the last response arrives (RFC 9112, section 9.6): our
    /// direction first, then what the client still sends is read, because a close with unread
    /// bytes is a reset, and a reset can overtake the response.
    pub(super) async fn end(&mut self, context: &Context) {
        let deadline = Deadline::start(Timer::ToClientWrite, &context.site().timeouts);
        let transport = &mut self.io.transport;
        let shutdown = poll_fn(|cx| transport.poll_shutdown(cx));
        if self.alarm.bound(deadline, shutdown).await.is_ok() {
            linger(&mut self.io, &mut self.alarm, context.site().timeouts.linger).await;
        }
    }

    /// Ends a connection whose descriptor is needed, so it does not linger. What has come is read,
    /// because a close would answer it with a reset.
    pub(super) fn give_way(&mut self) {
        let cx = &mut TaskContext::from_waker(Waker::noop());
        let transport = &mut self.io.transport;
        let _ = with_scratch(|scratch| transport.poll_read(cx, scratch)).is_ready();
        // One try is enough: the buffer of an idle socket takes a few bytes at once.
        let _ = transport.poll_shutdown(cx).is_ready();
    }

    /// Ends the connection in the middle of a response for `error`, so that what there is of it
    /// arrives, and is not taken for complete (RFC 9112, section 8).
    ///
    /// Framing shows that its end is missing, so a FIN suffices, with TLS without close_notify.
    /// Where only the end of the connection shows it, that is a reset, after the client's kernel
    /// has acknowledged everything.
    pub(super) async fn cut(&mut self, context: &Context, error: &ExchangeError) {
        self.recorder.waits(Awaited::Client, Instant::now());
        let mut patience = Patience::after_a_cut(&context.site().timeouts);
        if matches!(error.cause, Cause::Timeout(Timer::ToClientWrite)) {
            // It has had the time already. A client that has left has not: if it has indeed, its
            // kernel takes nothing and says so, and if it has ended its direction alone, it reads.
            patience.gap = Duration::ZERO;
        }
        let resets = self.io.transport.only_its_end_tells();
        let mut delivery = Delivery::new(&self.io.transport, patience);
        let Self { io, alarm, .. } = self;
        let delivering = poll_fn(|cx| {
            let drained = io.poll_drain(cx);
            if resets {
                delivery.poll_acknowledged(cx, drained, &io.transport, alarm)
            } else {
                delivery.poll_taken(cx, drained, &io.transport, alarm)
            }
        });
        let delivered = delivering.await;
        self.recorder.not_sent(self.io.write_buffer.held_bytes());
        self.recorder.fail(error, false);
        if resets || delivered.is_err() {
            return self.io.transport.abort();
        }
        let transport = &mut self.io.transport;
        if poll_fn(|cx| transport.poll_hang_up(cx)).await.is_ok() {
            linger(&mut self.io, &mut self.alarm, context.site().timeouts.linger).await;
        }
    }
}
