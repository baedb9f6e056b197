//! One side of an exchange: the connection, what came from it, what goes to it.
//!
//! Not here: the watch over a client that waits (`departure`).

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

    /// Reads more of a head of at most `bytes_max`, and little of what follows it: a large head
    /// with a large part of a body would need memory for both.
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

    /// Ready when the other end has taken all that was sent to it.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_buffer.poll_drain(cx, &mut self.transport)
    }
}

/// The relay stops, and the exchange has used up the time that a stop leaves it.
pub(super) const STOPPED: ExchangeError =
    ExchangeError { fault: Fault::Internal, cause: Cause::Stopped };
