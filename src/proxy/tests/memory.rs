//! A connection that waits holds no buffer.

use super::bench::{CHUNKED_POST, EMPTY, GET, SOCKET, STREAM, SWITCH, run, settle};
use crate::net::buffer::{Buffer, free_buffers};

/// Lets the relay come to rest, and asserts how many of the free buffers are in use.
async fn assert_held(free: usize, held: usize, when: &str) {
    settle().await;
    assert_eq!(free - free_buffers(), held, "{when}");
}

/// More free buffers than one exchange needs, so that none has to be made.
fn fill_free_list() -> usize {
    drop((0..8).map(|_| Buffer::take()).collect::<Vec<_>>());
    free_buffers()
}

#[test]
fn an_exchange_that_waits_holds_no_buffer_in_any_phase() {
    run(async |bench| {
        let free = fill_free_list();
        let mut client = bench.client();
        assert_held(free, 0, "before the first request").await;
        client.send(&CHUNKED_POST[..20]).await;
        assert_held(free, 1, "with a part of a head").await;
        client.send(&CHUNKED_POST[20..]).await;
        assert_held(free, 0, "waiting for the request's body").await;
        client.send("5\r\nhel").await;
        assert_held(free, 0, "in the middle of a chunk").await;
        client.send("lo\r\n0\r\n\r\n").await;
        assert_held(free, 0, "waiting for the response").await;
        let mut upstream = bench.upstream().await;
        upstream.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await;
        assert_held(free, 0, "behind an interim response").await;
        upstream.send(STREAM).await;
        assert_held(free, 0, "waiting for the first event").await;
        upstream.send("5\r\nhello\r\n").await;
        assert_held(free, 0, "waiting for the next event").await;
        upstream.send("0\r\n\r\n").await;
        assert_held(free, 0, "waiting for the next request").await;
        client.send(GET).await;
        settle().await;
        upstream.send(EMPTY).await;
        assert_held(free, 0, "behind another exchange").await;
        client.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_held(free, 0, "behind an answer of our own").await;
        assert_eq!(bench.dials(), 1);
    });
}

#[test]
fn a_connection_that_ends_with_an_answer_of_ours_holds_no_buffer() {
    run(async |bench| {
        let free = fill_free_list();
        let mut client = bench.client();
        let head = CHUNKED_POST.replace(" /", " /other/");
        client.send(format!("{head}5\r\nhello\r\n")).await;
        assert_held(free, 0, "behind an answer to a request without its end").await;
    });
}

#[test]
fn a_silent_tunnel_holds_no_buffer() {
    run(async |bench| {
        let free = fill_free_list();
        let mut client = bench.client();
        client.send(format!("{SOCKET}early")).await;
        assert_held(free, 1, "the bytes behind the request wait for the switch").await;
        let mut upstream = bench.upstream().await;
        upstream.send(format!("{SWITCH}hello")).await;
        assert_held(free, 0, "behind the switch").await;
        client.send("ping").await;
        upstream.send("pong").await;
        assert_held(free, 0, "behind a message each way").await;
    });
}

#[test]
fn a_slow_receiver_costs_one_buffer_and_gives_it_back() {
    run(async |bench| {
        let free = fill_free_list();
        let mut client = bench.narrow_client(STREAM.len());
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.send(STREAM).await;
        for _ in 0..3 {
            upstream.send("5\r\nhello\r\n").await;
        }
        assert_held(free, 1, "what is not taken is kept").await;
        while !client.here().0.is_empty() {
            settle().await;
        }
        assert_held(free, 0, "all is taken").await;
    });
}
