//! One client connection and its exchanges: all the waiting there is, and none of HTTP's rules.
//!
//! [`session`] reads one request after the other, `exchange` takes one through its life, `pump`
//! moves the bytes of both directions at once, and `respond` sends what we have to say ourselves.
//!
//! [`tcp`] is a connection in tcp mode. [`preface`] looks at the first bytes of connections
//! of both kinds, and `tunnel` moves opaque bytes for both: behind an upgrade, and all of them.

pub mod context;
mod delivery;
mod download;
mod pump;
mod record;
mod respond;
pub mod session;
pub mod site;
mod tunnel;
mod upload;
mod vanished;

pub use context::{Client, Context};
pub use session::Session;
pub use site::Site;

mod body_relay;
mod connection;
mod exchange;
pub mod preface;
pub mod tcp;
#[cfg(test)]
mod tests;
