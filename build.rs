//! Says what the program is built from: the commit, its date and the target, for `--version` and
//! the metrics.
//!
//! A release build is exact. A debug build is not: to look at every commit would compile the whole
//! library anew after each, so it says the commit of the first such build.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};
use std::{env, fs};

/// Digits of a commit that are shown.
const COMMIT_DIGITS: usize = 9;
/// What a commit or a date is called that cannot be found out.
const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=NARROWS_COMMIT");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let is_release = variable("PROFILE").is_some_and(|it| it == "release");
    let is_repository = is_repository();
    if is_repository && is_release {
        rerun_after_changes();
    }
    let commit = variable("NARROWS_COMMIT").or_else(commit_of_package);
    let commit = commit.or_else(|| commit_of_repository(is_release).filter(|_| is_repository));
    let epoch = variable("SOURCE_DATE_EPOCH")
        .or_else(|| git(&["log", "-1", "--format=%ct"]).filter(|_| is_repository));
    let date = epoch.and_then(|it| date(&it));
    let commit = commit.unwrap_or_else(|| UNKNOWN.to_owned());
    let target = variable("TARGET").unwrap_or_default();
    let shown = match (&*commit, is_release) {
        (UNKNOWN, _) => "commit unknown".to_owned(),
        (commit, true) => commit.to_owned(),
        (commit, false) => format!("debug build of {commit} or later"),
    };
    let date = date.unwrap_or_else(|| "date unknown".to_owned());
    let version = variable("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=NARROWS_COMMIT={commit}");
    println!("cargo::rustc-env=NARROWS_VERSION={version} ({shown}, {date}, {target})");
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The commit that `cargo package` has written down.
fn commit_of_package() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let digits = rest.split('"').nth(1)?;
    let digits = digits.get(..COMMIT_DIGITS)?;
    digits.bytes().all(|it| it.is_ascii_hexdigit()).then(|| digits.to_owned())
}

/// The commit that is checked out, and in a release build whether files differ from it.
fn commit_of_repository(is_release: bool) -> Option<String> {
    let abbreviated = format!("--abbrev={COMMIT_DIGITS}");
    let mut arguments = vec!["describe", "--always", "--exclude=*", &abbreviated];
    if is_release {
        arguments.push("--dirty=-modified");
    }
    git(&arguments)
}

/// Whether this folder is the top of a repository. The package may have been unpacked inside of
/// another one.
fn is_repository() -> bool {
    let here = env::current_dir().and_then(fs::canonicalize).ok();
    let top = git(&["rev-parse", "--show-toplevel"]);
    top.and_then(|it| fs::canonicalize(it).ok()).is_some_and(|top| Some(top) == here)
}

fn rerun_after_changes() {
    let heads = ["HEAD", "logs/HEAD"].map(|name| git(&["rev-parse", "--git-path", name]));
    let sources = ["src", "Cargo.toml", "Cargo.lock"].map(|name| Some(name.to_owned()));
    // What is not there would count as changed each time.
    for path in heads.into_iter().chain(sources).flatten().filter(|it| Path::new(it).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// What git prints; `None` if it is not there, or refuses.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The day of a time in seconds since 1970, in UTC, before the year 10000.
fn date(epoch: &str) -> Option<String> {
    let seconds = epoch.parse().ok().filter(|seconds| *seconds < 253_402_300_800)?;
    let at = UNIX_EPOCH + Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.get(..10).map(str::to_owned)
}
