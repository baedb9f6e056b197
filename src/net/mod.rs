//! Sockets and their bytes: listeners, limits on who may connect, streams, buffers.
//!
//! Nothing here knows about exchanges, or about the second connection of one.
//!
//! - [`listen`] opens listeners, [`unix`] one at a path; [`activation`] has those that this process
//!   was started with, and [`passing`] takes descriptors from one process to another. [`admission`]
//!   counts the clients that connect.
//! - [`tcp`] is the socket, [`transport`] a stream whatever carries it, and [`tls_stream`] one over
//!   TLS, whose [`records`] are opened and sealed without I/O. [`read_limit`] bounds what a client
//!   sends in its handshake, and [`send_queue`] asks the kernel what a peer has acknowledged.
//! - [`buffer`] has the memory of a worker. [`read_buffer`] is the only place that reads, and
//!   [`write_buffer`] the only one that writes, with a copy of what may have to be sent again
//!   (`replay`). [`splice`] moves bytes between two sockets past both.
//! - [`date`] is the time of day, for Date fields.

pub mod activation;
pub mod admission;
pub(crate) mod block;
pub mod buffer;
pub mod date;
pub mod descriptors;
mod fault;
pub mod listen;
#[cfg(any(test, fuzzing, feature = "memory"))]
pub mod memory;
pub mod passing;
pub mod read_buffer;
pub mod read_limit;
pub mod records;
mod replay;
pub mod send_queue;
pub mod splice;
pub mod tcp;
pub mod tls_stream;
pub mod transport;
pub mod unix;
mod user_timeout;
pub mod write_buffer;
pub mod wrong_tokens;
