//! HTTP/1.1 by raw bytes: a table of what clients and upstreams send, and what the other side must
//! see of it, played through the real relay.
//!
//! The rows are in `kit/src/conformance/rows`, collected from the standards and from what was
//! published about smuggling; each cites its source. Every row is played twice, in one write and in
//! pieces, because how bytes arrive must not change what they mean. `cargo bench --bench
//! conformance` plays the same rows through other programs.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use narrows_kit::GUARD;
use narrows_kit::conformance::origin::Origin;
use narrows_kit::conformance::play::{Pace, play};
use narrows_kit::conformance::rows::SECTIONS;
use narrows_kit::relay::Relay;
use std::collections::HashSet;

#[tokio::test]
async fn a_request_line_has_one_reading_or_is_refused() {
    check("Request line").await;
}

#[tokio::test]
async fn a_request_target_means_the_same_here_and_upstream() {
    check("Request target").await;
}

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    check("Host").await;
}

#[tokio::test]
async fn a_field_line_has_one_reading_or_is_refused() {
    check("Field syntax").await;
}

#[tokio::test]
async fn a_request_has_one_length_or_is_refused() {
    check("Length of a request").await;
}

#[tokio::test]
async fn a_request_inside_a_request_is_not_served() {
    check("Requests inside requests").await;
}

#[tokio::test]
async fn chunks_of_a_request_have_one_reading_or_are_refused() {
    check("Chunked requests").await;
}

#[tokio::test]
async fn chunks_of_a_response_have_one_reading_or_are_cut() {
    check("Chunked responses").await;
}

#[tokio::test]
async fn fields_of_one_hop_are_not_forwarded_and_all_others_are() {
    check("Fields of one hop").await;
}

#[tokio::test]
async fn requests_are_served_in_order_until_a_side_closes() {
    check("Connections and pipelining").await;
}

#[tokio::test]
async fn expectations_and_interim_responses_pass_as_the_versions_allow() {
    check("Expectations and interim responses").await;
}

#[tokio::test]
async fn an_early_response_leaves_nothing_to_be_read_as_a_request() {
    check("Early responses").await;
}

#[tokio::test]
async fn a_response_head_has_one_reading_or_is_a_502() {
    check("Response heads").await;
}

#[tokio::test]
async fn a_response_ends_in_one_place_and_what_follows_reaches_no_one() {
    check("Response bodies and splitting").await;
}

#[tokio::test]
async fn only_a_real_switch_of_protocols_opens_a_tunnel() {
    check("Upgrade").await;
}

#[test]
fn each_section_has_a_test_and_each_row_a_name_and_a_source() {
    let mut names = HashSet::new();
    for (title, rows) in SECTIONS {
        let test = format!("check(\"{title}\")");
        assert!(include_str!("main.rs").contains(&test), "no test plays {title}");
        for row in rows() {
            assert!(!row.source.is_empty(), "{title}: {}", row.name);
            assert!(names.insert((title, row.name.clone())), "{title}: {} twice", row.name);
        }
    }
    assert!(names.len() >= 250, "only {} rows", names.len());
}

/// Plays all rows of a section through one relay, and reports everything that is wrong.
async fn check(title: &str) {
    let (_, rows) = SECTIONS.iter().find(|(it, _)| *it == title).expect("a section");
    let origin = Origin::start().await.unwrap();
    let relay = Relay::start(&configuration(&origin)).await;
    let mut faults = Vec::new();
    for row in rows() {
        for pace in [Pace::AtOnce, Pace::InPieces] {
            if pace == Pace::InPieces && row.at_once {
                continue;
            }
            let seen = play(&row, relay.address(), &origin, pace, GUARD).await.unwrap();
            let mut found = seen.faults(&row);
            // What ours has to do is nothing that another relay would be blamed for.
            if seen.passes(&row) == Some(row.deviates) {
                found.push(format!("not what the standard wants: {}", seen.transcript()));
            }
            faults.extend(found.iter().map(|it| format!("{} ({pace:?}): {it}", row.name)));
        }
    }
    assert!(faults.is_empty(), "{title}: {} faults\n{}", faults.len(), faults.join("\n"));
}

fn configuration(origin: &Origin) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/gpt/\"\n\
         upstream = \"http://api.openai.test/\"\nconnect = \"{}\"\n",
        origin.address
    )
}
