//! Both ends of a connection, for the tests, benchmarks and examples of narrows.
//!
//! The kit is written apart from the library, because it checks the library: nothing here uses it.
//!
//! - [`acme`] is a certificate authority, to test a client of ACME with.
//! - [`http`] is the one reader of HTTP/1.1: bytes in, heads and bodies out, no I/O.
//! - [`connection`] drives it over TCP or TLS ([`wire`]); every failure is a value. Benchmarks, the
//!   soak and the examples use it.
//! - [`peer`] is a connection in a test: a failure is a panic that names the peer and what it
//!   waited for, and no wait is longer than [`GUARD`].
//! - [`client`] and [`origin`] make peers; [`server`] is an origin on a thread of its own;
//!   [`certificates`] has what TLS needs; [`folder`] is a place for files.
//! - [`issuer`] makes certificates that are not in `certs/`.
//! - [`relay`] starts narrows as a process; [`programs`] starts it beside nginx and HAProxy.
//! - [`secrets`] recognises the keys and tokens of tests where they must not be.
//! - [`conformance`] is the table of the conformance suite, with a reader of its own that judges.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so does the kit that it is written with"
)]

pub mod acme;
pub mod certificates;
pub mod client;
pub mod conformance;
pub mod connection;
pub mod folder;
pub mod http;
pub mod issuer;
pub mod origin;
pub mod pattern;
pub mod peer;
pub mod programs;
pub mod relay;
pub mod secrets;
pub mod server;
pub mod wire;

use std::time::Duration;

/// Longest wait for anything. Only a hang comes near it, also on a busy machine.
pub const GUARD: Duration = Duration::from_secs(60);

/// Awaits `step`, or panics because `what` did not happen.
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(GUARD, step).await {
        Ok(value) => value,
        Err(_elapsed) => panic!("waited {GUARD:?} for {what}"),
    }
}
