//! One client connection and its exchanges: all the waiting there is, and none of HTTP's rules.
//!
//! From the top: [`session`] is one client, a request after the other. `exchange` takes one through
//! its life: it finds an upstream for each `attempt`, and lets `pump` move the bytes of both
//! directions at once, by `upload` and `download`. `client_connection` waits for requests, sends
//! answers of our own, and ends. Each of them uses only those behind it.
//!
//! [`tcp`] is a connection in tcp mode. [`preface`] looks at the first bytes of connections
//! of both kinds, and `tunnel` moves opaque bytes for both: behind an upgrade, and all of them.

mod attempt;
mod client_connection;
pub mod context;
mod delivery;
mod download;
mod pump;
mod record;
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
