//! What a client offered whose handshake failed.
//!
//! rustls says "no key exchange group in common" also of an old client none of whose cipher suites
//! needs a group. What such a client lacks is a suite, and [`explain`] says so.

use crate::tls::provider::PROVIDER;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, PeerIncompatible};

thread_local! {
    /// Whether the last hello on this thread offered a suite that we have. rustls processes a hello
    /// and returns the error in one call.
    static OFFERS_SUITE: Cell<bool> = const { Cell::new(true) };
}

/// Notes what a hello offers, and leaves the choice of a certificate to another resolver.
#[derive(Debug)]
pub(super) struct NoteOffered(pub(super) Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for NoteOffered {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = |offered| PROVIDER.cipher_suites.iter().any(|it| it.suite() == offered);
        OFFERS_SUITE.set(hello.cipher_suites().iter().any(|offered| known(*offered)));
        self.0.resolve(hello)
    }
}

/// The error of a handshake that has just failed, corrected to what the client really lacks.
pub(super) fn explain(error: io::Error) -> io::Error {
    const NO_GROUP: Error = Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon);
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    if cause == Some(&NO_GROUP) && !OFFERS_SUITE.get() {
        let no_suite = Error::from(PeerIncompatible::NoCipherSuitesInCommon);
        return io::Error::new(error.kind(), no_suite);
    }
    error
}
