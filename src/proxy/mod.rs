//! One client connection and its exchanges: the waiting, and none of HTTP's rules.
//!
//! From the top, each using only those that follow:
//!
//! - [`session`] serves one client, one request after the other.
//! - `unrouted` answers what needs no route.
//! - `exchange` is one request: it gets a connection to the upstream for each `attempt`, and `pump`
//!   moves the bytes of both directions at once, by `upload` and `download` (`body_relay`).
//! - `client_connection` waits for request heads, sends our own answers, and ends the connection.
//! - `departure` notices that a client leaves while it waits for its response.
//! - `connection` is one side: a transport with its two buffers.
//!
//! [`tcp`] is a connection in tcp mode. In both modes [`preface`] inspects the first bytes,
//! [`challenge`] answers authorities that verify our names, and
//! `tunnel` moves opaque bytes: all those of a tcp connection, and those after an upgrade.
//! `dead_peer` finds peers of a tunnel that no longer acknowledge anything, and `delivery` holds a
//! connection that is cut until its last bytes have arrived.
//!
//! [`context`] is what all connections of a worker share, and [`site`] what it serves now: routes
//! and forwards with the worker's own connections to their upstreams.

mod acceptance;
mod attempt;
mod body_relay;
pub mod challenge;
mod client_connection;
mod client_limits;
mod connection;
pub mod context;
mod dead_peer;
mod declined;
mod delivery;
mod departure;
mod download;
mod exchange;
mod keys;
mod linger;
pub mod preface;
mod pump;
mod refusal;
mod sender;
pub mod session;
pub mod site;
pub mod tcp;
mod tunnel;
mod unrouted;
mod upload;

pub use context::{Client, Context};
pub use session::Session;
pub use site::{RouteUpstream, Site};

#[cfg(test)]
mod tests;
