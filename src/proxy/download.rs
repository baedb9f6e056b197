//! The way down: interim responses, the final response head, its body.

use crate::clock::{Deadline, IdleClock};
use crate::error::{Cause, ExchangeError, Fault, ResponseError};
use crate::gateway::exchange::{Exchange, ResponseKind, may_tell_an_idle_limit};
use crate::gateway::rewrite::reference::View;
use crate::gateway::rewrite::{put_final_head, put_interim_head, put_switch_head};
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::head::ResponseHead;
use crate::h1::head_reader::HeadReader;
use crate::net::date::with_date;
use crate::net::read_buffer::Fill;
use crate::proxy::body_relay::{BodyError, BodyRelay, READS_PER_TURN};
use crate::proxy::connection::{Connection, GONE};
use crate::proxy::context::About;
use crate::proxy::pump::Pumped;
use crate::proxy::record::Recorder;
use crate::proxy::site::Route;
use crate::timeouts::{Timeouts, Timer};
use crate::tls::fault;
use std::task::{Context, Poll};

/// The state of the way down.
#[derive(Debug)]
pub(super) struct Download {
    state: State,
    clock: IdleClock,
    /// Bytes that the client's socket had taken at the last look.
    taken: u64,
    /// The upstream has not sent a byte.
    untouched: bool,
    /// What it has sent may be about the silence before the request.
    idle_limit: bool,
}

#[derive(Debug)]
enum State {
    /// A response head is expected, interim or final.
    Head(HeadReader),
    /// The final response's body is on its way.
    Body(BodyRelay),
    /// The final response is read, and its end queued for the client.
    Ended { content_bytes: u64 },
    /// The upstream switched protocols.
    Switched,
}

/// What the way down needs besides the two sides.
pub(super) struct Guide<'a> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) recorder: &'a mut Recorder,
    pub(super) draining: bool,
    pub(super) route: &'a Route,
    pub(super) about: &'a About,
}

impl<'a> Guide<'a> {
    /// How the client sees the upstream's paths, where that makes a difference.
    fn view(&self, client: &Connection) -> Option<View<'a>> {
        let route = self.route;
        Some(View {
            origins: route.origins.as_ref()?,
            base: &route.replacement,
            route: &route.path,
            client_https: client.transport.is_tls(),
            client_authority: self.about.called(),
        })
    }
}

impl Download {
    pub(super) fn new(client: &Connection, upstream: &Connection) -> Self {
        Self {
            state: State::Head(HeadReader::for_response()),
            clock: IdleClock::default(),
            taken: client.transport.written(),
            // The beginning of an answer may be here that was not taken for one before.
            untouched: upstream.read_buffer.bytes().is_empty(),
            idle_limit: false,
        }
    }

    /// Whether the status is spent: a final response head was queued for the client.
    pub(super) fn has_head(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }

    /// Whether no byte of a response has come, not even of an interim one.
    pub(super) fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Whether the response may be about the silence before the request, which can be sent once
    /// more. It was not passed on, and is still in the read buffer.
    pub(super) fn tells_idle_limit(&self) -> bool {
        self.idle_limit
    }

    /// Octets of content that came down.
    pub(super) fn content_bytes(&self) -> u64 {
        match &self.state {
            State::Head(_) | State::Switched => 0,
            State::Body(relay) => relay.content_bytes(),
            State::Ended { content_bytes } => *content_bytes,
        }
    }

    /// Moves what can be moved. Ready when there is nothing left to move.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
        guide: &mut Guide<'_>,
    ) -> Poll<Result<Pumped, ExchangeError>> {
        for _ in 0..READS_PER_TURN {
            if matches!(self.state, State::Switched) {
                return Poll::Ready(Ok(Pumped::Switched));
            }
            if self.poll_room(cx, client)?.is_pending() {
                return Poll::Pending;
            }
            let step = match &mut self.state {
                State::Head(_) => self.poll_head(cx, client, upstream, guide)?,
                State::Body(_) => self.poll_body(cx, client, upstream, guide)?,
                State::Ended { .. } => return Poll::Ready(Ok(Pumped::Answered)),
                State::Switched => Poll::Ready(()),
            };
            if step.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when the client has taken everything.
    fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
    ) -> Result<Poll<()>, ExchangeError> {
        let drained = client.poll_drain(cx);
        let taken = client.transport.written();
        if taken != self.taken {
            self.taken = taken;
            self.clock.stamp();
        }
        match drained {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Ready(Err(_)) => Err(GONE),
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
        guide: &mut Guide<'_>,
    ) -> Result<Poll<()>, ExchangeError> {
        let State::Head(reader) = &mut self.state else { return Ok(Poll::Ready(())) };
        let bytes = upstream.read_buffer.bytes();
        let Some(span) = reader.find(bytes, &guide.route.head_limits).map_err(malformed)? else {
            return match upstream.read_buffer.poll_fill(cx, &mut upstream.transport) {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(Ok(Fill::Bytes)) => {
                    self.untouched = false;
                    Ok(Poll::Ready(()))
                }
                Poll::Ready(Ok(Fill::End)) => Err(ExchangeError::upstream(Cause::ClosedEarly)),
                Poll::Ready(Err(error)) => Err(fault::of_io(Fault::Upstream, &error)),
            };
        };
        let head = ResponseHead::parse(&bytes[span.start..span.end], &guide.route.head_limits)
            .map_err(malformed)?;
        if upstream.write_buffer.has_copy() && may_tell_an_idle_limit(&head) {
            self.idle_limit = true;
            return Err(ExchangeError::upstream(Cause::ClosedEarly));
        }
        // From here on the request is not repeated, whatever happens.
        upstream.write_buffer.take_copy();
        let verdict = guide.exchange.response_head(&head, guide.draining).map_err(malformed)?;
        let view = guide.view(client);
        match verdict {
            ResponseKind::DropInterim => *reader = HeadReader::for_response(),
            ResponseKind::Interim => {
                put_interim_head(client.write_buffer.queue(), &head, view.as_ref());
                *reader = HeadReader::for_response();
            }
            ResponseKind::Switch => {
                guide.recorder.response_head(head.status);
                put_switch_head(client.write_buffer.queue(), &head, view.as_ref());
                self.state = State::Switched;
            }
            ResponseKind::Final(response) => {
                guide.recorder.response_head(head.status);
                let out = client.write_buffer.queue();
                with_date(|date| put_final_head(out, &head, &response, date, view.as_ref()));
                if response.writer == BodyWriter::UntilClose {
                    client.transport.abort_unless_shut_down();
                }
                self.state = State::Body(BodyRelay::of_response(
                    BodyReader::new(response.body),
                    response.writer,
                ));
            }
        }
        upstream.read_buffer.consume(span.end);
        self.clock.stamp();
        self.pass_held(cx, client, upstream, guide)?;
        Ok(Poll::Ready(()))
    }

    /// Sends the head and the body bytes that came with it in one write.
    fn pass_held(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
        guide: &mut Guide<'_>,
    ) -> Result<(), ExchangeError> {
        let State::Body(relay) = &mut self.state else { return Ok(()) };
        let Connection { transport, write_buffer, .. } = client;
        let consumed = relay
            .pass(cx, upstream.read_buffer.bytes(), write_buffer, transport)
            .map_err(broken)?;
        upstream.read_buffer.consume(consumed);
        self.settle(guide);
        Ok(())
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
        guide: &mut Guide<'_>,
    ) -> Result<Poll<()>, ExchangeError> {
        let State::Body(relay) = &mut self.state else { return Ok(Poll::Ready(())) };
        let Connection { transport, write_buffer, .. } = client;
        let passed = upstream.read_buffer.poll_pass(cx, &mut upstream.transport, |cx, bytes| {
            relay.pass(cx, bytes, write_buffer, transport)
        });
        match passed {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(Ok(Fill::Bytes))) => self.clock.stamp(),
            Poll::Ready(Ok(Ok(Fill::End))) => {
                // The client may have to take a last chunk, and its gap begins now.
                self.clock.stamp();
                if !relay.end_by_close(cx, write_buffer, transport) {
                    return Err(ExchangeError::upstream(Cause::ClosedEarly));
                }
            }
            Poll::Ready(Ok(Err(error))) => return Err(broken(error)),
            Poll::Ready(Err(error)) => {
                return Err(fault::of_io(Fault::Upstream, &error));
            }
        }
        self.settle(guide);
        Ok(Poll::Ready(()))
    }

    /// Notes what a pass has changed.
    fn settle(&mut self, guide: &mut Guide<'_>) {
        let State::Body(relay) = &self.state else { return };
        let content_bytes = relay.content_bytes();
        if content_bytes > 0 {
            guide.recorder.first_byte();
        }
        if relay.is_finished() {
            guide.exchange.end_response();
            self.state = State::Ended { content_bytes };
        }
    }

    /// The limit that the way down is under now.
    pub(super) fn deadline(
        &mut self,
        client: &Connection,
        answer_by: Option<Deadline>,
        timeouts: &Timeouts,
    ) -> Option<Deadline> {
        if !client.write_buffer.is_empty() {
            return Some(self.clock.deadline(Timer::ToClientWrite, timeouts));
        }
        match &self.state {
            State::Head(_) => answer_by,
            State::Body(_) => Some(self.clock.deadline(Timer::ToClientRead, timeouts)),
            State::Ended { .. } | State::Switched => None,
        }
    }
}

fn malformed(error: impl Into<ResponseError>) -> ExchangeError {
    ExchangeError::upstream(Cause::Response(error.into()))
}

fn broken(error: BodyError) -> ExchangeError {
    match error {
        BodyError::Chunk(error) => ExchangeError::upstream(Cause::Chunk(error)),
        BodyError::Trailers(error) => ExchangeError::upstream(Cause::Trailers(error)),
    }
}
