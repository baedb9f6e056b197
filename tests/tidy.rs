//! The rules about the source that a compiler does not know. What is not checked is not a rule.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from the ground up. A module uses its own layer and those before it.
///
/// A row of `a::b` stands for that one file of `a`, which may lie lower than the rest of `a`.
const LAYERS: &[&[&str]] = &[
    &["limits", "timeouts"],
    &["h1", "preface"],
    &["error"],
    &["gateway"],
    &["clock"],
    &["net", "tls", "telemetry"],
    &["config", "cli"],
    &["upstream"],
    &["proxy"],
    &["worker"],
    &["control"],
    &["fuzzing"],
];

/// The sans-IO modules may not know about sockets, tasks, clocks, files or logs.
const SANS_IO: &[&str] = &[
    "src/limits.rs",
    "src/timeouts.rs",
    "src/h1",
    "src/preface",
    "src/error.rs",
    "src/error",
    "src/gateway",
];
const IO: &[&str] = &[
    "tokio",
    "rustls",
    "tracing",
    "socket2",
    "std::net::Tcp",
    "std::net::Udp",
    "std::io",
    "std::fs",
    "std::thread",
    "Instant",
    "SystemTime",
    "async fn",
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

#[test]
fn sans_io_modules_stay_sans_io() {
    let mut faults = Vec::new();
    let sources = SANS_IO.iter().flat_map(|root| files(root, "rs"));
    for file in sources.filter(|file| !is_test_only(file)) {
        for (number, line) in code_lines(&read(&file)) {
            faults.extend(
                IO.iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{file}:{number}: {word} in a sans-IO module")),
            );
        }
    }
    assert_none(&faults);
}

#[test]
fn modules_use_only_their_own_layer_and_those_below() {
    let mut faults = Vec::new();
    for file in files("src", "rs") {
        let Some(module) = module_of(&file) else { continue };
        let Some(own) = layer_of(&module) else {
            faults.push(format!("{file}: give the module a row in LAYERS in tests/tidy.rs"));
            continue;
        };
        let code = code(&production_of(&file));
        for used in crate_paths(&code) {
            match layer_of(&used) {
                Some(layer) if layer <= own => {}
                Some(_) => faults.push(format!("{file}: {module} may not use {used}, above it")),
                // A macro or a re-export at the root belongs to no layer.
                None => faults.push(format!("{file}: {used} has no row in LAYERS")),
            }
        }
    }
    assert_none(&faults);
}

/// A path through `super` would get around the layers.
#[test]
fn no_path_leads_through_the_parent_of_a_top_level_module() {
    let mut faults = Vec::new();
    for file in files("src", "rs") {
        let at_top = file.matches('/').count() == 1 || file.ends_with("/mod.rs");
        let forbidden = if at_top { "super::" } else { "super::super" };
        for (number, line) in code_lines(&production_of(&file)) {
            if line.contains(forbidden) {
                faults.push(format!("{file}:{number}: write `crate::` instead of `super::`"));
            }
        }
    }
    assert_none(&faults);
}

/// The words that may stand in certain files only, or nowhere; comments and tests are not asked.
#[test]
fn dangerous_words_stand_only_where_they_may() {
    let anywhere = |_: &str| true;
    let in_h1 = |file: &str| file.starts_with("src/h1/");
    let not_in_head = |file: &str| !file.starts_with("src/h1/head");
    let not_in_pem = |file: &str| file != "src/tls/pem.rs";
    check_words(anywhere, &["unsafe "], "no unsafe code");
    check_words(anywhere, &["parse_chunk_size"], "it accepts bare LF and no digit");
    check_words(
        in_h1,
        &[".parse()", ".parse::<", "str::parse", "from_str_radix"],
        "they take signs",
    );
    check_words(not_in_head, &["httparse"], "only h1/head tightens what httparse accepts");
    check_words(not_in_pem, &["rustls_pemfile"], "tls/pem reads PEM");
}

#[test]
fn tests_do_not_sleep() {
    let mut faults = Vec::new();
    for file in files("tests", "rs").into_iter().filter(|file| file != "tests/tidy.rs") {
        for (number, line) in code_lines(&read(&file)) {
            if ["thread::sleep", "time::sleep", " sleep("].iter().any(|it| line.contains(it)) {
                faults.push(format!("{file}:{number}: wait for an event, not for time"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn files_stay_short() {
    let mut faults = Vec::new();
    for file in files("src", "rs") {
        let lines = production_of(&file).lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{file}: {lines} lines without tests, {FILE_LINES_MAX} allowed"));
        }
    }
    assert_none(&faults);
}

#[test]
fn functions_stay_short() {
    let mut faults = Vec::new();
    for file in files("src", "rs") {
        for (number, name, length) in functions(&production_of(&file)) {
            if length > FUNCTION_LINES_MAX {
                let limit = format!("{FUNCTION_LINES_MAX} allowed");
                faults.push(format!("{file}:{number}: {name} has {length} lines, {limit}"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn lines_fit_in_a_hundred_columns() {
    let mut faults = Vec::new();
    for file in
        ["src", "tests", "benches", "examples", "fuzz", "kit"].iter().flat_map(|it| files(it, "rs"))
    {
        for (index, line) in read(&file).lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                faults.push(format!("{file}:{}: over {COLUMNS_MAX} columns", index + 1));
            }
        }
    }
    assert_none(&faults);
}

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

/// Files of ours that a document or a comment names by their path from the root.
#[test]
fn files_that_are_mentioned_exist() {
    const ROOTS: &[&str] =
        &["src/", "tests/", "docs/", "examples/", "certs/", "fuzz/", "benches/", ".ci/"];
    let mut faults = Vec::new();
    let sources = ["src", "tests", "benches", "examples"].iter().flat_map(|it| files(it, "rs"));
    for file in files(".", "md").into_iter().chain(sources).filter(|it| it != "tests/tidy.rs") {
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
/// `row: ` stands in front of a row's in the table of `tests/conformance`.
#[test]
fn tests_that_documents_name_exist() {
    let sources: String =
        ["src", "tests", "kit"].iter().flat_map(|it| files(it, "rs")).map(|it| read(&it)).collect();
    let mut faults = Vec::new();
    for document in files("docs", "md") {
        for quoted in read(&document).split('`').skip(1).step_by(2) {
            let name = quoted.rsplit(':').next().unwrap_or_default();
            let is_name = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
            let is_test = name.matches('_').count() >= 4 && name.chars().all(is_name);
            // A long word of ours looks like one, such as a code.
            let is_word = sources.contains(&format!("\"{name}\""));
            if is_test && !is_word && !sources.contains(&format!("fn {name}(")) {
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

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[track_caller]
fn check_words(applies: impl Fn(&str) -> bool, words: &[&str], reason: &str) {
    let mut faults = Vec::new();
    for file in files("src", "rs").into_iter().filter(|file| applies(file)) {
        for (number, line) in code_lines(&production_of(&file)) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                faults.push(format!("{file}:{number}: {word}: {reason}"));
            }
        }
    }
    assert_none(&faults);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// The files with this extension in a folder (or the one file), as sorted paths from the root.
/// Hidden folders and `target` are left out.
fn files(from: &str, extension: &str) -> Vec<String> {
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
fn production_of(file: &str) -> String {
    if is_test_only(file) { String::new() } else { production(&read(file)).to_owned() }
}

/// A test module of its own, in one file or in a folder.
fn is_test_only(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
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
fn code_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source.lines().enumerate().map(|(index, line)| {
        // Not the two slashes of an URL in a string: those follow a colon.
        let comment = line.find("// ").or_else(|| line.find("///")).or_else(|| line.find("//!"));
        (index + 1, &line[..comment.unwrap_or(line.len())])
    })
}

fn code(source: &str) -> String {
    code_lines(source).map(|(_, line)| line.to_owned() + "\n").collect()
}

/// `a` or `a::b` of `src/a.rs`, `src/a/mod.rs`, `src/a/b.rs`. The crate's two roots have no layer.
fn module_of(file: &str) -> Option<String> {
    let path = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    (!["lib", "main"].contains(&path)).then(|| path.replace('/', "::"))
}

fn layer_of(module: &str) -> Option<usize> {
    let mut names = module.split("::");
    let first = names.next()?;
    let two = format!("{first}::{}", names.next().unwrap_or_default());
    let row = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    row(&two).or_else(|| row(first))
}

/// Every `crate::a::b` in the code, as `a::b`, groups of braces taken apart at their first level.
fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => paths.push(path_at_front(rest)),
            Some(group) => paths.extend(group_items(group).iter().map(|it| path_at_front(it))),
        }
    }
    paths
}

/// The items of a `{a, b::{c, d}}` whose opening brace is gone.
fn group_items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0_usize, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

fn path_at_front(text: &str) -> String {
    let text = text.trim_start();
    let end = text.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == ':'));
    text[..end.unwrap_or(text.len())].trim_end_matches(':').to_owned()
}

/// Line, name and length of each function, by rustfmt's indentation.
fn functions(source: &str) -> Vec<(usize, String, usize)> {
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

#[test]
fn the_checks_see_what_they_should() {
    let code = "use crate::{net, tls::{client_hello, acceptor}};\ncrate::limits::X; // crate::no";
    let code = self::code(code);
    assert_eq!(crate_paths(&code), ["net", "tls", "limits::X"]);
    assert_eq!(layer_of("preface::client_hello"), layer_of("h1::head"));
    assert!(layer_of("tls::server") > layer_of("error"));
    assert_eq!(module_of("src/h1/mod.rs").as_deref(), Some("h1"));

    let source =
        "fn a() {\n    b();\n}\n\n    pub fn c(\n        d: u8,\n    ) {\n    }\nfn e();\n";
    let functions = functions(source);
    assert_eq!(functions, [(1, "a".to_owned(), 3), (5, "c".to_owned(), 4)]);
    assert!(is_test_only("src/a/tests/b.rs") && is_test_only("src/a/tests.rs"));
    assert!(!is_test_only("src/a/contests.rs") && !is_test_only("src/tests_a.rs"));
    let kept = "a\n#[cfg(test)]\nuse x;\n\n";
    assert_eq!(production(&format!("{kept}#[cfg(test)]\nmod tests {{}}\n")), kept);
}
