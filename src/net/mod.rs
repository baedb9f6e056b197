//! Sockets and the bytes in front of them: listeners, who may connect, transports, buffers.
//!
//! Nothing in here knows of HTTP, and nothing knows that an exchange has two connections.

pub mod admission;
pub mod buffer;
pub mod inbox;
pub mod listen;
pub mod memory;
pub mod outbox;
pub mod splice;
pub mod tcp;
pub mod tls_stream;
pub mod transport;
pub mod unacked;
