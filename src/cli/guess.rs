//! What was probably meant by arguments without a command: `narrows /gpt/=https://host/`,
//! `narrows --listen :443 /gpt/=https://host/`, or `narrows narrows.toml`. And by an option that a
//! colon joins to its value.
//!
//! Not here: a word that is not a command (`usage_error`).

use crate::config::lookalike::corrected;
use crate::config::problem::nearest;
use clap::Command;

/// The command that is missing before `arguments`, if the first of them is a route or a URL, or an
/// option with a route among the rest, or `--config`, or if the only one is a file.
pub(super) fn missing_command(arguments: &[String]) -> Option<&'static [&'static str]> {
    let (first, rest) = arguments.split_first()?;
    let is_route = |text: &String| text.starts_with('/') && text.contains("/=http");
    if rest.is_empty() && first.ends_with(".toml") && !first.starts_with('-') {
        return Some(&["run", "--config"]);
    }
    let is_run = first.starts_with('/')
        || first.contains("://")
        || first == "--config"
        || first.starts_with("--config=")
        || first.starts_with("--") && rest.iter().any(is_route);
    is_run.then_some(&["run"])
}

/// `--listen 8080` for `--listen:8080`, also with a full-width colon or equals sign, or with a dash
/// for the hyphens. `None`: that is not an option of `cli`.
pub(super) fn joined_option(argument: &str, cli: &Command) -> Option<String> {
    let argument = corrected(argument);
    let (name, value) = argument.trim_start_matches('-').split_once([':', '='])?;
    let run = cli.find_subcommand("run")?;
    let is_known = run.get_arguments().any(|it| it.get_long() == Some(name));
    is_known.then(|| format!("--{name} {value}"))
}

/// `--listen` for `-listen`, which clap reads as letters.
pub(super) fn long_option(argument: &str, cli: &Command) -> Option<String> {
    let name = argument.strip_prefix('-').filter(|it| !it.starts_with('-') && it.len() > 1)?;
    let run = cli.find_subcommand("run")?;
    let known: Vec<_> = run.get_arguments().filter_map(|it| it.get_long()).collect();
    nearest(name, known).map(|it| format!("--{it}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    const ROUTE: &str = "/gpt/=https://api.openai.com/";

    #[test]
    fn a_route_or_a_file_without_a_command_is_a_run() {
        for arguments in [
            &[ROUTE][..],
            &["--listen", ":443", ROUTE],
            &["/gpt/"],
            &["https://h/"],
            &["--config", "narrows.toml"],
            &["--config=narrows.toml"],
        ] {
            assert_eq!(guess(arguments), Some(&["run"][..]), "{arguments:?}");
        }
        for file in ["narrows.toml", "/etc/narrows/narrows.toml"] {
            assert_eq!(guess(&[file]), Some(&["run", "--config"][..]), "{file}");
        }
    }

    #[test]
    fn anything_else_is_not_guessed_at() {
        let bad_route = ["--listen", ":443", "/gpt/=ftp://host/"];
        for arguments in [&["chek"][..], &["rum", ROUTE], &["--listen", ":443"], &[], &bad_route] {
            assert_eq!(guess(arguments), None, "{arguments:?}");
        }
    }

    #[test]
    fn an_option_that_is_joined_to_its_value_is_recognized() {
        for (argument, want) in [
            ("--listen:8080", Some("--listen 8080")),
            ("--listen：127.0.0.1：8080", Some("--listen 127.0.0.1:8080")),
            ("--listen＝8080", Some("--listen 8080")),
            ("—listen=8080", Some("--listen 8080")),
            ("--lisen:8080", None),
            ("--listen", None),
            ("/gpt/", None),
        ] {
            let cli = crate::cli::Cli::command();
            assert_eq!(joined_option(argument, &cli).as_deref(), want, "{argument}");
        }
    }

    fn guess(arguments: &[&str]) -> Option<&'static [&'static str]> {
        let arguments: Vec<_> = arguments.iter().map(|&it| it.to_owned()).collect();
        missing_command(&arguments)
    }
}
