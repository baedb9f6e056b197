//! Both directions of one exchange at once: the request's body up, the responses down.
//!
//! One task polls both directions. Each read is followed by its write; what the receiver does
//! not take stops the reads of that direction until it does. Every gap is under a limit of time,
//! and all limits share one alarm. What the bytes mean is decided in `h1`.
//!
//! The client is watched all the while: once its request is read, only silence or a pipelined
//! request is in order, and an end means that nobody waits for the answer any more.

use crate::clock::Deadline;
use crate::error::ExchangeError;
use crate::limits::DEPARTURE_LOOK;
use crate::proxy::connection::{Connection, STOPPED};
use crate::proxy::download::{Download, Guide};
use crate::proxy::exchange::Prepared;
use crate::proxy::session::Session;
use crate::proxy::upload::Upload;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// How the pump stopped without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// The final response is with the client, to its last octet.
    Answered,
    /// The upstream switched protocols; its head waits in the client's write buffer.
    Switched,
}

/// Why and where the pump stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct PumpError {
    /// What is wrong.
    pub(super) error: ExchangeError,
    /// A final response head is with the client, so that the status is spent.
    pub(super) status_spent: bool,
    /// The upstream has not sent a byte.
    pub(super) unanswered: bool,
    /// What it has sent may be about the silence before the request. It is still in the buffer.
    pub(super) idle_limit: bool,
}

/// Moves bytes until the response is complete, or something is wrong. The request's head, or
/// all that was sent of the request the first time, is queued for the upstream.
///
/// No `async fn`, because that would keep a second place for its arguments.
pub(super) fn pump<'s>(
    session: &'s mut Session,
    upstream: &'s mut Connection,
    upload: &'s mut Upload,
    prepared: &'s mut Prepared,
) -> impl Future<Output = Result<Pumped, PumpError>> + 's {
    let download = Download::new(&session.client, upstream);
    let mut pump = Pump { session, upstream, upload, download, prepared };
    poll_fn(move |cx| {
        pump.poll(cx).map_err(|error| PumpError {
            error,
            status_spent: pump.download.has_head(),
            unanswered: pump.download.is_untouched(),
            idle_limit: pump.download.tells_idle_limit(),
        })
    })
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
        let mut guide = Guide { exchange, recorder, draining, route, about };
        let pumped = download.poll(cx, client, upstream, &mut guide);
        recorder.bytes(upload.content_bytes(), download.content_bytes());
        if let Poll::Ready(pumped) = pumped? {
            return Poll::Ready(Ok(pumped));
        }
        if !download.is_untouched() {
            upload.go_ahead();
        }
        // An answer that is on its way is not cut off for a request that nobody needs any more.
        let up = if download.has_head() { None } else { upload.deadline(upstream, timeouts) };
        let down = download.deadline(client, upload.answer_by(), timeouts);
        let deadline = earliest(up, down);
        if upload.must_poll_for_hangup(client, upstream) {
            // Nothing will wake us when the client leaves: look by ourselves now and then.
            let look = Instant::now() + DEPARTURE_LOOK;
            if deadline.is_none_or(|deadline| look < deadline.at) {
                if alarm.poll(cx, look).is_ready() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
        let Some(deadline) = deadline else { return Poll::Pending };
        alarm.poll(cx, deadline.at).map(|()| Err(ExchangeError::expired(deadline.timer)))
    }
}

fn earliest(one: Option<Deadline>, other: Option<Deadline>) -> Option<Deadline> {
    one.map_or(other, |one| Some(one.earlier(other)))
}
