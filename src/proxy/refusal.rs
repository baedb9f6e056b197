//! What an API says while none of a route's keys may be used: [`LastRefusal`].

use crate::gateway::answer::KEYS_COOLING;
use crate::gateway::own_response::error_content;
use crate::h1::body::BodyReader;
use crate::h1::field::FieldId;
use crate::h1::framing::{ResponseTo, response_body_length};
use crate::h1::head::ResponseHead;
use crate::limits::KEY_REFUSAL_BYTES_MAX;
use std::cell::RefCell;
use std::rc::Rc;
use std::str;

/// The answer of an API that none of a route's keys may be used for now, as one worker has seen it.
#[derive(Debug, Default)]
pub struct LastRefusal(RefCell<Option<Rc<Content>>>);

/// What is answered while all keys rest.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) media_type: Box<str>,
    pub(super) body: Box<[u8]>,
}

impl LastRefusal {
    /// It is another one now.
    pub(super) fn set(&self, content: Content) {
        self.0.replace(Some(Rc::new(content)));
    }

    /// What is known.
    pub(super) fn get(&self) -> Option<Rc<Content>> {
        self.0.borrow().clone()
    }
}

impl Content {
    /// One of ours for an answer that is too large, or coded, or has not come as a whole.
    pub(super) fn of(head: &ResponseHead<'_>, behind: &[u8]) -> Self {
        Self::kept(head, behind).unwrap_or_else(|| Self {
            status: KEYS_COOLING.status,
            reason: KEYS_COOLING.reason,
            media_type: "application/json".into(),
            body: error_content(&KEYS_COOLING).concat().into_bytes().into(),
        })
    }

    fn kept(head: &ResponseHead<'_>, behind: &[u8]) -> Option<Self> {
        if head.fields.named(b"Content-Encoding").next().is_some() {
            return None;
        }
        let mut reader = BodyReader::new(response_body_length(head, ResponseTo::Other).ok()?);
        let (mut body, mut rest) = (Vec::new(), behind);
        while !reader.is_finished() {
            let walk = reader.walk(rest).ok()?;
            walk.content(rest).for_each(|part| body.extend_from_slice(part));
            if walk.consumed == 0 || body.len() > KEY_REFUSAL_BYTES_MAX {
                return None;
            }
            rest = &rest[walk.consumed..];
        }
        let media_type = head.fields.values(FieldId::ContentType).next().unwrap_or_default();
        let (reason, media_type) = ("Too Many Requests", str::from_utf8(media_type).ok()?.into());
        Some(Self { status: 429, reason, media_type, body: body.into() })
    }
}
