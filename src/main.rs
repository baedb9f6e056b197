//! The binary: arguments, configuration, run, exit code.

use narrows::cli::{Action, CheckArguments, Cli, ImportArguments, RunArguments, TokenArguments};
use narrows::config::acme_state::state_warnings;
use narrows::config::outline::outline;
use narrows::config::problem::Problem;
use narrows::config::report::{Colours, Severity, explained, report};
use narrows::config::warnings::warnings;
use narrows::doctor;
use narrows::{Launch, Launcher, Problems, Server, Snapshot, catch_signals, telemetry};
use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

/// Something failed while running.
const FAILED: u8 = 1;
/// The arguments or the configuration are wrong; clap uses the same.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    catch_signals();
    // Its arguments are those of another program.
    if let Some(launcher) = Launcher::of_this_process() {
        return launcher.run();
    }
    match Cli::read().command {
        Action::Run(arguments) => run(*arguments),
        Action::Check(arguments) => check(*arguments),
        Action::Doctor(arguments) => match doctor::run(*arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(FAILED),
            Err(problems) => refuse(&problems),
        },
        Action::Token(arguments) => token(&arguments),
        Action::Import(arguments) => import(&arguments),
    }
}

fn run(arguments: RunArguments) -> ExitCode {
    let launch = match Launch::of_this_process() {
        Ok(launch) => launch,
        Err(error) => {
            say(io::stderr(), format_args!("narrows: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let loaded = arguments.config().and_then(Snapshot::load);
    let snapshot = match loaded {
        Ok(snapshot) => snapshot,
        Err(problems) => return refuse(&problems),
    };
    telemetry::init_log(snapshot.config.log);
    snapshot.config.forget_text();
    let launch = launch.with_stdin(arguments.stdin_text());
    match Server::run(snapshot, move |current| arguments.config_again(current), launch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(io::stderr(), format_args!("narrows: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn check(arguments: CheckArguments) -> ExitCode {
    let loaded = arguments.run().and_then(|run| Ok((run.name(), run.config()?)));
    let loaded = loaded.and_then(|(name, config)| Ok((name, Snapshot::load(config)?)));
    let (name, snapshot) = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    let (warnings, of_state) = (warnings(&snapshot.config), state_warnings(&snapshot));
    for warning in snapshot.remarks.iter().chain(warnings.iter()).chain(of_state.iter()) {
        explain(warning, Severity::Warning);
    }
    let mut has_expired = false;
    for certificate in &snapshot.certificates {
        for complaint in certificate.validity.complaints(SystemTime::now()) {
            let severity = if complaint.is_error { Severity::Error } else { Severity::Warning };
            let (location, what) = (certificate.location.clone(), complaint.what);
            explain(&Problem { location, what, help: Vec::new() }, severity);
            has_expired |= complaint.is_error;
        }
    }
    if has_expired {
        return ExitCode::from(REFUSED);
    }
    say(io::stdout(), format_args!("{name}: ok: {}", snapshot.summary()));
    say(io::stdout(), format_args!("{}", outline(&snapshot, SystemTime::now()).trim_end()));
    ExitCode::SUCCESS
}

fn token(arguments: &TokenArguments) -> ExitCode {
    match arguments.token() {
        Ok(token) => {
            let printed = print(format_args!("{token}\n"));
            if printed.is_ok() {
                say(io::stderr(), format_args!("{}", token.advice()));
            }
            code_of(printed)
        }
        Err(error) => {
            say(io::stderr(), format_args!("narrows: no token can be made: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn import(arguments: &ImportArguments) -> ExitCode {
    let printed = arguments.translate();
    let written = printed.toml.as_ref().map(|it| print(format_args!("{it}")));
    // What to read comes last.
    let _unread = io::stderr().write_all(printed.remarks.as_bytes());
    written.map_or(ExitCode::from(REFUSED), code_of)
}

/// Writes what was asked for to stdout, which may be a file on a full disk.
fn print(text: Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_fmt(text)?;
    stdout.flush()
}

fn code_of(printed: io::Result<()>) -> ExitCode {
    let Err(error) = printed else { return ExitCode::SUCCESS };
    say(io::stderr(), format_args!("narrows: stdout cannot be written to: {error}"));
    ExitCode::from(FAILED)
}

fn refuse(problems: &Problems) -> ExitCode {
    let _unread = io::stderr().write_all(report(problems, Colours::of_stderr()).as_bytes());
    ExitCode::from(REFUSED)
}

fn explain(problem: &Problem, severity: Severity) {
    say(io::stderr(), format_args!("{}", explained(problem, severity, Colours::of_stderr())));
}

/// `println!` and `eprintln!` panic when no one reads; the exit code says it all, too.
fn say(mut stream: impl Write, line: Arguments<'_>) {
    let _unread = writeln!(stream, "{line}");
}
