//! The handshake with a client.

use crate::limits::{CLIENT_HANDSHAKE_BYTES_MAX, TLS_BYTES_WITHOUT_CONTENT_MAX};
use crate::net::tcp::MeteredTcp;
use crate::net::transport::Transport;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Shakes hands as a server. The caller limits the time.
///
/// # Errors
/// The client speaks no TLS, or nothing that we speak, and an alert has been sent to it; or it says
/// more than a handshake takes. One that leaves before it has said anything worth an answer is
/// `NotConnected`.
pub async fn accept(config: &Arc<ServerConfig>, mut tcp: MeteredTcp) -> io::Result<Transport> {
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    // What rustls allows would be 64 KiB a message, and whoever sends it need not end it.
    tcp.limit_reads(CLIENT_HANDSHAKE_BYTES_MAX);
    match acceptor.accept(tcp).into_fallible().await {
        Ok(mut tls) => {
            tls.get_mut().0.limit_reads(TLS_BYTES_WITHOUT_CONTENT_MAX);
            Ok(tls.into())
        }
        Err((error, tcp)) if error.kind() == ErrorKind::UnexpectedEof && tcp.written() == 0 => {
            Err(ErrorKind::NotConnected.into())
        }
        Err((error, _)) => Err(error),
    }
}
