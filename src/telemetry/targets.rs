//! The targets of all log lines.
//!
//! Operators select lines by them, so each stays as it is, wherever the code that writes its lines
//! moves.

/// What has ended: exchanges, and connections in tcp mode. The lines of `observer`.
pub const ACCESS: &str = "narrows::access";
/// Certificates that are ordered by ACME.
pub const ACME: &str = "narrows::acme";
/// Certificates: oddities in their files, and their ends of validity.
pub const CERTIFICATE: &str = "narrows::certificate";
/// What the configuration means, and probably should not.
pub const CONFIG: &str = "narrows::config";
/// Connections of clients: that they came, and handshakes that failed.
pub const CLIENT: &str = "narrows::client";
/// Limits of connections that are reached, and open files that run out.
pub const LIMITS: &str = "narrows::limits";
/// The log itself.
pub const LOG: &str = "narrows::log";
/// Panics.
pub const PANIC: &str = "narrows::panic";
/// That all listeners accept. Written at every log level: otherwise the port that the kernel chose
/// would be unknown.
pub const READY: &str = "narrows::ready";
/// The process: its start, its reloads, its stop, its descriptors, a worker that failed.
pub const SERVER: &str = "narrows::server";
/// Signals that are ignored.
pub const SIGNALS: &str = "narrows::signals";
/// Connections to upstreams.
pub const UPSTREAM: &str = "narrows::upstream";
/// Connections that cannot be accepted, and PROXY headers that are missing or malformed.
pub const WORKER: &str = "narrows::worker";
