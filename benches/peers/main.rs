//! What a relay costs, beside nginx and HAProxy where installed, end to end over TLS: the delay of
//! every token, the first byte of an answer when the API is far away, memory for each stream, and
//! time on a core, with more streams and with more workers.
//!
//!     cargo bench --bench peers [-- --only delays,first-byte,cost,workers --pictures docs]
//!
//! Clients and origin are on this machine. Relays have one worker, and a core of their own if there
//! are several; only `workers` uses all cores. All that is compared runs in short turns, one after
//! the other, and results are medians of turns: what else the machine does affects all alike. The
//! costs are times on a core, as the kernel accounts for them, and not elapsed times.

mod client;
mod configuration;
mod cost;
mod delays;
mod figure;
mod first_byte;
mod link;
mod origin;
mod process;
mod report;
mod statistics;
mod streams;
mod workers;

use clap::{Parser, ValueEnum};
use client::Way;
use configuration::{configuration, narrows_configuration};
use cost::Cost;
use delays::Turns;
use first_byte::FirstBytes;
use narrows::config::value::{Period, Value};
use narrows_kit::folder::Folder;
use narrows_kit::programs::{Program, Relay};
use origin::Origin;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};
use tokio::runtime::Builder;

/// What goes wrong here ends the benchmark.
type Fault = Box<dyn Error + Send + Sync>;

/// Streams whose events are timed.
const TIMED_STREAMS: usize = 100;
/// How often a relay is started to measure its costs: what else the machine does at one time must
/// not be taken for the cost of one number of streams.
const STARTS: usize = 3;
/// Descriptors of this process that are for no stream.
const DESCRIPTORS_RESERVED: usize = 600;

#[derive(Debug, Parser)]
#[command(about = "What a relay costs, beside nginx and HAProxy.")]
struct Arguments {
    /// Round-trip time between relay and origin, for the times to the first byte.
    #[arg(long, default_value = "100ms", value_parser = period)]
    rtt: Duration,
    /// Silence before a new client asks.
    #[arg(long, default_value = "5s", value_parser = period)]
    pause: Duration,
    /// Numbers of open streams at which the cost is measured, ascending.
    #[arg(long, default_value = "100,1000,5000,9000", value_delimiter = ',')]
    streams: Vec<usize>,
    /// Numbers of workers.
    #[arg(long, default_value = "1,2,4,8", value_delimiter = ',')]
    workers: Vec<usize>,
    /// Turns of each relay.
    #[arg(long, default_value_t = 8)]
    turns: usize,
    /// How long a turn is.
    #[arg(long, default_value = "500ms", value_parser = period)]
    span: Duration,
    /// These parts alone.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The folder for `latency.svg` and `cost.svg`.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    pictures: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The delay of each event of many streams.
    Delays,
    /// The time to the first byte from a far API.
    FirstByte,
    /// Time for an event, and memory of a stream, with more and more streams.
    Cost,
    /// Time for a request with several workers.
    Workers,
}

/// What was measured of one way to the origin.
#[derive(Clone, Debug, Default)]
struct Row {
    /// `None`: straight.
    program: Option<Program>,
    name: String,
    delays: Turns,
    first_bytes: FirstBytes,
    costs: Vec<Cost>,
}

fn main() -> Result<(), Fault> {
    let mut arguments = Arguments::parse();
    let most = streams_with_room()?;
    arguments.streams.retain(|it| *it <= most);
    let programs = Program::installed();
    let mut rows = vec![Row { name: "no relay".to_owned(), ..Row::default() }];
    rows.extend(programs.iter().map(|program| {
        let name = program.version().unwrap_or_default();
        Row { program: Some(*program), name, ..Row::default() }
    }));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let bench = Bench { arguments, folder: Folder::new("peers"), programs };
    runtime.block_on(bench.run(&mut rows))?;
    Ok(())
}

/// How many streams this process has descriptors for, at both of its ends.
fn streams_with_room() -> io::Result<usize> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let maximum = usize::try_from(maximum.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    Ok(maximum.saturating_sub(DESCRIPTORS_RESERVED) / 2)
}

struct Bench {
    arguments: Arguments,
    folder: Folder,
    programs: Vec<Program>,
}

impl Bench {
    async fn run(&self, rows: &mut [Row]) -> Result<(), Fault> {
        let Arguments { rtt, pause, ref pictures, .. } = self.arguments;
        if self.wants(Part::Delays) {
            self.time_events(rows).await?;
            report::delays(rows)?;
        }
        if self.wants(Part::FirstByte) {
            self.time_first_bytes(rows).await?;
            report::first_bytes(rows, rtt, pause)?;
        }
        if self.wants(Part::Delays) && self.wants(Part::FirstByte) {
            fs::write(pictures.join("latency.svg"), figure::latency::draw(rows, rtt, pause))?;
        }
        if self.wants(Part::Cost) {
            self.count_costs(rows).await?;
            report::costs(rows)?;
            fs::write(pictures.join("cost.svg"), figure::cost::draw(rows))?;
        }
        if self.wants(Part::Workers) {
            self.count_workers().await?;
        }
        Ok(())
    }

    fn wants(&self, part: Part) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.contains(&part)
    }

    fn start(&self, program: Program, origin: SocketAddr) -> io::Result<Relay> {
        let most = self.arguments.streams.last().copied().unwrap_or_default();
        let clients = most.max(TIMED_STREAMS) + 100;
        program.start(&self.folder, |address| {
            configuration(program, address, origin, clients, &self.folder)
        })
    }

    async fn time_events(&self, rows: &mut [Row]) -> Result<(), Fault> {
        let Arguments { turns, span, .. } = self.arguments;
        let straight = Origin::start()?;
        let mut relays = Vec::new();
        for program in &self.programs {
            let origin = Origin::start()?;
            relays.push((self.start(*program, origin.address)?, origin));
        }
        let delays = delays::delays(&straight, &relays, TIMED_STREAMS, turns, span).await?;
        for (row, delays) in rows.iter_mut().zip(delays) {
            row.delays = delays;
        }
        Ok(())
    }

    async fn time_first_bytes(&self, rows: &mut [Row]) -> Result<(), Fault> {
        let Arguments { rtt, pause, .. } = self.arguments;
        process::share_cores()?;
        let link = link::start(Origin::start()?.address, rtt)?;
        let start = |program: &Program| self.start(*program, link);
        let relays = self.programs.iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let mut ways = vec![Way { address: link, prefix: "" }];
        ways.extend(relays.iter().map(|it| Way { address: it.address, prefix: "/gpt" }));
        let times = first_byte::first_bytes(ways, rtt, pause).await?;
        for (row, times) in rows.iter_mut().zip(times) {
            row.first_bytes = times;
        }
        Ok(())
    }

    async fn count_costs(&self, rows: &mut [Row]) -> Result<(), Fault> {
        let Arguments { ref streams, turns, span, .. } = self.arguments;
        for row in rows.iter_mut().skip(1) {
            row.costs = streams.iter().copied().map(Cost::new).collect();
        }
        for _ in 0..STARTS {
            for (row, program) in rows.iter_mut().skip(1).zip(&self.programs) {
                let origin = Origin::start()?;
                let relay = self.start(*program, origin.address)?;
                let turns = turns.div_ceil(STARTS);
                cost::add_costs(&mut row.costs, &relay, &origin, turns, span).await?;
            }
        }
        Ok(())
    }

    async fn count_workers(&self) -> Result<(), Fault> {
        let Arguments { ref workers, turns, span, .. } = self.arguments;
        process::share_cores()?;
        let origin = Origin::start()?.address;
        let start = |workers: &usize| {
            let configure = |address| Ok(narrows_configuration(*workers, address, origin));
            Program::Narrows.start(&self.folder, configure)
        };
        let relays = workers.iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let times = workers::request_times(&relays, turns, span).await?;
        Ok(report::workers(workers, &times)?)
    }
}

fn period(text: &str) -> Result<Duration, String> {
    text.parse::<Period>().map(|period| period.0).map_err(|error| error.explain(Period::ALLOWED))
}
