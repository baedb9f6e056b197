//! What a request costs with several workers, on all cores.

use crate::Fault;
use crate::client::{Client, Way};
use crate::process::{cpu_time, share_cores};
use crate::statistics::median;
use narrows_kit::programs::Relay;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Clients that ask again as soon as they have an answer.
pub(crate) const CLIENTS: usize = 64;

/// Clients of one relay. They ask while they are told to.
struct Load {
    asking: watch::Sender<bool>,
    asked: Arc<AtomicU64>,
    tasks: JoinSet<Fault>,
}

/// Microseconds on a core for each request, of each relay: the median of the turns, in which one
/// relay is asked after the other.
pub(crate) async fn request_times(
    relays: &[Relay],
    turns: usize,
    span: Duration,
) -> Result<Vec<f64>, Fault> {
    share_cores()?;
    let mut loads = Vec::new();
    for relay in relays {
        loads.push(Load::open(Way { address: relay.address, prefix: "/gpt" }).await?);
    }
    let mut times = vec![Vec::new(); relays.len()];
    for turn in 0..=turns {
        for place in 0..relays.len() {
            let number = (place + turn) % relays.len();
            let before = cpu_time(&relays[number])?;
            let requests = loads[number].run(span).await?;
            let used = cpu_time(&relays[number])? - before;
            // The first turn warms up.
            if turn > 0 {
                times[number].push(used.as_secs_f64() * 1e6 / requests.max(1) as f64);
            }
        }
    }
    Ok(times.into_iter().map(median).collect())
}

impl Load {
    async fn open(way: Way) -> Result<Self, Fault> {
        let (asking, told) = watch::channel(false);
        let (asked, mut tasks) = (Arc::<AtomicU64>::default(), JoinSet::new());
        for _ in 0..CLIENTS {
            let client = Client::open(way.address).await?;
            tasks.spawn(ask(client, way.prefix, told.clone(), Arc::clone(&asked)));
        }
        Ok(Self { asking, asked, tasks })
    }

    /// Lets the clients ask for so long. Gives the number of requests.
    async fn run(&mut self, span: Duration) -> Result<u64, Fault> {
        let before = self.asked.load(Ordering::Relaxed);
        self.asking.send_replace(true);
        sleep(span).await;
        self.asking.send_replace(false);
        // The last ones get their answers.
        sleep(span / 4).await;
        match self.tasks.try_join_next() {
            Some(fault) => Err(fault?),
            None => Ok(self.asked.load(Ordering::Relaxed) - before),
        }
    }
}

async fn ask(
    mut client: Client,
    prefix: &'static str,
    mut told: watch::Receiver<bool>,
    asked: Arc<AtomicU64>,
) -> Fault {
    loop {
        if let Err(ended) = told.wait_for(|it| *it).await {
            return ended.into();
        }
        if let Err(fault) = client.ask(prefix).await {
            return fault;
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
}
