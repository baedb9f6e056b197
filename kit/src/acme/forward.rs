//! A port that leads to another one, which may be named later.

use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It waits.
    Unknown,
    /// Nowhere: it is reset.
    Closed,
    To(SocketAddr),
}

/// A port of 127.0.0.1. It closes when this is dropped.
pub struct Forward {
    port: u16,
    way: watch::Sender<Way>,
    server: JoinHandle<()>,
}

impl Forward {
    /// Connections wait until it leads somewhere.
    pub async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = watch::Sender::new(Way::Unknown);
        let server = tokio::spawn(accept(listener, way.subscribe()));
        Self { port, way, server }
    }

    /// Its number.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads there from now on.
    pub fn lead_to(&self, address: SocketAddr) {
        self.way.send_replace(Way::To(address));
    }

    /// Leads nowhere from now on.
    pub fn close(&self) {
        self.way.send_replace(Way::Closed);
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, way: watch::Receiver<Way>) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        tokio::spawn(pass(tcp, way.clone()));
    }
}

async fn pass(mut tcp: TcpStream, mut way: watch::Receiver<Way>) {
    let Ok(way) = way.wait_for(|it| *it != Way::Unknown).await.map(|it| *it) else { return };
    let reached = match way {
        Way::To(address) => TcpStream::connect(address).await.ok(),
        Way::Unknown | Way::Closed => None,
    };
    match reached {
        Some(mut other) => {
            let _ended = copy_bidirectional(&mut tcp, &mut other).await;
        }
        None => {
            let _gone = socket2::SockRef::from(&tcp).set_linger(Some(Default::default()));
        }
    }
}
