//! TLS on both sides: what we show to clients, and how upstreams are verified.
//!
//! From the files to the handshakes:
//!
//! - [`pem`] finds the blocks of a file, [`x509`] reads the fixed beginning of a certificate, and
//!   [`credential_file`] reads chains and keys. [`credential_error`] says what is wrong with them,
//!   without showing a [`secret`].
//! - `provider` is the cryptography, with the order of the cipher suites and of the groups for the
//!   [`key_exchange`]; [`alpn`] is the protocol inside of TLS.
//! - [`identity`] is what we show to a peer, and [`validity`] what time does to it.
//! - [`certificates`] are those of a listener, chosen by name; [`client_rules`] are what clients
//!   have to show. [`server`] makes a configuration of both, and shakes hands with clients.
//! - [`challenges`] are what an authority gets as an answer that verifies our names.
//! - `roots` are what upstreams are verified against. [`client`] makes a configuration of them, and
//!   shakes hands with upstreams.
//! - [`inspection`] is a handshake for a diagnosis, which remembers what the server has shown.
//! - [`fault`] turns errors of rustls into ours.
//!
//! The caller of a handshake limits its time. What precedes a handshake is in
//! [`preface`](crate::preface).

pub mod alpn;
pub mod certificates;
pub mod challenges;
pub mod client;
pub mod client_rules;
pub mod credential_error;
pub mod credential_file;
pub mod fault;
pub mod identity;
pub mod inspection;
pub mod key_exchange;
mod last_hello;
pub mod pem;
mod provider;
mod roots;
pub mod secret;
pub mod server;
pub mod validity;
pub mod x509;

#[cfg(test)]
pub(crate) mod testing;
