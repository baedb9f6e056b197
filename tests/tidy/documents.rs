//! What documents point at exists: links, files, tests.

use crate::assert_none;
use crate::source::{files, read, root};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn links_in_documents_lead_to_files() {
    let mut faults = Vec::new();
    for document in files(".", "md") {
        let folder = Path::new(&document).parent().unwrap().to_owned();
        for target in read(&document).split("](").skip(1) {
            let target = target.split([')', '#', ' ']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !elsewhere && !root().join(&folder).join(target).exists() {
                faults.push(format!("{document}: nothing at {target}"));
            }
        }
    }
    assert_none(&faults);
}

/// A link to a heading, in the same document or another.
#[test]
fn links_in_documents_lead_to_headings() {
    let mut faults = Vec::new();
    for document in files(".", "md") {
        let folder = Path::new(&document).parent().unwrap().to_owned();
        for link in read(&document).split("](").skip(1) {
            let link = link.split([')', ' ']).next().unwrap_or_default();
            let Some((file, heading)) = link.split_once('#') else { continue };
            if link.contains("://") {
                continue;
            }
            let file = if file.is_empty() {
                document.clone()
            } else {
                folder.join(file).display().to_string()
            };
            if root().join(&file).exists() && !anchors(&read(&file)).contains(&heading.to_owned()) {
                faults.push(format!("{document}: no heading for {link}"));
            }
        }
    }
    assert_none(&faults);
}

/// The anchors that GitHub gives to the headings of a document, and those that it names itself.
fn anchors(text: &str) -> Vec<String> {
    let named =
        text.split("<a id=\"").skip(1).filter_map(|it| Some(it.split_once('"')?.0.to_owned()));
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).chain(named).collect()
}

/// Files of ours that a document or a comment names by their path from the root.
#[test]
fn files_that_are_mentioned_exist() {
    const ROOTS: &[&str] =
        &["src/", "kit/", "tests/", "docs/", "examples/", "certs/", "fuzz/", "benches/", ".ci/"];
    let mut faults = Vec::new();
    let folders = ["src", "kit", "tests", "benches", "examples"];
    let sources = folders.iter().flat_map(|it| files(it, "rs"));
    let sources = sources.filter(|it| !it.starts_with("tests/tidy/"));
    for file in files(".", "md").into_iter().chain(sources) {
        let text = read(&file);
        let is_path = |it: char| it.is_ascii_alphanumeric() || "._-/*<>{}:".contains(it);
        for word in text.split(|it| !is_path(it)) {
            let word = word.trim_end_matches(['.', ':', '>']);
            let named = ROOTS.iter().any(|it| word.starts_with(it)) && word.contains('.');
            if named && !word.contains(['*', '<', '{']) && !root().join(word).exists() {
                faults.push(format!("{file}: there is no {word}"));
            }
        }
    }
    assert_none(&faults);
}

/// `docs/protocol.md` gives a test for every choice; a name with four underscores is a test's, and
/// `row: ` precedes the name of a row in the table of `tests/conformance`.
#[test]
fn tests_that_documents_name_exist() {
    let folders = ["src", "kit", "tests"];
    let sources: String =
        folders.iter().flat_map(|it| files(it, "rs")).map(|it| read(&it)).collect();
    let named = sources.split("fn ").skip(1).map(|it| it.split('(').next().unwrap());
    let functions: BTreeSet<&str> = named.collect();
    let mut faults = Vec::new();
    for document in files("docs", "md") {
        for quoted in read(&document).split('`').skip(1).step_by(2) {
            let name = quoted.rsplit(':').next().unwrap_or_default();
            let is_name = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
            let is_test = name.matches('_').count() >= 4 && name.chars().all(is_name);
            let is_missing = is_test && !functions.contains(name);
            // A long word of ours looks like one, such as a code.
            if is_missing && !sources.contains(&format!("\"{name}\"")) {
                faults.push(format!("{document}: there is no test {name}"));
            }
            let row = quoted.strip_prefix("row: ");
            if let Some(row) = row.filter(|row| !sources.contains(&format!("\"{row}\","))) {
                faults.push(format!("{document}: there is no row {row}"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    let text = "# The `[[route]]` table\n<a id=\"own\"></a>text\n## A route, a forward: both\n";
    assert_eq!(anchors(text), ["the-route-table", "a-route-a-forward-both", "own"]);
}
