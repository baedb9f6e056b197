//! narrows: a small, fast, TLS-aware passage to an HTTPS API.
//!
//! # The map
//!
//! The rules of HTTP/1.1 are pure functions and small state machines over bytes, in [`h1`]: no
//! socket, clock or task is reachable from there. All waiting is straight-line async code in
//! [`proxy`], which decides nothing about HTTP. Each worker thread owns its listeners, pools and
//! buffers, so the data path has no lock.
//!
//! Suggested order of reading, which is also the order of the layers (a module uses only what
//! stands above it; `tests/tidy` enforces this):
//!
//! 1. [`limits`]: every fixed bound with its reason.
//! 2. [`h1`]: heads, fields, targets, framing, the chunked coding. [`preface`]: what may
//!    come before HTTP.
//! 3. [`gateway`]: what a gateway decides about a request and its response.
//! 4. [`error`]: who is guilty and what it means. [`timeouts`], [`clock`]: what may take how long.
//! 5. [`net`], [`tls`], [`telemetry`]: sockets and buffers, handshakes, log lines and signals.
//! 6. [`config`] and [`cli`]: what the operator said, checked, with files loaded.
//! 7. [`upstream`]: names, connections, the pool.
//! 8. [`proxy`]: one client connection, one exchange, both directions of its bytes.
//! 9. [`worker`] and [`control`]: one thread, and all of them.
//!
//! In tests and under a fuzzer there is `fuzzing` besides: what has to hold for any bytes.

// For the sans-IO modules, which do without `std`: see `purity/`.
extern crate alloc;

pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
pub mod h1;
pub mod limits;
pub mod net;
pub mod preface;
pub mod proxy;
pub mod telemetry;
pub mod timeouts;
pub mod tls;
pub mod upstream;
pub mod worker;
