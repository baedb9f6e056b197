//! What the bytes of one connection mean, by the naive reading.

use super::stage::Traffic;
use crate::fuzzing::forward::complete;
use crate::fuzzing::heads::naive_limits;
use crate::fuzzing::model::HEADS;
use crate::fuzzing::model::{self, Forwarded};
use crate::fuzzing::naive::{self, Body, Head, Length, Verdict};
use crate::limits::{CONNECTION_OPTIONS_MAX, INTERIM_RESPONSES_MAX};
use crate::net::memory::End;

/// No limits: for heads that we write.
pub(super) const ANY: naive::HeadBounds = naive::HeadBounds { bytes: 1 << 20, fields: 1024 };

/// A request that a client has sent, or an attempt at one.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    /// Its head is complete.
    pub(super) is_known: bool,
    /// None if we answer it ourselves.
    pub(super) forwarded: Option<Forwarded>,
    /// None if it is incomplete or malformed.
    pub(super) body: Option<Body>,
    /// The end of its head, or of its body if that is complete.
    pub(super) end: usize,
    pub(super) can_repeat: bool,
    /// Another request may follow this one.
    pub(super) goes_on: bool,
}

impl Asked {
    /// The head that the upstream must receive.
    pub(super) fn head(&self) -> Option<Vec<u8>> {
        let forwarded = self.forwarded.as_ref()?;
        let line = [&forwarded.method[..], b" ", &forwarded.target, b" HTTP/1.1\r\n"].concat();
        Some([line, forwarded.lines.concat(), b"\r\n".to_vec()].concat())
    }

    pub(super) fn offers_websocket(&self) -> bool {
        self.forwarded.as_ref().is_some_and(|it| it.facts.offers_websocket)
    }

    pub(super) fn is_http10(&self) -> bool {
        self.forwarded.as_ref().is_some_and(|it| it.facts.is_http10)
    }
}

/// Whether a request is a HEAD by its first word, whatever follows.
fn begins_head(sent: &[u8]) -> bool {
    let blank = sent.chunks(2).take(4).take_while(|it| it == b"\r\n").count() * 2;
    sent[blank..].starts_with(b"HEAD ")
}

/// The requests in what a client sent, up to the first one that no other may follow.
pub(super) fn asked(sent: &[u8]) -> Vec<Asked> {
    const REPEATABLE: [&[u8]; 5] = [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"];
    let (mut asked, mut at) = (Vec::new(), 0);
    loop {
        let head = match naive::request_head(&sent[at..], naive_limits(HEADS)) {
            Verdict::Partial if !begins_head(&sent[at..]) => return asked,
            Verdict::Whole(head) => Some(head),
            Verdict::Partial | Verdict::Bad => None,
        };
        let facts = head.as_ref().and_then(model::facts);
        let body_start = at + head.as_ref().map_or(0, |it| it.end);
        let body = facts.map(|(length, _)| naive::body(length, &sent[body_start..], false));
        let body = body.as_ref().and_then(complete).cloned();
        let end = body_start + body.as_ref().map_or(0, |it| it.end);
        let goes_on = facts.is_some_and(|(_, facts)| facts.persists && !facts.offers_websocket);
        let goes_on = goes_on && body.is_some();
        asked.push(Asked {
            is_head: begins_head(&sent[at..]),
            is_known: head.is_some(),
            forwarded: head.as_ref().and_then(model::forwarded),
            body,
            end,
            goes_on,
            can_repeat: head.is_some_and(|it| {
                REPEATABLE.contains(&it.method()) || it.values("idempotency-key").next().is_some()
            }),
        });
        if !goes_on {
            return asked;
        }
        at = end;
    }
}

/// A request that an upstream has received.
#[derive(Clone, Debug)]
pub(super) struct Got {
    /// As it came.
    pub(super) head: Vec<u8>,
    /// None if it is incomplete.
    pub(super) body: Option<Body>,
    /// The end of what was received of it.
    pub(super) end: usize,
    /// What the upstream said to it.
    pub(super) said: Option<Said>,
}

impl Got {
    /// Whether the upstream switched protocols.
    pub(super) fn switched(&self) -> bool {
        self.said.as_ref().is_some_and(|it| it.head.status() == 101)
    }

    /// Where the response ends.
    pub(super) fn said_to(&self) -> Option<usize> {
        self.said.as_ref().map(|it| it.end)
    }

    /// Whether the connection may carry another request after this one.
    pub(super) fn allows_another(&self) -> bool {
        let Some(said) = &self.said else { return false };
        self.body.is_some()
            && said.is_complete
            && said.length != Length::UntilClose
            && model::persists(&said.head)
            && !self.switched()
    }
}

/// A response, as far as it was received.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) interims: Vec<Head>,
    pub(super) head: Head,
    pub(super) length: Length,
    /// The content so far, if the end is missing.
    pub(super) content: Vec<u8>,
    pub(super) is_complete: bool,
    /// The end of what was received of it.
    pub(super) end: usize,
}

/// The requests that an upstream has received, each with the response to it, and the position of
/// the bytes after them: those after a switch of protocols, or of an incomplete head.
pub(super) fn got(traffic: &Traffic) -> (Vec<Got>, usize) {
    let (mut got, mut at, mut answered) = (Vec::new(), 0, Some(0));
    loop {
        let bytes = &traffic.received[at..];
        let Some(head) = naive::request_head(bytes, ANY).whole() else { return (got, at) };
        let (length, facts) = model::facts(&head).expect("we forward what we understand");
        let body = naive::body(length, &bytes[head.end..], false);
        assert_ne!(body, Verdict::Bad, "{:?}", naive::text(bytes));
        let body = body.whole();
        let len = body.as_ref().map_or(bytes.len(), |it| head.end + it.end);
        let said = answered.and_then(|from| {
            said(&traffic.sent, from, facts.is_head, traffic.own_end, naive_limits(HEADS))
        });
        answered = said.as_ref().filter(|it| it.is_complete).map(|it| it.end);
        let switches = said.as_ref().is_some_and(|it| it.head.status() == 101);
        let is_whole = body.is_some();
        at += len;
        got.push(Got { head: bytes[..head.end].to_vec(), body, end: at, said });
        if switches || !is_whole {
            return (got, at);
        }
    }
}

/// The response at `from`: its interim heads, its head, its body. `end`: how the connection ended
/// after the bytes. `None` if it has no final head, or one that must not be passed on.
pub(super) fn said(
    bytes: &[u8],
    from: usize,
    to_head: bool,
    end: Option<End>,
    limits: naive::HeadBounds,
) -> Option<Said> {
    let (mut interims, mut at) = (Vec::new(), from);
    let head = loop {
        let head = naive::response_head(&bytes[at..], limits).whole()?;
        at += head.end;
        naive::announced(&head).ok()?;
        if head.list("connection").len() > CONNECTION_OPTIONS_MAX {
            return None;
        }
        if !matches!(head.status(), 100 | 102..=199) {
            break head;
        }
        interims.push(head);
        if interims.len() > usize::from(INTERIM_RESPONSES_MAX) {
            return None;
        }
    };
    let length = naive::response_length(&head, to_head).ok()?;
    let rest = &bytes[at..];
    let body = naive::body(length, rest, end == Some(End::Clean));
    let whole = complete(&body).cloned();
    let is_complete = whole.is_some();
    let so_far = || Body { content: content_so_far(length, rest), trailers: None, end: rest.len() };
    let Body { content, end, .. } = whole.unwrap_or_else(so_far);
    Some(Said { interims, head, length, content, is_complete, end: at + end })
}

fn content_so_far(length: Length, bytes: &[u8]) -> Vec<u8> {
    if length == Length::Chunked { naive::content_so_far(bytes) } else { bytes.to_vec() }
}
