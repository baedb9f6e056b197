//! The properties that the fuzz targets check, in words and in code.
//!
//! Each function takes any bytes and fails by panicking. The target of its name in
//! `fuzz/fuzz_targets` calls it with what libFuzzer makes up, and `tests` with every file of the
//! folder of its name in `fuzz/corpus`, so that each `cargo test` replays what was ever worth
//! keeping.
//!
//! `naive` is HTTP written down a second time, `oracle` lets hyper read. Inputs are the protocol's
//! own text, so that a seed can be written by hand.
//!
//! Not in the program: this exists only in tests and under `--cfg fuzzing`.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "properties panic")]

mod arrival;
mod config;
mod exchange;
mod forward;
mod front;
mod heads;
mod model;
mod naive;
mod oracle;
mod relay;
mod target;

pub use config::config;
pub use exchange::exchange;
pub use forward::forward;
#[cfg(test)]
pub(crate) use front::name_that_rustls_accepts;
pub use front::{client_hello, proxy_protocol};
pub use heads::{chunked, request_head, response_head};
pub use relay::relay;
pub use target::target;

#[cfg(test)]
mod tests;
