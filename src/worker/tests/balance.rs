//! Connections of one address, served by several workers.

use super::{GUARD, expect, idle_worker, plain_http};
use crate::net::listen::listen;
use crate::worker::listening::Listening;
use crate::worker::{Socket, SocketId, Worker, deal};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::AsyncWriteExt;
use tokio::join;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test(flavor = "local")]
async fn long_connections_of_one_socket_are_spread_over_all_workers_until_these_drain() {
    let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1, GUARD).unwrap().remove(0);
    let address = socket.local_addr().unwrap();
    let mut workers = [idle_worker(), idle_worker()];
    let id = SocketId::unique();
    for (worker, opened) in workers.iter_mut().zip(deal(vec![socket], 2)) {
        worker.listen(Socket { id, address, listener: plain_http(), opened }).unwrap();
    }
    let at = |worker: &Worker| Rc::clone(&worker.listening[&id]);
    let [one, other] = workers.each_ref().map(at);
    let mut clients = Vec::new();
    for count in 1..=20 {
        let mut client = ask(address).await;
        expect(&mut client, "}}\n").await;
        clients.push(client);
        let counts = (one.live.count(), other.live.count());
        assert_eq!(counts.0 + counts.1, count);
        assert!(counts.0.abs_diff(counts.1) <= 2, "{counts:?}");
    }
    drop(clients);
    let drained = async { join!(drain(one), drain(other)) };
    timeout(GUARD, drained).await.expect("a worker waits for connections that nobody passes");
}

async fn ask(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    client
}

/// Much longer than the test may take.
async fn drain(at: Rc<Listening>) {
    at.drain(GUARD * 2).await;
}
