//! Heads as they are forwarded.

mod request;
mod response;
mod trailers;

use super::*;
use crate::gateway::exchange::Exchange;
use crate::gateway::request::validate;
use crate::gateway::request_id::RequestId;
use crate::gateway::response::ResponseKind;
use crate::gateway::rewrite::uri_reference::{Origins, View};
use crate::h1::body::BodyWriter;
use crate::h1::framing::BodyLength;
use crate::h1::head::{RequestHead, ResponseHead};
use crate::h1::limits::HeadLimits;
use crate::h1::section::parse_trailers;
use bytes::BytesMut;

const LIMITS: HeadLimits = HeadLimits { bytes: 65536, fields: 256 };
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const ID: Option<RequestId> = Some(RequestId::new(0x0123_4567_89ab_cdef));
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST_UNFINISHED: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
const GET_10: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
