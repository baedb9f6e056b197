//! TLS on both sides: what we show to clients, and whom we believe.
//!
//! [`contents`] reads what files hold, [`own`] makes a chain of it, [`credentials`] turns that into
//! rustls configurations, [`server`] and [`client`] shake
//! hands. How long a handshake may take is decided by whoever asks for it.

pub mod client;
pub mod contents;
pub mod credential_error;
pub mod credentials;
pub mod fault;
mod offer;
pub mod own;
pub mod pem;
pub mod server;
#[cfg(test)]
pub(crate) mod test_chain;
#[cfg(test)]
pub(crate) mod test_pem;
mod verifier;
pub mod x509;
