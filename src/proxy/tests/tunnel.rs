//! Opaque bytes after an upgrade: both ends of both directions.

use super::bench::{SOCKET, SWITCH, log_of, run, seconds, settle, words};
use crate::clock::Alarm;
use crate::error::{ExchangeError, Fault};
use crate::net::memory::{End, MemoryStream};
use crate::net::tcp::MeteredTcp;
use crate::proxy::connection::Connection;
use crate::proxy::context::Drain;
use crate::proxy::tunnel::tunnel;
use crate::timeouts::Timeouts;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::poll_proceed;
use tokio::time::sleep;

#[test]
fn the_end_of_one_direction_of_a_tunnel_is_passed_on_and_the_other_goes_on() {
    for client_first in [true, false] {
        let log = run(async |bench| {
            let (client, upstream) = bench.tunnel().await;
            let (mut one, mut other) =
                if client_first { (client, upstream) } else { (upstream, client) };
            one.send("last words").await;
            one.end(End::Clean);
            assert_eq!(other.read_to_end().await, ("last words".into(), End::Clean));
            for _ in 0..3 {
                other.send("more").await;
                assert_eq!(one.read().await, "more");
            }
            other.end(End::Clean);
            assert_eq!(one.read_to_end().await, (String::new(), End::Clean));
            bench.over().await;
        });
        assert_eq!(log, ["101 switched"]);
    }
}

#[test]
fn the_bytes_of_a_tunnel_are_counted_in_both_directions_from_the_first_to_the_last() {
    let log = log_of(async |bench| {
        let mut client = bench.client();
        client.send(format!("{SOCKET}early")).await;
        let mut upstream = bench.upstream().await;
        upstream.send(format!("{SWITCH}hello")).await;
        settle().await;
        client.send(" bird").await;
        upstream.send(", world").await;
        client.end(End::Clean);
        upstream.end(End::Clean);
        bench.over().await;
    });
    let counts: Vec<_> = log.iter().map(|it| words(it, &["to_upstream", "to_client"])).collect();
    assert_eq!(counts, ["10 12"]);
}

#[test]
fn a_tunnel_that_breaks_on_one_side_is_reset_on_the_other() {
    for end in [End::Cut, End::Reset] {
        for by_client in [true, false] {
            let log = run(async |bench| {
                let (client, upstream) = bench.tunnel().await;
                let (mut one, mut other) =
                    if by_client { (client, upstream) } else { (upstream, client) };
                one.end(end);
                bench.over().await;
                assert_eq!(other.here(), (vec![], Some(End::Reset)), "{end:?}");
            });
            let who = if by_client {
                "client connection_failed"
            } else {
                "upstream upstream_closed_early"
            };
            assert_eq!(log, [format!("101 aborted {who}")], "{end:?}");
        }
    }
}

#[test]
fn bytes_behind_an_offer_to_switch_wait_for_the_switch_and_those_behind_it_come_with_it() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(format!("{SOCKET}early")).await;
        let mut upstream = bench.upstream().await;
        let head = upstream.read().await;
        assert!(head.ends_with("Upgrade: websocket\r\n\r\n"), "{head}");
        client.send(" bird").await;
        settle().await;
        assert_eq!(upstream.here(), (vec![], None));
        upstream.send(format!("{SWITCH}hello")).await;
        assert_eq!(client.read().await, format!("{SWITCH}hello"));
        assert_eq!(upstream.read().await, "early bird");
        client.end(End::Clean);
        upstream.end(End::Clean);
        bench.over().await;
    });
    assert_eq!(log, ["101 switched"]);
}

/// The runtime lets a task do so much at a time, and then finds nothing ready for it.
#[tokio::test(start_paused = true)]
async fn what_a_broken_side_has_sent_arrives_although_the_task_has_had_its_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let upstream = Connection::new(listener.accept().await.unwrap().0.into());
    let (near, mut reader) = MemoryStream::pair(64);
    let tunnelling = in_every_other_turn(Connection::new(near.into()), upstream);
    let reading = async {
        let mut into = [0; 64];
        far.write_all(&[b'x'; 1000]).await.unwrap();
        let mut got = poll_fn(|cx| reader.poll_read(cx, &mut into)).await.unwrap();
        // Behind what the relay holds, so that it is not read before the break is seen.
        far.write_all(&[b'y'; 1000]).await.unwrap();
        MeteredTcp::new(far).reset_on_close(true);
        sleep(seconds(2)).await;
        while let Ok(len) = poll_fn(|cx| reader.poll_read(cx, &mut into)).await {
            got += len;
            // So that the next bytes are taken in a turn that is over already.
            sleep(seconds(1)).await;
        }
        got
    };
    let (result, got) = tokio::join!(biased; tunnelling, reading);
    assert_eq!((result.unwrap_err().fault, got), (Fault::Upstream, 2000));
}

/// A tunnel whose task has done all that it may when it is polled, every other time.
async fn in_every_other_turn(
    mut client: Connection,
    mut upstream: Connection,
) -> Result<(), ExchangeError> {
    let (timeouts, drain, mut alarm) = (Timeouts::default(), Drain::default(), Alarm::default());
    let mut tunnelled =
        pin!(tunnel(&mut client, &mut upstream, &timeouts, &drain, &mut alarm, |_, _| {}));
    let mut is_spent = false;
    poll_fn(|cx| {
        is_spent = !is_spent;
        while is_spent && let Poll::Ready(progress) = poll_proceed(cx) {
            progress.made_progress();
        }
        tunnelled.as_mut().poll(cx)
    })
    .await
}
