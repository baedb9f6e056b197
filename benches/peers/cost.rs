//! What streams cost a relay: time on a core for each event, and memory for each stream that is
//! open, at several numbers of streams.

use crate::Fault;
use crate::client::Way;
use crate::origin::Origin;
use crate::process::{cpu_time, memory, separate};
use crate::statistics::median;
use crate::streams::Streams;
use narrows_kit::programs::Relay;
use std::time::Duration;
use tokio::time::sleep;

/// Streams before the first look at the memory: what is allocated once is, also for the handshakes
/// that come at the same time.
const FIRST_STREAMS: usize = 32;
/// After the last stream has begun: caches and kernel settle.
const SETTLING: Duration = Duration::from_millis(500);

/// What one relay takes at so many streams.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) streams: usize,
    /// Microseconds on a core for each event, of each turn.
    events: Vec<f64>,
    /// Kilobytes for each stream, of each start of the relay.
    memory: Vec<f64>,
}

impl Cost {
    /// Nothing yet.
    pub(crate) fn new(streams: usize) -> Self {
        Self { streams, events: Vec::new(), memory: Vec::new() }
    }

    /// Microseconds on a core for each event.
    pub(crate) fn event(&self) -> f64 {
        median(self.events.clone())
    }

    /// Kilobytes for each stream.
    pub(crate) fn stream(&self) -> f64 {
        median(self.memory.clone())
    }
}

/// Adds to `costs` what a relay takes that has served nobody yet, with more and more streams.
pub(crate) async fn add_costs(
    costs: &mut [Cost],
    relay: &Relay,
    origin: &Origin,
    turns: usize,
    span: Duration,
) -> Result<(), Fault> {
    separate(relay)?;
    let way = Way { address: relay.address, prefix: "/gpt" };
    let mut streams = Streams::new(way, origin.clock);
    streams.grow(FIRST_STREAMS).await?;
    event_time(relay, &mut streams, origin, span).await?;
    let few = memory(relay)?;
    for cost in costs {
        streams.grow(cost.streams).await?;
        sleep(SETTLING).await;
        let more = memory(relay)?.saturating_sub(few) as f64 / 1000.0;
        cost.memory.push(more / cost.streams.saturating_sub(FIRST_STREAMS).max(1) as f64);
        for _ in 0..turns {
            cost.events.push(event_time(relay, &mut streams, origin, span).await?);
        }
    }
    Ok(())
}

/// Microseconds for each event of a turn.
async fn event_time(
    relay: &Relay,
    streams: &mut Streams,
    origin: &Origin,
    span: Duration,
) -> Result<f64, Fault> {
    let before = cpu_time(relay)?;
    let events = streams.run(origin, span).await?.len();
    let used = cpu_time(relay)? - before;
    Ok(used.as_secs_f64() * 1e6 / events.max(1) as f64)
}
