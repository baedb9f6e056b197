//! Sockets and the bytes in front of them: listeners, who may connect, transports, buffers.
//!
//! Nothing in here knows of HTTP, and nothing knows that an exchange has two connections.

pub mod admission;
pub mod buffer;
pub mod date;
mod fault;
pub mod listen;
#[cfg(any(test, fuzzing, feature = "memory"))]
pub mod memory;
pub mod read_buffer;
pub mod splice;
pub mod tcp;
pub mod tls_stream;
pub mod transport;
pub mod unacked;
pub mod write_buffer;
