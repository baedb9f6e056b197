//! What was probably meant by arguments without a command, where none of them is in the place of
//! the command: `narrows --listen :443 /gpt/=https://host/`, or `narrows narrows.toml`.
//!
//! Not here: a word that is not a command (`usage_error`).

use super::route_argument::RouteArgument;
use crate::config::problem::without_secrets;
use clap::Command;
use clap::error::{Error, ErrorKind};
use std::ffi::OsString;

/// A message that says it, if the first of the arguments of `program` is an option and another one
/// is a route, or if the only one is a file.
pub(super) fn missing_command(arguments: &[OsString], program: &mut Command) -> Option<Error> {
    let texts: Option<Vec<&str>> = arguments.iter().map(|it| it.to_str()).collect();
    let texts = texts?;
    let is_route = |text: &&str| text.starts_with('/') && RouteArgument::parse(text).is_ok();
    let command = match texts.as_slice() {
        [first, ..] if first.starts_with("--") && texts.iter().any(is_route) => "narrows run",
        [only] if only.ends_with(".toml") => "narrows run --config",
        _ => return None,
    };
    let shown: Vec<_> = texts.iter().map(|it| without_secrets(it)).collect::<Option<_>>()?;
    let what = format!("a command is missing; did you mean `{command} {}`?", shown.join(" "));
    Some(program.error(ErrorKind::MissingSubcommand, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn arguments_with_a_route_or_a_file_without_a_command_are_a_run() {
        let meant = |arguments: &[&str], want: &str| {
            let message = guess(arguments).unwrap();
            let want = format!("error: a command is missing; did you mean `{want}`?");
            assert!(message.starts_with(&want), "{message}");
        };
        let route = "/gpt/=https://api.openai.com/";
        let listen = ["--listen", ":443", route];
        meant(&listen, "narrows run --listen :443 /gpt/=https://api.openai.com/");
        meant(&["narrows.toml"], "narrows run --config narrows.toml");
    }

    #[test]
    fn anything_else_is_not_guessed_at() {
        let route = "/gpt/=https://api.openai.com/";
        for arguments in [&["chek"][..], &["run", "/gpt/"], &["--listen", ":443"], &[], &[route]] {
            assert_eq!(guess(arguments), None, "{arguments:?}");
        }
        assert_eq!(guess(&["check", route, "--bad"]), None);
        assert_eq!(guess(&["rum", route]), None);
    }

    #[test]
    fn a_guess_repeats_no_password() {
        // It is not a valid route, so it is not one that was meant.
        let route = "/gpt/=https://user:pa55word@api.openai.com/";
        assert_eq!(guess(&["--listen", ":443", route]), None);
    }

    fn guess(arguments: &[&str]) -> Option<String> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        missing_command(&arguments, &mut Cli::command()).map(|error| error.to_string())
    }
}
