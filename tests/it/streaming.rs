//! The typewriter effect: what one side sends is with the other at once, and unaltered.

use crate::support::stage::{CHUNKED, CHUNKED_LAST, GET, Stage, UNTIL_CLOSE};
use narrows_kit::peer::Peer;

const EVENTS: [&str; 3] = ["data: one\n\n", "data: two, a longer one\n\n", "data: [DONE]\n\n"];

/// Both directions of TLS on and off, and the three framings of a response.
#[tokio::test]
async fn an_event_reaches_the_client_before_the_next_one_exists() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
        for event in EVENTS {
            upstream.send(chunk(event.as_bytes())).await;
            assert_eq!(client.read_chunk().await, event.as_bytes(), "{stage:?}");
        }
        upstream.send("0\r\n\r\n").await;
        assert_eq!(client.read_chunk().await, b"", "{stage:?}");

        let length = EVENTS.concat().len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        client.send(GET).await;
        upstream.read_head().await;
        upstream.send(head).await;
        client.read_head().await;
        for event in EVENTS {
            upstream.send(event).await;
            assert_eq!(client.read_exactly(event.len()).await, event.as_bytes(), "{stage:?}");
        }

        client.send(GET).await;
        upstream.read_head().await;
        upstream.send(UNTIL_CLOSE).await;
        client.read_head().await;
        for event in EVENTS {
            upstream.send(event).await;
            assert_eq!(client.read_chunk().await, event.as_bytes(), "{stage:?}");
        }
        upstream.close().await;
        assert_eq!(client.read_chunk().await, b"", "{stage:?}");
    }
}

#[tokio::test]
async fn half_an_event_passes_without_its_other_half() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
        for half in ["data: {\"choi", "ces\":[]}\n", "\n"] {
            upstream.send(chunk(half.as_bytes())).await;
            assert_eq!(client.read_chunk().await, half.as_bytes(), "{stage:?}");
        }
    }
}

#[tokio::test]
async fn half_a_chunk_passes_without_its_other_half() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
        upstream.send("b\r\nhello").await;
        assert_eq!(client.read_chunk().await, b"hello", "{stage:?}");
        upstream.send(" world").await;
        assert_eq!(client.read_chunk().await, b" world", "{stage:?}");
        upstream.send("\r\n0\r\n\r\n").await;
        assert_eq!(client.read_chunk().await, b"", "{stage:?}");
    }
}

#[tokio::test]
async fn a_response_head_is_forwarded_before_the_first_byte_of_its_body() {
    let bounded = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for stage in Stage::all().await {
        for head in [CHUNKED, bounded, UNTIL_CLOSE] {
            let (mut client, mut upstream) = stage.begin(GET).await;
            upstream.send(head).await;
            let seen = client.read_head().await;
            assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{stage:?}: {seen}");
            client.assert_silent().await;
        }
    }
}

#[tokio::test]
async fn the_first_part_of_an_upload_reaches_the_upstream_before_the_second_exists() {
    for stage in Stage::all().await {
        let request = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
        let (mut client, mut upstream) = stage.begin(request).await;
        for part in ["first", "other"] {
            client.send(part).await;
            assert_eq!(upstream.read_exactly(5).await, part.as_bytes(), "{stage:?}");
        }

        let request = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (mut client, mut upstream) = stage.begin(request).await;
        for part in ["first", "second"] {
            client.send(chunk(part.as_bytes())).await;
            assert_eq!(upstream.read_chunk().await, part.as_bytes(), "{stage:?}");
        }
        client.send("0\r\n\r\n").await;
        assert_eq!(upstream.read_chunk().await, b"", "{stage:?}");
    }
}

/// Framing bytes of one side are never forwarded: what came together leaves as one chunk.
#[tokio::test]
async fn chunks_of_one_read_leave_as_one_chunk() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
        upstream.send("3;note=1\r\nabc\r\n0003\r\ndef\r\n").await;
        assert_eq!(client.read_chunk().await, b"abcdef", "{stage:?}");
    }
}

#[tokio::test]
async fn the_first_bytes_of_a_body_leave_in_one_record_with_the_head() {
    let stage = Stage::tls().await;
    let (mut client, mut upstream) = stage.begin(GET).await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    // By now the session tickets are read, so that the next record is of the second response.
    client.read_message().await;
    for response in [format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n"), format!("{CHUNKED}2\r\nok\r\n")] {
        client.send(GET).await;
        upstream.read_head().await;
        upstream.send(&response).await;
        let record = client.peek_record_length().await;
        let head = client.read_head().await;
        let body = client.read_chunk().await;
        let last = if response.ends_with("0\r\n\r\n") { "0\r\n\r\n".len() } else { 0 };
        let plaintext = head.len() + "5\r\n".len() + body.len() + "\r\n".len() + last;
        // TLS 1.3 adds one byte for the type and 16 to authenticate.
        assert_eq!(record, plaintext + 17, "{head}");
        if last > 0 {
            assert_eq!(client.read_chunk().await, b"");
        }
    }
}

#[tokio::test]
async fn the_content_of_a_response_is_not_altered() {
    let gzip =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9\x07\x00\x86\xa6\x106\x05";
    let blank_lines = b"\n\r\n\r\n\n\n{\"id\":\"x\"}\n";
    let high_bytes: Vec<u8> = (0..=255).collect();
    let looks_like_framing = b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    for stage in Stage::all().await {
        for content in [&gzip[..], blank_lines, &high_bytes, looks_like_framing] {
            let fields = "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n";
            let head =
                format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", content.len());
            let (mut client, mut upstream) = stage.begin(GET).await;
            upstream.send(head).await;
            upstream.send(content).await;
            assert_eq!(client.read_message().await.1, content, "{stage:?}");

            client.send(GET).await;
            upstream.read_head().await;
            upstream.send(CHUNKED_LAST).await;
            client.read_head().await;
            upstream.send(chunk(content)).await;
            upstream.send("0\r\n\r\n").await;
            assert_eq!(client.read_body_to_end(CHUNKED).await, content, "{stage:?}");
        }
    }
}

#[tokio::test]
async fn an_event_of_two_megabytes_passes_whole() {
    let event = [b"data: ".as_slice(), &vec![b'x'; 2 * 1024 * 1024], b"\n\n"].concat();
    for stage in Stage::all().await {
        let (client, upstream) = stage.answered(GET, CHUNKED).await;
        assert!(passed(client, upstream, &chunk(&event)).await == event, "{stage:?}");
    }
}

#[tokio::test]
async fn five_hundred_chunks_of_one_byte_pass_in_their_order() {
    let content: Vec<u8> = (0..500).map(|number| b'a' + (number % 26) as u8).collect();
    let framed: Vec<u8> = content.iter().flat_map(|byte| chunk(&[*byte])).collect();
    for stage in Stage::all().await {
        let (client, upstream) = stage.answered(GET, CHUNKED_LAST).await;
        assert_eq!(passed(client, upstream, &framed).await, content, "{stage:?}: in one write");

        let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
        let one_by_one = async {
            for byte in &content {
                upstream.send(chunk(&[*byte])).await;
            }
            upstream.send("0\r\n\r\n").await;
        };
        let (body, ()) = tokio::join!(client.read_body_to_end(CHUNKED), one_by_one);
        assert_eq!(body, content, "{stage:?}: each in its own write");
    }
}

/// Sends `framed` and the last chunk while the client reads.
async fn passed(mut client: Peer, mut upstream: Peer, framed: &[u8]) -> Vec<u8> {
    let sending = async {
        upstream.send(framed).await;
        upstream.send("0\r\n\r\n").await;
    };
    tokio::join!(client.read_body_to_end(CHUNKED), sending).0
}

fn chunk(content: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n"].concat()
}
