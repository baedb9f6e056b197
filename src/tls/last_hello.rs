//! What a client asked for, where rustls does not say it.
//!
//! - The server name is shown only to a resolver: [`take_name`].
//! - rustls says "no key exchange group in common" also of an old client none of whose cipher
//!   suites needs a group. What such a client lacks is a suite.
//! - It has no error of its own for a hello for which the resolver has no certificate.
//!
//! [`explain`] corrects the error of a handshake.

use crate::tls::provider::PROVIDER;
use std::cell::Cell;
use std::error;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, OtherError, PeerIncompatible};

/// What the last hello on this thread was. rustls processes a hello and returns the error in one
/// call.
#[derive(Clone, Copy)]
struct LastHello {
    /// It offered a suite that we have.
    offers_suite: bool,
    /// It got a certificate.
    has_certificate: bool,
}

thread_local! {
    static LAST_NAME: Cell<Option<Box<str>>> = const { Cell::new(None) };
    static LAST_HELLO: Cell<LastHello> =
        const { Cell::new(LastHello { offers_suite: true, has_certificate: true }) };
}

/// Notes what a hello offers, and leaves the choice of a certificate to another resolver.
#[derive(Debug)]
pub(super) struct NoteHello(pub(super) Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for NoteHello {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = |offered| PROVIDER.cipher_suites.iter().any(|it| it.suite() == offered);
        let offers_suite = hello.cipher_suites().iter().any(|offered| known(*offered));
        LAST_NAME.set(hello.server_name().map(Into::into));
        let certificate = self.0.resolve(hello);
        LAST_HELLO.set(LastHello { offers_suite, has_certificate: certificate.is_some() });
        certificate
    }
}

/// There is no certificate yet for the name that the client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct CertificateAwaited;

impl fmt::Display for CertificateAwaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no certificate yet")
    }
}

impl error::Error for CertificateAwaited {}

/// The server name that the last hello on this thread asked for, once.
pub(super) fn take_name() -> Option<Box<str>> {
    LAST_NAME.take()
}

/// The error of a handshake that has just failed, corrected to what the client really lacks.
pub(super) fn explain(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let LastHello { offers_suite, has_certificate } = LAST_HELLO.get();
    let explained = match cause {
        Some(Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon)) if !offers_suite => {
            PeerIncompatible::NoCipherSuitesInCommon.into()
        }
        Some(Error::General(_)) if !has_certificate => {
            Error::Other(OtherError(Arc::new(CertificateAwaited)))
        }
        _ => return error,
    };
    io::Error::new(error.kind(), explained)
}
