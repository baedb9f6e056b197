//! One exchange, from a whole request head to the fate of both connections.

use crate::error::{Cause, DialFailure, ExchangeError};
use crate::gateway::answer::{ALLOWED, Reply, ResponseOptions};
use crate::gateway::exchange::{Exchange, Persistence, ResponseState};
use crate::gateway::plan::{OwnAnswer, Plan, plan};
use crate::gateway::request::Request;
use crate::gateway::retry::{Acknowledged, Failure, TimedOut};
use crate::h1::head_reader::HeadSpan;
use crate::limits::{REPLAY_BYTES_MAX, TCP_USER_TIMEOUT};
use crate::net::buffer::Buffer;
use crate::net::write_buffer::WriteBuffer;
use crate::proxy::connection::Connection;
use crate::proxy::download::Pumped;
use crate::proxy::pump::pump;
use crate::proxy::session::{Next, Session};
use crate::proxy::site::Route;
use crate::proxy::tunnel::tunnel;
use crate::proxy::upload::Upload;
use crate::telemetry::Outcome;
use crate::timeouts::Timeouts;
use crate::upstream::Upstream;
use crate::upstream::connection::UpstreamConnection;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

/// A request that is ready to leave.
pub(super) struct Prepared {
    pub(super) exchange: Exchange,
    pub(super) route: Rc<Route>,
    /// The head as the upstream gets it.
    head: Buffer,
}

/// An exchange that ended without a response from the upstream. In a box where it is handed on, or
/// every exchange would have the place for it.
struct Unserved {
    reply: Reply,
    /// The dial that failed, if it was one.
    dial: Option<Box<DialFailure>>,
    options: ResponseOptions,
}

impl Session {
    /// Takes the request whose head stands at `span` of the read buffer through its life.
    ///
    /// No `async fn`, because that would keep its arguments as long as the exchange lasts.
    pub(super) fn serve(&mut self, span: HeadSpan) -> impl Future<Output = Next> {
        let mut prepared = self.prepare(span);
        async move {
            // Answered out here, so that an answer takes no room beside an exchange.
            let unserved = match &mut prepared {
                Ok(prepared) => match self.exchange(prepared).await {
                    Ok(next) => return next,
                    Err(unserved) => unserved,
                },
                Err((reply, options)) => Unserved::boxed(*reply, *options, None),
            };
            // An unsent head is a buffer, and a client may take its time.
            drop(prepared);
            match unserved.reply {
                Reply::Error(error) => {
                    self.answer_error(&error, unserved.dial, unserved.options).await
                }
                Reply::Allowed => self.answer_allowed(unserved.options).await,
            }
        }
    }

    /// Makes a plan for the request, and writes the head that the upstream gets.
    fn prepare(&mut self, span: HeadSpan) -> Result<Prepared, (Reply, ResponseOptions)> {
        let Self { context, client, recorder, about, .. } = self;
        let site = context.site();
        let bytes = client.read_buffer.bytes();
        let (head, behind) = (&bytes[span.start..span.end], &bytes[span.end..]);
        let draining = context.drain.has_begun();
        match plan(head, behind, &site.routes, &site.head_limits, draining) {
            Plan::Forward(forwarded) => {
                recorder.method(forwarded.method());
                recorder.route(&forwarded.route.name);
                if forwarded.route.origins.is_some() {
                    about.is_called(forwarded.authority);
                }
                let mut head = Buffer::take();
                forwarded.put_head(head.to_append());
                let exchange = Exchange::new(forwarded.request);
                let route = Rc::clone(forwarded.route);
                client.read_buffer.consume(span.end);
                Ok(Prepared { exchange, route, head })
            }
            Plan::Answer(answer) => {
                recorder.method(answer.method);
                let OwnAnswer { reply, options, body_bytes, .. } = answer;
                client.read_buffer.consume(span.end + body_bytes);
                Err((reply, options))
            }
        }
    }

    /// Answers an OPTIONS request that is for us.
    async fn answer_allowed(&mut self, options: ResponseOptions) -> Next {
        self.recorder.answered(ALLOWED.status);
        self.queue_answer(&ALLOWED, options);
        let sent = self.send_answer().await;
        self.recorder.end(Outcome::Completed);
        if sent.is_err() || options.close { Next::End } else { Next::Request }
    }

    /// How a request is answered of which the upstream has seen nothing. Its body is skipped.
    fn options_unsent(&mut self, request: &Request) -> ResponseOptions {
        let (behind, draining) = (self.client.read_buffer.bytes(), self.context.drain.has_begun());
        let (options, body_bytes) = ResponseOptions::unforwarded(request, behind, draining);
        self.client.read_buffer.consume(body_bytes);
        options
    }

    /// By reference, because a future keeps its arguments to its end, also those it has moved on.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps a second place for arguments")]
    fn exchange<'s>(
        &'s mut self,
        prepared: &'s mut Prepared,
    ) -> impl Future<Output = Result<Next, Box<Unserved>>> + 's {
        async move {
            let connection = match self.connection(&prepared.route.upstream).await {
                Ok(connection) => connection,
                Err(failure) => {
                    let options = self.options_unsent(prepared.exchange.request());
                    let reply = Reply::Error(failure.error);
                    return Err(Unserved::boxed(reply, options, Some(failure)));
                }
            };
            let mut upload = Upload::new(prepared.exchange.request());
            let mut attempt = Attempt::first(connection, mem::take(&mut prepared.head));
            self.recorder.connected(attempt.reused);
            loop {
                let pumped = pump(self, &mut attempt.upstream, &mut upload, prepared).await;
                let (error, sent) = match pumped {
                    Ok(Pumped::Answered) => {
                        self.recorder.end(Outcome::Completed);
                        return Ok(self.settle(prepared, &upload, attempt));
                    }
                    Ok(Pumped::Switched) => {
                        // In a box, because every exchange would be as large as a tunnel otherwise.
                        let timeouts = &prepared.route.timeouts;
                        let tunnel = Box::pin(self.tunnel(&mut attempt.upstream, timeouts));
                        let tunnelled = tunnel.await;
                        return Ok(self.tunnelled(tunnelled));
                    }
                    Ok(Pumped::Doubted) => {
                        if !attempt.has_timed_out_before(self.recorder.elapsed()) {
                            attempt.upstream.write_buffer.take_copy();
                            prepared.exchange.accept_response();
                            continue;
                        }
                        let sent = attempt.upstream.write_buffer.take_copy();
                        (ExchangeError::upstream(Cause::ClosedEarly), sent)
                    }
                    Err(error) => {
                        let failure = attempt.failure(error, &prepared.exchange);
                        if failure.is_silent_death(|| attempt.acknowledged()) {
                            let idle = Duration::from_millis(attempt.idle_ms.into());
                            prepared.route.upstream.suspect(idle);
                        }
                        (error, attempt.sent_to_repeat(&failure, prepared.exchange.request()))
                    }
                };
                attempt.upstream.transport.abort();
                let Some(sent) = sent else { return self.fail(&prepared.exchange, error, None) };
                let connection = match self.fresh_connection(&prepared.route.upstream).await {
                    Ok(connection) => connection,
                    Err(dial) => return self.fail(&prepared.exchange, dial.error, Some(dial)),
                };
                prepared.exchange.start_again();
                upload.start_again();
                attempt = Attempt::second(connection, sent);
                self.recorder.connected(attempt.reused);
            }
        }
    }

    /// An open connection to the upstream, while the client is watched.
    async fn connection(
        &mut self,
        upstream: &Upstream,
    ) -> Result<UpstreamConnection, Box<DialFailure>> {
        if upstream.sends_proxy_header() {
            return self.fresh_connection(upstream).await;
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
        upstream: &Upstream,
    ) -> impl Future<Output = Result<UpstreamConnection, Box<DialFailure>>> {
        let dialing = upstream.dial(&self.who().proxy_header(&self.client.transport));
        let dialing = watched(&mut self.client, dialing);
        async move { dialing.await.map(UpstreamConnection::fresh) }
    }

    /// The exchange failed, and is not tried again.
    fn fail(
        &mut self,
        exchange: &Exchange,
        error: ExchangeError,
        dial: Option<Box<DialFailure>>,
    ) -> Result<Next, Box<Unserved>> {
        if exchange.has_response_head() {
            return Ok(Next::Cut(error));
        }
        let (request, is_read) = (exchange.request(), exchange.request_ended());
        let options = ResponseOptions::new(request, is_read, self.context.drain.has_begun());
        Err(Unserved::boxed(Reply::Error(error), options, dial))
    }

    /// Decides what becomes of both connections after a complete response.
    fn settle(&mut self, prepared: &Prepared, upload: &Upload, attempt: Attempt) -> Next {
        let mut upstream = attempt.upstream;
        let Prepared { exchange, route, .. } = prepared;
        let surplus = !upstream.read_buffer.bytes().is_empty();
        let is_reusable = !route.upstream.sends_proxy_header();
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
                route.upstream.give_back(connection);
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
        timeouts: &'s Timeouts,
    ) -> impl Future<Output = Result<(), ExchangeError>> + 's {
        let Self { context, client, recorder, alarm, .. } = self;
        let count = |up, down| recorder.bytes(up, down);
        tunnel(client, upstream, timeouts, &context.drain, alarm, count)
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
    fn boxed(reply: Reply, options: ResponseOptions, dial: Option<Box<DialFailure>>) -> Box<Self> {
        Box::new(Self { reply, dial, options })
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

    fn failure(&self, error: ExchangeError, exchange: &Exchange) -> Failure {
        let is_answered = exchange.response_state() != ResponseState::Silent;
        Failure { error, was_idle: self.was_idle, is_answered }
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
    fn sent_to_repeat(&mut self, failure: &Failure, request: &Request) -> Option<Buffer> {
        let may_be_repeated = self.upstream.write_buffer.has_copy()
            && failure.may_be_repeated(request.is_repeatable(), || self.acknowledged());
        may_be_repeated.then(|| self.upstream.write_buffer.take_copy())?
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
