//! TLS on both sides: what we show to clients, and whom we believe.
//!
//! [`credentials`] turns PEM files into rustls configurations, [`acceptor`] and [`connector`] shake
//! hands. How long a handshake may take is decided by whoever asks for it.

pub mod acceptor;
pub mod connector;
pub mod credentials;
#[cfg(test)]
pub(crate) mod test_pem;
