//! One exchange, from a whole request head to the fate of both connections.

use crate::error::{Cause, DialFailure, ExchangeError, Fault, IoFault};
use crate::gateway::answer::Answer;
use crate::gateway::exchange::{Exchange, Persistence};
use crate::gateway::request::{Method, Request};
use crate::gateway::retry::{Acknowledged, Ended, TimedOut, Unanswered};
use crate::h1::body::BodyReader;
use crate::h1::head::{HeadSpan, Version, parse_trailers};
use crate::limits::{REPLAY_BYTES_MAX, TCP_USER_TIMEOUT, TRAILER_FIELDS_MAX};
use crate::net::buffer::Buffer;
use crate::net::write_buffer::WriteBuffer;
use crate::proxy::connection::Connection;
use crate::proxy::prepare::{Prepared, Refusal, Why, prepare};
use crate::proxy::pump::{PumpError, Pumped, pump};
use crate::proxy::respond::ResponseOptions;
use crate::proxy::session::{Next, Session};
use crate::proxy::tunnel::tunnel;
use crate::proxy::upload::Upload;
use crate::telemetry::Outcome;
use crate::upstream::pool::UpstreamConnection;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

/// What we can do for a client that asks with OPTIONS how far it has come.
const LAST_HOP: Answer = Answer {
    status: 204,
    reason: "No Content",
    code: "",
    message: "",
    fields: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
};

/// An exchange that ended without a response from the upstream. In a box where it is handed on, or
/// every exchange would have the place for it.
struct Unserved {
    why: Why,
    /// The dial that failed, if it was one.
    dial: Option<Box<DialFailure>>,
    options: ResponseOptions,
}

impl Session {
    /// Takes the request whose head stands at `span` of the read buffer through its life.
    ///
    /// No `async fn`, because that would keep its arguments as long as the exchange lasts.
    pub(super) fn serve(&mut self, span: HeadSpan) -> impl Future<Output = Next> {
        let head = &self.client.read_buffer.bytes()[span.start..span.end];
        let mut prepared = prepare(&self.context, head, &mut self.recorder, &mut self.about);
        self.client.read_buffer.consume(span.end);
        async move {
            // Answered out here, so that an answer takes no room beside an exchange.
            let unserved = match &mut prepared {
                Ok(prepared) => match self.exchange(prepared).await {
                    Ok(next) => return next,
                    Err(unserved) => unserved,
                },
                Err(refusal) => self.refusal(refusal),
            };
            // An unsent head is a buffer, and a client may take its time.
            drop(prepared);
            match unserved.why {
                Why::Error(error) => {
                    self.answer_error(&error, unserved.dial, unserved.options).await
                }
                Why::LastHop => self.answer_last_hop(unserved.options).await,
            }
        }
    }

    fn refusal(&mut self, refusal: &Refusal) -> Box<Unserved> {
        let options = match &refusal.request {
            Some(request) => self.options_unsent(request),
            None => {
                let Refusal { is_head: head_only, has_origin: for_page, .. } = *refusal;
                ResponseOptions { head_only, for_page, ..ResponseOptions::CLOSE }
            }
        };
        Box::new(Unserved { why: refusal.why, dial: None, options })
    }

    async fn answer_last_hop(&mut self, options: ResponseOptions) -> Next {
        self.recorder.answered(LAST_HOP.status);
        self.queue_answer(&LAST_HOP, options);
        let sent = self.send_answer().await;
        self.recorder.end(Outcome::Completed);
        if sent.is_err() || options.close { Next::End } else { Next::Request }
    }

    /// How a request is answered of which the upstream has seen nothing.
    fn options_unsent(&mut self, request: &Request) -> ResponseOptions {
        let read = self.skip_body(request);
        self.options(request, read)
    }

    /// Whether the body of a request that is not forwarded is here to its end, and well-formed; it
    /// is dropped then.
    fn skip_body(&mut self, request: &Request) -> bool {
        let mut reader = BodyReader::new(request.body);
        while !reader.is_finished() {
            let input = self.client.read_buffer.bytes();
            let Ok(walk) = reader.walk(input) else { return false };
            let trailers =
                walk.trailers.map(|range| parse_trailers(&input[range], TRAILER_FIELDS_MAX));
            if walk.consumed == 0 || matches!(trailers, Some(Err(_))) {
                return false;
            }
            self.client.read_buffer.consume(walk.consumed);
        }
        true
    }

    fn options(&self, request: &Request, request_read: bool) -> ResponseOptions {
        ResponseOptions {
            close: !request.may_be_followed() || !request_read || self.context.drain.has_begun(),
            head_only: request.method == Method::Head,
            tell_keep_alive: request.version == Version::Http10,
            for_page: request.has_origin,
        }
    }

    /// By reference, because a future keeps its arguments to its end, also those it has moved on.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps a second place for arguments")]
    fn exchange<'s>(
        &'s mut self,
        prepared: &'s mut Prepared,
    ) -> impl Future<Output = Result<Next, Box<Unserved>>> + 's {
        async move {
            let connection = match self.connection(prepared.upstream()).await {
                Ok(connection) => connection,
                Err(failure) => {
                    let options = self.options_unsent(prepared.exchange.request());
                    return Err(Box::new(Unserved::undialled(failure, options)));
                }
            };
            let mut upload = Upload::new(prepared.exchange.request());
            let mut attempt = Attempt::first(connection, mem::take(&mut prepared.head));
            self.recorder.connected(attempt.reused);
            loop {
                let pumped = pump(self, &mut attempt.upstream, &mut upload, prepared).await;
                let failure = match pumped {
                    Ok(Pumped::Answered) => {
                        self.recorder.end(Outcome::Completed);
                        return Ok(self.settle(prepared, &upload, attempt));
                    }
                    Ok(Pumped::Switched) => {
                        // In a box, because every exchange would be as large as a tunnel otherwise.
                        let tunnelled = Box::pin(self.tunnel(&mut attempt.upstream)).await;
                        return Ok(self.tunnelled(tunnelled));
                    }
                    Err(failure) => failure,
                };
                if failure.idle_limit && !attempt.has_timed_out_before(self.recorder.elapsed()) {
                    // It is the answer after all.
                    attempt.upstream.write_buffer.take_copy();
                    continue;
                }
                if attempt.died_without_a_word(&failure) {
                    self.context.upstreams[prepared.upstream()]
                        .suspect(Duration::from_millis(attempt.idle_ms.into()));
                }
                let sent = attempt.repeatable_bytes(&failure, prepared.exchange.request());
                attempt.upstream.transport.abort();
                let Some(sent) = sent else { return self.fail(&prepared.exchange, &failure) };
                let connection = match self.fresh_connection(prepared.upstream()).await {
                    Ok(connection) => connection,
                    Err(dial) => {
                        let failure = PumpError { error: dial.error, ..failure };
                        let failed = self.fail(&prepared.exchange, &failure);
                        return failed.map_err(|it| Box::new(Unserved { dial: Some(dial), ..*it }));
                    }
                };
                prepared.exchange.start_again();
                upload.start_again(prepared.exchange.request());
                attempt = Attempt::second(connection, sent);
                self.recorder.connected(attempt.reused);
            }
        }
    }

    /// An open connection to the upstream, while the client is watched.
    async fn connection(&mut self, index: usize) -> Result<UpstreamConnection, Box<DialFailure>> {
        let upstream = &self.context.upstreams[index];
        if upstream.sends_proxy_header() {
            return self.fresh_connection(index).await;
        }
        if let Some(connection) = upstream.take_idle() {
            self.preconnect = None;
            return Ok(connection);
        }
        let obtained = watched(&mut self.client, upstream.checkout()).await;
        self.preconnect = None;
        obtained
    }

    /// A connection that nobody has used: another one from the pool may be just as dead, or
    /// announced as somebody else's.
    fn fresh_connection(
        &mut self,
        index: usize,
    ) -> impl Future<Output = Result<UpstreamConnection, Box<DialFailure>>> {
        let upstream = &self.context.upstreams[index];
        let dialing = upstream.dial(&self.who().proxy_header(&self.client.transport));
        let dialing = watched(&mut self.client, dialing);
        async move { dialing.await.map(UpstreamConnection::fresh) }
    }

    /// The exchange failed, and is not tried again.
    fn fail(&mut self, exchange: &Exchange, failure: &PumpError) -> Result<Next, Box<Unserved>> {
        if failure.status_spent {
            return Ok(Next::Cut(failure.error));
        }
        let options = self.options(exchange.request(), exchange.request_ended());
        Err(Box::new(Unserved { why: Why::Error(failure.error), dial: None, options }))
    }

    /// Decides what becomes of both connections after a complete response.
    fn settle(&mut self, prepared: &Prepared, upload: &Upload, attempt: Attempt) -> Next {
        let mut upstream = attempt.upstream;
        let (exchange, index) = (&prepared.exchange, prepared.upstream());
        let surplus = !upstream.read_buffer.bytes().is_empty();
        let is_reusable = !self.context.upstreams[index].sends_proxy_header();
        match exchange.upstream_persistence(surplus) {
            Persistence::Keep if is_reusable && upstream.write_buffer.is_empty() => {
                if upload.user_timeout_raised() {
                    upstream.transport.set_user_timeout(TCP_USER_TIMEOUT);
                }
                let seconds = exchange.upstream_keep_alive();
                let keep_alive = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                let connection = UpstreamConnection {
                    transport: upstream.transport,
                    used: true,
                    was_idle: true,
                    idle_ms: 0,
                    keep_alive,
                };
                self.context.upstreams[index].give_back(connection);
            }
            Persistence::Keep | Persistence::Close
                if exchange.request_ended() && upstream.write_buffer.is_empty() =>
            {
                // One try is enough: it is a courtesy to a peer that has said all it had to say.
                let cx = &mut Context::from_waker(Waker::noop());
                let _ = upstream.transport.poll_shutdown(cx).is_ready();
            }
            // It must not take the part of the request that it has for the whole.
            Persistence::Keep | Persistence::Close => upstream.transport.abort(),
        }
        match exchange.client_persistence() {
            Persistence::Keep => Next::Request,
            Persistence::Close => Next::End,
        }
    }

    fn tunnel<'s>(
        &'s mut self,
        upstream: &'s mut Connection,
    ) -> impl Future<Output = Result<(), ExchangeError>> + 's {
        let Self { context, client, recorder, alarm, .. } = self;
        let count = |up, down| recorder.bytes(up, down);
        tunnel(client, upstream, &context.snapshot.timeouts, &context.drain, alarm, count)
    }

    fn tunnelled(&mut self, result: Result<(), ExchangeError>) -> Next {
        match result {
            Ok(()) => {
                self.recorder.end(Outcome::Switched);
                Next::End
            }
            Err(error) => {
                self.recorder.fail(&error, false);
                Next::Abort
            }
        }
    }
}

impl Unserved {
    fn undialled(failure: Box<DialFailure>, options: ResponseOptions) -> Self {
        Self { why: Why::Error(failure.error), dial: Some(failure), options }
    }
}

/// One sending of a request.
struct Attempt {
    upstream: Connection,
    /// The connection had carried an exchange before.
    reused: bool,
    /// The connection was idle before, so it may have died unnoticed.
    was_idle: bool,
    /// For how long, in milliseconds.
    idle_ms: u32,
    /// Bytes that the connection had taken before the request.
    taken_before: u64,
}

impl Attempt {
    /// Keeps a copy of what is sent when the connection may turn out to be dead.
    fn first(connection: UpstreamConnection, head: Buffer) -> Self {
        let mut attempt = Self::new(connection, head);
        if attempt.was_idle {
            attempt.upstream.write_buffer.keep_copy(REPLAY_BYTES_MAX);
        }
        attempt
    }

    /// Sends what was sent before. There is no third attempt, so no copy is kept.
    fn second(connection: UpstreamConnection, sent: Buffer) -> Self {
        Self::new(connection, sent)
    }

    fn new(connection: UpstreamConnection, queued: Buffer) -> Self {
        let UpstreamConnection { transport, used: reused, was_idle, idle_ms, .. } = connection;
        let taken_before = transport.written();
        let mut upstream = Connection::new(transport);
        upstream.write_buffer = WriteBuffer::with(queued);
        Self { upstream, reused, was_idle, idle_ms, taken_before }
    }

    /// Whether a connection that was idle broke without an answer, or let a limit run out without
    /// taking a byte, as those do of which a router on the way knows nothing any more.
    fn died_without_a_word(&self, failure: &PumpError) -> bool {
        let is_dead = match failure.error.cause {
            Cause::Io(fault) => fault != IoFault::Truncated,
            Cause::Timeout(_) => self.acknowledged() == Acknowledged::Nothing,
            _ => false,
        };
        self.was_idle && failure.unanswered && failure.error.fault == Fault::Upstream && is_dead
    }

    /// Whether a 408 is about the silence before the request, which began `elapsed` ago.
    fn has_timed_out_before(&self, elapsed: Duration) -> bool {
        let acknowledged = self.acknowledged();
        TimedOut { was_idle: self.was_idle, elapsed, acknowledged }.may_be_repeated()
    }

    fn acknowledged(&self) -> Acknowledged {
        match self.upstream.transport.nothing_acknowledged_since(self.taken_before) {
            true => Acknowledged::Nothing,
            false => Acknowledged::SomethingOrUnknown,
        }
    }

    /// What to send again, if the request may be repeated.
    fn repeatable_bytes(&mut self, failure: &PumpError, request: &Request) -> Option<Buffer> {
        let ended = match (failure.error.fault, failure.error.cause) {
            (Fault::Upstream, Cause::ClosedEarly | Cause::Io(IoFault::Truncated)) => Ended::Clean,
            (Fault::Upstream, Cause::Io(_) | Cause::Tls(_)) => Ended::Failed,
            _ => return None,
        };
        let sent = self.upstream.write_buffer.take_copy()?;
        if failure.idle_limit {
            return Some(sent);
        }
        let repeatable = request.is_repeatable();
        let acknowledged = match ended == Ended::Clean && !repeatable {
            true => self.acknowledged(),
            false => Acknowledged::SomethingOrUnknown,
        };
        let unanswered = Unanswered { was_idle: self.was_idle, repeatable, ended, acknowledged };
        (failure.unanswered && unanswered.may_be_repeated()).then_some(sent)
    }
}

/// Waits for a connection while the client is watched: one that leaves needs none.
fn watched<T>(
    client: &mut Connection,
    mut connecting: impl Future<Output = Result<T, Box<DialFailure>>> + Unpin,
) -> impl Future<Output = Result<T, Box<DialFailure>>> {
    poll_fn(move |cx| {
        client.watch(cx)?;
        Pin::new(&mut connecting).poll(cx)
    })
}
