//! Upstream to client: interim responses, the final response head, its body.
//!
//! Not here: what they mean for the exchange (`gateway::exchange`), and which limits of time run
//! (`gateway::due`).

use crate::clock::IdleClock;
use crate::error::{Cause, ExchangeError, Fault, ResponseError};
use crate::gateway::access::{ApiKeys, KeyTurn};
use crate::gateway::credentials::hide_keys;
use crate::gateway::due::Clock;
use crate::gateway::event_stream::{EventCounter, is_event_stream};
use crate::gateway::exchange::{Exchange, ResponseState};
use crate::gateway::response::ResponseKind;
use crate::gateway::retry::may_tell_an_idle_limit;
use crate::gateway::rewrite::uri_reference::View;
use crate::gateway::rewrite::{put_final_head, put_interim_head, put_switch_head};
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::head::ResponseHead;
use crate::h1::head_reader::HeadReader;
use crate::limits::DEFAULT_USER_TIMEOUT_BYTES_MAX;
use crate::net::date::with_date;
use crate::net::listen::client_user_timeout;
use crate::net::read_buffer::Fill;
use crate::proxy::acceptance::Acceptance;
use crate::proxy::body_relay::{BodyError, BodyRelay, READS_PER_TURN};
use crate::proxy::connection::Connection;
use crate::proxy::context::About;
use crate::proxy::departure::GONE;
use crate::proxy::keys::judge;
use crate::proxy::site::Route;
use crate::telemetry::ExchangeRecorder;
use crate::timeouts::Timeouts;
use crate::tls::fault;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// How the moving of bytes ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// The final response is with the client, to its last octet.
    Answered,
    /// The upstream switched protocols; its head waits in the client's write buffer.
    Switched,
    /// A 408 came that may be about the silence before the request, or a refusal of a key that
    /// another one can stand in for. It was not passed on, and is still in the read buffer.
    Doubted,
}

/// What moves the responses to the client.
#[derive(Debug)]
pub(super) struct Download {
    part: ResponsePart,
    /// Since when nothing has moved.
    clock: IdleClock,
    /// Bytes that the client's socket had taken at the last look.
    taken: u64,
}

#[derive(Debug)]
enum ResponsePart {
    /// Of a head, interim or final.
    Head(HeadReader),
    /// Of the final response's body.
    Body(BodyRelay),
}

/// What the way down needs besides the two sides.
pub(super) struct Guide<'a> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) recorder: &'a mut ExchangeRecorder,
    pub(super) draining: bool,
    pub(super) route: &'a Route,
    pub(super) about: &'a About,
    pub(super) turn: &'a mut KeyTurn,
    pub(super) acceptance: &'a mut Acceptance,
}

impl<'a> Guide<'a> {
    /// How the client sees the upstream's paths, where that makes a difference.
    fn view(&self, client: &Connection) -> Option<View<'a>> {
        let route = self.route;
        Some(View {
            origins: route.origins.as_ref()?,
            base: &route.replacement,
            route: &route.path,
            client_https: client.transport.is_tls() || self.about.is_behind_https(),
            client_authority: self.about.authority(),
            token: self.about.token_for_urls(),
        })
    }

    /// The keys of the API, which the client must not see.
    fn keys(&self) -> Option<&'a ApiKeys> {
        self.route.keys()
    }

    /// Whether a page asks, on a route where we answer its preflights.
    fn is_open_to_pages(&self) -> bool {
        self.exchange.request().has_origin && self.route.answers_preflights()
    }
}

impl Download {
    pub(super) fn new(client: &Connection, timeouts: &Timeouts) -> Self {
        // It has asked again, so it has what was sent before.
        client.transport.restore_user_timeout(client_user_timeout(timeouts));
        Self {
            part: ResponsePart::Head(HeadReader::for_response()),
            clock: IdleClock::default(),
            taken: client.transport.written(),
        }
    }

    /// Octets of content that came down.
    pub(super) fn content_bytes(&self) -> u64 {
        match &self.part {
            ResponsePart::Head(_) => 0,
            ResponsePart::Body(relay) => relay.content_bytes(),
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
            let state = guide.exchange.response_state();
            // The head of a switch is for the tunnel to send.
            if state != ResponseState::Switched
                && self.poll_room(cx, client, guide.acceptance)?.is_pending()
            {
                return Poll::Pending;
            }
            let step = match state {
                ResponseState::Silent | ResponseState::Head => {
                    self.poll_head(cx, client, upstream, guide)?
                }
                ResponseState::Body => self.poll_body(cx, client, upstream, guide)?,
                ResponseState::Doubted => return Poll::Ready(Ok(Pumped::Doubted)),
                ResponseState::Ended => return Poll::Ready(Ok(Pumped::Answered)),
                ResponseState::Switched => return Poll::Ready(Ok(Pumped::Switched)),
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
        acceptance: &mut Acceptance,
    ) -> Result<Poll<()>, ExchangeError> {
        let drained = client.poll_drain(cx);
        let taken = client.transport.written();
        if taken != self.taken {
            self.taken = taken;
            self.clock.stamp();
        }
        match drained {
            Poll::Pending => {
                acceptance.begin(Clock::Download, &client.transport);
                Ok(Poll::Pending)
            }
            Poll::Ready(Ok(())) => {
                if self.content_bytes() > DEFAULT_USER_TIMEOUT_BYTES_MAX {
                    acceptance.begin(Clock::Download, &client.transport);
                }
                Ok(Poll::Ready(()))
            }
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
        let ResponsePart::Head(reader) = &mut self.part else { return Ok(Poll::Ready(())) };
        let bytes = upstream.read_buffer.bytes();
        let Some(span) = reader.find(bytes, &guide.route.head_limits).map_err(malformed)? else {
            return match upstream.read_buffer.poll_fill(cx, &mut upstream.transport) {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(Ok(Fill::Bytes)) => {
                    if guide.exchange.response_state() == ResponseState::Silent {
                        guide.exchange.begin_response();
                    }
                    Ok(Poll::Ready(()))
                }
                Poll::Ready(Ok(Fill::End)) => Err(ExchangeError::upstream(Cause::ClosedEarly)),
                Poll::Ready(Err(error)) => Err(fault::of_io(Fault::Upstream, &error)),
            };
        };
        let head = ResponseHead::parse(&bytes[span.start..span.end], &guide.route.head_limits)
            .map_err(malformed)?;
        if upstream.write_buffer.has_copy() && may_tell_an_idle_limit(&head) {
            guide.exchange.doubt_response();
            return Ok(Poll::Ready(()));
        }
        // After an interim response the answer may still refuse the key.
        let is_interim = matches!(head.status, 100 | 102..=199);
        if guide.turn.may_go_on() && !is_interim {
            let (behind, has_copy) = (&bytes[span.end..], upstream.write_buffer.has_copy());
            judge(guide.turn, guide.route, &head, behind, has_copy);
            if guide.turn.is_to_go_on() {
                guide.exchange.doubt_response();
                return Ok(Poll::Ready(()));
            }
        }
        if !(guide.turn.may_go_on() && is_interim) {
            // From here on the request is not repeated, whatever happens.
            upstream.write_buffer.take_copy();
        }
        let kind = guide.exchange.response_head(&head, guide.draining).map_err(malformed)?;
        self.queue_head(kind, &head, client, guide);
        upstream.read_buffer.consume(span.end);
        self.clock.stamp();
        self.pass_held(cx, client, upstream, guide)?;
        Ok(Poll::Ready(()))
    }

    /// Queues a head for the client, and gets ready for what follows it.
    fn queue_head(
        &mut self,
        kind: ResponseKind,
        head: &ResponseHead<'_>,
        client: &mut Connection,
        guide: &mut Guide<'_>,
    ) {
        let view = guide.view(client);
        let queued = client.write_buffer.held_bytes();
        match kind {
            ResponseKind::DropInterim => self.part = ResponsePart::Head(HeadReader::for_response()),
            ResponseKind::Interim => {
                put_interim_head(client.write_buffer.queue(), head, view.as_ref());
                self.part = ResponsePart::Head(HeadReader::for_response());
            }
            ResponseKind::Switch => {
                guide.recorder.response_head(head.status);
                let id = guide.recorder.request_id();
                put_switch_head(client.write_buffer.queue(), head, id, view.as_ref());
            }
            ResponseKind::Final(mut response) => {
                response.open_to_pages = guide.is_open_to_pages();
                guide.recorder.response_head(head.status);
                if is_event_stream(&head.fields) {
                    guide.recorder.event_stream(EventCounter::of_content(&head.fields));
                }
                let (out, id) = (client.write_buffer.queue(), guide.recorder.request_id());
                with_date(|date| put_final_head(out, head, &response, date, id, view.as_ref()));
                if response.writer == BodyWriter::UntilClose {
                    client.transport.abort_unless_shut_down();
                }
                let reader = BodyReader::new(response.body);
                self.part = ResponsePart::Body(BodyRelay::of_response(reader, response.writer));
            }
        }
        if let Some(keys) = guide.keys() {
            hide_keys(client.write_buffer.queue(), queued, keys, guide.about.token());
        }
    }

    /// Sends the head and the body bytes that came with it in one write.
    fn pass_held(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection,
        upstream: &mut Connection,
        guide: &mut Guide<'_>,
    ) -> Result<(), ExchangeError> {
        let ResponsePart::Body(relay) = &mut self.part else { return Ok(()) };
        let Connection { transport, write_buffer, .. } = client;
        let (bytes, keys) = (upstream.read_buffer.bytes(), guide.keys());
        let events = guide.recorder.events();
        let passed = relay.pass(cx, bytes, write_buffer, transport, events, keys);
        upstream.read_buffer.consume(passed.map_err(broken)?);
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
        let ResponsePart::Body(relay) = &mut self.part else { return Ok(Poll::Ready(())) };
        let Connection { transport, write_buffer, .. } = client;
        let keys = guide.keys();
        let events = guide.recorder.events();
        let passed = upstream.read_buffer.poll_pass(cx, &mut upstream.transport, |cx, bytes| {
            relay.pass(cx, bytes, write_buffer, transport, events, keys)
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
        let ResponsePart::Body(relay) = &self.part else { return };
        if relay.content_bytes() > 0 {
            guide.recorder.first_byte();
        }
        if relay.is_finished() {
            guide.exchange.end_response();
        }
    }

    /// The client's kernel has acknowledged more: if its socket accepts nothing meanwhile, its gap
    /// begins anew.
    pub(super) fn note_progress(&mut self, client: &Connection) {
        if !client.write_buffer.is_empty() {
            self.clock.stamp();
        }
    }

    /// Since when nothing has moved on the way down.
    pub(super) fn gap_began(&mut self) -> Instant {
        self.clock.since()
    }
}

fn malformed(error: impl Into<ResponseError>) -> ExchangeError {
    ExchangeError::upstream(Cause::Response(error.into()))
}

fn broken(error: BodyError) -> ExchangeError {
    ExchangeError::upstream(error.into())
}
