//! The handshake with a client.

use crate::limits::{CLIENT_HANDSHAKE_BYTES_MAX, TLS_BYTES_WITHOUT_CONTENT_MAX};
use crate::net::tcp::{MeteredTcp, PlainHttp};
use crate::net::transport::Transport;
use crate::tls::credentials::Alpn;
use crate::tls::offer::explained;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// What a client began with.
#[derive(Debug)]
pub enum Greeted {
    /// TLS, whose handshake is done.
    Tls(Transport),
    /// A request in plain HTTP, of which bytes are gone: there is nothing to do but to say so.
    PlainHttp(Transport, PlainHttp),
}

/// Shakes hands as a server. The caller limits the time. Where there is HTTP inside of TLS, a
/// client that speaks it without TLS is no error, because it can be told.
///
/// # Errors
/// The client speaks no TLS, or nothing that we speak, and an alert has been sent to it; or it says
/// more than a handshake takes. One that leaves before it has said anything worth an answer is
/// `NotConnected`.
pub async fn accept(
    config: &Arc<ServerConfig>,
    mut tcp: MeteredTcp,
    alpn: Alpn,
) -> io::Result<Greeted> {
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    // What rustls allows would be 64 KiB a message, and whoever sends it need not end it.
    tcp.limit_reads(CLIENT_HANDSHAKE_BYTES_MAX);
    if alpn == Alpn::Http {
        tcp.refuse_plain_http();
    }
    match acceptor.accept(tcp).into_fallible().await {
        Ok(mut tls) => {
            tls.get_mut().0.limit_reads(TLS_BYTES_WITHOUT_CONTENT_MAX);
            Ok(Greeted::Tls(tls.into()))
        }
        Err((error, tcp)) if error.kind() == ErrorKind::UnexpectedEof && tcp.written() == 0 => {
            Err(ErrorKind::NotConnected.into())
        }
        Err((error, mut tcp)) => match tcp.take_plain_http() {
            Some(request) => Ok(Greeted::PlainHttp(Box::new(tcp), request)),
            None => Err(explained(error)),
        },
    }
}
