//! The sans-IO modules of narrows, compiled once more without the standard library.
//!
//! There is no code here: only the files of `src/` that know no socket, clock, file, thread or
//! log. `#![no_std]` and the few dependencies of this package hold them to it, which a search for
//! forbidden words cannot: a use of `std`, `tokio` or `rustls` in one of these modules, or of a
//! module of narrows that is not listed here, does not compile.

#![no_std]
// The tests of the modules run where the modules live, with `std`.
#![cfg(not(test))]

extern crate alloc;

#[path = "../../src/error/mod.rs"]
pub mod error;
#[path = "../../src/gateway/mod.rs"]
pub mod gateway;
#[path = "../../src/h1/mod.rs"]
pub mod h1;
#[path = "../../src/limits.rs"]
pub mod limits;
#[path = "../../src/preface/mod.rs"]
pub mod preface;
#[path = "../../src/timeouts.rs"]
pub mod timeouts;
