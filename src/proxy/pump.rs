//! Both directions of one exchange at once: the request's body up, the responses down.
//!
//! One task polls both directions. Each read is followed by its write; what the receiver does
//! not take stops the reads of that direction until it does. Every gap is under a limit of time,
//! and all limits share one alarm. What the bytes mean is decided in `h1`.
//!
//! The client is watched all the while: once its request is read, only silence or a pipelined
//! request is in order, and an end means that nobody waits for the answer any more.

use crate::error::ExchangeError;
use crate::gateway::due::{Clock, Due, Held, due};
use crate::limits::DEPARTURE_LOOK;
use crate::proxy::connection::{Connection, STOPPED};
use crate::proxy::download::{Download, Guide, Pumped};
use crate::proxy::exchange::Prepared;
use crate::proxy::session::Session;
use crate::proxy::upload::Upload;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// Moves bytes until the response is complete, or something is wrong. The request's head, or
/// all that was sent of the request the first time, is queued for the upstream.
///
/// No `async fn`, because that would keep a second place for its arguments.
pub(super) fn pump<'s>(
    session: &'s mut Session,
    upstream: &'s mut Connection,
    upload: &'s mut Upload,
    prepared: &'s mut Prepared,
) -> impl Future<Output = Result<Pumped, ExchangeError>> + 's {
    let download = Download::new(&session.client);
    let mut pump = Pump { session, upstream, upload, download, prepared };
    poll_fn(move |cx| pump.poll(cx))
}

struct Pump<'s> {
    session: &'s mut Session,
    upstream: &'s mut Connection,
    upload: &'s mut Upload,
    download: Download,
    prepared: &'s mut Prepared,
}

impl Pump<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pumped, ExchangeError>> {
        let Self { session, upstream, upload, download, prepared } = self;
        let Session { context, client, recorder, alarm, about, .. } = &mut **session;
        let Prepared { exchange, route, .. } = &mut **prepared;
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
        if awaited && !exchange.awaits_continue() {
            upload.restart_gap();
        }
        let held = Held {
            for_upstream: !upstream.write_buffer.is_empty(),
            for_client: !client.write_buffer.is_empty(),
            pipelined: client.is_full(),
            copy: upstream.write_buffer.has_copy(),
            content: upload.content_bytes() > 0,
        };
        let when = |due| {
            let at = match due {
                Due::Expire(Clock::Upload, timer) => upload.gap_ends(timer, timeouts),
                Due::Expire(Clock::Download, timer) => download.gap_ends(timer, timeouts),
                Due::Expire(Clock::Answer, _) => upload.answer_by()?,
                Due::Look => Instant::now() + DEPARTURE_LOOK,
            };
            Some((at, due))
        };
        let dues = due(exchange, held).into_iter().flatten().filter_map(when);
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
