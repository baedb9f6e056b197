//! The places of a request head in which clients send a credential.
//!
//! | place | whose credential |
//! |---|---|
//! | `Authorization: Bearer TOKEN`, or without a scheme | that of OpenAI's SDKs and most others |
//! | `x-api-key: TOKEN` | of Anthropic's |
//! | `api-key: TOKEN` | of Azure's |
//! | `x-goog-api-key: TOKEN`, `?key=TOKEN` | of Google's |
//! | `Sec-WebSocket-Protocol: openai-insecure-api-key.TOKEN` | of pages in a browser |
//! | `X-Narrows-Token: TOKEN` | of a client that has a key of the API besides |
//!
//! Everything there is a credential, whatever it looks like. Other places, such as cookies, are
//! none.

use super::query::{is_unreserved, parameters, percent_decoded};
use super::subprotocols::keys_of;
use crate::h1::field::FieldId;
use crate::h1::section::{FieldLine, FieldSection};
use alloc::borrow::Cow;
use memchr::memchr3;

/// Where a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the field line that starts at this position.
    Line(u32),
    /// In the parameter of the query with this number.
    Parameter(u32),
    /// In the field line that starts at this position, in the list element with this number among
    /// those that hold a key.
    Subprotocol(u32, u32),
}

/// One credential.
pub(super) struct Credential<'a> {
    pub(super) place: Place,
    /// As it came.
    pub(super) text: &'a [u8],
    /// As it is meant.
    value: Cow<'a, [u8]>,
    /// Whether a scheme may precede it (RFC 9110, section 11.4), of which Bearer alone has tokens.
    has_scheme: bool,
}

/// All credentials of a request, in the order of the head, and then those of the query.
pub(super) fn credentials<'f, 'a>(
    fields: &'f FieldSection<'a>,
    query: &'a [u8],
) -> impl Iterator<Item = Credential<'a>> + use<'f, 'a> {
    let may_hold_one = |line: &&FieldLine| {
        let is_list_or_ours = |id| matches!(id, FieldId::WebSocketProtocol | FieldId::NarrowsToken);
        line.id.is_some_and(|id| is_list_or_ours(id) || is_key_field(id))
    };
    let lines = fields.lines().iter().filter(may_hold_one);
    let in_fields = lines.flat_map(|line| in_line(fields, line));
    let in_query = (0..).zip(parameters(query)).filter(|(_, it)| it.is_key());
    let in_query = in_query.map(|(number, parameter)| Credential {
        place: Place::Parameter(number),
        text: parameter.value,
        value: percent_decoded(parameter.value),
        has_scheme: false,
    });
    in_fields.chain(in_query)
}

/// Those of a line that may hold one.
fn in_line<'a>(
    fields: &FieldSection<'a>,
    line: &FieldLine,
) -> impl Iterator<Item = Credential<'a>> + use<'a> {
    let value = fields.value(line);
    let (alone, list): (_, &[u8]) = match line.id {
        Some(FieldId::WebSocketProtocol) => (None, value),
        Some(_) | None => (Some(value), b""),
    };
    let has_scheme = matches!(line.id, Some(FieldId::Authorization | FieldId::NarrowsToken));
    let start = line.start;
    let alone = alone.map(|text| (Place::Line(start), text));
    let listed = (0..).zip(keys_of(list));
    let listed = listed.map(move |(number, text)| (Place::Subprotocol(start, number), text));
    alone.into_iter().chain(listed).map(move |(place, text)| Credential {
        place,
        text,
        value: Cow::Borrowed(text),
        has_scheme,
    })
}

/// Whether an API may expect its key in this field.
pub(super) fn is_key_field(id: FieldId) -> bool {
    matches!(id, FieldId::Authorization | FieldId::XApiKey | FieldId::ApiKey | FieldId::XGoogApiKey)
}

impl<'a> Credential<'a> {
    /// The words of it, without the scheme.
    pub(super) fn words(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(&*self.value);
        let words = core::iter::from_fn(move || {
            let text = rest?;
            let end = memchr3(b' ', b'\t', b',', text);
            rest = end.map(|end| &text[end + 1..]);
            Some(&text[..end.unwrap_or(text.len())])
        });
        words.filter(|word| !word.is_empty()).skip(usize::from(self.is_bearer()))
    }

    /// A single word as it is in a query. `None` if it would be another one there.
    pub(super) fn for_query(&self) -> Option<&'a [u8]> {
        let word = self.text.rsplit(|byte| matches!(byte, b' ' | b'\t')).next()?;
        let is_there = matches!(self.place, Place::Parameter(_));
        (is_there || word.iter().all(is_unreserved)).then_some(word)
    }

    fn is_bearer(&self) -> bool {
        const SCHEME: &[u8] = b"bearer";
        let begins = self.value.get(..SCHEME.len());
        self.has_scheme
            && begins.is_some_and(|it| it.eq_ignore_ascii_case(SCHEME))
            && matches!(self.value.get(SCHEME.len()), None | Some(b' ' | b'\t'))
    }
}
