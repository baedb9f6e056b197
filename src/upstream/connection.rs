//! An open connection to an upstream: [`UpstreamConnection`]; and `Checked`, one that was silent
//! when it was last polled.
//!
//! No connection that has been idle is used without that check. What an upstream sends after one
//! response would be taken for the beginning of the next, and a request on a connection that has
//! ended is lost.

use crate::net::transport::Transport;
use crate::telemetry::DialTimes;
use crate::upstream::dial::NewConnection;
use crate::upstream::health::Speculative;
use crate::upstream::trouble_log::Ending;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::coop::unconstrained;

/// An open connection to an upstream.
#[derive(Debug)]
pub struct UpstreamConnection {
    /// The connection, after its handshake.
    pub transport: Transport,
    /// It has carried an exchange before.
    pub used: bool,
    /// It has been idle, so that the upstream may be closing it at this moment.
    pub was_idle: bool,
    /// For how long it was idle before it was taken. In milliseconds and 32 bits, because an
    /// exchange keeps it.
    pub idle_ms: u32,
    /// For how long the upstream said that it keeps the connection idle.
    pub keep_alive: Option<Duration>,
    /// How long it took to open it, until it has carried an exchange.
    pub times: Option<DialTimes>,
}

/// What a poll of an idle connection found.
pub(super) enum Heard {
    /// Nothing: it is idle.
    Silence,
    /// The upstream closed it, or it broke, or bytes came that answer nothing.
    End(Ending),
}

impl UpstreamConnection {
    /// A connection that has carried nothing.
    pub fn fresh(NewConnection { transport, times }: NewConnection) -> Self {
        let times = Some(times);
        Self { transport, used: false, was_idle: false, idle_ms: 0, keep_alive: None, times }
    }

    /// Polls an idle connection, which anything but silence ends. TLS session tickets are silence:
    /// TLS takes them in and has nothing to show.
    pub(super) fn listen(&mut self, cx: &mut Context<'_>) -> Heard {
        // Outside of the task's budget: a read that the runtime put off would pass for silence.
        let read = pin!(unconstrained(poll_fn(|cx| self.transport.poll_read(cx, &mut [0]))));
        match read.poll(cx) {
            Poll::Pending => Heard::Silence,
            Poll::Ready(Ok(0)) => Heard::End(Ending::CLOSED),
            Poll::Ready(Ok(_)) => Heard::End(Ending::BYTES),
            Poll::Ready(Err(error)) => Heard::End(Ending::failed(&error)),
        }
    }

    /// Listens once more, to one that was silent before: a look at what the runtime has seen of its
    /// socket since is enough while that is nothing.
    pub(super) fn listen_again(&mut self) -> Heard {
        match self.transport.tcp().is_some_and(|tcp| !tcp.is_ready_to_read()) {
            true => Heard::Silence,
            false => self.listen(&mut Context::from_waker(Waker::noop())),
        }
    }

    /// The connection, if it has been silent since its last exchange ended. From now on its
    /// readiness wakes `maintenance`, not the session that it served last.
    pub(super) fn check(mut self, maintenance: &Waker) -> Option<Checked> {
        let heard = self.listen(&mut Context::from_waker(maintenance));
        matches!(heard, Heard::Silence).then_some(Checked { connection: self, speculative: None })
    }
}

/// A connection that was silent when it was last polled, or a fresh one.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) connection: UpstreamConnection,
    /// No request has asked for it yet.
    pub(super) speculative: Option<Speculative>,
}

impl Checked {
    /// A connection that no one has used. Whatever the upstream does with it is the answer to its
    /// first request: another connection would meet with the same.
    pub(super) fn fresh(connection: NewConnection, speculative: Option<Speculative>) -> Self {
        Self { connection: UpstreamConnection::fresh(connection), speculative }
    }

    /// The connection, if it is still silent.
    pub(super) fn take(self) -> Option<UpstreamConnection> {
        let Self { connection, speculative } = self;
        if let Some(speculative) = speculative {
            speculative.used();
        }
        if connection.was_idle {
            connection.check(Waker::noop()).map(|checked| checked.connection)
        } else {
            Some(connection)
        }
    }
}
