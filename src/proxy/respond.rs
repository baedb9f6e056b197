//! Our own answers, and the slow end of a connection that has just had its last one.

use crate::deadline::{Deadline, Halt, Timer};
use crate::error::{Answer, Cause, ExchangeError, Peer};
use crate::h1::encode::{OwnResponse, put_own_response};
use crate::net::buffer::with_scratch;
use crate::ops::date::with_date;
use crate::proxy::session::Session;
use std::future::poll_fn;

/// How an own answer is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// The connection ends with this answer.
    pub(super) close: bool,
    /// The request was HEAD.
    pub(super) head_only: bool,
    /// The client speaks HTTP/1.0 and has to be told that the connection stays.
    pub(super) tell_keep_alive: bool,
}

impl Manner {
    /// Of a request about which nothing is known.
    pub(super) const CLOSE: Self = Self { close: true, head_only: false, tell_keep_alive: false };
}

impl Session {
    /// Queues an answer of our own.
    pub(super) fn queue_answer(&mut self, answer: &Answer, manner: Manner) {
        with_date(|date| {
            let response = OwnResponse {
                status: answer.status,
                reason: answer.reason,
                fields: answer.fields,
                code: answer.code,
                message: answer.message,
                date,
                close: manner.close,
                head_only: manner.head_only,
                keep_alive: manner.tell_keep_alive && !manner.close,
            };
            put_own_response(self.client.outbox.queue(), &response);
        });
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The client does not take it: by its socket, or in time.
    pub(super) async fn send_answer(&mut self) -> Result<(), Halt> {
        let deadline = Deadline::start(Timer::ToClientWrite, &self.context.snapshot.timeouts);
        let client = &mut self.client;
        self.alarm.bound(deadline, poll_fn(|cx| client.poll_drain(cx))).await
    }

    /// Tells a client that there are too many already, and ends.
    pub async fn turn_away(&mut self) {
        let error = ExchangeError { peer: Peer::Narrows, cause: Cause::TooManyConnections };
        if let Some(answer) = error.answer() {
            self.queue_answer(&answer, Manner::CLOSE);
        }
        if self.send_answer().await.is_ok() {
            self.end().await;
        }
    }

    /// Ends the connection so that the last response arrives (RFC 9112, section 9.6): our
    /// direction first; then the client's is read to its end, for a limited time, because a
    /// close with unread bytes is a reset, and a reset can overtake the response.
    pub(super) async fn end(&mut self) {
        let deadline = Deadline::start(Timer::Linger, &self.context.snapshot.timeouts);
        let transport = &mut self.client.transport;
        let shutdown = poll_fn(|cx| transport.poll_shutdown(cx));
        if self.alarm.bound(deadline, shutdown).await.is_err() {
            return;
        }
        let transport = &mut self.client.transport;
        let discard = poll_fn(|cx| with_scratch(|scratch| transport.poll_discard(cx, scratch)));
        // However it ends, the connection is over.
        let _ = self.alarm.bound(deadline, discard).await;
    }
}
