//! The handshake with an upstream: SNI sent, the certificate verified, always.

use crate::error::TlsFault;
use crate::net::tcp::MeteredTcp;
use crate::net::transport::Transport;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError, ClientConfig};

/// Shakes hands as a client of `name`. The caller limits the time.
///
/// # Errors
/// What is wrong with the upstream's certificate, or that the handshake failed otherwise.
pub async fn connect(
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
    tcp: TcpStream,
) -> Result<Transport, TlsFault> {
    let connector = TlsConnector::from(Arc::clone(config));
    match connector.connect(name.clone(), MeteredTcp::new(tcp)).await {
        Ok(tls) => Ok(tls.into()),
        Err(error) => Err(fault(&error)),
    }
}

fn fault(error: &io::Error) -> TlsFault {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(error)) = cause else {
        return TlsFault::Handshake;
    };
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsFault::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::CertificateName
        }
        CertificateError::UnknownIssuer => TlsFault::CertificateIssuer,
        // A foreign enum that grows: what is not one of the above is unusable all the same.
        _ => TlsFault::CertificateInvalid,
    }
}
