//! Both directions of one exchange at once: the request's body up, the responses down.
//!
//! One task polls both directions. Each read is followed by its write; what the receiver does
//! not take stops the reads of that direction until it does. Every gap is under a limit of time,
//! and all limits share one alarm. What the bytes mean is decided in `h1`.
//!
//! The client is watched all the time (`departure`): if it leaves, the exchange ends.

use crate::error::ExchangeError;
use crate::gateway::due::{Clock, Due, Held, due};
use crate::gateway::exchange::{Exchange, RequestState};
use crate::limits::DEPARTURE_LOOK;
use crate::proxy::client_connection::ClientConnection;
use crate::proxy::connection::{Connection, STOPPED};
use crate::proxy::context::Context;
use crate::proxy::departure::is_full_after_head;
use crate::proxy::download::{Download, Guide, Pumped};
use crate::proxy::site::Route;
use crate::proxy::upload::Upload;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{self, Poll, ready};
use tokio::time::Instant;

/// A request that is being forwarded.
pub(super) struct InFlight {
    pub(super) exchange: Exchange,
    pub(super) route: Rc<Route>,
    pub(super) upload: Upload,
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
    let download = Download::new(&client.io);
    let mut pump = Pump { client, context, request, upstream, download };
    poll_fn(move |cx| pump.poll(cx))
}

struct Pump<'s> {
    client: &'s mut ClientConnection,
    context: &'s Context,
    request: &'s mut InFlight,
    upstream: &'s mut Connection,
    download: Download,
}

impl Pump<'_> {
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Pumped, ExchangeError>> {
        let Self { client, context, request, upstream, download } = self;
        let ClientConnection { io: client, recorder, alarm, about, .. } = &mut **client;
        let InFlight { exchange, route, upload } = &mut **request;
        let timeouts = &*route.timeouts;
        if context.drain.is_over() {
            return Poll::Ready(Err(STOPPED));
        }
        upload.poll(cx, client, upstream, exchange, timeouts)?;
        let draining = context.drain.has_begun();
        let awaited = exchange.awaits_continue();
        let mut guide = Guide { exchange, recorder, draining, route, about };
        let pumped = download.poll(cx, client, upstream, &mut guide);
        recorder.bytes(upload.content_bytes(), download.content_bytes());
        if let Poll::Ready(pumped) = pumped? {
            return Poll::Ready(Ok(pumped));
        }
        let is_sending = exchange.request_state() == RequestState::Sending;
        if awaited && !exchange.awaits_continue() && is_sending {
            upload.restart_gap();
        }
        let held = Held {
            for_upstream: !upstream.write_buffer.is_empty(),
            for_client: !client.write_buffer.is_empty(),
            pipelined: is_full_after_head(client, 0),
            copy: upstream.write_buffer.has_copy(),
            content: upload.content_bytes() > 0,
        };
        let when = |due| {
            let at = match due {
                Due::Expire(Clock::Upload, timer) => upload.gap_ends(timer, timeouts),
                Due::Expire(Clock::Download, timer) => download.gap_ends(timer, timeouts),
                Due::Look => Instant::now() + DEPARTURE_LOOK,
            };
            (at, due)
        };
        let dues = due(exchange, held).into_iter().flatten().map(when);
        let Some((at, due)) = dues.min_by_key(|(at, _)| *at) else { return Poll::Pending };
        ready!(alarm.poll(cx, at));
        match due {
            Due::Expire(_, timer) => Poll::Ready(Err(ExchangeError::expired(timer))),
            Due::Look => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
