//! The time to the first byte of an answer when the API is far away: a link between relay and
//! origin makes each round trip take as long as is asked for.
//!
//! A relay is asked by a client as soon as it runs, again over the same connection, and by other
//! clients after pauses.

use crate::Fault;
use crate::client::{Client, Way};
use crate::statistics::sorted;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Requests on a kept connection.
const KEPT: usize = 10;
/// Clients after a pause: as many as fit into this time, and at least one.
const PAUSES: Duration = Duration::from_secs(15);
/// Between two clients that ask at about the same time, so that one's handshake does not wait for
/// another's.
const STAGGER: Duration = Duration::from_millis(30);
/// A relay that has just been started may take so many round trips before it is asked.
const SETTLING_ROUND_TRIPS: u32 = 10;

/// Times to the first byte of an answer, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstBytes {
    /// Of the first client, right after the relay's start.
    pub(crate) first: Vec<Duration>,
    /// Of its further requests.
    pub(crate) kept: Vec<Duration>,
    /// Of a client that comes after a pause.
    pub(crate) paused: Vec<Duration>,
}

/// The times of each way.
pub(crate) async fn first_bytes(
    ways: Vec<Way>,
    rtt: Duration,
    pause: Duration,
) -> Result<Vec<FirstBytes>, Fault> {
    sleep(rtt * SETTLING_ROUND_TRIPS).await;
    let mut tasks = JoinSet::new();
    for (number, way) in ways.iter().copied().enumerate() {
        tasks.spawn(async move {
            sleep(STAGGER * number as u32).await;
            Ok::<_, Fault>((number, ask(way, pause).await?))
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done??);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, times)| times).collect())
}

/// How many pauses there are.
pub(crate) fn pauses(pause: Duration) -> usize {
    (PAUSES.as_millis() / pause.as_millis().max(1)).clamp(1, 10) as usize
}

async fn ask(way: Way, pause: Duration) -> Result<FirstBytes, Fault> {
    let mut times = FirstBytes::default();
    let (first, mut client) = ask_anew(way).await?;
    times.first.push(first);
    for _ in 0..KEPT {
        let begun = Instant::now();
        times.kept.push(client.ask(way.prefix).await? - begun);
    }
    for _ in 0..pauses(pause) {
        sleep(pause).await;
        times.paused.push(ask_anew(way).await?.0);
    }
    let FirstBytes { first, kept, paused } = times;
    Ok(FirstBytes { first, kept: sorted(kept), paused: sorted(paused) })
}

/// The first request of a new client, from its first SYN on.
async fn ask_anew(way: Way) -> Result<(Duration, Client), Fault> {
    let begun = Instant::now();
    let mut client = Client::open(way.address).await?;
    let first_byte = client.ask(way.prefix).await?;
    Ok((first_byte - begun, client))
}
