//! The binary: arguments, configuration, run, exit code.

use clap::Parser;
use narrows::cli::{CheckArguments, Cli, Command, RunArguments};
use narrows::config::Config;
use narrows::config::problem::Problems;
use narrows::config::snapshot::Snapshot;
use narrows::{ops, server};
use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;

/// Something failed while running.
const FAILED: u8 = 1;
/// The arguments or the configuration are wrong; clap uses the same.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Check(arguments) => check(&arguments),
    }
}

fn run(arguments: &RunArguments) -> ExitCode {
    let loaded = arguments.config().and_then(|config| Snapshot::load(&config));
    let snapshot = match loaded {
        Ok(snapshot) => snapshot,
        Err(problems) => return refuse(&problems),
    };
    ops::init_log(arguments.log_format, arguments.log_level);
    match server::run(snapshot) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(io::stderr(), format_args!("narrows: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn check(arguments: &CheckArguments) -> ExitCode {
    let loaded = Config::read(&arguments.config).and_then(|config| Snapshot::load(&config));
    match loaded {
        Ok(snapshot) => {
            let file = arguments.config.display();
            say(io::stdout(), format_args!("{file}: ok: {}", snapshot.summary()));
            ExitCode::SUCCESS
        }
        Err(problems) => refuse(&problems),
    }
}

fn refuse(problems: &Problems) -> ExitCode {
    say(io::stderr(), format_args!("{problems}"));
    ExitCode::from(REFUSED)
}

/// `println!` and `eprintln!` panic when no one reads; the exit code says it all, too.
fn say(mut stream: impl Write, line: Arguments<'_>) {
    let _unread = writeln!(stream, "{line}");
}
