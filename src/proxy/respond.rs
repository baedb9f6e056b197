//! Our own answers, and the slow end of a connection that has just had its last one.

use crate::clock::{Deadline, Halt};
use crate::error::{Cause, ExchangeError, Fault};
use crate::gateway::answer::{Answer, ResponseOptions, put_answer};
use crate::limits::LINGER_MAX;
use crate::net::buffer::with_scratch;
use crate::net::date::with_date;
use crate::net::read_limit::PlainHttp;
use crate::proxy::delivery::{Delivery, Patience};
use crate::proxy::session::{Next, Session};
use crate::timeouts::{Timeouts, Timer};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

impl Session {
    /// Queues an answer of our own.
    pub(super) fn queue_answer(&mut self, answer: &Answer, options: ResponseOptions) {
        with_date(|date| put_answer(self.client.write_buffer.queue(), answer, options, date));
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The client does not take it: by its socket, or in time.
    pub(super) async fn send_answer(&mut self) -> Result<(), Halt> {
        let deadline = Deadline::start(Timer::ToClientWrite, &self.context.site().timeouts);
        let client = &mut self.client;
        self.alarm.bound(deadline, poll_fn(|cx| client.poll_drain(cx))).await
    }

    /// Tells a client that there are too many already, and ends.
    pub async fn turn_away(&mut self) {
        let error = ExchangeError { fault: Fault::Internal, cause: Cause::TooManyConnections };
        if let Some(answer) = error.answer() {
            self.queue_answer(&answer, ResponseOptions::CLOSE);
        }
        if self.send_answer().await.is_ok() {
            self.end().await;
        }
    }

    /// Tells a client that has begun with plain HTTP where HTTPS is spoken, and ends.
    pub async fn refuse_plain_http(&mut self, request: PlainHttp) {
        self.recorder.start();
        let error = ExchangeError::client(Cause::PlainHttp);
        let options = ResponseOptions { head_only: request.may_be_head, ..ResponseOptions::CLOSE };
        match self.answer_error(&error, None, options).await {
            Next::Request | Next::End => self.end().await,
            Next::Cut(_) | Next::Abort => self.client.transport.abort(),
        }
    }

    /// Ends the connection so that the last response arrives (RFC 9112, section 9.6): our
    /// direction first, then what the client still sends is read, because a close with unread
    /// bytes is a reset, and a reset can overtake the response.
    pub(super) async fn end(&mut self) {
        let deadline = Deadline::start(Timer::ToClientWrite, &self.context.site().timeouts);
        let transport = &mut self.client.transport;
        let shutdown = poll_fn(|cx| transport.poll_shutdown(cx));
        if self.alarm.bound(deadline, shutdown).await.is_ok() {
            self.linger().await;
        }
    }

    /// Ends the connection in the middle of a response for `error`, so that what there is of it
    /// arrives, and is not taken for complete (RFC 9112, section 8).
    ///
    /// Framing tells that its end is missing, so a FIN suffices, without close_notify behind TLS.
    /// Where nothing but the end of the connection would tell, it is a reset, and comes when the
    /// client's kernel has everything.
    pub(super) async fn cut(&mut self, error: &ExchangeError) {
        let mut patience = patience(&self.context.site().timeouts);
        if matches!(error.cause, Cause::Timeout(Timer::ToClientWrite)) {
            // It has had the time already. A client that has left has not: if it has indeed, its
            // kernel takes nothing and says so, and if it has ended its direction alone, it reads.
            patience.gap = Duration::ZERO;
        }
        let resets = self.client.transport.only_its_end_tells();
        let mut delivery = Delivery::new(&self.client.transport, patience);
        let Self { client, alarm, .. } = self;
        let delivering = poll_fn(|cx| {
            let drained = client.poll_drain(cx);
            if resets {
                delivery.poll_acknowledged(cx, drained, &client.transport, alarm)
            } else {
                delivery.poll_taken(cx, drained, &client.transport, alarm)
            }
        });
        let delivered = delivering.await;
        self.recorder.not_sent(self.client.write_buffer.held_bytes());
        self.recorder.fail(error, false);
        if resets || delivered.is_err() {
            return self.client.transport.abort();
        }
        let transport = &mut self.client.transport;
        if poll_fn(|cx| transport.poll_hang_up(cx)).await.is_ok() {
            self.linger().await;
        }
    }

    /// Reads on and throws away what comes, until the client ends, or is silent for `linger` and
    /// takes nothing; a client that goes on sending may do so for [`LINGER_MAX`] in all.
    async fn linger(&mut self) {
        let Self { context, client, alarm, .. } = self;
        let gap = context.site().timeouts.linger;
        let begun = Instant::now();
        let last = begun + LINGER_MAX.max(gap);
        let (mut since, mut left) = (begun, None);
        poll_fn(|cx| {
            let read = with_scratch(|scratch| client.transport.poll_read(cx, scratch));
            let now = Instant::now();
            match read {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {
                    since = now;
                    // The turn is that of others now: a peer that sends as fast as we read would
                    // have it for long.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending => {}
            }
            let end = last.min(since + gap);
            if alarm.poll(cx, end).is_pending() {
                return Poll::Pending;
            }
            // Its time is over, unless it is still taking what it was sent: behind our close a byte
            // of its own would be answered by a reset.
            let unacknowledged = client.transport.unacknowledged().filter(|left| *left > 0);
            if unacknowledged.is_none() || unacknowledged == left {
                return Poll::Ready(());
            }
            (left, since) = (unacknowledged, now);
            alarm.poll(cx, now + gap)
        })
        .await;
    }
}

/// How long what is left may take behind a cut.
pub(super) fn patience(timeouts: &Timeouts) -> Patience {
    Patience { gap: timeouts.to_client_write, blind: timeouts.linger }
}
