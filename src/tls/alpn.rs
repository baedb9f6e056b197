//! The protocol inside of TLS, as far as the handshake negotiates it (RFC 7301): [`Alpn`].

/// What is spoken inside of TLS, as far as the handshake can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/1.1, and no other protocol.
    Http,
    /// Whatever both ends agree on later. None is offered, and none is chosen of those that a
    /// client offers: we could only guess what the other end speaks.
    Anything,
}

impl Alpn {
    /// What we accept from clients.
    ///
    /// A client that speaks HTTP/1.0 may say so (section 6), and would be refused if it were not
    /// in the list; inside of HTTP the version of the request counts.
    pub(super) fn accepted(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()],
            Self::Anything => Vec::new(),
        }
    }

    /// What we offer to upstreams.
    pub(super) fn offered(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"http/1.1".to_vec()],
            Self::Anything => Vec::new(),
        }
    }
}
