//! One exchange: a request, its interim responses and its final response, as a gateway between
//! two connections sees them (RFC 9110, sections 7.6, 7.8 and 15.2; RFC 9112, section 9).
//!
//! [`Exchange`] is the state machine that a driver consults. The driver owns the bytes, the
//! buffers, the sockets and the clocks. It reports what happens on either connection, in order, and
//! asks what follows: whether a response is passed on and how its body is framed, which limits of
//! time run, and which of the two connections may carry another exchange. The machine never waits,
//! and the only thing that it refuses is a response head that breaks a rule.
//!
//! An exchange has two halves, which move independently: an upstream may answer before it has read
//! the request, or stop reading the request and still answer.
//!
//! | The request is | until | and then |
//! |---|---|---|
//! | [`Sending`] | [`end_request`]: its last octet is with the upstream | `Sent` |
//! | | [`refuse_request`]: the upstream's socket takes no more of it | `Refused` |
//! | [`Sent`], [`Refused`] | the exchange ends | |
//!
//! | The response is | until | and then |
//! |---|---|---|
//! | [`Silent`] | [`begin_response`]: its first byte is here | `Head` |
//! | [`Head`] | [`response_head`]: an interim head | `Head` |
//! | | `response_head`: the final head | `Body` |
//! | | `response_head`: a head that switches protocols | `Switched` |
//! | | [`doubt_response`]: it may be about something else | `Doubted` |
//! | [`Doubted`] | [`accept_response`]: it is the answer after all | `Head` |
//! | [`Body`] | [`end_response`]: its last octet is read | `Ended` |
//! | [`Ended`], [`Switched`] | the exchange ends | |
//!
//! From `Body` on the status can no longer change: only the end of its connection can show the
//! client that something failed. Before that the request may go to a second connection, and the
//! exchange [starts again](Exchange::start_again), if `gateway::retry` allows it.
//!
//! Which limits of time run follows from the two states as well (`gateway::due`).
//!
//! A call that the tables do not allow is a bug in the driver, and panics in debug builds.
//!
//! Not here: bytes of heads (`h1::head`, `gateway::rewrite`), bodies (`h1::body`), time.
//!
//! [`Sending`]: RequestState::Sending
//! [`Sent`]: RequestState::Sent
//! [`Refused`]: RequestState::Refused
//! [`Silent`]: ResponseState::Silent
//! [`Head`]: ResponseState::Head
//! [`Doubted`]: ResponseState::Doubted
//! [`Body`]: ResponseState::Body
//! [`Ended`]: ResponseState::Ended
//! [`Switched`]: ResponseState::Switched
//! [`end_request`]: Exchange::end_request
//! [`refuse_request`]: Exchange::refuse_request
//! [`begin_response`]: Exchange::begin_response
//! [`response_head`]: Exchange::response_head
//! [`doubt_response`]: Exchange::doubt_response
//! [`accept_response`]: Exchange::accept_response
//! [`end_response`]: Exchange::end_response

use crate::error::ResponseError;
use crate::gateway::request::{Method, Request, persists};
use crate::gateway::response::{
    FinalResponse, ResponseKind, is_agreed_switch, keep_alive_timeout, may_be_out_of_step, writer,
};
use crate::h1::body::BodyWriter;
use crate::h1::field::FieldId;
use crate::h1::framing::{BodyLength, ResponseTo, response_body_length};
use crate::h1::head::{ResponseHead, Version};
use crate::limits::{CONNECTION_OPTIONS_MAX, INTERIM_RESPONSES_MAX};

/// The state of one exchange.
#[derive(Debug)]
pub struct Exchange {
    request: Request,
    sending: RequestState,
    receiving: ResponseState,
    interim_responses: u8,
    /// A 100 came: the upstream reads the body.
    continued: bool,
    upstream_persists: bool,
    upstream_keep_alive: Option<u32>,
    close: Option<CloseReason>,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Its head or its body is on its way.
    Sending,
    /// It was forwarded to its last octet.
    Sent,
    /// The upstream's socket takes no more of it. The upstream may have answered before it closed,
    /// so that this alone is no error.
    Refused,
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseState {
    /// No byte of it has come.
    Silent,
    /// A head is awaited, be it interim or final.
    Head,
    /// A head that is here may be about the silence before the request (`gateway::retry`), or about
    /// the key that went with it (`gateway::access`).
    Doubted,
    /// The final head was passed on, and the body follows.
    Body,
    /// It was read to its last octet.
    Ended,
    /// The upstream switched protocols: what follows is a tunnel.
    Switched,
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
            sending: RequestState::Sending,
            receiving: ResponseState::Silent,
            interim_responses: 0,
            continued: false,
            upstream_persists: false,
            upstream_keep_alive: None,
            close: (!request.persistent).then_some(CloseReason::ClientAsked),
        }
    }

    /// The same request once more, to another connection, because the first one ended without an
    /// answer: all that happened was between us and that connection.
    pub fn start_again(&mut self) {
        debug_assert!(!self.has_response_head(), "the client has the head of a response");
        *self = Self::new(self.request);
    }

    /// The facts of the request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// How far the request is.
    pub fn request_state(&self) -> RequestState {
        self.sending
    }

    /// How far the response is.
    pub fn response_state(&self) -> ResponseState {
        self.receiving
    }

    /// Whether the request was forwarded to its last octet.
    pub fn request_ended(&self) -> bool {
        self.sending == RequestState::Sent
    }

    /// Whether the status is spent: the client gets the head of a final response, or of a switch.
    pub fn has_response_head(&self) -> bool {
        match self.receiving {
            ResponseState::Silent | ResponseState::Head | ResponseState::Doubted => false,
            ResponseState::Body | ResponseState::Ended | ResponseState::Switched => true,
        }
    }

    /// Whether the client waits for permission to send its body (RFC 9110, section 10.1.1).
    pub fn awaits_continue(&self) -> bool {
        self.request.expects_continue && self.receiving == ResponseState::Silent
    }

    /// The request was forwarded to its last octet.
    pub fn end_request(&mut self) {
        debug_assert_eq!(self.sending, RequestState::Sending, "the request ends once");
        self.sending = RequestState::Sent;
    }

    /// The upstream's socket takes no more of the request.
    pub fn refuse_request(&mut self) {
        debug_assert_eq!(self.sending, RequestState::Sending, "nothing of it is left to take");
        self.sending = RequestState::Refused;
    }

    /// The first byte of a response is here.
    pub fn begin_response(&mut self) {
        debug_assert_eq!(self.receiving, ResponseState::Silent, "a response begins once");
        self.receiving = ResponseState::Head;
    }

    /// The head that is here may be about something else than the request.
    pub fn doubt_response(&mut self) {
        debug_assert_eq!(self.receiving, ResponseState::Head, "no head is here");
        self.receiving = ResponseState::Doubted;
    }

    /// The head that is here is the answer.
    pub fn accept_response(&mut self) {
        debug_assert_eq!(self.receiving, ResponseState::Doubted, "nobody doubts it");
        self.receiving = ResponseState::Head;
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
        debug_assert!(!self.has_response_head(), "a head behind the final one");
        if head.fields.connection().count > CONNECTION_OPTIONS_MAX {
            return Err(ResponseError::TooManyConnectionOptions);
        }
        let to = match self.request.method {
            Method::Head => ResponseTo::Head,
            Method::OtherIdempotent | Method::Other => ResponseTo::Other,
        };
        let body = response_body_length(head, to)?;
        let (kind, next) = match head.status {
            101 if is_agreed_switch(&self.request, head) => {
                (ResponseKind::Switch, ResponseState::Switched)
            }
            101 => return Err(ResponseError::UnaskedSwitch),
            status @ 100..=199 => (self.interim(status)?, ResponseState::Head),
            _ => {
                let response = self.final_response(head, body, draining);
                (ResponseKind::Final(response), ResponseState::Body)
            }
        };
        self.receiving = next;
        Ok(kind)
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
        let read_on = self.request_ended() && (self.continued || !self.request.expects_continue);
        self.upstream_persists = body != BodyLength::UntilClose
            && read_on
            && !may_be_out_of_step(&self.request, head, body)
            && persists(head.version, &head.fields);
        self.upstream_keep_alive = keep_alive_timeout(head);
        let writer = writer(body, self.request.version);
        self.close = self.close.or_else(|| self.close_behind(writer, draining));
        FinalResponse {
            body,
            writer,
            describes_absent_body: self.request.method == Method::Head || head.status == 304,
            close: self.close.is_some(),
            tell_keep_alive: self.close.is_none() && self.request.version == Version::Http10,
            keep_upgrade: head.status == 426 && head.fields.has(FieldId::Upgrade),
            open_to_pages: false,
        }
    }

    /// Why the client's connection ends with a response that is framed by `writer`.
    fn close_behind(&self, writer: BodyWriter, draining: bool) -> Option<CloseReason> {
        if writer == BodyWriter::UntilClose {
            Some(CloseReason::EndsTheBody)
        } else if !self.request_ended() {
            // The rest of the request may never be read, and the client has to know before it
            // sends another one after it.
            Some(CloseReason::RequestUnread)
        } else if self.request.offers_websocket {
            Some(CloseReason::UpgradeRefused)
        } else {
            draining.then_some(CloseReason::Draining)
        }
    }

    /// The final response was read to its last octet.
    pub fn end_response(&mut self) {
        debug_assert_eq!(self.receiving, ResponseState::Body, "no body is on its way");
        self.receiving = ResponseState::Ended;
    }

    /// What becomes of the upstream connection, now that the exchange is over. `surplus`: bytes
    /// followed the response, which answer nothing that was asked.
    pub fn upstream_persistence(&self, surplus: bool) -> Persistence {
        let is_over = self.request_ended() && self.receiving == ResponseState::Ended;
        if is_over && !surplus && self.upstream_persists {
            Persistence::Keep
        } else {
            Persistence::Close
        }
    }

    /// For how many seconds the upstream said it keeps the idle connection.
    pub fn upstream_keep_alive(&self) -> Option<u32> {
        self.upstream_keep_alive
    }

    /// What becomes of the client's connection after a complete response.
    pub fn client_persistence(&self) -> Persistence {
        if self.close.is_none() && self.request_ended() {
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
            if !ends_first {
                exchange.end_request();
            }
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

    #[test]
    fn a_response_that_is_doubted_is_either_accepted_or_asked_for_again() {
        let mut exchange = exchange(GET);
        exchange.end_request();
        exchange.begin_response();
        exchange.doubt_response();
        assert!(!exchange.has_response_head());
        exchange.accept_response();
        assert_eq!(exchange.response_state(), ResponseState::Head);
        exchange.doubt_response();
        exchange.start_again();
        let states = (exchange.request_state(), exchange.response_state());
        assert_eq!(states, (RequestState::Sending, ResponseState::Silent));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "a head behind the final one")]
    fn a_call_out_of_order_is_caught() {
        let (mut exchange, _) = answer(GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        let _ = tell(&mut exchange, "HTTP/1.1 200 OK\r\n\r\n");
    }
}
