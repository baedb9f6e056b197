//! What is forwarded: a message that an independent parser reads as the one that was meant.

use super::arrival::arrivals;
use super::heads::{naive_limits, rewrite};
use super::model::{self, routes};
use super::naive::{self, Body, Head, Verdict};
use super::oracle;
use crate::config::Limits;
use crate::gateway::exchange::Exchange;
use crate::gateway::plan::{OwnAnswer, Plan, plan};
use crate::gateway::redirect::{HttpsNames, redirect};
use crate::gateway::request::{Request, validate};
use crate::gateway::request_id::RequestId;
use crate::gateway::response::{FinalResponse, ResponseKind};
use crate::gateway::rewrite::uri_reference::{Origins, View};
use crate::gateway::rewrite::{put_final_head, put_interim_head};
use crate::h1::body::{After, BodyReader};
use crate::h1::framing::BodyLength;
use crate::h1::head::{RequestHead, ResponseHead};
use crate::h1::head_reader::HeadReader;
use bytes::BytesMut;
use std::net::{IpAddr, Ipv4Addr};

/// The id of every exchange.
const ID: RequestId = RequestId::new(0x0123_4567_89ab_cdef);
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// The address of every client.
pub(super) const ANYONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// The requests that responses answer.
const REQUESTS: [&[u8]; 3] = [
    b"GET /gpt/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /gpt/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /gpt/ HTTP/1.0\r\n\r\n",
];

/// A request and its body, or a response and its body.
///
/// - What is forwarded of a request, hyper's server reads as exactly that request: method, target,
///   fields, body, and nothing left over. An incomplete one it never reads as complete.
/// - A request that we answer ourselves keeps its connection only if its whole body is here. The
///   next request begins exactly after it.
/// - On a listener that leads to https, it leads to a host that is served, in one line.
/// - What is forwarded of a response, hyper's client reads as exactly that response. An incomplete
///   one it never reads as complete. A reference in it is unchanged, or leads below the route.
pub fn forward(data: &[u8]) {
    if data.starts_with(b"HTTP/") {
        let origins = Origins::new(true, [b"api.test".as_slice()]);
        let (base, route, client_authority) = (&b"/v1/"[..], &b"/gpt/"[..], &b"relay.test"[..]);
        let token = b"nrw_token".as_slice();
        let view =
            View { origins: &origins, base, route, client_https: true, client_authority, token };
        for request in REQUESTS {
            response(data, request, None);
            response(data, request, Some(&view));
        }
    } else {
        request(data);
    }
}

fn request(data: &[u8]) {
    let limits = Limits::default().head;
    let meant = naive::request_head(data, naive_limits(limits)).whole();
    let expected = meant.as_ref().and_then(model::forwarded);
    let (Some(head), Some(expected)) = (forwarded_head(data), &expected) else {
        let ours = forwarded_head(data);
        assert!(ours.is_none() && expected.is_none(), "{ours:?} {expected:?}");
        return;
    };
    let (head, request, body_start) = head;
    let line = [&expected.method[..], b" ", &expected.target, b" HTTP/1.1\r\n"].concat();
    assert_eq!(naive::text(&head), naive::text(&[line, expected.lines.concat()].concat()) + "\r\n");

    let body = &data[body_start..];
    let meant = naive::body(expected.body, body, false);
    for positions in arrivals(body) {
        let sent = [&head[..], &rewrite(request.body, request.writer(), body, &positions)].concat();
        let read = oracle::server_reads(&sent);
        if !oracle::takes_target(&expected.target) {
            continue;
        }
        let Some(meant) = complete(&meant) else {
            assert!(read.requests.is_empty() && !read.nothing_left_over, "{read:?}");
            continue;
        };
        assert!(read.nothing_left_over && read.requests.len() == 1, "{read:?}");
        let (seen, sent) = (&read.requests[0], naive::request_head(&sent, ANY).whole().unwrap());
        let start = [&expected.method[..], b" ", &expected.target].concat();
        assert_eq!(seen.start, naive::text(&start));
        assert_eq!(seen.fields, oracle::fields_of(&sent));
        assert_eq!(seen.content, meant.content);
    }
}

pub(super) const ANY: naive::HeadBounds = naive::HeadBounds { bytes: 1 << 20, fields: 1024 };

/// The whole body, if its trailers are well-formed, too.
pub(super) fn complete(body: &Verdict<Body>) -> Option<&Body> {
    match body {
        Verdict::Whole(body) => {
            let section = body.trailers.as_deref();
            section.is_none_or(|it| naive::trailers(it).is_some()).then_some(body)
        }
        Verdict::Bad | Verdict::Partial => None,
    }
}

/// The head for the upstream, and where the body begins, if the request is to be forwarded.
fn forwarded_head(data: &[u8]) -> Option<(Vec<u8>, Request, usize)> {
    let limits = Limits::default().head;
    let span = HeadReader::default().find(data, &limits).ok()??;
    let (head, rest) = (&data[span.start..span.end], &data[span.end..]);
    check_redirect(head, rest);
    let routes = routes(&());
    match plan(head, rest, &routes, &limits, false, || 0, ANYONE.into()) {
        Plan::Forward(forwarded) => {
            let mut out = BytesMut::new();
            forwarded.put_head(&mut out);
            Some((out.to_vec(), forwarded.request, span.end))
        }
        Plan::Answer(answer, _) => {
            check_own_answer(head, rest, &answer);
            None
        }
    }
}

fn check_redirect(head: &[u8], rest: &[u8]) {
    let mut names = HttpsNames::default();
    names.add("a", 443);
    names.add("relay.test", 8443);
    let Ok(led) = redirect(head, rest, &names, &Limits::default().head, false, ANYONE.into())
    else {
        return;
    };
    let served = ["https://a/", "https://relay.test:8443/"];
    assert!(served.iter().any(|it| led.location.starts_with(it)), "{}", led.location);
    assert!(led.location.bytes().all(|it| it.is_ascii_graphic()), "{}", led.location);
}

/// `rest` is what follows the head of a request that we answer ourselves.
fn check_own_answer(head: &[u8], rest: &[u8], answer: &OwnAnswer<'_>) {
    let limits = naive_limits(Limits::default().head);
    let facts = naive::request_head(head, limits).whole().as_ref().and_then(model::facts);
    let body = facts.map(|(length, _)| naive::body(length, rest, false));
    let body_end = body.as_ref().and_then(complete).map(|body| body.end);
    assert_eq!(answer.body_bytes, body_end.unwrap_or(0));
    let may_go_on = facts.is_some_and(|(_, facts)| facts.persists && !facts.offers_websocket);
    assert_eq!(answer.options.close, !may_go_on || body_end.is_none());
}

fn response(data: &[u8], request: &[u8], view: Option<&View<'_>>) {
    let limits = Limits::default().head;
    let request = RequestHead::parse(request, &limits).unwrap();
    let is_http10 = request.version == crate::h1::head::Version::Http10;
    let method = naive::text(request.method);
    let mut exchange = Exchange::new(validate(&request).unwrap().request);
    exchange.end_request();

    let meant = naive::response_head(data, naive_limits(limits)).whole();
    let Ok(Some(span)) = HeadReader::for_response().find(data, &limits) else { return };
    let Ok(head) = ResponseHead::parse(&data[..span.end], &limits) else { return };
    let meant = meant.expect("both take the head");
    let length = naive::response_length(&meant, method == "HEAD");
    let mut out = BytesMut::new();
    let response = match exchange.response_head(&head, false) {
        Ok(ResponseKind::Final(response)) => response,
        Ok(ResponseKind::Interim | ResponseKind::DropInterim) => {
            put_interim_head(&mut out, &head, view);
            let sent = naive::response_head(&out, ANY).whole().expect("a head");
            assert_eq!(naive::announced(&sent), Ok(None));
            check_lines(&model::end_to_end(&sent), &meant, view);
            return;
        }
        Ok(ResponseKind::Switch) => panic!("nobody offered to switch"),
        Err(_) => {
            let refused = length.is_err() || head.status == 101;
            return assert!(refused || meant.list("connection").len() > 16);
        }
    };
    put_final_head(&mut out, &head, &response, DATE, Some(ID), view);
    let sent = naive::response_head(&out, ANY).whole().expect("a head");
    assert_eq!((sent.status(), sent.reason()), (meant.status(), meant.reason()));
    let lines = model::end_to_end_without_id(&sent, &meant).expect("one id");
    check_lines(&lines, &meant, view);
    let length = length.expect("one length");
    let body = &data[span.end..];
    let message = ForwardedResponse { method: &method, is_http10, response, sent, head: &out };
    for positions in arrivals(body) {
        for ended in [true, false] {
            message.check(body, &positions, ended, &naive::body(length, body, ended));
        }
    }
}

/// A final response whose head was forwarded.
struct ForwardedResponse<'a> {
    method: &'a str,
    is_http10: bool,
    response: FinalResponse,
    sent: Head,
    head: &'a [u8],
}

impl ForwardedResponse<'_> {
    /// hyper reads `body`, forwarded as it arrives in pieces, as what is `meant` by it. `ended`:
    /// the upstream ends its connection.
    fn check(&self, body: &[u8], positions: &[usize], ended: bool, meant: &Verdict<Body>) {
        let Self { method, is_http10, response, sent, head } = self;
        let mut bytes = head.to_vec();
        bytes.extend(rewrite(response.body, response.writer, body, positions));
        let by_close = BodyReader::new(response.body).may_end_by_close() && ended;
        if response.body == BodyLength::UntilClose && by_close {
            bytes.extend(response.writer.after(0, After::End));
        }
        // The driver resets the connection after an incomplete message.
        let ends = complete(meant).is_some() && (*is_http10 || ended);
        match (complete(meant), oracle::client_reads(method, &bytes, ends)) {
            (None, None) => {}
            (Some(body), Some(seen)) => {
                assert_eq!(seen.content, body.content);
                assert_eq!(seen.start, meant_status(sent));
                assert_eq!(seen.fields, oracle::fields_of(sent));
            }
            (meant, seen) => panic!("{meant:?} {seen:?} {:?}", naive::text(&bytes)),
        }
    }
}

/// The same lines, except for references and cookies that a view has mapped for the client.
fn check_lines(sent: &[Vec<u8>], meant: &Head, view: Option<&View<'_>>) {
    let meant = model::end_to_end(meant);
    let Some(view) = view else { return assert_eq!(sent, meant) };
    assert_eq!(sent.len(), meant.len());
    for (sent, meant) in sent.iter().zip(&meant).filter(|(sent, meant)| sent != meant) {
        let [(name, sent), (meant_name, meant)] = [sent, meant].map(|line| {
            let text = naive::text(line);
            let (name, value) = text.split_once(':').expect("a field line");
            (name.to_owned(), value.trim().to_owned())
        });
        assert_eq!(name, meant_name);
        match name.to_ascii_lowercase().as_str() {
            "location" | "content-location" => {
                let authority = naive::text(view.client_authority);
                let path = sent.strip_prefix("https:").unwrap_or(&sent);
                let path = path.strip_prefix(&format!("//{authority}")).unwrap_or(path);
                let rest = path.strip_prefix(&naive::text(view.route)).expect("the route");
                assert!(meant.ends_with(rest), "{meant:?} is {sent:?}");
                let path = rest.split(['?', '#']).next().unwrap_or_default();
                assert!(super::target::stays_inside(path.as_bytes()), "{sent:?} climbs");
            }
            "refresh" => assert!(sent.contains(&naive::text(view.route))),
            "set-cookie" => {
                let lost_domain =
                    sent.len() < meant.len() && meant.to_ascii_lowercase().contains("domain");
                assert!(lost_domain || sent.contains(&naive::text(view.route)), "{sent:?}");
            }
            other => panic!("{other} is not ours to change"),
        }
    }
}

fn meant_status(head: &Head) -> String {
    head.status().to_string()
}
