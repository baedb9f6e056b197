//! The rows of the conformance suite, played through narrows and through nginx and HAProxy where
//! installed, and a page of what each did.
//!
//!     cargo bench --bench conformance [-- --page docs/conformance.md]
//!
//! All relay plain HTTP to plain HTTP over kept connections. Rows that the standard leaves open
//! are played and not judged.

mod configuration;
mod page;

use clap::Parser;
use configuration::configuration;
use narrows_kit::conformance::case::{Case, Kind};
use narrows_kit::conformance::origin::Origin;
use narrows_kit::conformance::play::{Pace, play};
use narrows_kit::conformance::rows::{SECTIONS, Section};
use narrows_kit::folder::Folder;
use narrows_kit::programs::Program;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// What goes wrong here ends the benchmark.
type Fault = Box<dyn Error + Send + Sync>;

/// A relay that does nothing for so long waits. Ours needs a millisecond for a row.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
#[command(about = "The conformance rows, beside other programs.")]
struct Arguments {
    /// Where to write the page.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/conformance.md"))]
    page: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one program did with one row.
#[derive(Debug)]
struct Outcome {
    /// `None`: the row is a choice.
    passes: Option<bool>,
    /// It does what the row says of ours.
    is_ours: bool,
    /// Both sides, and lines that should or should not be there.
    did: String,
}

/// A row, and what each program did with it.
#[derive(Debug)]
struct Row {
    section: &'static str,
    case: Case,
    outcomes: Vec<Outcome>,
}

fn main() -> Result<(), Fault> {
    let arguments = Arguments::parse();
    let programs = Program::installed();
    let folder = Folder::new("conformance");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let rows = runtime.block_on(play_all(&programs, &folder))?;
    let page = page::write(&programs, &rows);
    fs::write(&arguments.page, &page)?;
    let mut out = io::stdout();
    writeln!(out, "{page}\nwritten to {}", arguments.page.display())?;
    Ok(())
}

/// Plays all rows through all programs, which go on beside each other.
async fn play_all(programs: &[Program], folder: &Folder) -> Result<Vec<Row>, Fault> {
    let (mut tasks, mut relays) = (JoinSet::new(), Vec::new());
    for (number, program) in programs.iter().enumerate() {
        let origin = Origin::start().await?;
        let relay = program.start(folder, |address| {
            Ok(configuration(*program, address, origin.address, folder))
        })?;
        let address = relay.address;
        relays.push(relay);
        tasks.spawn(async move {
            let mut outcomes = Vec::new();
            for (_, rows) in SECTIONS {
                for case in rows() {
                    let outcome = outcome(&case, address, &origin).await;
                    outcomes.push(outcome.map_err(|error| format!("{}: {error}", case.name))?);
                }
            }
            Ok::<_, Fault>((number, outcomes))
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done??);
    }
    all.sort_by_key(|(number, _)| *number);
    let of_section = |&(section, rows): &Section| rows().into_iter().map(move |it| (section, it));
    let cases = SECTIONS.iter().flat_map(of_section);
    let mut rows: Vec<_> =
        cases.map(|(section, case)| Row { section, case, outcomes: Vec::new() }).collect();
    for (_, outcomes) in all {
        for (row, outcome) in rows.iter_mut().zip(outcomes) {
            row.outcomes.push(outcome);
        }
    }
    Ok(rows)
}

/// What a relay does with a row: the worse of both paces.
async fn outcome(case: &Case, relay: SocketAddr, origin: &Origin) -> Result<Outcome, Fault> {
    let mut outcome = play_once(case, relay, origin, Pace::AtOnce).await?;
    if !case.at_once && outcome.passes != Some(false) {
        let in_pieces = play_once(case, relay, origin, Pace::InPieces).await?;
        if in_pieces.passes == Some(false) {
            outcome = in_pieces;
        }
    }
    Ok(outcome)
}

async fn play_once(
    case: &Case,
    relay: SocketAddr,
    origin: &Origin,
    pace: Pace,
) -> Result<Outcome, Fault> {
    let seen = play(case, relay, origin, pace, PATIENCE).await?;
    let did: Vec<_> = [seen.transcript()].into_iter().chain(seen.lines_amiss(case)).collect();
    let is_ours = seen.faults(case).is_empty();
    Ok(Outcome { passes: seen.passes(case), is_ours, did: did.join("; ") })
}

impl Row {
    fn is_judged(&self) -> bool {
        self.case.kind != Kind::Choice
    }
}
