//! HTTP/1.1 written down a second time, as plainly as possible, to compare `h1` with.
//!
//! Everything here reads a whole input, keeps no state between calls, copies freely and knows
//! nothing of `h1`. It is as strict as docs/protocol.md says that we are.

mod alphabet;
mod body;
mod head;
mod path;
mod size_line;

pub(super) use alphabet::{Verdict, number, text};
pub(super) use body::{Body, Length, announced, body, chunked, content_so_far, response_length};
pub(super) use head::{Field, Head, HeadBounds, request_head, response_head, trailers};
pub(super) use path::resolve;
