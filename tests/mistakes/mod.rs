//! Mistakes that people make, and the exact message for each: `tests/mistakes/*.txt`.
//!
//! A case is a title after `===`, an input, `---`, and what the program writes to stderr. An input
//! that begins with `$ narrows` is a command; any other is the text of a narrows.toml, which
//! `check` reads. `{U+FEFF}` is that character, and `{UTF-16LE}` at the start encodes the file.
//!
//! Other files follow it, each after a line with its name and its mode: `@ openai.keys 600`.
//!
//! `UPDATE_MISTAKES=1 cargo test --test config` rewrites the messages. Read the difference as
//! someone who is tired, and whose first language is not English.

use super::{folder, narrows};
use narrows_kit::folder::Folder;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[test]
fn every_mistake_gets_exactly_this_message() {
    let mut faults = String::new();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let actual: String = cases(&text).map(|case| case.play()).collect();
        let head = text.split("=== ").next().unwrap();
        let actual = format!("{head}{actual}");
        if actual == text {
            continue;
        }
        if std::env::var_os("UPDATE_MISTAKES").is_some() {
            fs::write(&file, actual).unwrap();
            continue;
        }
        for (case, now) in cases(&text).zip(cases(&actual)).filter(|(case, now)| case != now) {
            let name = file.file_name().unwrap().display();
            let _ = writeln!(faults, "{name}: {}\n{}is now\n{}", case.title, case.want, now.want);
        }
        assert!(!faults.is_empty(), "{}: not in the form of a file of cases", file.display());
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn every_message_says_what_is_wrong_and_where_in_lines_that_fit() {
    for file in files() {
        for case in cases(&fs::read_to_string(file).unwrap()) {
            let first = case.want.lines().next().unwrap_or_default();
            let (is_error, is_warning) =
                (first.starts_with("error: "), first.starts_with("warning: "));
            assert!(is_error || is_warning, "{}", case.title);
            for line in case.want.lines() {
                assert!(line.chars().count() <= 140, "{}: {line}", case.title);
                assert!(!line.contains("invalid type"), "{}: {line}", case.title);
            }
        }
    }
}

#[test]
fn no_message_repeats_a_token_or_a_key() {
    for case in cases(include_str!("access.txt")) {
        for secret in ["hunter2", "0123456789abcdefghij", "nrw_4GZ2", "tango-uniform"] {
            assert!(!case.want.contains(secret), "{}", case.title);
        }
    }
}

#[derive(PartialEq)]
struct Case<'t> {
    title: &'t str,
    input: &'t str,
    want: &'t str,
}

/// The cases of a file.
fn cases(text: &str) -> impl Iterator<Item = Case<'_>> {
    text.split("=== ").skip(1).map(|case| {
        let (case, want) = case.split_once("\n---\n").unwrap();
        let (title, input) = case.split_once('\n').unwrap_or((case, ""));
        Case { title, input, want: want.trim_end_matches('\n') }
    })
}

impl Case<'_> {
    /// The case as it stands in the file, with the message of today.
    fn play(&self) -> String {
        let Self { title, input, .. } = self;
        let (code, _, stderr) = match input.strip_prefix("$ narrows") {
            Some(arguments) => {
                let arguments = words(&with_characters(arguments.trim()));
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                narrows(&folder(super::VALID, super::KEY), &arguments)
            }
            None => {
                let folder = folder("", super::KEY);
                write_files(&folder, input);
                narrows(&folder, &["check", "--config", "narrows.toml"])
            }
        };
        let code = if code == 2 { String::new() } else { format!("(exit code {code})\n") };
        let blank = if input.is_empty() { "" } else { "\n" };
        format!("=== {title}\n{input}{blank}---\n{}\n{code}\n", stderr.trim_end())
    }
}

/// Writes the configuration, and the files behind it.
fn write_files(folder: &Folder, input: &str) {
    let mut files = input.split("\n@ ");
    write_file(folder, files.next().unwrap_or_default());
    for file in files {
        let (head, text) = file.split_once('\n').unwrap_or((file, ""));
        let (name, mode) = head.split_once(' ').unwrap();
        let path = folder.write(name, format!("{text}\n"));
        let mode = fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap());
        fs::set_permissions(path, mode).unwrap();
    }
}

fn write_file(folder: &Folder, input: &str) {
    let text = with_characters(input);
    match text.strip_prefix("{UTF-16LE}") {
        None => folder.write("narrows.toml", text),
        Some(text) => {
            let units = text.encode_utf16().flat_map(u16::to_le_bytes);
            folder.write("narrows.toml", units.collect::<Vec<u8>>())
        }
    };
}

/// `text` with every `{U+…}` replaced.
fn with_characters(text: &str) -> String {
    let mut parts = text.split("{U+");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (hex, rest) = part.split_once('}').unwrap();
        out.push(u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).unwrap());
        out += rest;
    }
    out
}

/// The words of a command. Single quotes keep blanks together.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        for (index, word) in part.split(' ').enumerate() {
            if index > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(word);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "txt")).collect();
    files.sort();
    files
}
