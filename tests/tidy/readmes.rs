//! The two READMEs say the same, and are short. What they say is tried by tests/guide/check.py.

use crate::assert_none;
use crate::source::read;

const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];

#[test]
fn readmes_are_short() {
    let faults = READMES.map(|it| (it, read(it).lines().count()));
    let faults = faults.iter().filter(|(_, lines)| *lines > 150);
    assert_none(&faults.map(|(it, lines)| format!("{it} has {lines} lines")).collect::<Vec<_>>());
}

/// Their code is the same but for its comments, and so are their addresses, figures and links.
#[test]
fn readmes_agree() {
    let [english, chinese] = READMES.map(read);
    assert_eq!(code(&english), code(&chinese));
    assert_eq!(addresses(&english), addresses(&chinese));
    assert_eq!(figures(&english), figures(&chinese));
    assert_eq!(headings(&english), headings(&chinese));
}

fn code(text: &str) -> Vec<String> {
    let blocks = text.split("\n```").skip(1).step_by(2).flat_map(str::lines);
    blocks.map(|line| line.split(" #").next().unwrap().trim_end().to_owned()).collect()
}

/// What programs are to be given, in the table of them.
fn addresses(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|it| it.starts_with("| ") && it.contains("://your.domain"));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect()
}

/// The cells of the first table that have a number.
fn figures(text: &str) -> Vec<&str> {
    let cells = text.lines().filter(|it| it.contains("| **")).flat_map(|it| it.split('|').skip(2));
    cells.map(str::trim).collect()
}

fn headings(text: &str) -> usize {
    text.lines().filter(|it| it.starts_with("## ")).count()
}
