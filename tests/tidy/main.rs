//! The rules about the source that a compiler does not know. A rule that is not checked is not one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod circles;
mod documents;
mod graph;
mod items;
mod layers;
mod lengths;
mod module;
mod source;
mod words;

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Says which entries of a list of known faults are mended, and have to go from it.
fn report_stale<'a>(list: &str, mended: impl Iterator<Item = &'a &'a str>) {
    for entry in mended {
        eprintln!("{list}: {entry} is mended: remove it");
    }
}
