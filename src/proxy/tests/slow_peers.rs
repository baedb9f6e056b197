//! Peers whose sockets accept nothing for long. What their kernels acknowledge says whether they
//! are slow, paused or gone.

use super::bench::{GET, POST, STREAM, run, seconds};
use crate::limits::{DEFAULT_USER_TIMEOUT_BYTES_MAX, UNHEARD_MAX};
use crate::net::transport::Transport;
use crate::proxy::connection::Connection;
use crate::proxy::download::Download;
use crate::timeouts::Timeouts;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// Longest pause between two looks at a kernel, under the limits of the bench: a quarter of them.
const LOOK_SECONDS: u64 = 10;

#[test]
fn a_client_of_which_the_kernel_alone_takes_bytes_is_not_late() {
    let log = run(async |bench| {
        let mut client = bench.narrow_client(80);
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(format!("{STREAM}64\r\n{:100}\r\n", "")).await;
        for _ in 0..9 {
            sleep(seconds(36)).await;
            client.0.acknowledge(1);
        }
        let since = Instant::now();
        bench.over().await;
        let waited = since.elapsed();
        assert!(seconds(37) <= waited && waited <= seconds(37 + LOOK_SECONDS), "{waited:?}");
    });
    assert_eq!(log, ["200 aborted client slow_reader"]);
}

#[test]
fn an_upstream_of_which_the_kernel_alone_takes_bytes_is_not_late() {
    let log = run(async |bench| {
        bench.narrow_upstreams(64);
        let mut client = bench.client();
        client.send(format!("{POST}{:100}", "")).await;
        let mut upstream = bench.upstream().await;
        for _ in 0..9 {
            sleep(seconds(28)).await;
            upstream.0.acknowledge(1);
        }
        let since = Instant::now();
        let answer = client.read().await;
        assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{answer}");
        let waited = since.elapsed();
        assert!(seconds(29) <= waited && waited <= seconds(29 + LOOK_SECONDS), "{waited:?}");
    });
    assert_eq!(log, ["504 answered upstream upstream_write_timeout"]);
}

/// Its socket has room for more, and the kernel has no limit of its own any more.
#[test]
fn a_client_that_vanishes_within_a_long_stream_is_found_by_what_its_kernel_leaves_unanswered() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        let len = DEFAULT_USER_TIMEOUT_BYTES_MAX as usize + 1;
        upstream.send(format!("{STREAM}{len:x}\r\n{}\r\n", " ".repeat(len))).await;
        client.0.vanish();
        let since = Instant::now();
        let working = async {
            while upstream.try_send("5\r\n: hi\n\r\n").await.is_ok() {
                sleep(seconds(20)).await;
            }
        };
        let ((), ()) = tokio::join!(bench.over(), working);
        let waited = since.elapsed();
        assert!(UNHEARD_MAX <= waited, "{waited:?}");
        // The upstream's next event finds its connection closed.
        assert!(waited <= UNHEARD_MAX + seconds(2 * LOOK_SECONDS + 20), "{waited:?}");
    });
    assert_eq!(log, ["200 aborted client slow_reader"]);
}

/// Its client has what was sent before, because it asks again.
#[tokio::test]
async fn the_kernels_limit_comes_back_with_the_next_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let client = Connection::new(Transport::from(listener.accept().await.unwrap().0));
    let limit =
        || SockRef::from(client.transport.tcp().unwrap().socket()).tcp_user_timeout().unwrap();
    client.transport.lift_user_timeout();
    assert_eq!(limit(), None);
    let _download = Download::new(&client, &Timeouts::default());
    assert_eq!(limit(), Some(seconds(60)));
}
