//! The rules about the source that a compiler does not know. A rule that is not checked is not one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod circles;
mod documents;
mod graph;
mod items;
mod layers;
mod lengths;
mod module;
mod readmes;
mod source;
mod troubleshooting;
mod words;

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
