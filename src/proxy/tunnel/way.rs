//! One direction of a tunnel: [`Way`].

use crate::error::{ExchangeError, Fault};
use crate::net::read_buffer::Fill;
use crate::net::splice::{Splice, Spliced};
use crate::proxy::body_relay::READS_PER_TURN;
use crate::proxy::connection::Connection;
use crate::tls::fault;
use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll, ready};

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    sender: Fault,
    /// Bytes that have come from the sender.
    pub(super) bytes: u64,
    pub(super) state: WayState,
    splice: Splice,
    /// The receiver accepts nothing now, so the sender is not read (backpressure).
    pub(super) is_blocked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WayState {
    /// The sender is read.
    Open,
    /// The sender has ended its side. Ours ends when everything is drained.
    Ending,
    /// Our side towards the receiver is shut down.
    Ended,
}

impl Way {
    /// From `sender` to the other side.
    pub(super) fn from(sender: Fault) -> Self {
        let (splice, state) = (Splice::default(), WayState::Open);
        Self { sender, bytes: 0, state, splice, is_blocked: false }
    }

    fn receiver(&self) -> Fault {
        match self.sender {
            Fault::Client => Fault::Upstream,
            Fault::Upstream | Fault::Internal => Fault::Client,
        }
    }

    /// How many bytes the socket of `to` has taken.
    pub(super) fn passed(&self, to: &Connection) -> u64 {
        let held = to.write_buffer.held_bytes() + self.splice.held_bytes();
        self.bytes.saturating_sub(held as u64)
    }

    /// Forwards what can be forwarded. Ready when the direction has ended in order.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Connection,
        to: &mut Connection,
    ) -> Result<Poll<()>, ExchangeError> {
        self.begin(cx, from, to);
        for _ in 0..READS_PER_TURN {
            let room = self.poll_room(cx, to);
            self.is_blocked = room.is_pending();
            match room {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(drained) => drained.map_err(|it| fault::of_io(self.receiver(), &it))?,
            }
            match self.state {
                WayState::Ended => return Ok(Poll::Ready(())),
                WayState::Ending => match to.transport.poll_shutdown(cx) {
                    Poll::Pending => return Ok(Poll::Pending),
                    // A receiver that has left needs no end.
                    Poll::Ready(Ok(()) | Err(_)) => self.state = WayState::Ended,
                },
                WayState::Open => match self.poll_read(cx, from, to) {
                    Poll::Pending => return Ok(Poll::Pending),
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Err(fault::of_io(self.sender, &error)),
                },
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Forwards what was read together with the head, before the tunnel began.
    pub(super) fn begin(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Connection,
        to: &mut Connection,
    ) {
        let held = from.read_buffer.bytes();
        if !held.is_empty() {
            self.bytes += held.len() as u64;
            to.write_buffer.send(cx, &mut to.transport, &[held]);
            from.read_buffer.consume(held.len());
        }
    }

    /// Ready when the receiver has taken everything, copied or spliced.
    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Connection,
    ) -> Poll<io::Result<()>> {
        ready!(to.poll_drain(cx))?;
        match to.transport.plain() {
            Some(tcp) => self.splice.poll_drain(cx, tcp),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Forwards one read.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Connection,
        to: &mut Connection,
    ) -> Poll<io::Result<()>> {
        if let (Some(from), Some(_)) = (from.transport.plain(), to.transport.plain()) {
            match ready!(self.splice.poll_fill(cx, from))? {
                Spliced::NoPipe => {}
                Spliced::Bytes(len) => {
                    self.bytes += len as u64;
                    return Poll::Ready(Ok(()));
                }
                Spliced::End => {
                    self.state = WayState::Ending;
                    return Poll::Ready(Ok(()));
                }
            }
        }
        self.poll_copy(cx, from, to)
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Connection,
        to: &mut Connection,
    ) -> Poll<io::Result<()>> {
        let Connection { transport, write_buffer, .. } = to;
        let passed = ready!(from.read_buffer.poll_pass(cx, &mut from.transport, |cx, bytes| {
            write_buffer.send(cx, transport, &[bytes]);
            self.bytes += bytes.len() as u64;
            Ok::<_, Infallible>(bytes.len())
        }));
        Poll::Ready(passed.map(|passed| match passed {
            Ok(Fill::Bytes) => {}
            Ok(Fill::End) => self.state = WayState::Ending,
        }))
    }
}
