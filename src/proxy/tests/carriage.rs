//! A tunnel between real sockets, once spliced and once copied: both must behave alike.

use crate::clock::Alarm;
use crate::error::ExchangeError;
use crate::limits::{PIPES_MAX, USER_TIMEOUT_MAX};
use crate::net::splice::{limit_pipes, pipes_in_use};
use crate::net::tcp::MeteredTcp;
use crate::net::transport::Transport;
use crate::proxy::connection::Connection;
use crate::proxy::context::Drain;
use crate::proxy::tunnel::tunnel;
use crate::timeouts::Timeouts;
use socket2::SockRef;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, spawn_local};

/// More than the sockets and the pipe hold.
const MUCH: usize = 16 * 1024 * 1024;

/// What a tunnel gives at its end: bytes up, bytes down, what went wrong.
type Ended = (u64, u64, Option<ExchangeError>);

/// Both far ends of a tunnel.
struct Tunnel {
    client: TcpStream,
    upstream: TcpStream,
    ended: JoinHandle<Ended>,
}

impl Tunnel {
    async fn open() -> Self {
        let ((client, near_client), (upstream, near_upstream)) = (pair().await, pair().await);
        let ended = spawn_local(async move {
            let side = |tcp| Connection::new(Transport::from(tcp));
            let (mut client, mut upstream) = (side(near_client), side(near_upstream));
            let (mut moved, mut alarm) = ((0, 0), Alarm::default());
            let count = |up, down| moved = (up, down);
            let timeouts = Timeouts::default();
            let ended =
                tunnel(&mut client, &mut upstream, &timeouts, &Drain::default(), &mut alarm, count)
                    .await;
            (moved.0, moved.1, ended.err())
        });
        Self { client, upstream, ended }
    }
}

/// Runs a test by way of pipes, and without any.
fn in_both_ways(test: impl AsyncFn()) {
    for max in [PIPES_MAX, 0] {
        limit_pipes(max);
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(test());
        drop(runtime);
        assert_eq!(pipes_in_use(), 0, "with at most {max} pipes");
    }
    limit_pipes(PIPES_MAX);
}

#[test]
fn a_stream_longer_than_all_buffers_arrives_as_it_was_sent_in_both_directions() {
    in_both_ways(async || {
        let Tunnel { client, upstream, ended } = Tunnel::open().await;
        let (client, upstream) = (spawn_local(talk(client, 1)), spawn_local(talk(upstream, 2)));
        assert_eq!(client.await.unwrap(), noise(2));
        assert_eq!(upstream.await.unwrap(), noise(1));
        assert_eq!(ended.await.unwrap(), (MUCH as u64, MUCH as u64, None));
    });
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    in_both_ways(async || {
        let Tunnel { mut client, mut upstream, ended } = Tunnel::open().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        upstream.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"question");
        upstream.write_all(b"answer").await.unwrap();
        upstream.shutdown().await.unwrap();
        got.clear();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"answer");
        assert_eq!(ended.await.unwrap(), (8, 6, None));
    });
}

#[test]
fn a_reset_is_passed_on_as_a_reset() {
    in_both_ways(async || {
        let Tunnel { mut client, mut upstream, ended } = Tunnel::open().await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(upstream.read_u8().await.unwrap(), b'x');
        MeteredTcp::new(client).reset_on_close(true);
        let error = upstream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(ended.await.unwrap().2.is_some());
    });
}

#[test]
fn the_reset_of_a_peer_whose_bytes_have_to_wait_comes_behind_them() {
    in_both_ways(async || {
        let Tunnel { mut client, mut upstream, ended } = Tunnel::open().await;
        // The upstream reads nothing: the client writes until the relay accepts no more.
        let blocked = async {
            let block = [0; 64 * 1024];
            while client.write_all(&block).await.is_ok() {}
        };
        let pause = Duration::from_millis(300);
        assert!(tokio::time::timeout(pause, blocked).await.is_err());
        MeteredTcp::new(client).reset_on_close(true);
        let mut rest = Vec::new();
        let error = upstream.read_to_end(&mut rest).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let (up, _, error) = ended.await.unwrap();
        assert_eq!(error.unwrap().fault, crate::error::Fault::Client);
        assert_eq!(rest.len() as u64, up, "all that was received");
    });
}

/// Otherwise the kernel would end a tunnel whose peer cannot be reached for a minute, or reads more
/// slowly than it is sent to. What is left for it at the end does not wait for days.
#[test]
fn the_kernel_gives_no_peer_of_a_tunnel_up_before_its_limit() {
    in_both_ways(async || {
        let ((mut client, near_client), (mut upstream, near_upstream)) =
            (pair().await, pair().await);
        let short = Duration::from_secs(30);
        let watched = [near_client, near_upstream].map(|near| {
            SockRef::from(&near).set_tcp_user_timeout(Some(short)).unwrap();
            let near = near.into_std().unwrap();
            (near.try_clone().unwrap(), TcpStream::from_std(near).unwrap())
        });
        let [(client_socket, near_client), (upstream_socket, near_upstream)] = watched;
        let tunnelling = spawn_local(async move {
            let side = |tcp| Connection::new(Transport::from(tcp));
            let (mut client, mut upstream) = (side(near_client), side(near_upstream));
            let (timeouts, mut alarm) = (Timeouts::default(), Alarm::default());
            tunnel(&mut client, &mut upstream, &timeouts, &Drain::default(), &mut alarm, |_, _| ())
                .await
        });
        client.write_all(b"x").await.unwrap();
        assert_eq!(upstream.read_u8().await.unwrap(), b'x');
        for socket in [&client_socket, &upstream_socket] {
            let limit = SockRef::from(socket).tcp_user_timeout().unwrap();
            assert_eq!(limit, Some(USER_TIMEOUT_MAX));
        }
        tunnelling.abort();
        assert!(tunnelling.await.unwrap_err().is_cancelled());
        for socket in [&client_socket, &upstream_socket] {
            let limit = SockRef::from(socket).tcp_user_timeout().unwrap();
            assert_eq!(limit, None);
        }
    });
}

#[test]
fn a_silent_tunnel_holds_no_pipe() {
    in_both_ways(async || {
        let Tunnel { mut client, mut upstream, ended } = Tunnel::open().await;
        for _ in 0..3 {
            client.write_all(b"ping").await.unwrap();
            upstream.read_exact(&mut [0; 4]).await.unwrap();
            assert_eq!(pipes_in_use(), 0);
        }
        ended.abort();
    });
}

/// Sends the noise of `seed`, and gives all that comes until the other side has ended.
async fn talk(peer: TcpStream, seed: u64) -> Vec<u8> {
    let (mut reader, mut writer) = peer.into_split();
    let sending = spawn_local(async move {
        writer.write_all(&noise(seed)).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    reader.read_to_end(&mut got).await.unwrap();
    sending.await.unwrap();
    got
}

/// Bytes without a short period, the same for the same seed.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = (0..MUCH / 8).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 8).to_le_bytes()
    });
    words.flatten().collect()
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (far, listener.accept().await.unwrap().0)
}
