//! HTTP/1.1 on the wire (RFC 9112), sans-IO: bytes in, decisions out.
//!
//! Nothing in here knows of sockets, tasks, clocks, files or logs, so the same code runs under the
//! drivers, in unit tests and under a fuzzer. Time enters as an argument.
//!
//! Bottom-up: [`token`], [`lines`] and [`field`] are the alphabet; [`target`], [`disguise`] and
//! [`authority`] say where a request wants to go; [`head`] finds and parses heads; [`framing`]
//! decides how long a body is; [`chunked`] and [`body`] walk through bodies; [`encode`] writes.

pub mod authority;
pub mod body;
pub mod chunked;
pub mod dot_segments;
pub mod encode;
pub mod field;
pub mod framing;
pub mod head;
pub mod head_error;
pub mod head_reader;
pub mod limits;
pub mod lines;
pub mod partial_head;
pub mod section;
mod start_line;
pub mod target;
pub mod token;

#[cfg(test)]
mod tests;
