//! Refused arguments, as a person reads them: the command line, a caret under the argument, and
//! what to write instead. No message shows a possible secret: a password in a URL, or a key in
//! place of a file name.

use super::foreign_arguments::{instead_of, instead_of_command};
use super::guess::{joined_option, long_option, missing_command};
use crate::config::excerpt::{Excerpt, shown};
use crate::config::problem::{nearest, quoted};
use crate::config::report::{Colours, Severity, advice, quotation, title};
use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::io::{self, Write};
use std::ops::Range;
use std::{env, fmt, process};

/// Why a value was refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// What is wrong.
    pub(super) what: String,
    /// What helps, one line each.
    pub(super) help: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

impl std::error::Error for Refused {}

/// Ends the process with help or a version on stdout, or with a message on stderr and code 2. `cli`
/// is what there is to type.
pub(super) fn exit(error: Error, cli: &Command) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let arguments: Vec<String> = env::args_os().map(|it| it.to_string_lossy().into()).collect();
    let code = error.exit_code();
    let _unread =
        write!(io::stderr(), "{}", explained(error, &arguments, cli, Colours::of_stderr()));
    process::exit(code);
}

/// The whole message.
fn explained(error: Error, arguments: &[String], cli: &Command, colours: Colours) -> String {
    let Some((Refused { what, help }, culprit)) = refusal(&error, arguments, cli) else {
        return scrubbed(error).to_string();
    };
    let mut text = title(&what, colours);
    let culprit = arguments.iter().position(|it| Some(it.as_str()) == culprit.as_deref());
    if let Some(at) = culprit {
        let (line, place) = command_line(arguments, at);
        text += &quotation(&Excerpt::of_shown(&line, place), "", Severity::Error, colours);
    }
    text + &advice(&help, "", culprit.is_some(), colours)
}

/// clap's own message without the secrets that the operator may have typed.
fn scrubbed(mut error: Error) -> Error {
    let clean = |value: &ContextValue| match value {
        ContextValue::String(text) => Some(ContextValue::String(shown(text))),
        ContextValue::Strings(texts) => {
            Some(ContextValue::Strings(texts.iter().map(|it| shown(it)).collect()))
        }
        // Our own text, except for suggestions, which repeat the argument.
        _ => None,
    };
    let context = error.context().filter_map(|(kind, value)| Some((kind, clean(value)?)));
    let context: Vec<_> = context.collect();
    error.remove(ContextKind::Suggested);
    for (kind, value) in context {
        error.insert(kind, value);
    }
    error
}

/// What was refused, and the argument that it was. `None`: clap's own message says it.
fn refusal(
    error: &Error,
    arguments: &[String],
    cli: &Command,
) -> Option<(Refused, Option<String>)> {
    let argument = context(error, ContextKind::InvalidArg);
    let typed = arguments.get(1..).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand
            if let Some(command) = missing_command(typed) =>
        {
            Some((no_command(command, arguments), typed.first().cloned()))
        }
        ErrorKind::UnknownArgument => {
            let argument = whole_argument(argument?, typed);
            let (refused, culprit) = unknown(&argument, arguments, error, cli);
            let joined = joined_option(&argument, cli).or_else(|| long_option(&argument, cli));
            let help = joined.map(|meant| vec![format!("did you mean {}?", shown(&meant))]);
            Some((Refused { help: help.unwrap_or(refused.help), ..refused }, culprit))
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let value = context(error, ContextKind::InvalidValue)?;
            let culprit = with_value(arguments, &value);
            Some((bad_value(error, name_of(&argument?), &value), culprit))
        }
        ErrorKind::InvalidSubcommand => {
            let command = context(error, ContextKind::InvalidSubcommand)?;
            Some((unknown_command(error, &command), Some(command)))
        }
        ErrorKind::MissingRequiredArgument => {
            Some((missing(&argument?, command_of(arguments, cli)), None))
        }
        ErrorKind::ArgumentConflict => {
            let other = context(error, ContextKind::PriorArg)?;
            let what = format!("{} cannot be used with {}", plain(&argument?), plain(&other));
            let is_file = what.contains("--config");
            let help =
                is_file.then(|| "leave out --config, or write it all in the file".to_owned());
            Some((Refused { what, help: help.into_iter().collect() }, None))
        }
        _ => None,
    }
}

/// What clap knows about an error.
fn context(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

/// A value that is wrong, or not one of a few words.
fn bad_value(error: &Error, name: &str, value: &str) -> Refused {
    if let Some(source) = std::error::Error::source(error) {
        let refused = source.downcast_ref::<Refused>().cloned();
        let refused =
            refused.unwrap_or_else(|| Refused { what: source.to_string(), help: Vec::new() });
        return Refused { what: format!("{name}: {}", refused.what), ..refused };
    }
    let what = match value {
        "" => format!("{name} needs a value"),
        _ => format!("{name}: {} is not allowed", quoted(value)),
    };
    let words = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(words)) if !words.is_empty() => words,
        _ => return Refused { what, help: example(name).map(write).into_iter().collect() },
    };
    let verb = if words.len() == 1 { "is" } else { "are" };
    let mut help = vec![format!("{} {verb} allowed", words.join(", "))];
    let lower = value.to_ascii_lowercase();
    let begins = words.iter().find(|it| lower.starts_with(it.as_str())).map(String::as_str);
    let near = || nearest(&lower, words.iter().map(String::as_str)).filter(|_| !value.is_empty());
    let meant = begins.or_else(near);
    help.extend(meant.map(|it| format!("did you mean {it}?")));
    Refused { what, help }
}

/// Arguments without the command that was meant.
fn no_command(command: &[&str], arguments: &[String]) -> Refused {
    let mut meant = arguments.to_vec();
    meant.splice(1..1, command.iter().map(|&word| word.to_owned()));
    let help = format!("did you mean `{}`?", command_line(&meant, 0).0);
    Refused { what: "a command is missing".to_owned(), help: vec![help] }
}

/// A word that is not a command.
fn unknown_command(error: &Error, command: &str) -> Refused {
    let instead = instead_of_command(command).map(str::to_owned);
    let suggested = context(error, ContextKind::SuggestedSubcommand);
    let help = instead.or(suggested.map(|meant| format!("did you mean narrows {meant}?")));
    let help = help.unwrap_or_else(|| {
        "run, check, doctor, token and import are commands; narrows --help explains them".into()
    });
    Refused { what: format!("{} is not a command", quoted(command)), help: vec![help] }
}

/// An argument that is missing.
fn missing(argument: &str, command: &str) -> Refused {
    let with_route = format!("narrows {command} /gpt/=https://api.openai.com/");
    let with_file = format!("narrows {command} narrows.toml");
    let help: &[&str] = match example(name_of(argument)) {
        Some(example) => &[example],
        _ if command == "token" => &["narrows token alice"],
        _ if command == "import" => &["narrows import nginx nginx.conf > narrows.toml"],
        _ if argument.contains("|FILE") => &[&with_file, &with_route],
        _ if argument.contains("ROUTE") => &[&with_route, "narrows run --config narrows.toml"],
        _ => &[],
    };
    let help = help.iter().map(|example| write(example));
    Refused { what: format!("{} is missing", plain(argument)), help: help.collect() }
}

fn write(example: &str) -> String {
    format!("write {example}")
}

/// An option with a value.
fn example(name: &str) -> Option<&'static str> {
    Some(match name {
        "--config" => "--config narrows.toml",
        "--listen" => "--listen 127.0.0.1:8080",
        "--certificate" => "--certificate fullchain.pem",
        "--key" => "--key privkey.pem",
        "--domain" => "--domain api.example.com",
        "--state" => "--state /var/lib/narrows",
        "--acme-directory" => "--acme-directory https://acme-v02.api.letsencrypt.org/directory",
        "--acme-ca" => "--acme-ca roots.pem",
        "--admin" => "--admin 127.0.0.1:9145",
        "--workers" => "--workers 4",
        "--connect" => "--connect 10.0.0.5:443",
        "--ca" => "--ca roots.pem",
        "--url" => "--url https://api.example.com/gpt/",
        "--serve" => "--serve 127.0.0.1:8080",
        _ => return None,
    })
}

/// The command that was typed, or `run`.
fn command_of<'t>(arguments: &'t [String], cli: &Command) -> &'t str {
    let typed = arguments.get(1).map(String::as_str);
    typed.filter(|it| cli.find_subcommand(it).is_some()).unwrap_or("run")
}

/// `ROUTE or --config FILE` of `<ROUTE|--config <FILE>>`.
fn plain(argument: &str) -> String {
    argument.replace(['<', '>', '[', ']'], "").replace("...", "").replace('|', " or ")
}

/// `-foo` for `-f`: of what begins with one hyphen, clap reports a letter.
fn whole_argument(argument: String, typed: &[String]) -> String {
    let is_letter = argument.chars().count() == 2 && !argument.starts_with("--");
    let whole = typed.iter().find(|it| is_letter && it.starts_with(&argument));
    whole.map_or(argument, |it| it.split('=').next().unwrap_or(it).to_owned())
}

/// An argument that is not ours.
fn unknown(
    name: &str,
    arguments: &[String],
    error: &Error,
    cli: &Command,
) -> (Refused, Option<String>) {
    let is_it = |it: &&String| it.as_str() == name || it.starts_with(&format!("{name}="));
    let written = arguments.iter().find(is_it).cloned();
    let value =
        written.as_ref().and_then(|it| it.split_once('=')).map(|(_, value)| value.to_owned());
    let next = || {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1).cloned()
    };
    let value = value.or_else(next);
    let suggested = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(meant)) if nearest(name, [meant.as_str()]).is_some() => {
            Some(format!("did you mean {meant}?"))
        }
        _ => None,
    };
    let help = instead_of(name, value.as_deref()).or(suggested);
    let help = help.unwrap_or_else(|| {
        format!("narrows {} --help lists what there is", command_of(arguments, cli))
    });
    (Refused { what: format!("unknown argument {}", quoted(name)), help: vec![help] }, written)
}

/// `--listen` of `--listen <ADDR>`, `ROUTE` of `[ROUTE]...`.
fn name_of(argument: &str) -> &str {
    let name = argument.split(' ').next().unwrap_or(argument);
    name.trim_matches(['[', ']', '<', '>', '.'])
}

/// The argument that is this value, or ends with it.
fn with_value(arguments: &[String], value: &str) -> Option<String> {
    let end = format!("={value}");
    let is_it = |it: &&String| it.as_str() == value || it.starts_with("--") && it.ends_with(&end);
    arguments.iter().skip(1).find(is_it).cloned()
}

/// The command as it was typed, without secrets, and the place of one of its arguments.
fn command_line(arguments: &[String], at: usize) -> (String, Range<usize>) {
    let mut line = "narrows".to_owned();
    let mut place = 0..0;
    for (index, argument) in arguments.iter().enumerate().skip(1) {
        let is_secret = ["token", "key", "secret", "password", "auth"].iter().any(|it| {
            arguments[index - 1].starts_with('-')
                && arguments[index - 1].to_ascii_lowercase().ends_with(it)
        });
        let text = if is_secret && !argument.contains(['.', '/']) {
            "…".to_owned()
        } else {
            shown(argument)
        };
        let text =
            if text.is_empty() || text.contains([' ', '\n']) { format!("'{text}'") } else { text };
        line.push(' ');
        if index == at {
            place = line.len()..line.len() + text.len();
        }
        line += &text;
    }
    (line, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::tls::testing::pem::KEY;
    use clap::{CommandFactory, Parser};

    #[test]
    fn messages_contain_neither_a_password_nor_a_key() {
        let one_line = KEY.replace('\n', " ");
        let escaped = KEY.replace('\n', "\\n");
        for key in [KEY, &one_line, &escaped, &KEY.replace('\n', "")] {
            for arguments in [
                &["run", key][..],
                &["run", "--listen", key],
                &["run", &format!("--listen={key}"), "/=http://h/"],
                &["run", "--connect", key, "/=http://h/"],
                &["run", "--workers", key, "/=http://h/"],
                &["run", "--log-level", key, "/=http://h/"],
                &["run", &format!("--keys={key}"), "/=http://h/"],
                &["run", "--port", key],
                &["check", key, key],
                &[key],
            ] {
                let text = refused(arguments);
                for part in KEY.lines().filter(|line| !line.starts_with('-')) {
                    assert!(!text.contains(&part[..8]), "{text}");
                    assert!(!text.contains(&part[part.len() - 8..]), "{text}");
                }
            }
        }
        for url in
            ["/x/=https://user:pa55word@host/", "/x/=ftp://user:pa55word@host/", "user:pa55word@h"]
        {
            let text = refused(&["run", url]);
            assert!(!text.contains("pa55word") && !text.contains("user:"), "{text}");
            let text = refused(&["run", "--connect", url, "/=http://h/"]);
            assert!(!text.contains("pa55word") && !text.contains("user:"), "{text}");
            let text = refused(&["run", "--api-key", "sk-pa55word", "/=http://h/"]);
            assert!(!text.contains("pa55word"), "{text}");
        }
    }

    #[test]
    fn a_word_with_one_hyphen_is_refused_as_a_whole() {
        let text = refused(&["run", "-listen", ":443", "/=http://h/"]);
        assert!(text.starts_with("error: unknown argument \"-listen\"\n"), "{text}");
        assert!(text.contains("\n = help: did you mean --listen?\n"), "{text}");
        let text = refused(&["check", "--domain", "-foo", "/=http://h/"]);
        assert!(text.contains("\"-foo\"") && !text.contains("--config"), "{text}");
        assert!(refused(&["run", "-port=80", "/=http://h/"]).contains("--listen 127.0.0.1:80"));
        assert!(refused(&["run", "-c", "a.toml"]).contains("write --config narrows.toml"));
    }

    #[test]
    fn an_option_without_its_value_gets_an_example_that_is_allowed() {
        for command in Cli::command().get_subcommands() {
            for option in command.get_arguments().filter(|it| it.get_action().takes_values()) {
                let Some(long) = option.get_long() else { continue };
                let text = refused(&[command.get_name(), &format!("--{long}")]);
                assert!(text.starts_with(&format!("error: --{long} needs a value\n")), "{text}");
                let help = text.lines().find_map(|it| it.strip_prefix(" = help: "));
                if !option.get_possible_values().is_empty() {
                    assert!(help.is_some_and(|it| it.ends_with(" are allowed")), "{text}");
                    continue;
                }
                let example = help.and_then(|it| it.strip_prefix("write ")).unwrap();
                let words = ["narrows", command.get_name()].into_iter().chain(example.split(' '));
                // Without a route most commands are not complete.
                if let Err(error) = Cli::try_parse_from(words) {
                    assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument, "{example}");
                }
            }
        }
    }

    fn refused(arguments: &[&str]) -> String {
        let all: Vec<String> =
            ["narrows"].iter().chain(arguments).map(|&it| it.to_owned()).collect();
        let error = Cli::try_parse_from(&all).unwrap_err();
        explained(error, &all, &Cli::command(), Colours::Off)
    }
}
