//! One client connection and its exchanges: all the waiting there is, and none of HTTP's rules.
//!
//! From the top: [`session`] is one client, a request after the other. `exchange` takes one through
//! its life: it finds an upstream for each `attempt`, and lets `pump` move the bytes of both
//! directions at once, by `upload` and `download`. `client_connection` waits for requests, sends
//! answers of our own, and ends. Each of them uses only those behind it.
//!
//! [`tcp`] is a connection in tcp mode. [`preface`] looks at the first bytes of connections
//! of both kinds, and `tunnel` moves opaque bytes for both: behind an upgrade, and all of them.
//!
//! [`context`] is what all connections of a worker share, and [`site`] what it serves now: routes
//! and forwards with the worker's own connections to their upstreams.

mod attempt;
mod body_relay;
mod client_connection;
mod connection;
pub mod context;
mod dead_peer;
mod delivery;
mod departure;
mod download;
mod exchange;
pub mod preface;
mod pump;
pub mod session;
pub mod site;
pub mod tcp;
mod tunnel;
mod upload;

pub use context::{Client, Context};
pub use session::Session;
pub use site::Site;

#[cfg(test)]
mod tests;
