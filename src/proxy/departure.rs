//! The watch over a client that waits for its response: one that leaves ends the exchange, so that
//! no upstream works for it any longer. A model's tokens cost money.
//!
//! A departure is a FIN, a close_notify, a reset, or another error of the socket. A half-close
//! looks the same as a departure and is treated as one: most clients that end their direction are
//! gone. nginx does so, too.
//!
//! Where the client may be read, a departure wakes the task. Bytes that arrive are the next
//! request; a limited number of them is kept. Where the client must not be read, because of
//! backpressure or because enough is kept, each poll asks the kernel, and `gateway::due` makes sure
//! that a running exchange is polled now and then.
//!
//! Not here: peers of a tunnel (`dead_peer`).

use crate::error::{Cause, ExchangeError, Fault};
use crate::limits::PIPELINED_BYTES_MAX;
use crate::net::read_buffer::Fill;
use crate::proxy::connection::Connection;
use std::task::{Context, Poll};

/// The client left before it had its response.
pub(super) const GONE: ExchangeError = ExchangeError { fault: Fault::Client, cause: Cause::Gone };

/// Fails if the client has left. Reads what has arrived, up to [`PIPELINED_BYTES_MAX`].
pub(super) fn watch(client: &mut Connection, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
    watch_after_head(client, cx, 0)
}

/// The same while the read buffer begins with a head of `head_bytes`, which does not count.
pub(super) fn watch_after_head(
    client: &mut Connection,
    cx: &mut Context<'_>,
    head_bytes: usize,
) -> Result<(), ExchangeError> {
    if is_full_after_head(client, head_bytes) {
        return watch_unread(client);
    }
    while !is_full_after_head(client, head_bytes) {
        let room = head_bytes + PIPELINED_BYTES_MAX - client.read_buffer.bytes().len();
        match client.read_buffer.poll_fill_up_to(cx, &mut client.transport, room) {
            Poll::Pending => break,
            Poll::Ready(Ok(Fill::Bytes)) => {}
            Poll::Ready(Ok(Fill::End) | Err(_)) => return Err(GONE),
        }
    }
    Ok(())
}

/// The same without a read: sees a FIN or a reset even if bytes precede it that are not read yet,
/// but no close_notify.
pub(super) fn watch_unread(client: &Connection) -> Result<(), ExchangeError> {
    if client.transport.has_hung_up() { Err(GONE) } else { Ok(()) }
}

/// Whether as many bytes as allowed are kept after a head of `head_bytes`.
pub(super) fn is_full_after_head(client: &Connection, head_bytes: usize) -> bool {
    client.read_buffer.bytes().len() >= head_bytes + PIPELINED_BYTES_MAX
}
