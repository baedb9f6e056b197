//! The latency that a relay adds, end to end over TLS: to every token of a stream, and to the
//! first byte of an answer when the API is far away.
//!
//!     cargo bench --bench latency [-- --rtt 100ms --pause 5s --svg docs/latency.svg]
//!
//! narrows is compared with the way without a relay, and with nginx and HAProxy where installed.
//!
//! *Tokens:* a client, the relay and the origin are on this machine, and an event carries the time
//! at which it was written. All streams run at once, out of step, so that other load on the machine
//! affects all alike. No link is in between: it would add the same to all, and its own jitter.
//!
//! *First byte:* a link between relay and origin makes each round trip take as long as is asked
//! for. A relay is asked by a client as soon as it runs, again over the same connection, and by
//! other clients after pauses.

mod client;
mod configuration;
mod figure;
mod link;
mod origin;

use clap::Parser;
use client::Client;
use configuration::configuration;
use narrows::config::value::{Period, Value};
use narrows_kit::folder::Folder;
use narrows_kit::programs::{Program, Relay};
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What goes wrong here ends the benchmark.
type Fault = Box<dyn Error + Send + Sync>;

/// The streams are cut into so many rounds, in each of which another way comes first.
const ROUNDS: usize = 4;
/// Requests on a kept connection.
const KEPT: usize = 10;
/// Clients after a pause: as many as fit into this time, and at least one.
const PAUSES: Duration = Duration::from_secs(15);
/// Between two clients that ask at about the same time, so that one's handshake does not wait for
/// another's.
const STAGGER: Duration = Duration::from_millis(30);
/// A relay that has just been started may take so many round trips before it is asked.
const SETTLING_ROUND_TRIPS: u32 = 10;
/// Beyond the pauses, everything takes far less.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Parser)]
#[command(about = "The latency that a relay adds.")]
struct Arguments {
    /// Round-trip time between relay and origin, for the times to the first byte.
    #[arg(long, default_value = "100ms", value_parser = period)]
    rtt: Duration,
    /// Silence before a new client asks.
    #[arg(long, default_value = "5s", value_parser = period)]
    pause: Duration,
    /// Tokens that come over each way.
    #[arg(long, default_value_t = 1600)]
    tokens: usize,
    /// Where to draw the results.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/latency.svg"))]
    svg: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was measured of one way to the origin.
#[derive(Clone, Debug)]
struct Row {
    /// `None`: straight.
    program: Option<Program>,
    name: String,
    /// Of each token, sorted.
    delays: Vec<Duration>,
    first_bytes: FirstBytes,
}

/// Times to the first byte of an answer, sorted.
#[derive(Clone, Debug, Default)]
struct FirstBytes {
    /// Of the first client, right after the relay's start.
    first: Vec<Duration>,
    /// Of its further requests.
    kept: Vec<Duration>,
    /// Of a client that comes after a pause.
    paused: Vec<Duration>,
}

/// Where to ask.
#[derive(Clone, Copy, Debug)]
struct Way {
    address: SocketAddr,
    /// In front of the origin's own paths.
    prefix: &'static str,
}

fn main() -> Result<(), Fault> {
    let arguments = Arguments::parse();
    let Arguments { rtt, pause, tokens, .. } = arguments;
    let clock = Instant::now();
    let origin = origin::start(clock, tokens.div_ceil(ROUNDS))?;
    let programs = Program::installed();
    let folder = Folder::new("latency");
    let runtime = Builder::new_current_thread().enable_all().build()?;

    let (relays, ways) = start(&programs, origin, &folder)?;
    let delays = runtime.block_on(in_time(PATIENCE, stream_all(ways, clock)))?;
    drop(relays);

    let (relays, ways) = start(&programs, link::start(origin, rtt)?, &folder)?;
    let patience = PATIENCE + pause * pauses(pause) as u32;
    let first_bytes = runtime.block_on(in_time(patience, ask_all(ways, rtt, pause)))?;
    drop(relays);

    let named = [None].into_iter().chain(programs.into_iter().map(Some)).zip(delays);
    let rows = named.zip(first_bytes).map(|((program, delays), first_bytes)| {
        let name = program.map_or(Some("no relay".to_owned()), Program::version);
        Row { program, name: name.unwrap_or_default(), delays, first_bytes }
    });
    let rows: Vec<Row> = rows.collect();
    report(&rows, rtt, pause)?;
    fs::write(&arguments.svg, figure::draw(&rows, rtt, pause))?;
    writeln!(io::stdout(), "\ndrawn in {}", arguments.svg.display())?;
    Ok(())
}

/// Starts all relays in front of `origin`. The first way is the one without a relay.
fn start(
    programs: &[Program],
    origin: SocketAddr,
    folder: &Folder,
) -> Result<(Vec<Relay>, Vec<Way>), Fault> {
    let started = programs.iter().map(|program| {
        program.start(folder, |address| configuration(*program, address, origin, folder))
    });
    let relays: Vec<Relay> = started.collect::<Result<_, _>>()?;
    let straight = Way { address: origin, prefix: "" };
    let through = relays.iter().map(|relay| Way { address: relay.address, prefix: "/gpt" });
    let ways = [straight].into_iter().chain(through).collect();
    Ok((relays, ways))
}

async fn in_time<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(patience, work).await.map_err(|_elapsed| "it takes too long")?
}

/// The delays of each way's tokens, sorted.
async fn stream_all(ways: Vec<Way>, clock: Instant) -> Result<Vec<Vec<Duration>>, Fault> {
    let mut delays = vec![Vec::new(); ways.len()];
    for round in 0..ROUNDS {
        for (all, more) in delays.iter_mut().zip(stream_round(&ways, round, clock).await?) {
            all.extend(more);
        }
    }
    Ok(delays.into_iter().map(sorted).collect())
}

async fn stream_round(
    ways: &[Way],
    round: usize,
    clock: Instant,
) -> Result<Vec<Vec<Duration>>, Fault> {
    // Between the events of the others, and never with them.
    let step = origin::PACE / ways.len() as u32;
    let mut tasks = JoinSet::new();
    for (number, way) in ways.iter().copied().enumerate() {
        let place = (number + round) % ways.len();
        tasks.spawn(async move {
            let mut client = Client::open(way.address).await?;
            // Opens the relay's connection, so that the streams begin in step.
            client.ask(way.prefix).await?;
            sleep(Duration::from_millis(200) + step * place as u32).await;
            Ok((number, client.stream(way.prefix, clock).await?))
        });
    }
    in_order(tasks).await
}

/// The times to the first byte of each way.
async fn ask_all(ways: Vec<Way>, rtt: Duration, pause: Duration) -> Result<Vec<FirstBytes>, Fault> {
    sleep(rtt * SETTLING_ROUND_TRIPS).await;
    let mut tasks = JoinSet::new();
    for (number, way) in ways.iter().copied().enumerate() {
        tasks.spawn(async move {
            sleep(STAGGER * number as u32).await;
            Ok((number, ask(way, pause).await?))
        });
    }
    in_order(tasks).await
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

fn pauses(pause: Duration) -> usize {
    (PAUSES.as_millis() / pause.as_millis().max(1)).clamp(1, 10) as usize
}

async fn in_order<T: 'static>(
    mut tasks: JoinSet<Result<(usize, T), Fault>>,
) -> Result<Vec<T>, Fault> {
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done??);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, value)| value).collect())
}

fn report(rows: &[Row], rtt: Duration, pause: Duration) -> io::Result<()> {
    let mut out = io::stdout();
    let tokens = rows.first().map_or(0, |row| row.delays.len());
    let title = format!("delay of {tokens} tokens, us");
    writeln!(out, "\n{title:<28}{:>10}{:>10}{:>10}{:>12}", "p50", "p90", "p99", "added p50")?;
    let straight = rows.first().map_or(0.0, |row| microseconds(row, 50));
    for row in rows {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| microseconds(row, percent));
        let name = &row.name;
        writeln!(out, "{name:<28}{p50:>10.0}{p90:>10.0}{p99:>10.0}{:>12.0}", p50 - straight)?;
    }
    let title = format!("first byte, in trips of {rtt:?}");
    let paused = format!("after {pause:?}");
    writeln!(out, "\n{title:<28}{:>10}{:>10}{paused:>12}", "first", "kept")?;
    for Row { name, first_bytes: FirstBytes { first, kept, paused }, .. } in rows {
        let [first, kept, paused] =
            [first, kept, paused].map(|times| round_trips(percentile(times, 50), rtt));
        writeln!(out, "{name:<28}{first:>10.2}{kept:>10.2}{paused:>12.2}")?;
    }
    Ok(())
}

fn microseconds(row: &Row, percent: usize) -> f64 {
    percentile(&row.delays, percent).as_nanos() as f64 / 1000.0
}

fn round_trips(time: Duration, rtt: Duration) -> f64 {
    time.as_secs_f64() / rtt.as_secs_f64()
}

/// The nearest-rank percentile of what is sorted.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

fn period(text: &str) -> Result<Duration, String> {
    text.parse::<Period>().map(|period| period.0).map_err(|error| error.explain(Period::ALLOWED))
}
