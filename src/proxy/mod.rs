//! One client connection and its exchanges: all the waiting there is, and none of HTTP's rules.
//!
//! [`session`] reads one request after the other, `serve` takes one through its life, `pump`
//! moves the bytes of both directions at once, and `respond` sends what we have to say ourselves.
//!
//! [`passthrough`] is a connection in tcp mode. [`opening`] looks at the first bytes of connections
//! of both kinds, and `tunnel` moves opaque bytes for both: behind an upgrade, and all of them.

pub mod context;
mod delivery;
mod download;
mod flow;
pub mod opening;
pub mod passthrough;
mod prepare;
mod pump;
mod record;
mod respond;
mod serve;
pub mod session;
mod side;
mod tunnel;
mod upload;
mod vanished;

pub use context::{Client, Context};
pub use session::Session;

#[cfg(test)]
mod tests;
