//! TLS with clients: the [`config`] of a listener, and the handshake, [`accept`].

use crate::limits::{ALERT_LINGER, CLIENT_HANDSHAKE_BYTES_MAX};
use crate::net::buffer::with_scratch;
use crate::net::read_limit::PlainHttp;
use crate::net::tcp::MeteredTcp;
use crate::net::tls_stream::TlsStream;
use crate::net::transport::{Stream, Transport};
use crate::tls::alpn::Alpn;
use crate::tls::certificates::{Certificates, connected_to};
use crate::tls::client_rules::ClientRules;
use crate::tls::credential_error::CredentialError;
use crate::tls::last_hello::{NoteHello, explain, take_name};
use crate::tls::provider::PROVIDER;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
use tokio_rustls::rustls::server::UnbufferedServerConnection;

/// Session tickets per TLS 1.3 handshake. rustls sends two; clients that resume keep one
/// connection, and each ticket costs us an encryption and a record.
const TICKETS_PER_HANDSHAKE: usize = 1;

/// The configuration of a listener that shows `certificates`: TLS 1.2 and 1.3, session tickets,
/// client certificates if there are `rules` for them. Clients resume the sessions that they began
/// with `before`, which should be of the same listener with the same rules: a session must not lead
/// from the rules of one to those of another.
///
/// # Errors
/// The system gives no random bytes.
pub fn config(
    certificates: Arc<Certificates>,
    rules: Option<&ClientRules>,
    alpn: Alpn,
    before: Option<&ServerConfig>,
) -> Result<Arc<ServerConfig>, CredentialError> {
    let config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()?;
    let config = match rules {
        None => config.with_no_client_auth(),
        Some(rules) => config.with_client_cert_verifier(Arc::clone(&rules.verifier)),
    };
    let mut config = config.with_cert_resolver(Arc::new(NoteHello(certificates)));
    config.alpn_protocols = alpn.accepted();
    // Many clients list AES-256 first, out of habit, and would undo the order of `PROVIDER`. The
    // price: one that lists ChaCha20 first, because it lacks AES instructions, gets AES-128, too.
    // rustls cannot prefer ChaCha20 for such clients alone.
    config.ignore_client_order = true;
    // Without a ticketer, no other worker could resume a session of TLS 1.3.
    config.ticketer = match before {
        Some(before) => Arc::clone(&before.ticketer),
        None => Ticketer::new()?,
    };
    if let Some(before) = before {
        config.session_storage = Arc::clone(&before.session_storage);
    }
    config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
    // `net::records` takes the keys over after the handshake.
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// What a client began with.
#[derive(Debug)]
pub enum Greeted {
    /// TLS, whose handshake is done.
    Tls(Transport),
    /// A request in plain HTTP. Its first bytes have been consumed: all that is left to do is to
    /// tell the client.
    PlainHttp(Transport, PlainHttp),
}

/// Shakes hands as a server with a client that has connected to the address `local`. The caller
/// limits the time. A client that speaks HTTP without TLS, where HTTP inside TLS is expected, is
/// not an error, because it can get an answer.
///
/// # Errors
/// The client does not speak TLS, or has nothing in common with us, and an alert has been sent to
/// it; or it sends more than a handshake takes. `NotConnected` if it leaves before it has sent
/// anything that deserves an answer.
pub async fn accept(
    config: &Arc<ServerConfig>,
    mut tcp: MeteredTcp,
    alpn: Alpn,
    local: Option<IpAddr>,
) -> io::Result<Greeted> {
    let side = UnbufferedServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    // An incomplete message is held, and the client need not end it.
    tcp.limit_reads(CLIENT_HANDSHAKE_BYTES_MAX);
    if alpn == Alpn::Http {
        tcp.refuse_plain_http();
    }
    let mut handshake = pin!(TlsStream::shake_hands(side, tcp));
    let mut asked_name = None;
    let shaken = poll_fn(|cx| {
        connected_to(local);
        let polled = handshake.as_mut().poll(cx);
        // Before another hello comes on this thread.
        asked_name = take_name().or(asked_name.take());
        polled
    });
    match shaken.await {
        Ok(mut tls) => {
            tls.carrier_mut().lift_limit();
            // HTTP has a name of its own in each request.
            if alpn == Alpn::Anything {
                tls.note_asked_name(asked_name);
            }
            Ok(Greeted::Tls(tls.into()))
        }
        Err((error, tcp)) if error.kind() == ErrorKind::UnexpectedEof && tcp.written() == 0 => {
            Err(ErrorKind::NotConnected.into())
        }
        Err((error, mut tcp)) => match tcp.take_plain_http() {
            Some(request) => Ok(Greeted::PlainHttp(Box::new(tcp), request)),
            None => {
                // Before the wait: another hello may come on this thread.
                let error = explain(error);
                if tcp.written() > 0 {
                    let _late = timeout(ALERT_LINGER, let_alert_arrive(tcp)).await;
                }
                Err(error)
            }
        },
    }
}

/// Ends the connection so that the alert that was sent is not overtaken by a reset.
async fn let_alert_arrive(mut tcp: MeteredTcp) -> io::Result<()> {
    poll_fn(|cx| Stream::poll_shutdown(&mut tcp, cx)).await?;
    poll_fn(|cx| with_scratch(|scratch| tcp.poll_discard(cx, scratch))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::credential_file::{Chain, PrivateKey};
    use crate::tls::identity::Identity;
    use crate::tls::testing::pem::{
        CERTIFICATE, ENCRYPTED_KEY, Folder, KEY, KEY_OF_ANOTHER, KEY_OF_UNKNOWN_KIND,
    };
    use std::fs::File;

    #[test]
    fn a_certificate_and_its_key_make_a_server() {
        let config = server(CERTIFICATE, KEY).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1", b"http/1.0"]);
        assert!(config.ticketer.enabled());
        assert_eq!(config.send_tls13_tickets, 1);
    }

    #[test]
    fn one_file_may_hold_both_the_certificate_and_the_key() {
        let both = format!("text before\n{CERTIFICATE}{KEY}");
        assert!(server(&both, &both).is_ok());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        refuse(server(CERTIFICATE, KEY_OF_ANOTHER), "key.pem\" does not belong to the certificate");
    }

    #[test]
    fn a_file_without_the_right_section_is_refused() {
        refuse(server("", KEY), "certificate.pem\" holds no certificate");
        refuse(server(KEY, KEY), "certificate.pem\" holds no certificate");
        refuse(server(CERTIFICATE, ""), "key.pem\" holds no private key");
        refuse(server(CERTIFICATE, CERTIFICATE), "key.pem\" holds no private key");
    }

    #[test]
    fn two_keys_in_one_file_are_refused() {
        let two = format!("{KEY}{KEY_OF_ANOTHER}");
        refuse(server(CERTIFICATE, &two), "key.pem\" holds several private keys");
    }

    #[test]
    fn a_key_with_a_passphrase_is_refused_as_such() {
        refuse(server(CERTIFICATE, ENCRYPTED_KEY), "key.pem\" holds a key protected");
    }

    #[test]
    fn a_key_that_cannot_sign_for_tls_is_refused() {
        refuse(
            server(CERTIFICATE, KEY_OF_UNKNOWN_KIND),
            "key.pem\" holds a key of an unknown kind",
        );
    }

    #[test]
    fn damaged_pem_is_refused() {
        refuse(
            server(&CERTIFICATE.replace("-----END", "END"), KEY),
            "certificate.pem\" is not PEM",
        );
        refuse(server(&CERTIFICATE.replace('M', "*"), KEY), "certificate.pem\" is not PEM");
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        refuse(server(nonsense, KEY), "certificate.pem\" holds a certificate that cannot be used");
    }

    #[test]
    fn a_file_that_is_missing_or_endless_is_refused() {
        let folder = Folder::new();
        refuse(Chain::read(&folder.path("none.pem")), "none.pem\" cannot be read: ");
        refuse(PrivateKey::read(&folder.path("none.pem")), "none.pem\" cannot be read: ");
        refuse(Chain::read("/dev/zero".as_ref()), "\"/dev/zero\" cannot be read: it is not a");
        refuse(Chain::read(folder.as_ref()), "cannot be read: it is not a regular file");
        let sparse = folder.write("sparse.pem", "");
        File::options().write(true).open(&sparse).unwrap().set_len(1 << 40).unwrap();
        refuse(Chain::read(&sparse), "sparse.pem\" is longer than 1048576 bytes");
    }

    fn server(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, CredentialError> {
        let folder = Folder::new();
        let chain = Chain::read(&folder.write("certificate.pem", certificate))?;
        let identity = Identity::new(chain, PrivateKey::read(&folder.write("key.pem", key))?)?;
        let certificates = Certificates::new(&[identity.into()], &[]);
        config(certificates.into(), None, Alpn::Http, None)
    }

    #[track_caller]
    fn refuse<T>(result: Result<T, CredentialError>, why: &str) {
        let message = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(why), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}
