//! A request that is not forwarded.

use crate::error::{Cause, ExchangeError};
use crate::gateway::answer::{Reply, ResponseOptions};
use crate::gateway::request::Request;
use crate::h1::head_reader::HeadSpan;
use crate::proxy::client_connection::Unserved;
use crate::proxy::connection::Connection;

/// A request that is not forwarded, and our answer.
pub(super) struct Declined {
    reply: Reply,
    options: ResponseOptions,
    /// Its head is still here, and may be looked at again.
    pub(super) later: Option<HeadSpan>,
}

impl Declined {
    pub(super) fn answered(reply: Reply, options: ResponseOptions) -> Self {
        Self { reply, options, later: None }
    }

    /// Its head of as many bytes is at the front of the client's read buffer. It stays there if the
    /// client is at its limit and may be looked at again.
    pub(super) fn by(
        error: ExchangeError,
        io: &mut Connection,
        head_bytes: usize,
        request: Request,
        draining: bool,
        may_look_again: bool,
    ) -> Self {
        let reply = Reply::Error(error);
        if may_look_again && error.cause == Cause::ClientExchanges {
            let later = Some(HeadSpan { start: 0, end: head_bytes });
            return Self { reply, options: ResponseOptions::CLOSE, later };
        }
        Self::answered(reply, declined(io, head_bytes, &request, draining))
    }

    pub(super) fn to_unserved(&self) -> Box<Unserved> {
        Unserved::boxed(self.reply, self.options, None)
    }
}

/// Declines a request whose head of as many bytes is at the front of the client's read buffer, and
/// which could be forwarded. Its body is skipped, as far as it is here.
pub(super) fn declined(
    io: &mut Connection,
    head_bytes: usize,
    request: &Request,
    draining: bool,
) -> ResponseOptions {
    io.read_buffer.consume(head_bytes);
    let behind = io.read_buffer.bytes();
    let (options, body_bytes) = ResponseOptions::unforwarded(request, behind, draining);
    io.read_buffer.consume(body_bytes);
    options
}
