//! Certificates by ACME, against two certificate authorities: the one of `narrows-kit`, which can
//! be told to fail, and Debian's Pebble, which others wrote.
//!
//! Pebble's tests are left out where it is not installed; with `NARROWS_PEBBLE=1` they fail there,
//! as in CI. No test sleeps, and none needs a public name or port 443: authorities validate at the
//! ports that they are told.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod first;
mod order;
mod renewal;
mod run;
mod scene;
mod shared;
mod state;
mod trouble;
