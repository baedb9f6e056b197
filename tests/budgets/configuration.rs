//! What a configuration takes: memory that it holds while it is served, and at most while it is
//! loaded. Counted as the program asks for it, with what glibc adds to each block.

use allocation_counter::{AllocationInfo, measure};
use narrows::{Config, Snapshot};
use std::fmt::Write;
use std::path::Path;

/// Of each `[[client]]` with a name and a token, while it is served.
const PER_CLIENT: u64 = 200;
/// Of each `[[client]]`, while the configuration is loaded: twice its text, and what is served.
const PER_CLIENT_LOADING: u64 = 600;
/// What glibc adds to a block on average: its size, and the rest of 16 bytes.
const PER_BLOCK: u64 = 16;
const CLIENTS: u64 = 10_000;
const FEW: u64 = 10;

#[test]
fn a_configured_client_takes_less_than_200_bytes() {
    let (many, few) = (served(&clients(CLIENTS)), served(&clients(FEW)));
    let live =
        |it: &AllocationInfo| (it.bytes_current + PER_BLOCK as i64 * it.count_current) as u64;
    let each = (live(&many) - live(&few)) / (CLIENTS - FEW);
    assert!((50..PER_CLIENT).contains(&each), "{each}");
}

#[test]
fn clients_are_loaded_in_little_more_memory_than_their_text() {
    let (many, few) = (served(&clients(CLIENTS)), served(&clients(FEW)));
    let most = |it: &AllocationInfo| it.bytes_max + PER_BLOCK * it.count_max;
    let each = (most(&many) - most(&few)) / (CLIENTS - FEW);
    assert!(each < PER_CLIENT_LOADING, "{each}");
}

/// Loads a configuration as it is served, and keeps it.
fn served(toml: &str) -> AllocationInfo {
    let mut kept = None;
    let counted = measure(|| {
        let config = Config::parse("narrows.toml", Path::new("."), toml).unwrap();
        let snapshot = Snapshot::load(config).unwrap();
        snapshot.config.forget_text();
        kept = Some(snapshot);
    });
    assert!(kept.is_some());
    counted
}

fn clients(count: u64) -> String {
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let mut toml =
        format!("{listener}[[route]]\npath = \"/gpt/\"\nupstream = \"http://a.test/\"\n");
    for number in 0..count {
        // As good as a digest: no two are the same, and their beginnings are spread.
        let digest = format!("{:016x}", (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(4);
        writeln!(toml, "[[client]]\nname = \"{number:05}\"\ntoken = \"sha256:{digest}\"").unwrap();
    }
    toml
}
