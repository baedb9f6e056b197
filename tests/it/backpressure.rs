//! One 64 MiB body costs the same memory as a small one: who does not read is not read for.

use crate::support::stage::{GET, Stage};
use crate::support::stall::send_until_blocked;
use std::fs;

const TOTAL: usize = 64 * 1024 * 1024;
/// What the kernel may hold between sender and receiver, in the four buffers of two connections.
const IN_FLIGHT_MAX: usize = 48 * 1024 * 1024;
/// What the relay may grow by, in pages: its own buffers are a matter of kilobytes.
const GROWTH_MAX: usize = 1024;

#[tokio::test]
async fn a_client_that_does_not_read_pauses_its_download_and_loses_nothing() {
    for stage in [Stage::plain().await, Stage::tls().await] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\n\r\n");
        let (mut client, mut upstream) = stage.answered(GET, &head).await;
        let before = resident_pages(&stage);
        let sent = send_until_blocked(&mut upstream, &stage, TOTAL).await;
        assert!(sent < IN_FLIGHT_MAX, "{stage:?}: {sent} bytes are in flight");
        let growth = resident_pages(&stage).saturating_sub(before);
        assert!(growth < GROWTH_MAX, "{stage:?}: the relay has grown by {growth} pages");
        tokio::join!(client.expect_pattern(TOTAL), upstream.send_pattern(sent, TOTAL));
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_read_pauses_the_upload_and_loses_nothing() {
    for stage in [Stage::plain().await, Stage::tls().await] {
        let request = format!("POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: {TOTAL}\r\n\r\n");
        let (mut client, mut upstream) = stage.begin(&request).await;
        let before = resident_pages(&stage);
        let sent = send_until_blocked(&mut client, &stage, TOTAL).await;
        assert!(sent < IN_FLIGHT_MAX, "{stage:?}: {sent} bytes are in flight");
        let growth = resident_pages(&stage).saturating_sub(before);
        assert!(growth < GROWTH_MAX, "{stage:?}: the relay has grown by {growth} pages");
        tokio::join!(upstream.expect_pattern(TOTAL), client.send_pattern(sent, TOTAL));
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 204 "), "{stage:?}");
    }
}

/// Neither direction waits for the other: an upstream may answer while it reads.
#[tokio::test]
async fn a_stalled_download_does_not_stop_the_upload_of_the_same_exchange() {
    let stage = Stage::plain().await;
    let request = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
    let (mut client, mut upstream) = stage.answered(request, head).await;
    send_until_blocked(&mut upstream, &stage, TOTAL).await;
    client.send("still here").await;
    assert_eq!(upstream.read_exactly(10).await, b"still here");
}

/// Memory of the relay: the second number of its statm.
fn resident_pages(stage: &Stage) -> usize {
    let statm = fs::read_to_string(format!("/proc/{}/statm", stage.relay.pid())).unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}
