//! The end of a client's connection after its last response.

use crate::clock::Alarm;
use crate::limits::LINGER_MAX;
use crate::net::buffer::with_scratch;
use crate::proxy::connection::Connection;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Reads and discards what comes, until the client ends, or is silent for `gap` and takes nothing;
/// a client that goes on sending may do so for [`LINGER_MAX`] in all.
pub(super) async fn linger(io: &mut Connection, alarm: &mut Alarm, gap: Duration) {
    let begun = Instant::now();
    let last = begun + LINGER_MAX.max(gap);
    let (mut since, mut left) = (begun, None);
    poll_fn(|cx| {
        let read = with_scratch(|scratch| io.transport.poll_read(cx, scratch));
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
        // Its time is over, unless it is still taking what it was sent: after our close a byte
        // of its own would be answered by a reset.
        let unacknowledged = io.transport.unacknowledged().filter(|left| *left > 0);
        if unacknowledged.is_none() || unacknowledged == left {
            return Poll::Ready(());
        }
        (left, since) = (unacknowledged, now);
        alarm.poll(cx, now + gap)
    })
    .await;
}
