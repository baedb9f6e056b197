//! What thousands of configured clients take of the process's memory.

use narrows_kit::relay::Relay;
use rustix::process::Signal;
use std::fmt::Write;
use tokio::task::yield_now;

const CLIENTS: usize = 9_000;
const FEW: usize = 10;
/// A client with a name and a token, with what the allocator keeps of loading it.
const BYTES_PER_CLIENT: usize = 200;
const RELOADS: usize = 20;

#[tokio::test]
async fn a_client_takes_less_than_200_bytes_at_the_start_and_after_reloads() {
    let (few, many) = (Relay::start(&clients(FEW)).await, Relay::start(&clients(CLIENTS)).await);
    check(&few, &many, "at the start");
    for relay in [&few, &many] {
        for number in 1..=RELOADS {
            relay.signal(Signal::HUP);
            relay.wait_for_log(&format!("reloaded number={number} changes=\"none\" ")).await;
            // The next one would get memory of its own from the allocator, beside what this keeps.
            while relay.has_thread("narrows-load") {
                yield_now().await;
            }
        }
    }
    check(&few, &many, "after reloads");
}

fn check(few: &Relay, many: &Relay, when: &str) {
    let (Some(few), Some(many)) = (few.anonymous_bytes(), many.anonymous_bytes()) else { return };
    let each = many.saturating_sub(few) / (CLIENTS - FEW);
    // No less than their digests.
    assert!((32..BYTES_PER_CLIENT).contains(&each), "{each} {when}");
}

fn clients(count: usize) -> String {
    let listener = "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let route = "[[route]]\npath = \"/gpt/\"\nupstream = \"http://127.0.0.1:9/\"\n";
    let mut toml = format!("{listener}{route}");
    for number in 0..count as u64 {
        // As good as a digest: no two are the same.
        let digest = format!("{:016x}", (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(4);
        writeln!(toml, "[[client]]\nname = \"{number:04}\"\ntoken = \"sha256:{digest}\"").unwrap();
    }
    toml
}
