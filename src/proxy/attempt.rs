//! One attempt to send a request, on one connection to the upstream.

use crate::error::ExchangeError;
use crate::gateway::access::KeyTurn;
use crate::gateway::exchange::{Exchange, Persistence, ResponseState};
use crate::gateway::retry::{Acknowledged, Failure, TimedOut};
use crate::limits::{REPLAY_BYTES_MAX, TCP_USER_TIMEOUT};
use crate::net::buffer::Buffer;
use crate::net::write_buffer::WriteBuffer;
use crate::proxy::connection::Connection;
use crate::upstream::Upstream;
use crate::upstream::connection::UpstreamConnection;
use std::task::{Context, Waker};
use std::time::Duration;

/// One sending of a request.
pub(super) struct Attempt {
    pub(super) io: Connection,
    /// The connection had carried an exchange before.
    pub(super) reused: bool,
    /// The connection was idle before, so it may have died unnoticed.
    was_idle: bool,
    /// For how long, in milliseconds.
    idle_ms: u32,
    /// Bytes that the connection had taken before the request.
    taken_before: u64,
}

impl Attempt {
    /// Sends a request that begins with `head`. Keeps a copy of what is sent if the connection may
    /// turn out to be dead, or its key may be refused.
    pub(super) fn first(connection: UpstreamConnection, head: Buffer, turn: &KeyTurn) -> Self {
        let mut attempt = Self::new(connection, head);
        if attempt.was_idle || turn.may_go_on() {
            attempt.io.write_buffer.keep_copy(REPLAY_BYTES_MAX);
        }
        attempt
    }

    /// Sends what was sent before. There is no other attempt with the same key.
    pub(super) fn second(connection: UpstreamConnection, sent: Buffer, turn: &KeyTurn) -> Self {
        let mut attempt = Self::new(connection, sent);
        if turn.may_go_on() {
            attempt.io.write_buffer.keep_copy(REPLAY_BYTES_MAX);
        }
        attempt
    }

    fn new(connection: UpstreamConnection, queued: Buffer) -> Self {
        let UpstreamConnection { transport, used: reused, was_idle, idle_ms, .. } = connection;
        let taken_before = transport.written();
        let mut io = Connection::new(transport);
        io.write_buffer = WriteBuffer::with(queued);
        Self { io, reused, was_idle, idle_ms, taken_before }
    }

    /// What was sent, if a 408 that came is about the silence before the request, which began
    /// `elapsed` ago. Otherwise it is the answer, and nothing is kept for another attempt.
    pub(super) fn take_sent_after_408(&mut self, elapsed: Duration) -> Option<Buffer> {
        let acknowledged = self.acknowledged();
        let timed_out = TimedOut { was_idle: self.was_idle, elapsed, acknowledged };
        let sent = self.io.write_buffer.take_copy();
        sent.filter(|_| timed_out.may_be_repeated())
    }

    /// What was sent, if it may be sent once more after `error`. Reports a connection that died in
    /// the pool to `upstream`.
    pub(super) fn take_sent_after(
        &mut self,
        error: ExchangeError,
        exchange: &Exchange,
        upstream: &Upstream,
    ) -> Option<Buffer> {
        let is_answered = exchange.response_state() != ResponseState::Silent;
        let failure = Failure { error, was_idle: self.was_idle, is_answered };
        if failure.is_silent_death(|| self.acknowledged()) {
            upstream.suspect(Duration::from_millis(self.idle_ms.into()));
        }
        let repeatable = exchange.request().is_repeatable();
        let may_be_repeated = self.io.write_buffer.has_copy()
            && failure.may_be_repeated(repeatable, || self.acknowledged());
        may_be_repeated.then(|| self.io.write_buffer.take_copy())?
    }

    fn acknowledged(&self) -> Acknowledged {
        match self.io.transport.nothing_acknowledged_since(self.taken_before) {
            true => Acknowledged::Nothing,
            false => Acknowledged::SomethingOrUnknown,
        }
    }

    /// Gives the connection back or ends it, now that the response is complete.
    pub(super) fn settle(self, exchange: &Exchange, upstream: &Upstream) {
        let mut io = self.io;
        let surplus = !io.read_buffer.bytes().is_empty();
        let is_reusable = !upstream.sends_proxy_header();
        match exchange.upstream_persistence(surplus) {
            Persistence::Keep if is_reusable && io.write_buffer.is_empty() => {
                io.transport.restore_user_timeout(TCP_USER_TIMEOUT);
                let seconds = exchange.upstream_keep_alive();
                upstream.give_back(UpstreamConnection {
                    transport: io.transport,
                    used: true,
                    was_idle: true,
                    idle_ms: 0,
                    times: None,
                    keep_alive: seconds.map(|seconds| Duration::from_secs(seconds.into())),
                });
            }
            Persistence::Keep | Persistence::Close
                if exchange.request_ended() && io.write_buffer.is_empty() =>
            {
                // One try is enough: it is a courtesy to a peer that has said all it had to say.
                let cx = &mut Context::from_waker(Waker::noop());
                let _ = io.transport.poll_shutdown(cx).is_ready();
            }
            // It must not take the part of the request that it has for the whole.
            Persistence::Keep | Persistence::Close => io.transport.abort(),
        }
    }
}
