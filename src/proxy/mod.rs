//! One client connection and its exchanges: all the waiting there is, and none of HTTP's rules.
//!
//! [`session`] reads one request after the other, `serve` takes one through its life, `pump`
//! moves the bytes of both directions at once, `tunnel` those behind an upgrade, and
//! `respond` sends what we have to say ourselves.

pub mod context;
mod download;
mod flow;
mod prepare;
mod pump;
mod record;
mod respond;
mod serve;
pub mod session;
mod side;
mod tunnel;
mod upload;

pub use context::Context;
pub use session::Session;

#[cfg(test)]
mod tests;
