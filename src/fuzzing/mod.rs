//! The properties that the fuzz targets check, in words and in code.
//!
//! Each function takes any bytes and fails by panicking. The target of the same name in
//! `fuzz/fuzz_targets` calls it with the inputs of libFuzzer, and `tests` with every file of the
//! folder of that name in `fuzz/corpus`. So each `cargo test` replays every input that was worth
//! keeping.
//!
//! The code under test is what the relay runs: `h1`, `preface`, `gateway` with its `plan` and its
//! `Exchange`, whole sessions of `proxy`, the records of TLS, the orders of `acme`, and what
//! `import` reads. What is HTTP is compared with two independent readers: `naive` is HTTP written
//! down a second time, and `oracle` is hyper. `model` says on the naive reading what a gateway has
//! to do. What is TLS is compared with rustls. Inputs are the text of the protocol, or letters, so
//! that a seed can be written by hand.
//!
//! This is compiled only for tests and under `--cfg fuzzing`.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "properties panic")]

#[cfg(feature = "acme")]
mod acme;
mod arrival;
mod client_address;
mod config;
mod credentials;
mod exchange;
mod far_end;
mod forward;
mod front;
mod heads;
mod import;
mod model;
mod naive;
mod oracle;
mod records;
mod relay;
mod target;

#[cfg(feature = "acme")]
pub use acme::acme;
pub use client_address::client_address;
pub use config::config;
pub use credentials::credentials;
pub use exchange::exchange;
pub use forward::forward;
#[cfg(test)]
pub(crate) use front::name_that_rustls_accepts;
pub use front::{client_hello, proxy_protocol};
pub use heads::{chunked, request_head, response_head};
pub use import::import;
pub use records::records;
pub use relay::relay;
pub use target::target;

#[cfg(test)]
mod tests;
