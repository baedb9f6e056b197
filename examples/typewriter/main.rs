//! The typewriter effect, measured: an API over TLS, narrows in front of it, and a client.
//!
//! All three run in this process, on a thread each, over 127.0.0.1; nothing else is needed. The
//! client asks one question through the relay and one straight at the origin. The first answer is
//! typed as it arrives, and then the delays of both are compared, token by token.
//!
//!     cargo run --release --example typewriter

mod client;
mod origin;

use client::Answer;
use narrows::telemetry::{LogSettings, init_log};
use narrows::{Config, Server, Snapshot};
use narrows_kit::certificates::{certificate_file, listener_keys};
use narrows_kit::connection::Connection;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

/// What goes wrong here ends the example.
type Fault = Box<dyn Error + Send + Sync>;

/// Columns of the typed text.
const WIDTH: usize = 72;
/// Longest run of the whole example; it takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Fault> {
    // The one clock of origin and client, so that their readings can be subtracted.
    let clock = Instant::now();
    init_log(LogSettings::default());
    let origin = origin::start(clock)?;
    let relay = serve(origin)?;

    let runtime = Builder::new_current_thread().enable_all().build()?;
    let asking = async { timeout(PATIENCE, ask_both(relay.addresses()[0], origin, clock)).await };
    let (relayed, direct) = runtime.block_on(asking)??;
    drop(runtime);
    // Its line about the exchange is in the log after that.
    relay.stop();
    report(&relayed, &direct)?;
    Ok(())
}

/// Both answers at once, so that other load on this machine affects both alike, and half a step
/// apart, so that they do not affect each other.
async fn ask_both(
    relay: SocketAddr,
    origin: SocketAddr,
    clock: Instant,
) -> Result<(Vec<Duration>, Vec<Duration>), Fault> {
    let relayed = Connection::open_tls(relay).await?;
    let direct = Connection::open_tls(origin).await?;
    let relayed = Answer::ask(relayed, "/gpt/v1/chat/completions", clock).await?;
    sleep(origin::PACE / 2).await;
    let direct = Answer::ask(direct, "/v1/chat/completions", clock).await?;
    tokio::try_join!(type_out(relayed), read_silently(direct))
}

async fn type_out(mut answer: Answer) -> Result<Vec<Duration>, Fault> {
    let mut delays = Vec::new();
    let mut column = 0;
    let mut out = io::stdout();
    writeln!(out)?;
    while let Some(token) = answer.next_token().await? {
        delays.push(token.delay);
        column += token.text.len();
        let mut text = token.text.as_str();
        if column > WIDTH {
            text = text.trim_start();
            column = text.len();
            writeln!(out)?;
        }
        write!(out, "{text}")?;
        out.flush()?;
    }
    writeln!(out, "\n")?;
    Ok(delays)
}

async fn read_silently(mut answer: Answer) -> Result<Vec<Duration>, Fault> {
    let mut delays = Vec::new();
    while let Some(token) = answer.next_token().await? {
        delays.push(token.delay);
    }
    Ok(delays)
}

/// Prints the delays, from before the origin writes an event to after the client has read it.
fn report(relayed: &[Duration], direct: &[Duration]) -> io::Result<()> {
    let mut out = io::stdout();
    let tokens = relayed.len();
    let title = format!("delay of {tokens} tokens, in us");
    writeln!(out, "{title:<32}{:>10}{:>10}", "p50", "p99")?;
    let mut row = |name: &str, [p50, p99]: [i128; 2]| {
        writeln!(out, "{name:<32}{:>10}{:>10}", p50 / 1000, p99 / 1000)
    };
    let through = [50, 99].map(|percent| percentile(relayed, percent));
    let straight = [50, 99].map(|percent| percentile(direct, percent));
    row("straight from the origin", straight)?;
    row("through the relay", through)?;
    row("added by the relay", [through[0] - straight[0], through[1] - straight[1]])
}

/// The nearest-rank percentile, in nanoseconds.
fn percentile(delays: &[Duration], percent: usize) -> i128 {
    let mut sorted = delays.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0, |delay| delay.as_nanos() as i128)
}

/// Serves `/gpt/` with one worker.
fn serve(origin: SocketAddr) -> Result<Server, Fault> {
    let (keys, ca) = (listener_keys(), certificate_file("ca.pem"));
    let toml = format!(
        "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n{keys}\
         [[route]]\npath = \"/gpt/\"\nupstream = \"https://api.openai.test/\"\n\
         connect = \"{origin}\"\nca = {ca:?}\n"
    );
    let config = Config::parse("typewriter.toml", Path::new("."), &toml)?;
    Ok(Server::start(Snapshot::load(config)?)?)
}
