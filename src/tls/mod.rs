//! TLS on both sides: what we show to clients, and whom we believe.
//!
//! [`credentials`] turns PEM files into rustls configurations. Handshakes are driven elsewhere.

pub mod acceptor;
pub mod connector;
pub mod credentials;
#[cfg(test)]
pub(crate) mod test_pem;
