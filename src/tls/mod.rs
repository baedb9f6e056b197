//! TLS on both sides: what we show to clients, and whom we believe.
//!
//! [`contents`] reads what files hold, [`own`] makes a chain of it, [`credentials`] turns that into
//! rustls configurations, [`acceptor`] and [`connector`] shake
//! hands. How long a handshake may take is decided by whoever asks for it. [`client_hello`] reads
//! what a client says before it is encrypted, and [`alert`] is what is answered then.

pub mod acceptor;
pub mod connector;
pub mod contents;
pub mod credential_error;
pub mod credentials;
mod offer;
pub mod own;
pub mod pem;
#[cfg(test)]
pub(crate) mod test_chain;
#[cfg(test)]
pub(crate) mod test_pem;
mod verifier;
pub mod x509;
