//! What to do about a request: [`plan`] says where it goes, or how we answer it ourselves.
//!
//! The plan is a pure function of the request's bytes, the routes and the limits. A caller that
//! waits for a connection to the upstream keeps only the bytes, and makes the plan again when it
//! has one.
//!
//! If the answer is ours, no upstream was touched.
//!
//! Not here: what happens between a request and its response (`gateway::exchange`).

use crate::error::{Cause, ExchangeError, RequestError};
use crate::gateway::access::Client;
use crate::gateway::answer::{Reply, ResponseOptions};
use crate::gateway::client_address::Sender;
use crate::gateway::credentials::{Credentials, is_preflight};
use crate::gateway::cross_site::refuse_other_sites;
use crate::gateway::request::{Request, ValidRequest, validate};
use crate::gateway::rewrite::{NewTarget, put_request_head};
use crate::gateway::route::{Route, RouteTable};
use crate::h1::dot_segments::{has_dot_segments, resolve_dot_segments};
use crate::h1::head::RequestHead;
use crate::h1::limits::HeadLimits;
use crate::h1::section::FieldSection;
use crate::h1::target::TargetError;
use crate::h1::token::list_elements;
use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::BytesMut;

/// What to do about a request.
#[expect(clippy::large_enum_variant, reason = "taken apart at once; most requests are forwarded")]
#[derive(Debug)]
pub enum Plan<'a, U> {
    /// Forward it.
    Forward(ForwardedRequest<'a, U>),
    /// Answer it ourselves. The route, if it is one that the request may not use, or need not.
    Answer(OwnAnswer<'a>, Option<&'a Rc<Route<U>>>),
}

/// A request to forward, and along which route.
#[derive(Debug)]
pub struct ForwardedRequest<'a, U> {
    /// The route of its path.
    pub route: &'a Rc<Route<U>>,
    /// The facts that the exchange needs.
    pub request: Request,
    /// What the client calls us; empty when it did not say.
    pub authority: &'a [u8],
    /// Whose it is, and which key it gets, on a route with rules of access.
    pub credentials: Option<Credentials<'a>>,
    head: RequestHead<'a>,
    /// The path without dot segments: an upstream resolves them, so that routes must not be
    /// matched before.
    path: Cow<'a, [u8]>,
    query: &'a [u8],
}

/// An answer of ours to a request.
#[derive(Debug)]
pub struct OwnAnswer<'a> {
    /// The request's method; empty when its head is malformed.
    pub method: &'a [u8],
    /// What to say.
    pub reply: Reply,
    /// How to say it.
    pub options: ResponseOptions,
    /// Bytes after the head that are the request's body, for the caller to skip.
    pub body_bytes: usize,
    /// Whose token it has, if the request is refused in spite of it.
    pub client: Option<&'a Client>,
}

/// For a head that was found within the limits before.
const LIMITS_MAX: HeadLimits = HeadLimits { bytes: usize::MAX, fields: usize::MAX };

/// What a new head may exceed the client's by in most cases: another path, another host.
const HEAD_GROWTH: usize = 1024;

/// Decides about the request whose whole head is `head`, as `HeadReader` found it. `behind` are the
/// bytes that follow it so far; `draining`: we are asked to stop; `clock` gives the seconds since
/// 1970-01-01 (UTC); `from`: who sends it.
pub fn plan<'a, U>(
    head: &'a [u8],
    behind: &[u8],
    routes: &'a RouteTable<U>,
    limits: &HeadLimits,
    draining: bool,
    clock: fn() -> u64,
    from: Sender,
) -> Plan<'a, U> {
    let parsed = match RequestHead::parse(head, limits) {
        Ok(parsed) => parsed,
        Err(error) => return Plan::Answer(refuse(head, b"", error.into()), None),
    };
    let ValidRequest { request, authority, path, query } = match validate(&parsed) {
        Ok(valid) => valid,
        Err(error) => return Plan::Answer(refuse(head, parsed.method, error), None),
    };
    let method = parsed.method;
    let own = |reply| {
        let (options, body_bytes) = ResponseOptions::unforwarded(&request, behind, draining);
        OwnAnswer { method, reply, options, body_bytes, client: None }
    };
    let answer = |reply, route| Plan::Answer(own(reply), route);
    if !from.is_allowed {
        return answer(refusal(Cause::AddressNotAllowed), None);
    }
    if request.max_forwards == Some(0) {
        return answer(Reply::Allowed, None);
    }
    let found = resolve(path).and_then(|it| Ok((find_route(routes, path, &it)?, it)));
    let (route, path) = match found {
        Ok(found) => found,
        Err(error) => return answer(Reply::Error(error), None),
    };
    if let Err(cause) = check_sender(route, &parsed.fields, authority, from) {
        return answer(Reply::Error(ExchangeError::client(cause)), Some(route));
    }
    if route.answers_preflights() && is_preflight(&parsed, &request) {
        return answer(Reply::Preflight, Some(route));
    }
    match admitted(route, &parsed, query, &request, clock) {
        Ok(credentials) => {
            let head = parsed;
            let forwarded =
                ForwardedRequest { route, request, authority, credentials, head, path, query };
            Plan::Forward(forwarded)
        }
        Err((cause, client)) => {
            Plan::Answer(OwnAnswer { client, ..own(refusal(cause)) }, Some(route))
        }
    }
}

impl<'a, U> ForwardedRequest<'a, U> {
    /// The request that [`plan`] has given, from nothing but its head and its route.
    ///
    /// # Errors
    /// Another head.
    pub fn again(
        head: &'a [u8],
        route: &'a Rc<Route<U>>,
        clock: fn() -> u64,
    ) -> Result<Self, ExchangeError> {
        let refused = |error| ExchangeError::client(Cause::Request(error));
        let head = RequestHead::parse(head, &LIMITS_MAX).map_err(|error| refused(error.into()))?;
        let ValidRequest { request, authority, path, query } = validate(&head).map_err(refused)?;
        let credentials = credentials(route, &head, query, &request, clock);
        let credentials = credentials.map_err(ExchangeError::client)?;
        Ok(Self { route, request, authority, credentials, path: resolve(path)?, query, head })
    }

    /// The request's method.
    pub fn method(&self) -> &'a [u8] {
        self.head.method
    }

    /// Whether a proxy in front of us says that the request came to it by https. Of a list, the
    /// first word is about the client.
    pub fn came_by_https(&self) -> bool {
        let mut said = self.head.fields.named(b"x-forwarded-proto").flat_map(list_elements);
        said.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"))
    }

    /// What the client finds in a response where the upstream repeats the key, and what in URLs
    /// that want one; empty: nothing of its own ([`Credentials::token_to_repeat`],
    /// [`Credentials::token_for_urls`]).
    pub fn tokens_to_repeat(&self) -> (&'a [u8], &'a [u8]) {
        let Some(credentials) = &self.credentials else { return (b"", b"") };
        let (fields, query) = (&self.head.fields, self.query);
        (credentials.token_to_repeat(fields, query), credentials.token_for_urls(fields, query))
    }

    /// Appends the head that the upstream gets.
    pub fn put_head(&self, out: &mut BytesMut) {
        let Self { route, request, head, path, query, credentials, .. } = self;
        let rest = path.get(route.path.len()..).unwrap_or_default();
        // A large head would double its buffer on its way, and wait in it.
        out.reserve(head.target.len() + head.fields.bytes().len() + HEAD_GROWTH);
        let target = NewTarget { replacement: &route.replacement, rest, query };
        put_request_head(out, head, request, &target, &route.host, credentials.as_ref());
    }
}

/// Refuses a malformed head, after which it is unknown where another request would begin.
pub(super) fn refuse<'a>(head: &[u8], method: &'a [u8], error: RequestError) -> OwnAnswer<'a> {
    let reply = Reply::Error(ExchangeError::client(Cause::Request(error)));
    let options = ResponseOptions::malformed(head);
    OwnAnswer { method, reply, options, body_bytes: 0, client: None }
}

fn refusal(cause: Cause) -> Reply {
    Reply::Error(ExchangeError::client(cause))
}

fn resolve(path: &[u8]) -> Result<Cow<'_, [u8]>, ExchangeError> {
    if !has_dot_segments(path) {
        return Ok(Cow::Borrowed(path));
    }
    let mut resolved = Vec::with_capacity(path.len());
    resolve_dot_segments(path, &mut resolved).map_err(refused_target)?;
    Ok(Cow::Owned(resolved))
}

/// The route of the path. Dot segments that lead out of the route in which `written` begins are a
/// probe, not a path, and so is a guarded route in disguise.
fn find_route<'a, U>(
    routes: &'a RouteTable<U>,
    written: &[u8],
    resolved: &[u8],
) -> Result<&'a Rc<Route<U>>, ExchangeError> {
    let found = routes.find(resolved);
    // Few paths have dot segments, without which they are shorter.
    let begun = if written.len() == resolved.len() { found } else { routes.find(written) };
    let found = match (found, begun) {
        (Some(found), Some(begun)) if Rc::ptr_eq(found, begun) => found,
        (_, Some(_)) => return Err(refused_target(TargetError::AboveRoot)),
        (Some(found), None) => found,
        (None, None) => return Err(ExchangeError::client(Cause::NoRoute)),
    };
    match routes.hides_guarded(resolved, found) {
        true => Err(refused_target(TargetError::HiddenRoute)),
        false => Ok(found),
    }
}

/// Whether the route is for this sender, whoever the client is.
fn check_sender<U>(
    route: &Route<U>,
    fields: &FieldSection<'_>,
    authority: &[u8],
    from: Sender,
) -> Result<(), Cause> {
    let Some(access) = &route.access else { return Ok(()) };
    if access.allow.as_ref().is_some_and(|allow| !allow.contains(from.address)) {
        return Err(Cause::AddressNotAllowed);
    }
    if access.keeps_other_sites_out() {
        refuse_other_sites(fields, authority, from.name_is_checked)?;
    }
    Ok(())
}

fn credentials<'a, U>(
    route: &'a Route<U>,
    head: &RequestHead<'a>,
    query: &'a [u8],
    request: &Request,
    clock: fn() -> u64,
) -> Result<Option<Credentials<'a>>, Cause> {
    let Some(access) = &route.access else { return Ok(None) };
    Credentials::of(head, query, request, access, clock).map(Some)
}

/// The credentials of a request that may be made on this route; otherwise also whose it is.
fn admitted<'a, U>(
    route: &'a Route<U>,
    head: &RequestHead<'a>,
    query: &'a [u8],
    request: &Request,
    clock: fn() -> u64,
) -> Result<Option<Credentials<'a>>, (Cause, Option<&'a Client>)> {
    let mut found =
        credentials(route, head, query, request, clock).map_err(|cause| (cause, None))?;
    match check_use(route, found.as_mut(), request, clock) {
        Ok(()) => Ok(found),
        Err(cause) => Err((cause, found.and_then(|it| it.client))),
    }
}

/// Whether a request with these credentials may be made on this route.
fn check_use<U>(
    route: &Route<U>,
    credentials: Option<&mut Credentials<'_>>,
    request: &Request,
    clock: fn() -> u64,
) -> Result<(), Cause> {
    if let Some(credentials) = credentials {
        credentials.check(&route.path, clock)?;
    }
    if request.offers_websocket && route.access.as_ref().is_some_and(|access| !access.websocket) {
        return Err(Cause::WebSocketOff);
    }
    Ok(())
}

fn refused_target(error: TargetError) -> ExchangeError {
    ExchangeError::client(Cause::Request(RequestError::Target(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::access::{ApiKeys, Client, ClientRules, Clients, RouteAccess};
    use crate::gateway::address_ranges::range_of;
    use crate::gateway::answer::answer_to;
    use alloc::sync::Arc;
    use core::net::IpAddr;

    const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };
    const NOW: u64 = 1000;

    #[test]
    fn a_request_leaves_along_the_route_of_its_path() {
        check("GET /gpt/v1?a=b HTTP/1.1\r\nHost: a\r\n\r\n", "/gpt/", "GET /v1?a=b HTTP/1.1\r\n");
        check("GET /gpt/a/../b HTTP/1.1\r\nHost: a\r\n\r\n", "/gpt/", "GET /b HTTP/1.1\r\n");
        check("GET http://x/a/b HTTP/1.1\r\nHost: a\r\n\r\n", "/a/", "GET /base/b HTTP/1.1\r\n");
    }

    #[test]
    fn a_path_without_a_route_or_out_of_its_route_is_refused() {
        let error =
            |target: &str| match answer(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")) {
                (Reply::Error(error), _) => answer_to(&error).unwrap().code,
                (Reply::Allowed | Reply::Preflight | Reply::Queued, _) => {
                    panic!("nobody asked for options")
                }
            };
        assert_eq!(error("/none"), "route_not_found");
        assert_eq!(error("/gpt/../a/b"), "path_leaves_route");
        assert_eq!(error("/gpt/../none"), "path_leaves_route");
        assert_eq!(error("/gpt/../../a/b"), "path_leaves_route");
        assert_eq!(error("/none/../none"), "route_not_found");
    }

    #[test]
    fn an_address_has_to_be_allowed_by_the_listener_and_then_by_the_route() {
        let range = range_of(IpAddr::from([192, 0, 2, 0]), 24);
        let allow = Some(Arc::new([range].into_iter().collect()));
        let access = Some(Arc::new(RouteAccess { allow, ..RouteAccess::default() }));
        let route = |path, access| Route { access, ..Route::new(path, "/", "api.test", ()) };
        let routes = RouteTable::new([route("/gpt/", access), route("/a/", None)]);
        let refusal = |method: &str, target: &str, from: Sender| {
            let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
            match plan(head.as_bytes(), b"", &routes, &LIMITS, false, || 0, from) {
                Plan::Answer(OwnAnswer { reply: Reply::Error(error), .. }, _) => {
                    Some(answer_to(&error).unwrap().code)
                }
                Plan::Answer(..) | Plan::Forward(_) => None,
            }
        };
        let [inside, outside] = [[192, 0, 2, 7], [203, 0, 113, 9]].map(IpAddr::from);
        let not_allowed = Some("address_not_allowed");
        assert_eq!(refusal("GET", "/gpt/", inside.into()), None);
        assert_eq!(refusal("GET", "/gpt/", outside.into()), not_allowed);
        assert_eq!(refusal("GET", "/a/", outside.into()), None);
        assert_eq!(refusal("GET", "/none", outside.into()), Some("route_not_found"));
        // Whom the listener refuses learns nothing of its routes.
        let refused = Sender { address: inside, is_allowed: false, name_is_checked: false };
        for (method, target) in [("GET", "/gpt/"), ("GET", "/none"), ("OPTIONS", "/")] {
            assert_eq!(refusal(method, target, refused), not_allowed, "{method} {target}");
        }
    }

    #[test]
    fn a_route_with_keys_and_without_tokens_is_not_for_pages_of_other_sites() {
        let keys = || ApiKeys::new(vec![(1, b"sk-real".to_vec().into())]).unwrap();
        let access = || RouteAccess { keys: Some(Arc::new(keys())), ..RouteAccess::default() };
        let decide = |access: RouteAccess, host: &str, lines: &str, from: Sender| {
            let access = Some(Arc::new(access));
            let routes = RouteTable::new([Route { access, ..Route::new("/a/", "/", "up", ()) }]);
            let head = format!("OPTIONS /a/ HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
            match plan(head.as_bytes(), b"", &routes, &LIMITS, false, || 0, from) {
                Plan::Answer(OwnAnswer { reply: Reply::Error(error), .. }, _) => Some(error.cause),
                Plan::Answer(..) | Plan::Forward(_) => None,
            }
        };
        let page = "Origin: https://evil.example\r\n";
        let preflight = "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n";
        let (rebound, page_host) = ("evil.example:8080", "localhost:8080");
        let proxied = Sender { name_is_checked: true, ..anyone() };
        for (host, lines, from, want) in [
            (rebound, "", anyone(), Some(Cause::PublicHost)),
            (rebound, "", proxied, None),
            (page_host, "", anyone(), None),
            (page_host, page, anyone(), Some(Cause::OtherSite)),
            (page_host, page, proxied, Some(Cause::OtherSite)),
            (page_host, preflight, anyone(), Some(Cause::OtherSite)),
        ] {
            assert_eq!(decide(access(), host, lines, from), want, "{host} {lines}");
            // These say that pages are meant, or keep them out by another way, or have nothing.
            for open in [
                RouteAccess { cors: true, ..access() },
                RouteAccess { is_for_anyone: true, ..access() },
                RouteAccess::default(),
            ] {
                assert_eq!(decide(open, host, lines, from), None, "{host} {lines}");
            }
        }
        let needs_token = RouteAccess { needs_token: true, ..access() };
        assert_eq!(decide(needs_token, rebound, page, anyone()), Some(Cause::TokenMissing));
    }

    #[test]
    fn a_token_counts_where_none_is_needed_if_it_would_do_where_one_is() {
        let paths = || Some([b"/b/"[..].into()].into());
        let clients = [
            ("a", ClientRules { expires: Some(NOW + 1), ..ClientRules::default() }),
            ("late", ClientRules { expires: Some(NOW), ..ClientRules::default() }),
            ("elsewhere", ClientRules { routes: paths(), ..ClientRules::default() }),
        ];
        // As good as a digest for words of different lengths.
        let length = |word: &[u8]| [word.len() as u8; 32];
        let client = |(name, rules): (&str, _)| Client {
            rules: Some(Box::new(rules)),
            ..Client::new(name, Some(length(format!("nrw_{name}").as_bytes())))
        };
        let clients = Clients::new(clients.map(client).into(), Vec::new(), length);
        let clients = Arc::new(clients);
        let keys = || ApiKeys::new(vec![(1, b"sk-real".to_vec().into())]).unwrap();
        for keys in [None, Some(Arc::new(keys()))] {
            let (clients, is_for_anyone) = (Arc::clone(&clients), true);
            let access = RouteAccess { clients, is_for_anyone, keys, ..RouteAccess::default() };
            let access = Some(Arc::new(access));
            let routes = RouteTable::new([Route { access, ..Route::new("/a/", "/", "up", ()) }]);
            for (lines, want) in [
                ("x-api-key: nrw_a", Some("a")),
                ("X-Narrows-Token: Bearer nrw_a", Some("a")),
                ("x-api-key: nrw_late", None),
                ("x-api-key: nrw_elsewhere", None),
                ("A: b", None),
            ] {
                let head = format!("GET /a/ HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
                let plan = plan(head.as_bytes(), b"", &routes, &LIMITS, false, || NOW, anyone());
                let Plan::Forward(forwarded) = plan else { panic!("{plan:?}") };
                let client = forwarded.credentials.as_ref().and_then(|it| it.client);
                assert_eq!(client.map(|it| &*it.name), want, "{lines}");
                let mut out = BytesMut::new();
                forwarded.put_head(&mut out);
                assert!(!String::from_utf8_lossy(&out).contains("nrw_"), "{out:?}");
            }
        }
    }

    #[test]
    fn a_guarded_route_inside_of_another_one_is_not_reached_in_disguise() {
        let access = Some(Arc::new(RouteAccess { needs_token: true, ..RouteAccess::default() }));
        let route = |path| Route::new(path, path, "api.test", ());
        let guarded = |path| Route { access: access.clone(), ..route(path) };
        let outcome = |routes: &RouteTable<()>, path: &str| {
            let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            match plan(head.as_bytes(), b"", routes, &LIMITS, false, || 0, anyone()) {
                Plan::Answer(OwnAnswer { reply: Reply::Error(error), .. }, _) => {
                    answer_to(&error).unwrap().code
                }
                Plan::Answer(..) => "another answer",
                Plan::Forward(forwarded) => match &*forwarded.route.name {
                    "/" => "outer",
                    _ => "inner",
                },
            }
        };
        let routes = RouteTable::new([route("/"), guarded("/admin/"), guarded("/a/b/")]);
        for path in [
            "/%61dmin/x",
            "/ADMIN/x",
            "//admin/x",
            "/.//admin/x",
            "/%2fadmin/x",
            "/admin%2fx",
            "/x/..//admin/x",
            "/\\admin/x",
            "/;/admin/x",
            "/admin;a=b/x",
            "/%2561dmin/x",
            "/a//b/x",
            "/a%2Fb/",
            "/admin",
            "/admin?x=y",
            "/x/../admin",
            "/Admin",
            "/admin;a=b",
            "/%61dmin",
            "/a/b",
            "/a/B",
        ] {
            assert_eq!(outcome(&routes, path), "path_leaves_route", "{path}");
        }
        for path in ["/%61dminx/", "/A", "//x", "/a", "/Admins/x", "/x?/%61dmin/", "/b%2fadmin/"] {
            assert_eq!(outcome(&routes, path), "outer", "{path}");
        }
        assert_eq!(outcome(&routes, "/admin/%61"), "token_missing");
        let capitals = RouteTable::new([route("/"), guarded("/Admin/")]);
        assert_eq!(outcome(&capitals, "/admin/x"), "path_leaves_route");
        assert_eq!(outcome(&capitals, "/admins/x"), "outer");
        // Where nothing is guarded, or the guard is outside, bytes are compared alone.
        let open = RouteTable::new([route("/"), route("/admin/")]);
        assert_eq!(outcome(&open, "/%61dmin/x"), "outer");
        assert_eq!(outcome(&open, "/admin"), "outer");
        let outside = RouteTable::new([guarded("/"), route("/admin/")]);
        assert_eq!(outcome(&outside, "/%61dmin/x"), "token_missing");
    }

    #[test]
    fn options_with_no_hop_left_asks_us_whatever_its_path() {
        let options =
            |hops| format!("OPTIONS /none HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n");
        assert_eq!(answer(&options(0)).0, Reply::Allowed);
        assert_ne!(answer(&options(1)).0, Reply::Allowed);
    }

    #[test]
    fn a_refused_request_lets_the_connection_go_on_if_its_body_is_here_and_well_formed() {
        let chunked = "POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let routes = routes();
        let counted = "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        for (head, behind, body_bytes) in [
            (counted, "abcGET ", Some(3)),
            (counted, "ab", None),
            (chunked, "1\r\na\r\n0\r\n\r\nGET ", Some(11)),
            (chunked, "1\r\na\r\n0\r\nA: b\r\n\r\n", Some(17)),
            (chunked, "1\r\na\r\n0\r\nA b\r\n\r\n", None),
            (chunked, "1\r\na\r\n0\r\n", None),
            (chunked, "1\na", None),
        ] {
            let own = own_answer(&routes, head, behind, false);
            let want = (body_bytes.is_none(), body_bytes.unwrap_or(0));
            assert_eq!((own.options.close, own.body_bytes), want, "{behind:?}");
            assert!(own_answer(&routes, head, behind, true).options.close, "we are asked to stop");
        }
    }

    #[test]
    fn a_malformed_head_ends_the_connection_and_is_answered_as_far_as_it_can_be_read() {
        let routes = routes();
        let own =
            own_answer(&routes, "HEAD / HTTP/1.1\r\nHost: a\r\norigin : b\r\n\r\n", "", false);
        let ResponseOptions { close, head_only, for_page, .. } = own.options;
        assert_eq!((close, head_only, for_page, own.method), (true, true, true, &b""[..]));
        let own = own_answer(&routes, "GET / HTTP/1.1\r\n\r\n", "", false);
        assert!(own.options.close && !own.options.head_only);
        assert_eq!(own.method, b"GET");
    }

    fn anyone() -> Sender {
        IpAddr::from([192, 0, 2, 7]).into()
    }

    fn routes() -> RouteTable<()> {
        let route = |path, replacement| Route::new(path, replacement, "api.test", ());
        RouteTable::new([route("/gpt/", "/"), route("/a/", "/base/")])
    }

    #[track_caller]
    fn check(head: &str, route: &str, line: &str) {
        let routes = routes();
        let Plan::Forward(forwarded) =
            plan(head.as_bytes(), b"", &routes, &LIMITS, false, || 0, anyone())
        else {
            panic!("{head:?} is to be forwarded");
        };
        let mut out = BytesMut::new();
        forwarded.put_head(&mut out);
        assert_eq!(&*forwarded.route.name, route);
        let mut again = BytesMut::new();
        let forwarded = ForwardedRequest::again(head.as_bytes(), forwarded.route, || 0).unwrap();
        forwarded.put_head(&mut again);
        assert_eq!(again, out, "made again, it is the same");
        assert!(out.starts_with(line.as_bytes()), "{out:?}");
        assert!(out.ends_with(b"\r\nHost: api.test\r\n\r\n"), "{out:?}");
    }

    fn answer(head: &str) -> (Reply, ResponseOptions) {
        let routes = routes();
        let own = own_answer(&routes, head, "", false);
        (own.reply, own.options)
    }

    #[track_caller]
    fn own_answer<'a>(
        routes: &'a RouteTable<()>,
        head: &'a str,
        behind: &str,
        draining: bool,
    ) -> OwnAnswer<'a> {
        match plan(head.as_bytes(), behind.as_bytes(), routes, &LIMITS, draining, || 0, anyone()) {
            Plan::Answer(answer, _) => answer,
            Plan::Forward(forwarded) => panic!("{forwarded:?}"),
        }
    }
}
