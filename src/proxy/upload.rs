//! Client to upstream: the request's body. After it the client is watched (`departure`).
//!
//! Not here: what this means for the exchange (`gateway::exchange`), and which limits of time run
//! (`gateway::due`).

use crate::clock::IdleClock;
use crate::error::ExchangeError;
use crate::gateway::access::KeyTurn;
use crate::gateway::due::Clock;
use crate::gateway::exchange::{Exchange, RequestState};
use crate::gateway::request::Request;
use crate::h1::body::BodyReader;
use crate::limits::DEFAULT_USER_TIMEOUT_BYTES_MAX;
use crate::net::buffer::with_scratch;
use crate::net::read_buffer::Fill;
use crate::proxy::acceptance::Acceptance;
use crate::proxy::body_relay::{BodyError, BodyRelay, READS_PER_TURN};
use crate::proxy::connection::Connection;
use crate::proxy::departure::{GONE, watch, watch_unread};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// What moves a request's body to the upstream.
#[derive(Debug)]
pub(super) struct Upload {
    relay: BodyRelay,
    /// When a byte last moved, or when the request ended.
    clock: IdleClock,
    /// Bytes that the upstream's socket had taken at the last look.
    taken: u64,
    /// The head has left, with the bytes of the body that were here already.
    begun: bool,
    /// Which of the route's keys the request is sent with.
    pub(super) turn: KeyTurn,
}

impl Upload {
    pub(super) fn new(request: &Request, turn: KeyTurn) -> Self {
        let reader = BodyReader::new(request.body);
        Self {
            relay: BodyRelay::of_request(reader, request.writer()),
            clock: IdleClock::default(),
            taken: 0,
            begun: false,
            turn,
        }
    }

    /// The same request goes to another connection, on which all that was sent of it is queued.
    /// What was read of it stays read.
    pub(super) fn start_again(&mut self) {
        self.clock.stamp();
        (self.taken, self.begun) = (0, false);
    }

    /// Octets of content that went up.
    pub(super) fn content_bytes(&self) -> u64 {
        self.relay.content_bytes()
    }

    /// Moves what can be moved. An error is the end of the exchange.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
        exchange: &mut Exchange,
        acceptance: &mut Acceptance,
    ) -> Result<(), ExchangeError> {
        if !self.begun {
            self.begin(cx, client, upstream)?;
        }
        for _ in 0..READS_PER_TURN {
            if self.poll_room(cx, upstream, exchange, acceptance).is_pending() {
                return watch_unread(client);
            }
            if exchange.request_state() == RequestState::Sending && self.relay.is_finished() {
                exchange.end_request();
                self.expect_answer();
            }
            match exchange.request_state() {
                RequestState::Sending => {
                    if self.poll_body(cx, client, upstream)?.is_pending() {
                        return Ok(());
                    }
                }
                RequestState::Sent => return watch(client, cx),
                // Bytes that a repeat of the request may need must not be discarded.
                RequestState::Refused if upstream.write_buffer.has_copy() => {
                    return watch_unread(client);
                }
                RequestState::Refused => return discard(cx, client),
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
        self.begun = true;
        let Connection { transport, write_buffer, .. } = upstream;
        let bytes = client.read_buffer.bytes();
        let passed = self.relay.pass(cx, bytes, write_buffer, transport, None, None);
        client.read_buffer.consume(passed.map_err(broken)?);
        Ok(())
    }

    /// Ready when the upstream has taken everything, or has failed to.
    fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Connection,
        exchange: &mut Exchange,
        acceptance: &mut Acceptance,
    ) -> Poll<()> {
        let drained = upstream.poll_drain(cx);
        let taken = upstream.transport.written();
        if taken != self.taken && exchange.request_state() == RequestState::Sending {
            self.taken = taken;
            self.clock.stamp();
        }
        match drained {
            Poll::Ready(Ok(())) => {
                if self.relay.content_bytes() > DEFAULT_USER_TIMEOUT_BYTES_MAX {
                    acceptance.begin(Clock::Upload, &upstream.transport);
                }
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) => {
                exchange.refuse_request();
                self.expect_answer();
                upstream.write_buffer.give_up();
                Poll::Ready(())
            }
            Poll::Pending => {
                acceptance.begin(Clock::Upload, &upstream.transport);
                Poll::Pending
            }
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
            relay.pass(cx, bytes, write_buffer, transport, None, None)
        });
        match passed {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(Ok(Fill::Bytes))) => self.clock.stamp(),
            Poll::Ready(Ok(Ok(Fill::End)) | Err(_)) => return Err(GONE),
            Poll::Ready(Ok(Err(error))) => return Err(broken(error)),
        }
        Ok(Poll::Ready(()))
    }

    /// The request has ended: the upstream's time to answer begins now, whatever else the exchange
    /// waits for meanwhile, and does not start again.
    fn expect_answer(&mut self) {
        self.clock.stamp();
        let _begun = self.clock.since();
    }

    /// The client's gap begins anew: until now it waited for us to say that it may go on.
    pub(super) fn restart_gap(&mut self) {
        self.clock.stamp();
    }

    /// The upstream's kernel has acknowledged more: if its socket accepts nothing meanwhile, its
    /// gap begins anew.
    pub(super) fn note_progress(&mut self, upstream: &Connection) {
        if !upstream.write_buffer.is_empty() {
            self.clock.stamp();
        }
    }

    /// Since when the clock of the way up runs.
    pub(super) fn gap_began(&mut self) -> Instant {
        self.clock.since()
    }
}

/// Discards what a client still sends after the upstream has stopped reading. Without that, a
/// client that writes its whole body before it reads would never read the answer.
fn discard(cx: &mut Context<'_>, client: &mut Connection) -> Result<(), ExchangeError> {
    let discarded = with_scratch(|scratch| client.transport.poll_discard(cx, scratch));
    if discarded.is_ready() { Err(GONE) } else { Ok(()) }
}

fn broken(error: BodyError) -> ExchangeError {
    ExchangeError::client(error.into())
}
