//! The handshake with a client.

use crate::limits::{CLIENT_HANDSHAKE_BYTES_MAX, TLS_BYTES_WITHOUT_CONTENT_MAX};
use crate::net::tcp::MeteredTcp;
use crate::net::transport::Transport;
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Shakes hands as a server. The caller limits the time.
///
/// # Errors
/// The client speaks no TLS, or nothing that we speak, and an alert has been sent to it; or it says
/// more than a handshake takes.
pub async fn accept(config: &Arc<ServerConfig>, mut tcp: MeteredTcp) -> io::Result<Transport> {
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    // What rustls allows would be 64 KiB a message, and whoever sends it need not end it.
    tcp.limit_reads(CLIENT_HANDSHAKE_BYTES_MAX);
    let mut tls = acceptor.accept(tcp).await?;
    tls.get_mut().0.limit_reads(TLS_BYTES_WITHOUT_CONTENT_MAX);
    Ok(tls.into())
}
