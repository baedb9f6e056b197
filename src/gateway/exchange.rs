//! One exchange: a request, its interim responses and its final response, as a gateway between
//! two connections sees them (RFC 9110, sections 7.6, 7.8 and 15.2; RFC 9112, section 9).
//!
//! [`Exchange`] is told what happened on either side and answers what follows: whether a response
//! is passed on, how its body is framed on both sides, and which connections may be used again.
//!
//! Not here: bytes of heads (`h1::head`, `gateway::rewrite`), bodies (`h1::body`), time.

use crate::error::ResponseError;
use crate::gateway::request::{Method, Request, persists};
use crate::h1::body::BodyWriter;
use crate::h1::field::FieldId;
use crate::h1::framing::{BodyLength, ResponseTo, announces_body, response_body_length};
use crate::h1::head::{ResponseHead, Version};
use crate::h1::token::{list_elements, parse_decimal};
use crate::limits::{CONNECTION_OPTIONS_MAX, INTERIM_RESPONSES_MAX};

/// The state of one exchange.
#[derive(Debug)]
pub struct Exchange {
    request: Request,
    request_ended: bool,
    interim_responses: u8,
    /// A 100 came: the upstream reads the body.
    continued: bool,
    upstream_persists: bool,
    response_ended: bool,
    upstream_keep_alive: Option<u32>,
    close: Option<CloseReason>,
}

/// Why the client's connection ends with this exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said `close`, or speaks HTTP/1.0 and did not say `keep-alive`.
    ClientAsked,
    /// The response ends with the connection: HTTP/1.0 has no chunks.
    EndsTheBody,
    /// The final response came before the request was read to its end.
    RequestUnread,
    /// The client offered an upgrade and the upstream declined. What the client sends next may
    /// belong to the other protocol already, and must not be read as a request.
    UpgradeRefused,
    /// We are asked to stop.
    Draining,
}

/// Whether a final response is what some servers say when they close an idle connection (RFC 9110,
/// section 15.5.9). It may also be an answer; what it crossed on its way tells.
pub fn may_tell_an_idle_limit(head: &ResponseHead<'_>) -> bool {
    head.status == 408 && !persists(head.version, &head.fields)
}

/// What to do about a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// An interim response that this client would not understand: drop it.
    DropInterim,
    /// Pass the interim response on, and expect another response.
    Interim,
    /// The upstream switched protocols: pass the head on; what follows is a tunnel.
    Switch,
    /// The final response.
    Final(FinalResponse),
}

/// How the final response travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalResponse {
    /// How the upstream frames the body.
    pub body: BodyLength,
    /// How we frame it for the client.
    pub writer: BodyWriter,
    /// Length fields of the head describe a body that is not sent (HEAD, 304): keep them.
    pub describes_absent_body: bool,
    /// The client's connection ends with this response.
    pub close: bool,
    /// The client speaks HTTP/1.0 and has to be told that the connection stays.
    pub tell_keep_alive: bool,
    /// A 426: `Upgrade` says what the client should have asked for (RFC 9110, section 15.5.22).
    pub keep_upgrade: bool,
}

/// What becomes of a connection after the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It may carry another exchange.
    Keep,
    /// It ends here.
    Close,
}

impl Exchange {
    /// Starts with the facts of a request whose head is about to be forwarded.
    pub fn new(request: Request) -> Self {
        Self {
            request,
            request_ended: false,
            interim_responses: 0,
            continued: false,
            upstream_persists: false,
            response_ended: false,
            upstream_keep_alive: None,
            close: (!request.persistent).then_some(CloseReason::ClientAsked),
        }
    }

    /// The same request once more, to another connection, because the first one ended without a
    /// byte of an answer: all that happened was between us and that connection.
    pub fn start_again(&mut self) {
        *self = Self::new(self.request);
    }

    /// The facts of the request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The request was forwarded to its last octet.
    pub fn end_request(&mut self) {
        self.request_ended = true;
    }

    /// Whether the request was forwarded to its last octet.
    pub fn request_ended(&self) -> bool {
        self.request_ended
    }

    /// Decides about a response head. `draining`: we are asked to stop.
    ///
    /// # Errors
    /// The response breaks a rule; nothing of it may be passed on.
    pub fn response_head(
        &mut self,
        head: &ResponseHead<'_>,
        draining: bool,
    ) -> Result<ResponseKind, ResponseError> {
        let options = head.fields.values(FieldId::Connection).flat_map(list_elements).count();
        if options > CONNECTION_OPTIONS_MAX {
            return Err(ResponseError::TooManyConnectionOptions);
        }
        let to = match self.request.method {
            Method::Head => ResponseTo::Head,
            Method::OtherIdempotent | Method::Other => ResponseTo::Other,
        };
        let body = response_body_length(head, to)?;
        match head.status {
            101 => self.switch(head),
            status @ 100..=199 => self.interim(status),
            _ => Ok(ResponseKind::Final(self.final_response(head, body, draining))),
        }
    }

    fn switch(&self, head: &ResponseHead<'_>) -> Result<ResponseKind, ResponseError> {
        let agreed = self.request.offers_websocket
            && head.fields.lists(FieldId::Connection, b"upgrade")
            && head.fields.values(FieldId::Upgrade).flat_map(list_elements).count() == 1
            && head.fields.lists(FieldId::Upgrade, b"websocket");
        if agreed { Ok(ResponseKind::Switch) } else { Err(ResponseError::UnaskedSwitch) }
    }

    fn interim(&mut self, status: u16) -> Result<ResponseKind, ResponseError> {
        self.continued |= status == 100;
        if self.interim_responses == INTERIM_RESPONSES_MAX {
            return Err(ResponseError::TooManyInterim);
        }
        self.interim_responses += 1;
        Ok(match self.request.version {
            Version::Http10 => ResponseKind::DropInterim,
            Version::Http11 => ResponseKind::Interim,
        })
    }

    fn final_response(
        &mut self,
        head: &ResponseHead<'_>,
        body: BodyLength,
        draining: bool,
    ) -> FinalResponse {
        // An upstream that answers before it has read the request may never read it, and would
        // take the rest of its body for the next one (RFC 9112, section 9.3).
        let read_on = self.request_ended && (self.continued || !self.request.expects_continue);
        let lasts = body != BodyLength::UntilClose;
        self.upstream_persists = lasts
            && read_on
            && !self.may_be_out_of_step(head, body)
            && persists(head.version, &head.fields);
        self.upstream_keep_alive = keep_alive_timeout(head);
        let writer = match (body, self.request.version) {
            (BodyLength::None | BodyLength::Exact(_), _) => BodyWriter::Bare,
            (BodyLength::Chunked | BodyLength::UntilClose, Version::Http11) => BodyWriter::Chunked,
            (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => {
                BodyWriter::UntilClose
            }
        };
        if writer == BodyWriter::UntilClose {
            self.close.get_or_insert(CloseReason::EndsTheBody);
        }
        if !self.request_ended {
            // The rest of the request may never be read, and the client has to know before it
            // sends another one behind it.
            self.close.get_or_insert(CloseReason::RequestUnread);
        }
        if self.request.offers_websocket {
            self.close.get_or_insert(CloseReason::UpgradeRefused);
        }
        if draining {
            self.close.get_or_insert(CloseReason::Draining);
        }
        FinalResponse {
            body,
            writer,
            describes_absent_body: self.request.method == Method::Head || head.status == 304,
            close: self.close.is_some(),
            tell_keep_alive: self.close.is_none() && self.request.version == Version::Http10,
            keep_upgrade: head.status == 426
                && head.fields.values(FieldId::Upgrade).next().is_some(),
        }
    }

    /// Whether the upstream may take the rest of this request for the next one, or may still send
    /// what we would take for the next response: simple servers do, and what they misread would
    /// be another client's.
    fn may_be_out_of_step(&self, head: &ResponseHead<'_>, body: BodyLength) -> bool {
        let is_refused = match head.status {
            // Said by servers that have given up on a request somewhere in its head.
            400 | 408 | 411 | 413 | 414 | 417 | 431 | 501 | 505 => true,
            // Said by those that count requests in front of whole fleets, and their clients ask
            // again.
            429 => false,
            // A head alone is enough to say it, and some read no content then.
            400.. => !self.request.body.is_empty(),
            _ => false,
        };
        let sends_more = match (body, self.request.method, head.status) {
            (BodyLength::None, _, 204 | 304)
            | (BodyLength::None, Method::OtherIdempotent | Method::Other, _) => {
                announces_body(head)
            }
            // A body that must not come does come, a moment later, announced or not.
            (BodyLength::None, Method::Head, _) => !says_empty(head),
            (BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose, ..) => false,
        };
        self.request.content_may_stay_unread || is_refused || sends_more
    }

    /// The final response was read to its last octet.
    pub fn end_response(&mut self) {
        self.response_ended = true;
    }

    /// What becomes of the upstream connection, now that the exchange is over. `surplus`: bytes
    /// followed the response, which answer nothing that was asked.
    pub fn upstream_persistence(&self, surplus: bool) -> Persistence {
        let clean = self.request_ended && self.response_ended && !surplus;
        if clean && self.upstream_persists { Persistence::Keep } else { Persistence::Close }
    }

    /// For how many seconds the upstream said it keeps the idle connection.
    pub fn upstream_keep_alive(&self) -> Option<u32> {
        self.upstream_keep_alive
    }

    /// What becomes of the client's connection after a complete response.
    pub fn client_persistence(&self) -> Persistence {
        if self.close.is_none() && self.request_ended {
            Persistence::Keep
        } else {
            Persistence::Close
        }
    }

    /// Why the client's connection ends, if it does.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close
    }
}

/// Whether the length that `head` gives is 0.
fn says_empty(head: &ResponseHead<'_>) -> bool {
    head.fields.values(FieldId::ContentLength).next().is_some() && !announces_body(head)
}

/// `timeout` of the Keep-Alive field, in seconds: not in any RFC since 2068, and sent by most
/// servers. Who says more than a century means for ever.
fn keep_alive_timeout(head: &ResponseHead<'_>) -> Option<u32> {
    let mut parameters = head.fields.values(FieldId::KeepAlive).flat_map(list_elements);
    let seconds = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(b"timeout=".len())?;
        if name.eq_ignore_ascii_case(b"timeout=") { parse_decimal(value) } else { None }
    });
    seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::request::validate;
    use crate::h1::head::RequestHead;
    use crate::h1::limits::HeadLimits;

    const LIMITS: HeadLimits = HeadLimits { bytes: 65536, fields: 256 };
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const GET_10: &str = "GET / HTTP/1.0\r\n\r\n";
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    const SOCKET: &str =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

    fn exchange(request: &str) -> Exchange {
        let head = RequestHead::parse(request.as_bytes(), &LIMITS).unwrap();
        Exchange::new(validate(&head).unwrap().request)
    }

    fn tell(exchange: &mut Exchange, response: &str) -> Result<ResponseKind, ResponseError> {
        let head = ResponseHead::parse(response.as_bytes(), &LIMITS)?;
        exchange.response_head(&head, false)
    }

    #[track_caller]
    fn answer(request: &str, response: &str) -> (Exchange, FinalResponse) {
        let mut exchange = exchange(request);
        exchange.end_request();
        match tell(&mut exchange, response).unwrap() {
            ResponseKind::Final(response) => (exchange, response),
            other => panic!("not final: {other:?}"),
        }
    }

    #[test]
    fn a_complete_exchange_leaves_both_connections_usable() {
        let (mut exchange, response) = answer(GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        assert_eq!((response.body, response.writer), (BodyLength::Exact(2), BodyWriter::Bare));
        assert_eq!(
            exchange.upstream_persistence(false),
            Persistence::Close,
            "the response is not read yet"
        );
        exchange.end_response();
        assert_eq!(exchange.upstream_persistence(false), Persistence::Keep);
        assert_eq!(exchange.client_persistence(), Persistence::Keep);
    }

    #[test]
    fn surplus_behind_a_response_condemns_the_upstream_connection() {
        let (mut exchange, _) = answer(GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        exchange.end_response();
        assert_eq!(exchange.upstream_persistence(true), Persistence::Close);
        assert_eq!(exchange.client_persistence(), Persistence::Keep);
    }

    #[test]
    fn a_close_delimited_response_is_chunked_for_http_11_and_ends_http_10() {
        let text = "HTTP/1.1 200 OK\r\n\r\n";
        let (exchange, response) = answer(GET, text);
        assert_eq!((response.writer, response.close), (BodyWriter::Chunked, false));
        assert_eq!(exchange.upstream_persistence(false), Persistence::Close);
        let (exchange, response) = answer(GET_10, text);
        assert_eq!((response.writer, response.close), (BodyWriter::UntilClose, true));
        assert_eq!(exchange.close_reason(), Some(CloseReason::ClientAsked));
    }

    #[test]
    fn http_10_gets_no_chunks_even_when_it_wants_to_stay() {
        let request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let (exchange, response) =
            answer(request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!((response.writer, response.close), (BodyWriter::UntilClose, true));
        assert_eq!(exchange.close_reason(), Some(CloseReason::EndsTheBody));
        let (_, response) = answer(request, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(response.tell_keep_alive && !response.close);
    }

    #[test]
    fn an_early_final_response_announces_the_close() {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
        let mut exchange = exchange(post);
        let verdict = tell(&mut exchange, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(verdict, Ok(ResponseKind::Final(FinalResponse { close: true, .. }))));
        exchange.end_response();
        assert_eq!(exchange.client_persistence(), Persistence::Close);
        assert_eq!(exchange.upstream_persistence(false), Persistence::Close);
        assert_eq!(exchange.close_reason(), Some(CloseReason::RequestUnread));
    }

    #[test]
    fn an_upstream_that_answers_before_it_has_the_request_is_not_used_again() {
        let early = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n";
        let fate = |request: &str, responses: &[&str], ends_first: bool| {
            let mut exchange = exchange(request);
            if ends_first {
                exchange.end_request();
            }
            responses.iter().for_each(|text| assert!(tell(&mut exchange, text).is_ok()));
            exchange.end_request();
            exchange.end_response();
            exchange.upstream_persistence(false)
        };
        let plain = format!("{post}\r\n");
        assert_eq!(fate(&plain, &[early], true), Persistence::Keep);
        assert_eq!(fate(&plain, &[early], false), Persistence::Close);
        let asking = format!("{post}Expect: 100-continue\r\n\r\n");
        assert_eq!(fate(&asking, &[early], true), Persistence::Close, "the body came unasked");
        assert_eq!(fate(&asking, &["HTTP/1.1 100 C\r\n\r\n", early], true), Persistence::Keep);
    }

    #[test]
    fn a_request_that_is_sent_once_more_has_not_ended_because_it_had_the_first_time() {
        let mut exchange = exchange("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        exchange.end_request();
        exchange.start_again();
        assert!(!exchange.request_ended());
        let verdict = tell(&mut exchange, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(verdict, Ok(ResponseKind::Final(FinalResponse { close: true, .. }))));
        exchange.end_request();
        exchange.end_response();
        assert_eq!(
            exchange.upstream_persistence(false),
            Persistence::Close,
            "it answered half a request"
        );
    }

    #[test]
    fn interim_responses_pass_to_http_11_and_are_dropped_for_http_10() {
        let text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        assert_eq!(tell(&mut exchange(GET), text), Ok(ResponseKind::Interim));
        assert_eq!(tell(&mut exchange(GET_10), text), Ok(ResponseKind::DropInterim));
    }

    #[test]
    fn an_endless_row_of_interim_responses_is_an_error() {
        let mut exchange = exchange(GET);
        for _ in 0..INTERIM_RESPONSES_MAX {
            assert_eq!(tell(&mut exchange, "HTTP/1.1 100 C\r\n\r\n"), Ok(ResponseKind::Interim));
        }
        for _ in 0..=u8::MAX {
            let over = tell(&mut exchange, "HTTP/1.1 100 C\r\n\r\n");
            assert_eq!(over, Err(ResponseError::TooManyInterim), "and stays one");
        }
    }

    #[test]
    fn a_switch_needs_an_offer_and_the_protocol_that_was_offered() {
        let to = |protocol: &str| {
            format!("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n")
        };
        assert_eq!(tell(&mut exchange(SOCKET), &to("websocket")), Ok(ResponseKind::Switch));
        for (request, protocol) in [(GET, "websocket"), (SOCKET, "h2c"), (SOCKET, "websocket, x")] {
            let verdict = tell(&mut exchange(request), &to(protocol));
            assert_eq!(verdict, Err(ResponseError::UnaskedSwitch));
        }
        let bare = tell(&mut exchange(SOCKET), "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(bare, Err(ResponseError::UnaskedSwitch));
    }

    #[test]
    fn a_refused_upgrade_ends_the_clients_connection_and_not_the_upstreams() {
        for status in ["200 OK", "401 Unauthorized", "426 Upgrade Required"] {
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let (mut exchange, response) = answer(SOCKET, &text);
            assert!(response.close, "{status}");
            exchange.end_response();
            assert_eq!(exchange.client_persistence(), Persistence::Close);
            assert_eq!(exchange.close_reason(), Some(CloseReason::UpgradeRefused));
            assert_eq!(exchange.upstream_persistence(false), Persistence::Keep);
        }
    }

    #[test]
    fn head_204_and_304_have_no_body_whatever_they_say() {
        let head = |request, status| {
            answer(request, &format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n")).1
        };
        assert_eq!(head(HEAD, 200).body, BodyLength::None);
        assert!(head(HEAD, 200).describes_absent_body);
        assert_eq!(head(GET, 204).body, BodyLength::None);
        assert!(!head(GET, 204).describes_absent_body);
        assert_eq!(head(GET, 304).body, BodyLength::None);
        assert!(head(GET, 304).describes_absent_body);
    }

    #[test]
    fn the_upstream_connection_persists_by_version_and_option() {
        let fate = |response: &str| {
            let (mut exchange, _) = answer(GET, response);
            exchange.end_response();
            exchange.upstream_persistence(false)
        };
        assert_eq!(fate("HTTP/1.1 204 N\r\nConnection: close\r\n\r\n"), Persistence::Close);
        assert_eq!(fate("HTTP/1.0 204 N\r\n\r\n"), Persistence::Close);
        assert_eq!(fate("HTTP/1.0 204 N\r\nConnection: keep-alive\r\n\r\n"), Persistence::Keep);
    }

    #[track_caller]
    fn keeps(request: &str, response: &str, want: bool) {
        let (mut exchange, _) = answer(request, response);
        exchange.end_response();
        let kept = exchange.upstream_persistence(false) == Persistence::Keep;
        assert_eq!(kept, want, "{request:?}, {response:?}");
        assert_eq!(
            exchange.client_persistence(),
            Persistence::Keep,
            "it is no fault of the client's"
        );
    }

    #[test]
    fn content_that_a_simple_server_does_not_read_costs_the_upstreams_connection() {
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        for (method, keep) in [
            ("POST", true),
            ("PUT", true),
            ("PATCH", true),
            ("GET", false),
            ("HEAD", false),
            ("DELETE", false),
            ("OPTIONS", false),
            ("PROPFIND", false),
        ] {
            let request = |length| format!("{method} / HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n");
            keeps(&request("Content-Length: 9"), ok, keep);
            keeps(&request("Transfer-Encoding: chunked"), ok, keep);
            keeps(&request("Content-Length: 0"), ok, true);
            keeps(&request("A: b"), ok, true);
        }
    }

    #[test]
    fn an_upstream_that_refused_a_request_may_read_on_in_its_middle() {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
        for status in 200..=599 {
            let response = format!("HTTP/1.1 {status} A\r\nContent-Length: 0\r\n\r\n");
            let gave_up = matches!(status, 400 | 408 | 411 | 413 | 414 | 417 | 431 | 501 | 505);
            keeps(GET, &response, !gave_up);
            keeps(post, &response, status < 400 || status == 429);
        }
    }

    #[test]
    fn a_body_that_must_not_come_may_come_a_moment_later() {
        let lengths = [
            "",
            "Content-Length: 0\r\n",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
        ];
        for (request, status, keep) in [
            (HEAD, 200, [false, true, false, false]),
            (HEAD, 404, [false, true, false, false]),
            (HEAD, 204, [true, true, false, false]),
            (HEAD, 304, [true, true, false, false]),
            (GET, 204, [true, true, false, false]),
            (GET, 304, [true, true, false, false]),
        ] {
            for (length, keep) in lengths.into_iter().zip(keep) {
                keeps(request, &format!("HTTP/1.1 {status} A\r\n{length}\r\n"), keep);
            }
        }
    }

    #[test]
    fn the_upstreams_keep_alive_timeout_is_read_where_it_is_a_number() {
        let told = |value: &str| {
            let text = format!("HTTP/1.1 204 N\r\nKeep-Alive: {value}\r\n\r\n");
            answer(GET, &text).0.upstream_keep_alive()
        };
        assert_eq!(told("timeout=5"), Some(5));
        assert_eq!(told("max=100, Timeout=72"), Some(72));
        assert_eq!(told("timeout=4294967296"), Some(u32::MAX));
        assert_eq!(told("timeout=x"), None);
        assert_eq!(told("max"), None);
    }

    #[test]
    fn a_drain_closes_after_the_response() {
        let mut exchange = exchange(GET);
        exchange.end_request();
        let head = ResponseHead::parse(b"HTTP/1.1 204 N\r\n\r\n", &LIMITS).unwrap();
        let verdict = exchange.response_head(&head, true).unwrap();
        assert!(matches!(verdict, ResponseKind::Final(FinalResponse { close: true, .. })));
        assert_eq!(exchange.close_reason(), Some(CloseReason::Draining));
    }
}
