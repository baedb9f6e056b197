//! The corpora, replayed.

use std::fs;
use std::path::{Path, PathBuf};

type Property = fn(&[u8]);

/// The targets, by the names of their folders.
const TARGETS: &[(&str, Property)] = &[
    #[cfg(feature = "acme")]
    ("acme", super::acme),
    ("chunked", super::chunked),
    ("client_address", super::client_address),
    ("client_hello", super::client_hello),
    ("config", super::config),
    ("credentials", super::credentials),
    ("exchange", super::exchange),
    ("forward", super::forward),
    ("import", super::import),
    ("proxy_protocol", super::proxy_protocol),
    ("records", super::records),
    ("relay", super::relay),
    ("request_head", super::request_head),
    ("response_head", super::response_head),
    ("target", super::target),
];

#[test]
fn every_input_of_the_corpora_has_its_property() {
    if is_packaged() {
        return;
    }
    for (name, property) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "no corpus for {name}");
        for input in inputs {
            println!("{}", input.display()); // Shown only if the next line panics.
            property(&fs::read(input).unwrap());
        }
    }
}

#[test]
fn scripts_of_the_relay_have_its_property_over_tls() {
    for input in inputs("relay") {
        println!("{}", input.display()); // Shown only if the next line panics.
        super::relay(&[b"~t", &*fs::read(input).unwrap()].concat());
    }
}

#[test]
fn every_fuzz_target_is_one_line_into_this_module_and_has_a_corpus_that_is_replayed() {
    if is_packaged() {
        return;
    }
    let names = |folder: &str| {
        let mut names: Vec<String> = entries(&root().join(folder))
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.retain(|name| cfg!(feature = "acme") || name != "acme");
        names.sort();
        names
    };
    let targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("fuzz/fuzz_targets"), targets);
    assert_eq!(names("fuzz/corpus"), targets);
    for name in targets {
        let source = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs")));
        let call = format!("fuzz_target!(|data: &[u8]| narrows::fuzzing::{name}(data));");
        assert!(source.unwrap().contains(&call), "{name}");
    }
}

/// A package of cargo's holds neither the targets nor the corpora, which are a package themselves.
fn is_packaged() -> bool {
    !root().join("fuzz").exists()
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let mut inputs = entries(&root().join("fuzz/corpus").join(target));
    inputs.sort();
    inputs
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
