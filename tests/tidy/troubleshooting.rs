//! Every `code` of an answer of ours has a row in docs/troubleshooting.md, led to by the manual.

use crate::assert_none;
use crate::source::{production_of, read};
use std::collections::BTreeSet;

/// Where the answers are: those of the relay, and those of its admin listener.
const ANSWERS: [&str; 4] = [
    "src/gateway/answer/mod.rs",
    "src/gateway/answer/table.rs",
    "src/control/admin/relay.rs",
    "src/control/admin/request.rs",
];

#[test]
fn every_code_has_a_row_and_the_manual_leads_to_it() {
    let sources = ANSWERS.map(production_of).concat();
    let codes = codes(&sources);
    assert!(codes.len() > 40, "{codes:?}");
    let page = read("docs/troubleshooting.md");
    let rows: BTreeSet<&str> = page.lines().filter_map(code_of_row).collect();
    let manual = read("docs/configuration.md") + &read("docs/operations.md");
    let mut faults = Vec::new();
    for code in codes.union(&rows) {
        if !rows.contains(code) {
            faults.push(format!("docs/troubleshooting.md has no row for {code}"));
        }
        if !codes.contains(code) {
            faults.push(format!("docs/troubleshooting.md has {code}, which no answer has"));
        }
        if !manual.contains(&format!("[`{code}`](troubleshooting.md#{code})")) {
            faults.push(format!("the manual does not lead to the row of {code}"));
        }
    }
    assert_none(&faults);
}

/// A row says why, and what to do.
#[test]
fn no_row_is_without_a_remedy() {
    let mut faults = Vec::new();
    for line in read("docs/troubleshooting.md").lines().filter(|it| it.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if cells.iter().any(|it| it.is_empty()) {
            faults.push(format!("an empty cell: {line}"));
        }
        if let Some(code) = code_of_row(line).filter(|_| cells.len() != 3) {
            faults.push(format!("{code} needs what it is, why, and what to do"));
        }
    }
    assert_none(&faults);
}

/// A word that a field `code` gets, or that precedes the sentence of an answer.
fn codes(source: &str) -> BTreeSet<&str> {
    let parts: Vec<&str> = source.split('"').collect();
    let is_word =
        |it: &str| !it.is_empty() && it.bytes().all(|it| it == b'_' || it.is_ascii_lowercase());
    let strings = (1..parts.len()).step_by(2).filter(|at| is_word(parts[*at]));
    let is_code = |at: &usize| {
        let sentence =
            parts.get(at + 2).is_some_and(|it| it.starts_with(|it: char| it.is_ascii_uppercase()));
        parts[at - 1].ends_with("code: ") || parts[at + 1].trim() == "," && sentence
    };
    strings.filter(is_code).map(|at| parts[at]).collect()
}

/// The code whose row this line is: the row has it as its anchor, and shows it.
fn code_of_row(line: &str) -> Option<&str> {
    let (code, rest) = line.strip_prefix("| <a id=\"")?.split_once("\"></a>")?;
    rest.split(" | ").next()?.ends_with(&format!(" `{code}`")).then_some(code)
}

#[test]
fn codes_are_found_as_fields_and_before_their_sentences() {
    let source =
        "code: \"a\", x(\"b_c\", \"A sentence.\"), y(\"d\", \"e\"), z(\n    \"f\",\n    \"It.\")";
    assert_eq!(codes(source), BTreeSet::from(["a", "b_c", "f"]));
    assert_eq!(code_of_row("| <a id=\"a_b\"></a>404 `a_b` | why | what |"), Some("a_b"));
    assert_eq!(code_of_row("| <a id=\"a_b\"></a>404 `a` | why | what |"), None);
}
