//! Keys in `Sec-WebSocket-Protocol` (RFC 6455, section 11.3.4): a list of subprotocols, of which
//! one may be `openai-insecure-api-key.KEY`, as OpenAI's SDK offers it in a browser.

use crate::h1::token::list_elements;
use bytes::{BufMut, BytesMut};

const PREFIX: &[u8] = b"openai-insecure-api-key.";

/// What becomes of an element that holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementEdit<'a> {
    Keep,
    Drop,
    /// The same prefix with this key.
    Key(&'a [u8]),
}

/// The keys that the elements of the list hold.
pub(super) fn keys_of(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list_elements(list).filter_map(|element| Some(split(element)?.1))
}

/// The prefix as it came, and the key. Subprotocols are compared by case, but a server that does
/// not would see a credential here.
fn split(element: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, key) = element.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some((prefix, key))
}

/// Whether what follows `text` in a list is a key.
pub(super) fn precedes_key(text: &[u8]) -> bool {
    let prefix = text.len().checked_sub(PREFIX.len()).and_then(|start| text.get(start..));
    prefix.is_some_and(|it| it.eq_ignore_ascii_case(PREFIX))
}

/// Appends the list with edits of the elements that hold a key, by their number among these.
pub(super) fn put_list<'a>(out: &mut BytesMut, list: &[u8], edit: impl Fn(u32) -> ElementEdit<'a>) {
    let (mut keys, mut is_first) = (0, true);
    for element in list_elements(list) {
        let (kept, key) = match split(element) {
            None => (element, &b""[..]),
            Some((prefix, _)) => {
                keys += 1;
                match edit(keys - 1) {
                    ElementEdit::Keep => (element, &b""[..]),
                    ElementEdit::Drop => continue,
                    ElementEdit::Key(key) => (prefix, key),
                }
            }
        };
        if !is_first {
            out.put_slice(b", ");
        }
        is_first = false;
        out.put_slice(kept);
        out.put_slice(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_wherever_they_are_in_the_list() {
        for (list, want) in [
            ("realtime, openai-insecure-api-key.a, openai-beta.realtime-v1", &["a"][..]),
            ("openai-insecure-api-key.a,OpenAI-Insecure-API-Key.b.c", &["a", "b.c"]),
            (" , openai-insecure-api-key. ,", &[""]),
            ("openai-insecure-api-key, xopenai-insecure-api-key.a, realtime", &[]),
        ] {
            let keys: Vec<_> =
                keys_of(list.as_bytes()).map(|it| str::from_utf8(it).unwrap()).collect();
            assert_eq!(keys, want, "{list}");
        }
    }

    #[test]
    fn other_elements_stay_in_their_order() {
        let list = b"a,openai-insecure-api-key.1 ,\tb, openai-insecure-api-key.2,,c";
        for (edits, want) in [
            ([ElementEdit::Drop, ElementEdit::Drop], "a, b, c"),
            ([ElementEdit::Key(b"k"), ElementEdit::Drop], "a, openai-insecure-api-key.k, b, c"),
            (
                [ElementEdit::Keep, ElementEdit::Key(b"k")],
                "a, openai-insecure-api-key.1, b, openai-insecure-api-key.k, c",
            ),
        ] {
            let mut out = BytesMut::new();
            put_list(&mut out, list, |number| edits[number as usize]);
            assert_eq!(out, want.as_bytes());
        }
        let mut out = BytesMut::new();
        put_list(&mut out, b"openai-insecure-api-key.1", |_| ElementEdit::Drop);
        assert!(out.is_empty());
    }
}
