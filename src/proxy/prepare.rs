//! Everything that can be decided about a request before an upstream is involved.

use crate::error::{Cause, ExchangeError, RequestError};
use crate::gateway::exchange::Exchange;
use crate::gateway::request::{Request, ValidRequest, validate};
use crate::gateway::rewrite::{NewTarget, put_request_head};
use crate::gateway::route::RouteTable;
use crate::h1::head::{RequestHead, has_origin_line, is_of_head_request};
use crate::h1::target::{TargetError, has_dot_segments, resolve_dot_segments};
use crate::net::buffer::Buffer;
use crate::proxy::context::About;
use crate::proxy::record::Recorder;
use crate::proxy::site::{Route, Site};
use crate::upstream::Upstream;
use std::borrow::Cow;
use std::rc::Rc;

/// A request that is ready to leave.
pub(super) struct Prepared {
    pub(super) exchange: Exchange,
    pub(super) route: Rc<Route>,
    /// The head as the upstream gets it.
    pub(super) head: Buffer,
}

/// A request that will not leave.
pub(super) struct Refusal {
    pub(super) why: Why,
    /// What is known of the request; without it the connection cannot go on.
    pub(super) request: Option<Request>,
    /// The method is known to be HEAD, also where nothing else is.
    pub(super) is_head: bool,
    /// There is an Origin, also where nothing else is known.
    pub(super) has_origin: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Why {
    Error(ExchangeError),
    /// OPTIONS with Max-Forwards: 0 asks us, not the upstream (RFC 9110, section 7.6.2).
    LastHop,
}

/// What a head may grow by in most cases: another path, another host.
const HEAD_GROWTH: usize = 1024;

/// Parses, decides, routes, and writes the head that the upstream gets.
pub(super) fn prepare(
    site: &Site,
    head: &[u8],
    recorder: &mut Recorder,
    about: &mut About,
) -> Result<Prepared, Refusal> {
    let bytes = head;
    let unknown = |error| {
        let (has_origin, is_head) = (has_origin_line(bytes), is_of_head_request(bytes));
        Refusal { why: Why::Error(refused(error)), request: None, is_head, has_origin }
    };
    let len = head.len();
    let head =
        RequestHead::parse(head, &site.head_limits).map_err(|error| unknown(error.into()))?;
    recorder.method(head.method);
    let is_head = head.method == b"HEAD";
    let decided = validate(&head).map_err(unknown)?;
    let request = decided.request;
    let has_origin = request.has_origin;
    let known = |why| Refusal { why, request: Some(request), is_head, has_origin };
    if request.max_forwards == Some(0) {
        return Err(known(Why::LastHop));
    }
    let path = resolved(&decided).map_err(|error| known(Why::Error(error)))?;
    let route =
        find_route(&site.routes, &decided, &path).map_err(|error| known(Why::Error(error)))?;
    recorder.route(&route.name);
    if route.origins.is_some() {
        about.is_called(decided.authority);
    }
    let target = NewTarget {
        replacement: &route.replacement,
        rest: &path[route.path.len()..],
        query: decided.query,
    };
    let mut out = Buffer::take();
    // A large one would double its buffer on its way, and wait in it for its connection.
    out.to_append().reserve(len + HEAD_GROWTH);
    put_request_head(out.to_append(), &head, &request, &target, &route.host);
    Ok(Prepared { exchange: Exchange::new(request), route: Rc::clone(route), head: out })
}

/// The path without dot segments: an upstream resolves them, so routes must not be matched before.
fn resolved<'b>(decided: &ValidRequest<'b>) -> Result<Cow<'b, [u8]>, ExchangeError> {
    if !has_dot_segments(decided.path) {
        return Ok(Cow::Borrowed(decided.path));
    }
    let mut path = Vec::with_capacity(decided.path.len());
    resolve_dot_segments(decided.path, &mut path).map_err(|error| refused(error.into()))?;
    Ok(Cow::Owned(path))
}

/// The route of `path`. Dot segments that lead out of the route in which the client began are a
/// probe, not a path.
fn find_route<'s>(
    routes: &'s RouteTable<Upstream>,
    request: &ValidRequest<'_>,
    path: &[u8],
) -> Result<&'s Rc<Route>, ExchangeError> {
    match (routes.find(path), routes.find(request.path)) {
        (Some(route), Some(begun)) if !Rc::ptr_eq(route, begun) => Err(leaves_route()),
        (None, Some(_)) => Err(leaves_route()),
        (Some(route), _) => Ok(route),
        (None, None) => Err(ExchangeError::client(Cause::NoRoute)),
    }
}

fn leaves_route() -> ExchangeError {
    refused(TargetError::AboveRoot.into())
}

/// A request that is refused for what its head says.
pub(super) fn refused(error: RequestError) -> ExchangeError {
    ExchangeError::client(Cause::Request(error))
}
