//! The sources as text: which files there are, their lines, functions and tokens.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// The files with this extension in a folder (or the one file), as sorted paths from the root.
/// Hidden folders and `target` are left out.
pub(crate) fn files(from: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(from)];
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if root().join(&path).is_dir() {
            if name.starts_with('.') || name == "target" {
                continue;
            }
            let entries = fs::read_dir(root().join(&path)).unwrap();
            open.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        } else if path.extension().is_some_and(|it| it == extension) && root().join(&path).exists()
        {
            found.push(path.to_str().unwrap().trim_start_matches("./").to_owned());
        }
    }
    found.sort();
    found
}

/// The source of a file without its tests: nothing of a file that holds only tests.
pub(crate) fn production_of(file: &str) -> String {
    if is_test_only(file) { String::new() } else { production(&read(file)).to_owned() }
}

/// A file of tests, or of helpers for them.
pub(crate) fn is_test_only(file: &str) -> bool {
    let is_helper = file.ends_with("/testing.rs") || file.contains("/testing/");
    is_helper
        || file.ends_with("/tests.rs")
        || file.contains("/tests/")
        || file.starts_with("tests/")
}

/// The source without its tests: all before the first test module at the left margin.
fn production(source: &str) -> &str {
    let marks = source.match_indices("\n#[cfg(test)]\n");
    let mut modules = marks.filter(|(at, mark)| {
        let next = source[at + mark.len()..].lines().next().unwrap_or_default();
        next.contains("mod ")
    });
    modules.next().map_or(source, |(at, _)| &source[..=at])
}

/// The lines that hold code, with their numbers; comments are cut off.
pub(crate) fn code_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source.lines().enumerate().map(|(index, line)| {
        // Not the two slashes of an URL in a string: those follow a colon.
        let comment = line.find("// ").or_else(|| line.find("///")).or_else(|| line.find("//!"));
        (index + 1, &line[..comment.unwrap_or(line.len())])
    })
}

/// Line, name and length of each function, by rustfmt's indentation.
pub(crate) fn functions(source: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        let Some(name) = function_name(text) else { continue };
        let signature_end = lines[start..].iter().position(|it| it.ends_with(['{', ';', '}']));
        let Some(open) = signature_end.map(|after| start + after) else { continue };
        if lines[open].ends_with('{') {
            let close = format!("{indent}}}");
            let length = lines[open..].iter().position(|it| **it == close).unwrap_or(0);
            found.push((start + 1, name.to_owned(), open - start + length + 1));
        }
    }
    found
}

/// The name, if a function begins on this line.
fn function_name(text: &str) -> Option<&str> {
    let (before, after) = text.split_once("fn ")?;
    let words = ["pub", "pub(crate)", "pub(super)", "const", "async"];
    let begins = before.split_whitespace().all(|it| words.contains(&it) || it.contains("(in"));
    begins.then(|| after.split(['(', '<']).next().unwrap_or_default())
}

/// A name, `::`, or another character. Comments, literals and lifetimes are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < source.len() {
        let len = length_of_next(&source[at..]);
        let text = &source[at..at + len];
        let is_code = text == "::" || text.chars().count() == 1 || is_word(text);
        if is_code && !text.trim().is_empty() && !text.starts_with(|it: char| it.is_ascii_digit()) {
            tokens.push(Token { line, text });
        }
        line += text.matches('\n').count();
        at += len;
    }
    tokens
}

fn is_word(text: &str) -> bool {
    text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

/// How far the comment, literal, name or other character at the front goes.
fn length_of_next(rest: &str) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map(|at| from + at + end.len());
    let word =
        rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        until("*/", 2).unwrap_or(rest.len())
    } else if rest.starts_with("::") {
        2
    } else if rest.starts_with('"') {
        length_of_string(rest)
    } else if rest.starts_with('\'') {
        length_of_quote(rest)
    } else if matches!(&rest[..word], "r" | "br") && rest[word..].starts_with(['"', '#']) {
        let hashes = rest[word..].bytes().take_while(|it| *it == b'#').count();
        let end = format!("\"{}", "#".repeat(hashes));
        until(&end, word + hashes + 1).unwrap_or(rest.len())
    } else {
        word.max(first)
    }
}

fn length_of_string(rest: &str) -> usize {
    let mut escaped = true;
    for (at, letter) in rest.char_indices() {
        match letter {
            '"' if !escaped => return at + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// A character, or a lifetime.
fn length_of_quote(rest: &str) -> usize {
    if rest.starts_with("'\\") {
        return rest[3..].find('\'').map_or(rest.len(), |at| at + 4);
    }
    let mut letters = rest.char_indices().skip(2);
    match letters.next() {
        Some((at, '\'')) => at + 1,
        _ => {
            let end = rest[1..].find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
            end.map_or(rest.len(), |at| at + 1)
        }
    }
}

#[test]
fn tokens_are_names_and_signs_alone() {
    let source = "a::b(\"c \\\" d\", 'e', '\\'', r#\"f\"g\"#, b\"h\", &'i j) // k\n/* l */ m2!";
    let found: Vec<&str> = tokens(source).iter().map(|it| it.text).collect();
    let expected = ["a", "::", "b", "(", ",", ",", ",", ",", "b", ",", "&", "j", ")", "m2", "!"];
    assert_eq!(found, expected);
    assert_eq!(tokens(source).last().unwrap().line, 2);
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let source =
        "fn a() {\n    b();\n}\n\n    pub fn c(\n        d: u8,\n    ) {\n    }\nfn e();\n";
    assert_eq!(functions(source), [(1, "a".to_owned(), 3), (5, "c".to_owned(), 4)]);
}

#[test]
fn tests_are_no_production() {
    assert!(is_test_only("src/a/tests/b.rs") && is_test_only("src/a/tests.rs"));
    assert!(is_test_only("src/a/testing/b.rs") && is_test_only("src/a/testing.rs"));
    assert!(is_test_only("tests/a.rs"));
    assert!(!is_test_only("src/a/contests.rs") && !is_test_only("src/tests_a.rs"));
    let kept = "a\n#[cfg(test)]\nuse x;\n\n";
    assert_eq!(production(&format!("{kept}#[cfg(test)]\nmod tests {{}}\n")), kept);
}
