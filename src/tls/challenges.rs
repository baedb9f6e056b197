//! The challenges of an authority that are under way: [`Challenges`].
//!
//! An authority that is asked for a certificate connects to each of its names, to see who answers:
//! by TLS with a protocol of its own (TLS-ALPN-01, RFC 8737), or by plain HTTP (HTTP-01, RFC 8555,
//! section 8.3). The main thread orders certificates and says here what to answer; whichever worker
//! the authority reaches answers.
//!
//! Challenges are under way for some seconds in months, so a connection only looks whether there
//! are any, by one load of a number that no one writes otherwise.

use crate::error::TlsFault;
use crate::limits::{ALERT_LINGER, CLIENT_HANDSHAKE_BYTES_MAX};
use crate::net::buffer::with_scratch;
use crate::net::tcp::MeteredTcp;
use crate::net::tls_stream::TlsStream;
use crate::net::transport::Transport;
use crate::preface::client_hello::ClientHello;
use crate::tls::fault;
use crate::tls::provider::PROVIDER;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

/// What to answer to authorities; one for the whole process.
#[derive(Debug, Default)]
pub struct Challenges {
    count: AtomicUsize,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    /// By the name that the authority asks for.
    tls_alpn: HashMap<Box<str>, Arc<ServerConfig>>,
    /// By token.
    http: HashMap<Box<str>, Arc<str>>,
}

impl Challenges {
    /// Whether none is under way. All that a connection pays then.
    pub fn is_empty(&self) -> bool {
        // Relaxed: a reader that sees another number takes the lock. The authority learns of a
        // challenge after it was set, and comes by way of the network.
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Shows this certificate to an authority that asks for `name` by TLS-ALPN-01: a DNS name in
    /// lower case, or the reverse name of an address (RFC 8738, section 6). Both are DER, the key
    /// in PKCS #8.
    ///
    /// # Errors
    /// TLS cannot use the key.
    pub fn set_tls_alpn(
        &self,
        name: &str,
        certificate: Vec<u8>,
        key: Vec<u8>,
    ) -> Result<(), TlsFault> {
        let config = answer_with(certificate.into(), key.into())?;
        self.change(|under_way| under_way.tls_alpn.insert(name.into(), config));
        Ok(())
    }

    /// Answers this to an authority that asks for `token` by HTTP-01.
    pub fn set_http(&self, token: &str, key_authorization: &str) {
        self.change(|under_way| under_way.http.insert(token.into(), key_authorization.into()));
    }

    /// Ends the challenges of this name or token.
    pub fn clear(&self, name_or_token: &str) {
        self.change(|under_way| {
            under_way.tls_alpn.remove(name_or_token);
            under_way.http.remove(name_or_token);
        });
    }

    /// What to answer for `token`.
    pub fn http(&self, token: &str) -> Option<Arc<str>> {
        self.under_way().http.get(token).cloned()
    }

    /// With what to answer a client that begins with `hello`, if it is an authority.
    pub fn tls_alpn(&self, hello: &ClientHello) -> Option<Arc<ServerConfig>> {
        let name = hello.server_name.as_deref().filter(|_| hello.is_challenge)?;
        self.under_way().tls_alpn.get(name).cloned()
    }

    fn change<T>(&self, change: impl FnOnce(&mut UnderWay) -> T) {
        let mut under_way = self.under_way();
        change(&mut under_way);
        let count = under_way.tls_alpn.len() + under_way.http.len();
        self.count.store(count, Ordering::Relaxed);
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        // A panic elsewhere has left each map whole.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shakes hands with an authority, which is all that it wants, and ends the connection. The caller
/// limits the time.
///
/// # Errors
/// The handshake fails.
pub async fn answer(config: Arc<ServerConfig>, mut tcp: MeteredTcp) -> io::Result<()> {
    tcp.limit_reads(CLIENT_HANDSHAKE_BYTES_MAX);
    let side = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
    let shaken = TlsStream::shake_hands(side, tcp).await;
    let mut tls = Transport::from(shaken.map_err(|(error, _)| error)?);
    let ending = async {
        poll_fn(|cx| tls.poll_shutdown(cx)).await?;
        poll_fn(|cx| with_scratch(|scratch| tls.poll_discard(cx, scratch))).await
    };
    // The authority has seen what it wants, however it leaves.
    let _either = timeout(ALERT_LINGER, ending).await;
    Ok(())
}

/// The protocol of TLS-ALPN-01 (RFC 8737, section 6.2).
const PROTOCOL: &[u8] = b"acme-tls/1";

fn answer_with(
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsFault> {
    let of = |error| fault::of_rustls(&error);
    let key = PROVIDER.key_provider.load_private_key(key.into()).map_err(of)?;
    // Not checked against the key: rustls refuses the critical extension that makes it an answer.
    let certified = CertifiedKey::new(vec![certificate], key);
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(of)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // No session may lead from here to anything.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // As for a listener.
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::der_of;

    fn hello(name: Option<&str>, is_challenge: bool) -> ClientHello {
        ClientHello { server_name: name.map(Into::into), is_challenge }
    }

    #[test]
    fn challenges_are_under_way_from_the_first_to_the_last() {
        let challenges = Challenges::default();
        assert!(challenges.is_empty());
        challenges.set_http("token", "token.thumbprint");
        let (certificate, key) = der_of("rsa");
        challenges.set_tls_alpn("a.test", certificate, key).unwrap();
        assert!(!challenges.is_empty());
        assert_eq!(challenges.http("token").as_deref(), Some("token.thumbprint"));
        assert_eq!(challenges.http("a.test"), None);
        challenges.clear("token");
        assert_eq!(challenges.http("token"), None);
        assert!(!challenges.is_empty());
        challenges.clear("a.test");
        assert!(challenges.is_empty());
    }

    #[test]
    fn only_a_hello_for_a_challenge_that_is_under_way_is_answered() {
        let challenges = Challenges::default();
        let (certificate, key) = der_of("server");
        let reverse = "1.0.0.127.in-addr.arpa";
        challenges.set_tls_alpn(reverse, certificate, key).unwrap();
        assert!(challenges.tls_alpn(&hello(Some(reverse), true)).is_some());
        for other in [hello(Some(reverse), false), hello(Some("a.test"), true), hello(None, true)] {
            assert!(challenges.tls_alpn(&other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_key_that_tls_cannot_use_is_an_error_and_nothing_is_under_way() {
        let challenges = Challenges::default();
        let (certificate, _) = der_of("server");
        assert!(challenges.set_tls_alpn("a.test", certificate, b"no key".to_vec()).is_err());
        assert!(challenges.is_empty());
    }
}
