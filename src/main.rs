//! The binary: arguments, configuration, run, exit code.

use narrows::cli::{Action, CheckArguments, Cli, RunArguments};
use narrows::{Config, Problems, Server, Snapshot, telemetry};
use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

/// Something failed while running.
const FAILED: u8 = 1;
/// The arguments or the configuration are wrong; clap uses the same.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    match Cli::read().command {
        Action::Run(arguments) => run(&arguments),
        Action::Check(arguments) => check(&arguments),
    }
}

fn run(arguments: &RunArguments) -> ExitCode {
    let loaded = arguments.config().and_then(Snapshot::load);
    let snapshot = match loaded {
        Ok(snapshot) => snapshot,
        Err(problems) => return refuse(&problems),
    };
    telemetry::init_log(arguments.log_format, arguments.log_level);
    match Server::run(snapshot, || arguments.config()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(io::stderr(), format_args!("narrows: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn check(arguments: &CheckArguments) -> ExitCode {
    let loaded = Config::read(&arguments.config).and_then(Snapshot::load);
    match loaded {
        Ok(snapshot) => {
            for remark in snapshot.remarks.iter() {
                say(io::stderr(), format_args!("{}: warning: {}", remark.location, remark.what));
            }
            let mut has_expired = false;
            for certificate in &snapshot.certificates {
                let location = &certificate.location;
                for complaint in certificate.validity.complaints(SystemTime::now()) {
                    let kind = if complaint.is_error { "" } else { "warning: " };
                    say(io::stderr(), format_args!("{location}: {kind}{}", complaint.what));
                    has_expired |= complaint.is_error;
                }
            }
            if has_expired {
                return ExitCode::from(REFUSED);
            }
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
