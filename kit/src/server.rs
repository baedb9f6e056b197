//! An origin on a thread of its own, which serves each connection with a given function.

use crate::certificates::acceptor;
use crate::connection::Connection;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::thread;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ALL_VERSIONS;

/// Listens on 127.0.0.1, with `certs/server.pem` or without TLS, and runs `serve` as a task for
/// each connection. A handshake that fails shows at the client. The thread lives as long as the
/// process.
pub fn start<S, F>(tls: bool, serve: S) -> io::Result<SocketAddr>
where
    S: Fn(Connection) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let tls = tls.then(|| acceptor("server", ALL_VERSIONS));
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            loop {
                let (tcp, _client) = listener.accept().await.expect("a connection");
                let (tls, serve) = (tls.clone(), serve.clone());
                tokio::spawn(async move {
                    if let Ok(connection) = open(tcp, tls).await {
                        serve(connection).await;
                    }
                });
            }
        });
    });
    Ok(address)
}

async fn open(tcp: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Connection> {
    tcp.set_nodelay(true)?;
    Ok(match tls {
        None => Connection::new(tcp),
        Some(tls) => Connection::new(tls.accept(tcp).await?),
    })
}
