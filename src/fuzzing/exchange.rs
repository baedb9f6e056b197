//! The state of an exchange, compared with a model that knows its whole history.

use super::heads::naive_limits;
use super::model::{self, RequestFacts};
use super::naive::{self, Head, Length};
use crate::config::Limits;
use crate::gateway::exchange::{Exchange, Persistence};
use crate::gateway::request::validate;
use crate::gateway::response::ResponseKind;
use crate::h1::body::BodyWriter;
use crate::h1::framing::BodyLength;
use crate::h1::head::{RequestHead, ResponseHead};
use crate::h1::head_reader::HeadReader;
use crate::limits::{CONNECTION_OPTIONS_MAX, INTERIM_RESPONSES_MAX};

/// A request head, and then what happens, in order: response heads; `.`, the request was forwarded
/// to its end; `;`, the response was; `!`, we are asked to stop. At each point the exchange knows
/// what follows from all that happened: what is done with a response, how it is framed on both
/// sides, and which of the two connections persists.
pub fn exchange(data: &[u8]) {
    let limits = Limits::default().head;
    let Ok(Some(span)) = HeadReader::default().find(data, &limits) else { return };
    let Ok(head) = RequestHead::parse(&data[span.start..span.end], &limits) else { return };
    let Ok(decided) = validate(&head) else { return };
    let naive = naive::request_head(data, naive_limits(limits)).whole().expect("a head");
    let (_, facts) = model::facts(&naive).expect("facts");
    let mut exchange = Exchange::new(decided.request);
    let mut history = History { facts, events: Vec::new() };
    let mut rest = &data[span.end..];
    loop {
        history.check_fates(&exchange);
        rest = match rest {
            [b'.', rest @ ..] if !history.has(&Event::RequestEnded) => {
                exchange.end_request();
                history.events.push(Event::RequestEnded);
                rest
            }
            [b';', rest @ ..] if history.has_final() && !history.has(&Event::ResponseEnded) => {
                exchange.end_response();
                history.events.push(Event::ResponseEnded);
                rest
            }
            // Each of them happens once.
            [b'.', rest @ ..] => rest,
            [b';', rest @ ..] if history.has(&Event::ResponseEnded) => rest,
            [b'!', rest @ ..] => {
                history.events.push(Event::Draining);
                rest
            }
            [b'H', ..] if !history.has_final() => {
                let Ok(Some(span)) = HeadReader::for_response().find(rest, &limits) else { return };
                let (front, behind) = rest.split_at(span.end);
                let Ok(head) = ResponseHead::parse(front, &limits) else { return };
                let naive = naive::response_head(front, naive_limits(limits)).whole();
                let naive = naive.expect("both take the head");
                let draining = history.has(&Event::Draining);
                let verdict = exchange.response_head(&head, draining).ok();
                assert_eq!(verdict.is_some(), history.takes(&naive), "{naive:?}");
                let Some(verdict) = verdict else { return };
                history.check(&naive, verdict);
                history.events.push(Event::Head(naive));
                if verdict == ResponseKind::Switch {
                    return;
                }
                behind
            }
            _ => return,
        };
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    RequestEnded,
    ResponseEnded,
    Draining,
    Head(Head),
}

/// All that has happened, and what follows from it.
struct History {
    facts: RequestFacts,
    events: Vec<Event>,
}

impl History {
    fn has(&self, event: &Event) -> bool {
        self.events.contains(event)
    }

    fn heads(&self) -> impl Iterator<Item = &Head> {
        self.events.iter().filter_map(|event| match event {
            Event::Head(head) => Some(head),
            Event::RequestEnded | Event::ResponseEnded | Event::Draining => None,
        })
    }

    fn final_head(&self) -> Option<&Head> {
        self.heads().find(|it| it.status() >= 200)
    }

    fn has_final(&self) -> bool {
        self.final_head().is_some()
    }

    /// Whether a response head may be passed on.
    fn takes(&self, head: &Head) -> bool {
        let upgrade = head.list("upgrade");
        let agreed = self.facts.offers_websocket
            && head.list("connection").contains(&"upgrade".to_owned())
            && upgrade == ["websocket"];
        let too_many = self.heads().filter(|it| it.status() < 200).count()
            >= usize::from(INTERIM_RESPONSES_MAX);
        let is_right = match head.status() {
            101 => agreed,
            100..=199 => !too_many,
            _ => true,
        };
        is_right
            && naive::announced(head).is_ok()
            && head.list("connection").len() <= CONNECTION_OPTIONS_MAX
    }

    /// The length of a response's body.
    fn length(&self, head: &Head) -> Length {
        naive::response_length(head, self.facts.is_head).expect("taken")
    }

    fn check(&self, head: &Head, verdict: ResponseKind) {
        let http10 = self.facts.is_http10;
        let response = match (head.status(), verdict) {
            (101, verdict) => return assert_eq!(verdict, ResponseKind::Switch),
            (100..=199, verdict) => {
                let want = if http10 { ResponseKind::DropInterim } else { ResponseKind::Interim };
                return assert_eq!(verdict, want);
            }
            (_, ResponseKind::Final(response)) => response,
            (_, verdict) => panic!("not final: {verdict:?}"),
        };
        let (body, writer) = match self.length(head) {
            Length::None => (BodyLength::None, BodyWriter::Bare),
            Length::Exact(octets) => (BodyLength::Exact(octets), BodyWriter::Bare),
            Length::Chunked if http10 => (BodyLength::Chunked, BodyWriter::UntilClose),
            Length::Chunked => (BodyLength::Chunked, BodyWriter::Chunked),
            Length::UntilClose if http10 => (BodyLength::UntilClose, BodyWriter::UntilClose),
            Length::UntilClose => (BodyLength::UntilClose, BodyWriter::Chunked),
        };
        assert_eq!((response.body, response.writer), (body, writer));
        let close = self.closes_client(head);
        assert_eq!(response.close, close);
        assert_eq!(response.tell_keep_alive, http10 && !close);
        assert_eq!(response.describes_absent_body, self.facts.is_head || head.status() == 304);
        let says_upgrade = head.values("upgrade").next().is_some();
        assert_eq!(response.keep_upgrade, head.status() == 426 && says_upgrade);
    }

    /// Whether the client's connection ends with the final response `head`, given what came
    /// before it.
    fn closes_client(&self, head: &Head) -> bool {
        let without_length = matches!(self.length(head), Length::Chunked | Length::UntilClose);
        let before = |event: &Event| self.before_final().contains(event);
        !self.facts.persists
            || self.facts.offers_websocket
            || self.facts.is_http10 && without_length
            || !before(&Event::RequestEnded)
            || before(&Event::Draining)
    }

    fn before_final(&self) -> &[Event] {
        let is_final = |it: &Event| matches!(it, Event::Head(head) if head.status() >= 200);
        let end = self.events.iter().position(is_final);
        &self.events[..end.unwrap_or(self.events.len())]
    }

    /// Whether no server could parse this exchange differently and leave bytes of it over.
    fn is_in_step(&self, head: &Head) -> bool {
        let announced = naive::announced(head).expect("taken");
        let is_said_to_be_empty = announced == Some(Length::Exact(0));
        let has_no_body = matches!(head.status(), 204 | 304);
        let ends = match self.length(head) {
            Length::None if has_no_body => announced.is_none() || is_said_to_be_empty,
            Length::None => is_said_to_be_empty,
            Length::Exact(_) | Length::Chunked | Length::UntilClose => true,
        };
        let refusals = [400, 408, 411, 413, 414, 417, 431, 501, 505];
        let is_refused = self.facts.has_content && head.status() >= 400 && head.status() != 429;
        let is_read = !is_refused && !refusals.contains(&head.status());
        ends && is_read && (!self.facts.has_content || self.facts.is_about_content)
    }

    fn check_fates(&self, exchange: &Exchange) {
        assert_eq!(exchange.request_ended(), self.has(&Event::RequestEnded));
        let Some(head) = self.final_head() else {
            return assert_eq!(exchange.upstream_persistence(false), Persistence::Close);
        };
        let before = self.before_final();
        let was_100 = |it: &Event| matches!(it, Event::Head(head) if head.status() == 100);
        let read_on = before.contains(&Event::RequestEnded)
            && (!self.facts.expects_continue || before.iter().any(was_100));
        let keep = read_on
            && self.has(&Event::ResponseEnded)
            && self.length(head) != Length::UntilClose
            && self.is_in_step(head)
            && model::persists(head);
        assert_eq!(exchange.upstream_persistence(false) == Persistence::Keep, keep);
        assert_eq!(exchange.upstream_persistence(true), Persistence::Close);
        let close = self.closes_client(head);
        assert_eq!(exchange.client_persistence() == Persistence::Close, close);
        assert_eq!(exchange.close_reason().is_some(), close);
        if let Some(seconds) = exchange.upstream_keep_alive() {
            let told = head.list("keep-alive");
            assert!(told.iter().any(|it| it.starts_with("timeout=")), "{seconds} {told:?}");
        }
    }
}
