//! What a client offered whose handshake came to nothing. rustls says that no group for the key
//! exchange is known to both sides also of a client whose cipher suites have no use for one, as
//! those of old have; what such a client lacks is a suite.

use super::credentials::PROVIDER;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, PeerIncompatible};

thread_local! {
    /// Whether the last hello on this thread offered a suite that we have. What follows from a
    /// hello is decided, and told, in the same call.
    static OFFERS_SUITE: Cell<bool> = const { Cell::new(true) };
}

/// Notes what a hello offers, and shows the certificate of another.
#[derive(Debug)]
pub(super) struct Noting(pub(super) Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = |offered| PROVIDER.cipher_suites.iter().any(|it| it.suite() == offered);
        OFFERS_SUITE.set(hello.cipher_suites().iter().any(|offered| known(*offered)));
        self.0.resolve(hello)
    }
}

/// The error of a handshake that has just failed, with what was really missing.
pub(super) fn explained(error: io::Error) -> io::Error {
    const NO_GROUP: Error = Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon);
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    if cause == Some(&NO_GROUP) && !OFFERS_SUITE.get() {
        let no_suite = Error::from(PeerIncompatible::NoCipherSuitesInCommon);
        return io::Error::new(error.kind(), no_suite);
    }
    error
}
