//! One side of an exchange: the connection, what came from it, what goes to it.

use crate::error::{Cause, ExchangeError, Fault};
use crate::limits::PIPELINED_BYTES_MAX;
use crate::net::read_buffer::{Fill, ReadBuffer};
use crate::net::transport::Transport;
use crate::net::write_buffer::WriteBuffer;
use std::io;
use std::task::{Context, Poll};

/// The client's or the upstream's side.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) read_buffer: ReadBuffer,
    pub(super) write_buffer: WriteBuffer,
}

impl Connection {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, read_buffer: ReadBuffer::default(), write_buffer: WriteBuffer::default() }
    }

    /// Watches a client that has nothing to say: pipelined requests are kept, a limited number of
    /// bytes of them, and an end means that no client waits for a response any more.
    ///
    /// A half-close cannot be distinguished from a departure. Most clients that end their direction
    /// are gone, and a model's tokens cost money; nginx takes it for one, too.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
        self.watch_behind(cx, 0)
    }

    /// The same watch while a head of `head_bytes` waits in front of what else is kept.
    pub(super) fn watch_behind(
        &mut self,
        cx: &mut Context<'_>,
        head_bytes: usize,
    ) -> Result<(), ExchangeError> {
        if self.is_full_behind(head_bytes) {
            return self.watch_unread();
        }
        while !self.is_full_behind(head_bytes) {
            let room = head_bytes + PIPELINED_BYTES_MAX - self.read_buffer.bytes().len();
            match self.read_buffer.poll_fill_up_to(cx, &mut self.transport, room) {
                Poll::Pending => break,
                Poll::Ready(Ok(Fill::Bytes)) => {}
                Poll::Ready(Ok(Fill::End) | Err(_)) => return Err(GONE),
            }
        }
        Ok(())
    }

    /// Reads on in a head of no more than `bytes_max`, and, where a part of it is here, not much of
    /// what is behind: a large head, with a large part of a body, would take the memory of both.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn poll_rest_of_head(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<io::Result<Fill>> {
        let most = bytes_max + PIPELINED_BYTES_MAX;
        let room = most.saturating_sub(self.read_buffer.bytes().len()).max(1);
        self.read_buffer.poll_fill_up_to(cx, &mut self.transport, room)
    }

    /// Whether no more is read ahead behind a head of `head_bytes`.
    pub(super) fn is_full_behind(&self, head_bytes: usize) -> bool {
        self.read_buffer.bytes().len() >= head_bytes + PIPELINED_BYTES_MAX
    }

    /// The same watch without reading: sees a FIN or a reset behind bytes that have to wait. What
    /// TLS says it cannot see.
    pub(super) fn watch_unread(&self) -> Result<(), ExchangeError> {
        if self.transport.has_hung_up() { Err(GONE) } else { Ok(()) }
    }

    /// Ready when the other end has taken all that was sent to it.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_buffer.poll_drain(cx, &mut self.transport)
    }
}

/// The client left before it had its answer: by FIN, by close_notify, by a reset; it is all one.
pub(super) const GONE: ExchangeError = ExchangeError { fault: Fault::Client, cause: Cause::Gone };

/// The relay stops, and what still runs has had its time.
pub(super) const STOPPED: ExchangeError =
    ExchangeError { fault: Fault::Internal, cause: Cause::Stopped };
