//! Many streams at once, over one way.

use crate::Fault;
use crate::client::{Client, Delays, Way};
use crate::origin::Origin;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Streams that are begun at one time: a relay's handshakes wait for each other.
const BEGUN_AT_ONCE: usize = 32;
/// Longest wait for events that are late.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// Streams that are open, and read by tasks. They end when this is dropped.
pub(crate) struct Streams {
    way: Way,
    clock: Instant,
    delays: Delays,
    tasks: JoinSet<Fault>,
}

impl Streams {
    /// None yet.
    pub(crate) fn new(way: Way, clock: Instant) -> Self {
        Self { way, clock, delays: Delays::default(), tasks: JoinSet::new() }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Begins more, until they are so many.
    pub(crate) async fn grow(&mut self, count: usize) -> Result<(), Fault> {
        while self.count() < count {
            let mut begun = JoinSet::new();
            for _ in 0..BEGUN_AT_ONCE.min(count - self.count()) {
                begun.spawn(begin(self.way));
            }
            while let Some(client) = begun.join_next().await {
                self.tasks.spawn(client??.watch(self.clock, self.delays.clone()));
            }
        }
        Ok(())
    }

    /// Lets the origin send events for so long. Gives how many there were, and their delays,
    /// sorted. All of them have to come.
    pub(crate) async fn run(
        &mut self,
        origin: &Origin,
        span: Duration,
    ) -> Result<Vec<Duration>, Fault> {
        let sent = origin.pace(self.count(), span).await;
        let (begun, mut delays) = (Instant::now(), self.delays.take());
        while (delays.len() as u64) < sent {
            if let Some(fault) = self.tasks.try_join_next() {
                return Err(fault?);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{sent} events were sent, {} came", delays.len()).into());
            }
            sleep(POLL).await;
            delays.append(&mut self.delays.take());
        }
        delays.sort_unstable();
        Ok(delays)
    }
}

async fn begin(way: Way) -> Result<Client, Fault> {
    let mut client = Client::open(way.address).await?;
    client.begin_stream(way.prefix).await?;
    Ok(client)
}
