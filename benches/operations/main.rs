//! What operators do to a server while it serves: reloads with a changed route, new certificates,
//! a new binary. narrows is compared with nginx and Caddy where installed.
//!
//!     cargo bench --bench operations [-- --times 20 --pause 2500ms --only narrows,nginx]
//!
//! Meanwhile new connections come, streams are open all the time, uploads are under way, and kept
//! connections ask again and again, all over TLS on both sides. The table says what the clients
//! lose. A run takes about as long as its streams.

mod configuration;
mod load;
mod origin;
mod programs;
mod tally;

use clap::Parser;
use load::{Expected, Load};
use narrows::config::value::{Period, Value};
use narrows_kit::certificates::certificate_file;
use narrows_kit::folder::Folder;
use programs::{Operation, Program, Running};
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// What goes wrong here ends the benchmark.
type Fault = Box<dyn Error + Send + Sync>;

/// Before the first operation: pools, sessions and memory grow to the size of the load.
const WARM_UP: Duration = Duration::from_secs(5);
/// After the last connection: what a server closes late is closed.
const REST: Duration = Duration::from_secs(3);

#[derive(Debug, Parser)]
#[command(about = "Reloads, new certificates and new binaries under load.")]
struct Arguments {
    /// How often each operation is done.
    #[arg(long, default_value_t = 20)]
    times: u32,
    /// From one operation to the next.
    #[arg(long, default_value = "2500ms", value_parser = period)]
    pause: Duration,
    /// New connections in a second.
    #[arg(long, default_value_t = 200)]
    connections: u32,
    /// Open streams.
    #[arg(long, default_value_t = 50)]
    streams: u32,
    /// Routes beside the one that is used, each to an upstream of its own.
    #[arg(long, default_value_t = 0)]
    routes: u32,
    /// These programs alone: narrows, nginx, caddy.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// These operations alone: reload, certificate, binary.
    #[arg(long, value_delimiter = ',')]
    operations: Vec<String>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Fault> {
    let arguments = Arguments::parse();
    let span = WARM_UP + arguments.pause * (arguments.times + 1);
    let origin = origin::start(span)?;
    let folder = Folder::new("operations");
    let wants = |list: &[String], name: &str| list.is_empty() || list.iter().any(|it| it == name);
    let mut out = io::stdout();
    writeln!(out, "{}", tally::HEAD)?;
    for operation in Operation::ALL {
        for program in Program::installed() {
            if !program.can(operation)
                || !wants(&arguments.only, program.name())
                || !wants(&arguments.operations, operation.name())
            {
                continue;
            }
            let running = program.start(&folder, origin, arguments.routes)?;
            let row = Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(measure(running, operation, &arguments, span))?;
            writeln!(out, "| {} | {} | {row}", operation.name(), program.version())?;
            out.flush()?;
        }
    }
    Ok(())
}

/// One program, one operation, the row of the table.
async fn measure(
    mut running: Running,
    operation: Operation,
    arguments: &Arguments,
    span: Duration,
) -> Result<String, Fault> {
    let tally = Arc::new(Tally::default());
    let expected = Arc::new(Expected::default());
    let load = Load {
        address: running.address,
        connections: arguments.connections,
        streams: arguments.streams,
        expected: Arc::clone(&expected),
        tally: Arc::clone(&tally),
        span,
    };
    // The same traffic before, so that memory is compared with memory after traffic.
    load.warm_up(WARM_UP).await?;
    sleep(REST).await;
    let before = running.resources()?;
    tally.clear();

    let clients = tokio::spawn(load.run());
    sleep(WARM_UP).await;
    let mut done = 0;
    for number in 1..=arguments.times {
        let second = number % 2 == 1;
        if operation == Operation::Certificate {
            write_certificate(&running.folder, second)?;
        }
        expected.changes(operation, second);
        done += u32::from(running.operate(operation, second).await?);
        expected.has_changed();
        sleep(arguments.pause).await;
    }
    clients.await??;
    sleep(REST).await;
    let after = running.resources()?;
    let row = format!("{done} | {}", tally.row(before, after));
    running.stop().await?;
    Ok(row)
}

/// Writes the certificate, first or second, where the program's configuration looks for it.
fn write_certificate(folder: &Path, second: bool) -> io::Result<()> {
    let (chain, key): (&[&str], _) = match second {
        true => (&["chain-leaf.pem", "chain-intermediate.pem"], "chain-leaf.key"),
        false => (&["server.pem"], "server.key"),
    };
    let chain: Vec<_> =
        chain.iter().map(|it| fs::read(certificate_file(it))).collect::<Result<_, _>>()?;
    // Renamed over, as tools for certificates do.
    for (name, content) in
        [("certificate.pem", chain.concat()), ("key.pem", fs::read(certificate_file(key))?)]
    {
        let new = folder.join("new");
        fs::write(&new, content)?;
        fs::rename(&new, folder.join(name))?;
    }
    Ok(())
}

fn period(text: &str) -> Result<Duration, String> {
    text.parse::<Period>().map(|it| it.0).map_err(|invalid| invalid.explain(Period::ALLOWED))
}
