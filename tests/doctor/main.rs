//! `narrows doctor` on set-ups that are broken, each in one way: what is wrong is named, with its
//! remedy.
//!
//! Most are made on loopback, by servers of a few lines. Those that need a network of their own are
//! in `namespaces`, and those with nginx in front in `nginx`: they are left out where that cannot
//! be had, and fail there with `NARROWS_DOCTOR=1`, as in CI.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod machine;
mod namespaces;
mod nginx;
mod outside;
mod patient;
mod servers;
mod silence;
mod upstream;
