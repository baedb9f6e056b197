//! narrows: a small, fast, TLS-aware passage to an HTTPS API.
//!
//! This is the library of the program `narrows`. Its API is small: a [`Config`] is what the
//! operator wrote, checked; a [`Snapshot`] is that with its files loaded; a [`Server`] serves it.
//!
//! ```
//! use narrows::{Config, Server, Snapshot};
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use std::path::Path;
//!
//! let toml = r#"
//!     [[listener]]
//!     address = "127.0.0.1:0"
//!     [[route]]
//!     path = "/gpt/"
//!     upstream = "http://127.0.0.1:8081/"
//! "#;
//! let config = Config::parse("narrows.toml", Path::new("."), toml)?;
//! let server = Server::start(Snapshot::load(config)?)?;
//!
//! let mut client = TcpStream::connect(server.addresses()[0])?;
//! client.write_all(b"GET /other/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"));
//!
//! server.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program that has nothing else to do calls [`Server::run`], which serves until a signal.
//!
//! Everything else is hidden from this documentation. It is public for the tests, benchmarks and
//! fuzz targets, and may change with any version.
//!
//! # The map
//!
//! The rules of HTTP/1.1 are pure functions and small state machines over bytes, in `h1`: no
//! socket, clock or task is reachable from there. All waiting is straight-line async code in
//! `proxy`, which decides nothing about HTTP. Each worker thread owns its listeners, pools and
//! buffers, so the data path has no lock.
//!
//! Suggested order of reading, which is also the order of the layers (a module uses only
//! those above it; `tests/tidy` enforces this):
//!
//! 1. `h1`: HTTP/1.1 as bytes: heads, fields, targets, framing, the chunked coding.
//! 2. `limits`, `timeouts`: every fixed bound with its reason; the names of time limits.
//! 3. `preface`: what may come before HTTP.
//! 4. `error`: whose fault it is, and why.
//! 5. `gateway`: what a gateway decides about a request and its response.
//! 6. `clock`, `task`, `net`, `tls`, `telemetry`: deadlines, tasks, sockets and buffers,
//!    handshakes, the log.
//! 7. `acme`: certificates from a CA, the protocol without I/O.
//! 8. `config`, `import` and `cli`: what the operator wrote, checked, with files loaded.
//! 9. `upstream`: names, connections, the pool.
//! 10. `proxy`: one client connection, one exchange, both directions of its bytes.
//! 11. `worker` and `control`: one thread, and all of them.
//! 12. `doctor`: what a request would meet, step by step.
//!
//! Tests and fuzz targets also have `fuzzing`: what has to hold for any bytes.

// For the sans-IO modules, which do without `std`: see `purity/`.
extern crate alloc;

#[cfg(feature = "acme")]
#[cfg_attr(doc, doc(hidden))]
pub mod acme;
#[cfg_attr(doc, doc(hidden))]
pub mod cli;
#[cfg_attr(doc, doc(hidden))]
pub mod clock;
#[cfg_attr(doc, doc(hidden))]
pub mod config;
#[cfg_attr(doc, doc(hidden))]
pub mod control;
#[cfg_attr(doc, doc(hidden))]
pub mod doctor;
#[cfg_attr(doc, doc(hidden))]
pub mod error;
#[cfg(any(test, fuzzing))]
#[cfg_attr(doc, doc(hidden))]
pub mod fuzzing;
#[cfg_attr(doc, doc(hidden))]
pub mod gateway;
#[cfg_attr(doc, doc(hidden))]
pub mod h1;
#[cfg_attr(doc, doc(hidden))]
pub mod import;
#[cfg_attr(doc, doc(hidden))]
pub mod limits;
#[cfg_attr(doc, doc(hidden))]
pub mod net;
#[cfg_attr(doc, doc(hidden))]
pub mod preface;
#[cfg_attr(doc, doc(hidden))]
pub mod proxy;
#[cfg_attr(doc, doc(hidden))]
pub mod task;
#[cfg_attr(doc, doc(hidden))]
pub mod telemetry;
#[cfg_attr(doc, doc(hidden))]
pub mod timeouts;
#[cfg_attr(doc, doc(hidden))]
pub mod tls;
#[cfg_attr(doc, doc(hidden))]
pub mod upstream;
#[cfg_attr(doc, doc(hidden))]
pub mod worker;

pub use config::Config;
pub use config::problem::Problems;
pub use config::snapshot::Snapshot;
pub use control::{Launch, Launcher, RunError, Server, catch_signals};
