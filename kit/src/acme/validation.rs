//! What a validator does: it connects, and looks at what it gets (RFC 8555, section 8; RFC 8737).

use super::Ca;
use super::der::{proof, public_key};
use super::identifier::Identifier;
use super::problem::Problem;
use crate::connection::Connection;
use crate::http::{Framing, field_value};
use ::aws_lc_rs::digest::{SHA256, digest};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// As a public validator has it, more or less.
const PATIENCE: Duration = Duration::from_secs(10);
/// Validators look from several places.
const PLACES: usize = 3;
const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is to be found where.
pub(super) struct Task {
    pub(super) identifier: Identifier,
    pub(super) kind: &'static str,
    pub(super) token: String,
    /// The key authorization.
    pub(super) expected: String,
}

impl Task {
    /// Validates, from several places at once.
    pub(super) async fn run(&self, ca: &Ca) -> Result<(), Problem> {
        let rules = ca.rules.borrow().clone();
        let name = self.identifier.to_string();
        if rules.forbidden_by_caa.contains(&name) {
            let detail = format!("CAA record for {name} prevents issuance");
            return Err(Problem::new(403, "caa", detail));
        }
        let ip = match (&self.identifier, rules.hosts.get(&name)) {
            (Identifier::Ip(ip), _) => *ip,
            (Identifier::Dns(_), None) => Ipv4Addr::LOCALHOST.into(),
            (Identifier::Dns(_), Some(Some(ip))) => *ip,
            (Identifier::Dns(_), Some(None)) => {
                let detail = format!("DNS problem: NXDOMAIN looking up A for {name}");
                return Err(Problem::new(400, "dns", detail));
            }
        };
        for _ in 0..PLACES {
            let seen = timeout(PATIENCE, self.look(ca, ip)).await;
            seen.unwrap_or_else(|_elapsed| Err(unreachable(ip, "Timeout")))?;
        }
        Ok(())
    }

    async fn look(&self, ca: &Ca, ip: IpAddr) -> Result<(), Problem> {
        match self.kind {
            "tls-alpn-01" => {
                let mut rules = ca.rules.subscribe();
                let told = rules.wait_for(|rules| rules.tls_alpn_port.is_some()).await;
                let port = told.ok().and_then(|rules| rules.tls_alpn_port);
                self.look_by_tls(ip, port.unwrap_or_default()).await
            }
            _ => {
                let port = ca.rules.borrow().http_port;
                let port = port.ok_or_else(|| unreachable(ip, "Connection refused"))?;
                self.look_by_http(ip, port).await
            }
        }
    }

    async fn look_by_tls(&self, ip: IpAddr, port: u16) -> Result<(), Problem> {
        let refused = |error: io::Error| unreachable(ip, &error.to_string());
        let tcp = TcpStream::connect((ip, port)).await.map_err(refused)?;
        let name = ServerName::try_from(self.identifier.server_name()).expect("a name");
        let connected = TlsConnector::from(config()).connect(name, tcp).await;
        let tls = connected.map_err(|error| Problem::new(400, "tls", error.to_string()))?;
        let session = tls.get_ref().1;
        if session.alpn_protocol() != Some(PROTOCOL) {
            return Err(Problem::unauthorized("Cannot negotiate ALPN protocol \"acme-tls/1\""));
        }
        let certificate = session.peer_certificates().and_then(|it| it.first());
        let proof = proof(certificate.expect("TLS 1.3 has one"))
            .map_err(|_| Problem::unauthorized("the certificate cannot be read"))?;
        let digest = digest(&SHA256, self.expected.as_bytes());
        if proof.names != [self.identifier.clone()] {
            return Err(Problem::unauthorized("Received certificate with other identifiers"));
        }
        if proof.digest.as_deref() != Some(digest.as_ref()) {
            return Err(Problem::unauthorized("Incorrect validation certificate"));
        }
        Ok(())
    }

    async fn look_by_http(&self, ip: IpAddr, port: u16) -> Result<(), Problem> {
        let refused = |error: io::Error| unreachable(ip, &error.to_string());
        let tcp = TcpStream::connect((ip, port)).await.map_err(refused)?;
        let request = format!(
            "GET /.well-known/acme-challenge/{} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\
             User-Agent: kit\r\nConnection: close\r\n\r\n",
            self.token, self.identifier
        );
        let (head, body) = get(tcp, &request).await.map_err(refused)?;
        if !head.starts_with("HTTP/1.1 200 ") {
            let status = head.split(' ').nth(1).unwrap_or_default();
            return Err(Problem::unauthorized(format!("Invalid response: {status}")));
        }
        if body.trim_ascii_end() != self.expected.as_bytes() {
            return Err(Problem::unauthorized("The key authorization file does not match"));
        }
        // RFC 8555, section 8.3: this type, if there is one.
        match field_value(&head, "content-type") {
            None | Some("application/octet-stream") => Ok(()),
            Some(other) => Err(Problem::unauthorized(format!("Content-Type: {other}"))),
        }
    }
}

async fn get(tcp: TcpStream, request: &str) -> io::Result<(String, Vec<u8>)> {
    let mut connection = Connection::new(tcp);
    connection.send(request).await?;
    let head = connection.read_head().await?;
    let body = match Framing::of(&head) {
        Framing::Length(length) => connection.read_exactly(length).await?,
        Framing::Chunked => connection.read_chunk().await?,
        Framing::UntilClose => {
            while connection.read().await? > 0 {}
            connection.received.take_all()
        }
    };
    Ok((head, body))
}

fn unreachable(ip: IpAddr, reason: &str) -> Problem {
    Problem::new(400, "connection", format!("{ip}: Error getting validation data: {reason}"))
}

fn config() -> Arc<ClientConfig> {
    let verifier = Arc::new(Anyone(Arc::new(aws_lc_rs::default_provider())));
    let mut config = ClientConfig::builder_with_protocol_versions(&[&TLS13])
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Arc::new(config)
}

/// The certificate of a challenge is its owner's own; what it says is checked afterwards.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone was offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        // rustls refuses the certificate itself: its extension is critical.
        let key = public_key(certificate).map_err(|error| Error::General(format!("{error:?}")))?;
        let key = SubjectPublicKeyInfoDer::from(key);
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
