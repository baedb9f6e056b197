//! Both directions of one exchange at once: the request's body up, the responses down.
//!
//! One task polls both directions. Each read is followed by its write; what the receiver does
//! not take stops the reads of that direction until it does. Every gap is under a limit of time,
//! and all limits share one alarm. What the bytes mean is decided in `h1`.
//!
//! The client is watched all the time (`departure`): if it leaves, the exchange ends.

use crate::clock::now;
use crate::error::ExchangeError;
use crate::gateway::access::KeyTurn;
use crate::gateway::due::{Clock, Due, Held, due};
use crate::gateway::exchange::{Exchange, RequestState, ResponseState};
use crate::gateway::request::Request;
use crate::limits::DEPARTURE_LOOK;
use crate::proxy::acceptance::{Acceptance, Seen};
use crate::proxy::client_connection::ClientConnection;
use crate::proxy::connection::{Connection, STOPPED};
use crate::proxy::context::Context;
use crate::proxy::departure::{GONE, is_full_after_head};
use crate::proxy::download::{Download, Guide, Pumped};
use crate::proxy::site::Route;
use crate::proxy::upload::Upload;
use crate::telemetry::Awaited;
use crate::timeouts::Timer;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{self, Poll, ready};

/// A request that is being forwarded.
pub(super) struct InFlight {
    pub(super) exchange: Exchange,
    pub(super) route: Rc<Route>,
    pub(super) upload: Upload,
}

impl InFlight {
    /// A request along `route`, with one of its keys.
    pub(super) fn new(request: &Request, route: Rc<Route>, turn: KeyTurn) -> Self {
        let exchange = Exchange::new(*request);
        Self { exchange, route, upload: Upload::new(request, turn) }
    }
}

/// Moves bytes until the response is complete, or something is wrong. The request's head, or
/// all that was sent of the request the first time, is queued for the upstream.
///
/// No `async fn`, because that would keep a second place for its arguments.
pub(super) fn pump<'s>(
    client: &'s mut ClientConnection,
    context: &'s Context,
    request: &'s mut InFlight,
    upstream: &'s mut Connection,
) -> impl Future<Output = Result<Pumped, ExchangeError>> + 's {
    let download = Download::new(&client.io, &request.route.timeouts);
    let acceptance = Acceptance::default();
    let mut pump = Pump { client, context, request, upstream, download, acceptance };
    poll_fn(move |cx| pump.poll(cx))
}

struct Pump<'s> {
    client: &'s mut ClientConnection,
    context: &'s Context,
    request: &'s mut InFlight,
    upstream: &'s mut Connection,
    download: Download,
    acceptance: Acceptance,
}

impl Pump<'_> {
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Pumped, ExchangeError>> {
        if self.context.drain.is_over() {
            return Poll::Ready(Err(STOPPED));
        }
        let awaited = self.request.exchange.awaits_continue();
        let content = self.download.content_bytes();
        let failed = self.poll_upload(cx).err();
        if let Some(error) = failed.filter(|error| !self.may_have_all_content(error)) {
            return Poll::Ready(Err(error));
        }
        let pumped = self.poll_download(cx);
        if let Some(error) = failed {
            // What was left of the response has to be its end alone, and here already.
            let is_complete = self.download.content_bytes() == content;
            return Poll::Ready(match pumped {
                Poll::Ready(Ok(pumped)) if is_complete => Ok(pumped),
                Poll::Ready(Ok(_) | Err(_)) | Poll::Pending => Err(error),
            });
        }
        if let Poll::Ready(pumped) = pumped? {
            return Poll::Ready(Ok(pumped));
        }
        let InFlight { exchange, upload, .. } = &mut *self.request;
        let is_sending = exchange.request_state() == RequestState::Sending;
        if awaited && !exchange.awaits_continue() && is_sending {
            upload.restart_gap();
        }
        self.poll_looks(cx)?;
        self.poll_due(cx).map(Err)
    }

    fn poll_upload(&mut self, cx: &mut task::Context<'_>) -> Result<(), ExchangeError> {
        let Self { client, request, upstream, acceptance, .. } = self;
        let ClientConnection { io: client, recorder, .. } = &mut **client;
        let InFlight { exchange, upload, .. } = &mut **request;
        let was_sending = exchange.request_state() == RequestState::Sending;
        upload.poll(cx, client, upstream, exchange, acceptance)?;
        if was_sending && exchange.request_state() == RequestState::Sent {
            recorder.request_sent(upload.gap_began());
        }
        Ok(())
    }

    fn poll_download(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Pumped, ExchangeError>> {
        let Self { client, context, request, upstream, download, acceptance } = self;
        let ClientConnection { io: client, recorder, about, .. } = &mut **client;
        let InFlight { exchange, route, upload } = &mut **request;
        let turn = &mut upload.turn;
        let draining = context.drain.is_announced();
        let mut guide = Guide { exchange, recorder, draining, route, about, turn, acceptance };
        let pumped = download.poll(cx, client, upstream, &mut guide);
        let held = client.write_buffer.held_bytes();
        recorder.bytes(upload.content_bytes(), download.content_bytes(), held);
        pumped
    }

    /// Whether the way up failed because the client has left, with all the content that has come.
    fn may_have_all_content(&self, error: &ExchangeError) -> bool {
        *error == GONE
            && self.request.exchange.response_state() == ResponseState::Body
            && self.client.io.write_buffer.is_empty()
    }

    /// Ready with the limit of time that has run out first.
    fn poll_due(&mut self, cx: &mut task::Context<'_>) -> Poll<ExchangeError> {
        let Self { client, request, upstream, download, .. } = self;
        let ClientConnection { io: client, recorder, alarm, .. } = &mut **client;
        let InFlight { exchange, route, upload } = &mut **request;
        let held = Held {
            for_upstream: !upstream.write_buffer.is_empty(),
            for_client: !client.write_buffer.is_empty(),
            pipelined: is_full_after_head(client, 0),
            copy: upstream.write_buffer.has_copy(),
            content: upload.content_bytes() > 0,
        };
        let (has_head, has_content) = (exchange.has_response_head(), download.content_bytes() > 0);
        let when = |due| {
            let Due::Expire(clock, timer) = due else {
                return (now() + DEPARTURE_LOOK, due);
            };
            let since = match clock {
                Clock::Upload => upload.gap_began(),
                Clock::Download => download.gap_began(),
            };
            if let Some(awaited) = awaited(clock, timer, has_head, has_content) {
                recorder.waits(awaited, since);
            }
            (since + route.timeouts.of(timer), due)
        };
        let dues = due(exchange, held).into_iter().flatten().map(when);
        let Some((at, due)) = dues.min_by_key(|(at, _)| *at) else { return Poll::Pending };
        ready!(alarm.poll(cx, at));
        match due {
            Due::Expire(clock, timer) if !self.takes_some(clock, timer) => {
                Poll::Ready(ExchangeError::expired(timer))
            }
            Due::Expire(..) | Due::Look => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Looks whether peers that may be slow take what they were sent, if it is time to. The error
    /// is that one of them has vanished.
    fn poll_looks(&mut self, cx: &mut task::Context<'_>) -> Result<(), ExchangeError> {
        let timeouts = &self.request.route.timeouts;
        let looks = [
            (Clock::Download, Timer::ToClientWrite, timeouts.to_client_write),
            (Clock::Upload, Timer::ToUpstreamWrite, timeouts.to_upstream_write),
        ];
        for (clock, timer, limit) in looks {
            let at = self.acceptance.next_look(clock, limit);
            let is_due = at.is_some_and(|at| self.client.alarm.poll(cx, at).is_ready());
            if is_due && self.look(clock) == Seen::Vanished {
                return Err(ExchangeError::expired(timer));
            }
            if is_due {
                cx.waker().wake_by_ref();
            }
        }
        Ok(())
    }

    /// Whether the peer that is late by its socket has acknowledged more since the last look.
    fn takes_some(&mut self, clock: Clock, timer: Timer) -> bool {
        matches!(timer, Timer::ToClientWrite | Timer::ToUpstreamWrite)
            && self.look(clock) == Seen::Progress
    }

    /// Looks what the peer takes that bytes in the direction of `clock` are for.
    fn look(&mut self, clock: Clock) -> Seen {
        let Self { client, request, upstream, download, acceptance, .. } = self;
        let (io, began) = match clock {
            Clock::Download => (&client.io, download.gap_began()),
            Clock::Upload => (&**upstream, request.upload.gap_began()),
        };
        let seen = acceptance.look(clock, &io.transport, began);
        match (seen, clock) {
            (Seen::Progress, Clock::Download) => download.note_progress(io),
            (Seen::Progress, Clock::Upload) => request.upload.note_progress(io),
            (Seen::Nothing | Seen::Vanished, _) => {}
        }
        seen
    }
}

/// Whom the exchange waits for while `clock` runs under the limit `timer`. Until the response has
/// its head, only the way up counts, and from then on only the way down.
fn awaited(clock: Clock, timer: Timer, has_head: bool, has_content: bool) -> Option<Awaited> {
    match clock {
        Clock::Upload if timer == Timer::ToUpstreamRead => Some(Awaited::Client),
        Clock::Upload => Some(Awaited::Upstream),
        Clock::Download if !has_head => None,
        Clock::Download if timer == Timer::ToClientWrite => Some(Awaited::Client),
        Clock::Download if has_content => Some(Awaited::Content),
        Clock::Download => Some(Awaited::Upstream),
    }
}
