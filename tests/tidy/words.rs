//! Words that may appear in certain files only, or in none. Comments are not searched.

use crate::assert_none;
use crate::source::{code_lines, files, production_of, read};

#[test]
fn dangerous_words_appear_only_where_they_may() {
    let anywhere = |_: &str| true;
    let in_bytes = |file: &str| file.starts_with("src/h1/") || file.starts_with("src/gateway/");
    let not_in_head = |file: &str| !["src/h1/head.rs", "src/h1/section.rs"].contains(&file);
    let not_in_pem = |file: &str| file != "src/tls/pem.rs";
    check(anywhere, &["unsafe "], "no unsafe code");
    check(anywhere, &["parse_chunk_size"], "it accepts bare LF and no digit");
    check(in_bytes, &[".parse()", ".parse::<", "str::parse", "from_str_radix"], "they take signs");
    check(not_in_head, &["httparse"], "head and section are stricter");
    check(not_in_pem, &["rustls_pemfile"], "tls/pem reads PEM");
}

#[track_caller]
fn check(applies: impl Fn(&str) -> bool, words: &[&str], reason: &str) {
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

#[test]
fn tests_do_not_sleep() {
    let mut faults = Vec::new();
    // Other programs do not say when they are ready, so `kit::programs` polls.
    let may = |file: &str| file.starts_with("tests/tidy/") || file == "kit/src/programs.rs";
    let tests = ["tests", "kit"].iter().flat_map(|it| files(it, "rs"));
    for file in tests.filter(|file| !may(file)) {
        for (number, line) in code_lines(&read(&file)) {
            if ["thread::sleep", "time::sleep", " sleep("].iter().any(|it| line.contains(it)) {
                faults.push(format!("{file}:{number}: wait for an event, not for time"));
            }
        }
    }
    assert_none(&faults);
}

/// Without a target of its own a line has the path of its module, and would change with it.
#[test]
fn events_name_their_target() {
    let elsewhere = |file: &str| file != "src/telemetry/targets.rs";
    check(elsewhere, &["\"narrows::"], "targets have their names in telemetry/targets");
    const EVENTS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    let mut faults = Vec::new();
    for file in files("src", "rs") {
        let source = production_of(&file);
        for event in EVENTS.map(|level| format!("tracing::{level}!(")) {
            for (at, _) in source.match_indices(&event) {
                if !source[at + event.len()..].trim_start().starts_with("target:") {
                    let number = source[..at].lines().count();
                    faults.push(format!("{file}:{number}: {event}: say target: first"));
                }
            }
        }
    }
    assert_none(&faults);
}
