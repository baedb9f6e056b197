//! The way up: the request's body to the upstream, and the watch over a client that waits.

use crate::clock::{Deadline, IdleClock};
use crate::error::{Cause, ExchangeError};
use crate::gateway::exchange::Exchange;
use crate::gateway::request::Request;
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::framing::BodyLength;
use crate::limits::DEFAULT_USER_TIMEOUT_BYTES_MAX;
use crate::net::buffer::with_scratch;
use crate::net::read_buffer::Fill;
use crate::proxy::body_relay::{BodyError, BodyRelay, READS_PER_TURN};
use crate::proxy::connection::{Connection, GONE};
use crate::timeouts::{Timeouts, Timer};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// The state of the way up: what was read of the request, and how its sending goes.
#[derive(Debug)]
pub(super) struct Upload {
    relay: BodyRelay,
    sending: Sending,
}

/// The state of one sending of a request. One that is sent once more begins with a new one.
#[derive(Debug)]
struct Sending {
    state: State,
    clock: IdleClock,
    /// Bytes that the upstream's socket had taken at the last look.
    taken: u64,
    /// The client asked whether to send its body, and waits for an answer.
    asked: bool,
    /// The upstream may leave bytes unacknowledged for long.
    user_timeout_raised: bool,
    /// From when on, and until when, the final response head is waited for.
    answer_by: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The head is queued, and the first bytes of the body may already be here.
    Fresh,
    /// The body is on its way.
    Body,
    /// The request is with the upstream.
    Sent,
    /// The upstream's socket takes nothing any more. It may have answered before it closed, so
    /// this alone is no error.
    WriteFailed,
}

impl Upload {
    pub(super) fn new(request: &Request) -> Self {
        let body = request.body;
        let writer = match body {
            BodyLength::Chunked => BodyWriter::Chunked,
            BodyLength::None | BodyLength::Exact(_) | BodyLength::UntilClose => BodyWriter::Bare,
        };
        Self {
            relay: BodyRelay::of_request(BodyReader::new(body), writer),
            sending: Sending::new(request),
        }
    }

    /// Whether the upstream was given more time than a connection has otherwise.
    pub(super) fn user_timeout_raised(&self) -> bool {
        self.sending.user_timeout_raised
    }

    /// Octets of content that went up.
    pub(super) fn content_bytes(&self) -> u64 {
        self.relay.content_bytes()
    }

    /// The same request once more, to another connection: what was sent of it is queued there.
    pub(super) fn start_again(&mut self, request: &Request) {
        self.sending = Sending::new(request);
    }

    /// Moves what can be moved. An error is the end of the exchange.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
        exchange: &mut Exchange,
        timeouts: &Timeouts,
    ) -> Result<(), ExchangeError> {
        if self.sending.state == State::Fresh {
            self.begin(cx, client, upstream)?;
        }
        for _ in 0..READS_PER_TURN {
            if self.poll_room(cx, upstream, timeouts).is_pending() {
                return client.watch_unread();
            }
            if self.sending.state == State::Body && self.relay.is_finished() {
                self.sending.state = State::Sent;
                self.sending.answer_by = Some(Deadline::start(Timer::ResponseHead, timeouts).at);
                exchange.end_request();
            }
            match self.sending.state {
                State::Fresh | State::Body => {
                    if self.poll_body(cx, client, upstream)?.is_pending() {
                        return Ok(());
                    }
                }
                State::Sent => return client.watch(cx),
                // What a request may still be repeated with must not be thrown away.
                State::WriteFailed if upstream.write_buffer.has_copy() => {
                    return client.watch_unread();
                }
                State::WriteFailed => return discard(cx, client),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Sends the head and the body bytes that came with it in one write.
    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
    ) -> Result<(), ExchangeError> {
        self.sending.state = State::Body;
        let Connection { transport, write_buffer, .. } = upstream;
        let passed = self.relay.pass(cx, client.read_buffer.bytes(), write_buffer, transport);
        client.read_buffer.consume(passed.map_err(broken)?);
        Ok(())
    }

    /// Ready when the upstream has taken everything, or takes nothing any more.
    fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Connection,
        timeouts: &Timeouts,
    ) -> Poll<()> {
        let drained = upstream.poll_drain(cx);
        let taken = upstream.transport.written();
        if taken != self.sending.taken {
            self.sending.taken = taken;
            self.sending.clock.stamp();
        }
        match drained {
            Poll::Ready(Ok(())) => {
                if self.relay.content_bytes() > DEFAULT_USER_TIMEOUT_BYTES_MAX {
                    self.raise_user_timeout(upstream, timeouts);
                }
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) => {
                self.fail_writes(upstream, timeouts);
                Poll::Ready(())
            }
            Poll::Pending => {
                self.raise_user_timeout(upstream, timeouts);
                Poll::Pending
            }
        }
    }

    /// From now on the upstream's window may be shut for as long as its limit says.
    fn raise_user_timeout(&mut self, upstream: &Connection, timeouts: &Timeouts) {
        if !self.sending.user_timeout_raised {
            self.sending.user_timeout_raised = true;
            upstream.transport.set_user_timeout(timeouts.to_upstream_write);
        }
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
    ) -> Result<Poll<()>, ExchangeError> {
        let Connection { transport, write_buffer, .. } = upstream;
        let relay = &mut self.relay;
        let passed = client.read_buffer.poll_pass(cx, &mut client.transport, |cx, bytes| {
            relay.pass(cx, bytes, write_buffer, transport)
        });
        match passed {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(Ok(Fill::Bytes))) => self.sending.clock.stamp(),
            Poll::Ready(Ok(Ok(Fill::End)) | Err(_)) => return Err(GONE),
            Poll::Ready(Ok(Err(error))) => return Err(broken(error)),
        }
        Ok(Poll::Ready(()))
    }

    fn fail_writes(&mut self, upstream: &mut Connection, timeouts: &Timeouts) {
        self.sending.state = State::WriteFailed;
        self.sending.answer_by.get_or_insert(Deadline::start(Timer::ResponseHead, timeouts).at);
        upstream.write_buffer.give_up();
    }

    /// The upstream has said something: a client that asked whether to send its body may know now.
    pub(super) fn go_ahead(&mut self) {
        if self.sending.asked {
            self.sending.asked = false;
            self.sending.clock.stamp();
        }
    }

    /// The limit that the way up is under now.
    pub(super) fn deadline(
        &mut self,
        upstream: &Connection,
        timeouts: &Timeouts,
    ) -> Option<Deadline> {
        if !upstream.write_buffer.is_empty() {
            return Some(self.sending.clock.deadline(Timer::ToUpstreamWrite, timeouts));
        }
        match self.sending.state {
            // It is the upstream that is slow, not the client (RFC 9110, section 10.1.1).
            State::Fresh | State::Body if self.sending.asked && self.relay.content_bytes() == 0 => {
                Some(self.sending.clock.deadline(Timer::ResponseHead, timeouts))
            }
            State::Fresh | State::Body => {
                Some(self.sending.clock.deadline(Timer::ToUpstreamRead, timeouts))
            }
            State::Sent | State::WriteFailed => None,
        }
    }

    /// Whether the client cannot be read now, so that its departure would wake nobody.
    pub(super) fn must_poll_for_hangup(&self, client: &Connection, upstream: &Connection) -> bool {
        match self.sending.state {
            State::Fresh | State::Body => !upstream.write_buffer.is_empty(),
            State::Sent => client.is_full(),
            State::WriteFailed => upstream.write_buffer.has_copy(),
        }
    }

    /// Until when the final response head has to be here; none while the request is on its way.
    pub(super) fn answer_by(&self) -> Option<Deadline> {
        self.sending.answer_by.map(|at| Deadline { at, timer: Timer::ResponseHead })
    }
}

impl Sending {
    fn new(request: &Request) -> Self {
        Self {
            state: State::Fresh,
            clock: IdleClock::default(),
            taken: 0,
            asked: request.expects_continue,
            user_timeout_raised: false,
            answer_by: None,
        }
    }
}

/// Throws away what a client goes on sending to an upstream that does not listen. To stop reading
/// would hold back a client that writes all of its body before it reads the answer.
fn discard(cx: &mut Context<'_>, client: &mut Connection) -> Result<(), ExchangeError> {
    let discarded = with_scratch(|scratch| client.transport.poll_discard(cx, scratch));
    if discarded.is_ready() { Err(GONE) } else { Ok(()) }
}

fn broken(error: BodyError) -> ExchangeError {
    match error {
        BodyError::Chunk(error) => ExchangeError::client(Cause::Chunk(error)),
        BodyError::Trailers(error) => ExchangeError::client(Cause::Trailers(error)),
    }
}
