//! The same request with another key of the API.

use super::query::percent_encoded;
use super::subprotocols::precedes_key;
use crate::gateway::access::ApiKey;
use crate::h1::token::is_token;
use alloc::borrow::Cow;
use bytes::{BufMut, BytesMut};
use memchr::memmem::{find, find_iter};

/// Puts `next` in place of `before` in the head of a request that was sent: as a word, or in its
/// query. False, and nothing has changed, if that key is not in the head exactly once, or `next`
/// cannot be where it is: in a subprotocol, which is a token.
pub fn put_other_key(sent: &mut BytesMut, before: &ApiKey, next: &ApiKey) -> bool {
    let Some(end) = find(sent, b"\r\n\r\n") else { return false };
    let line = find(sent, b"\r\n").unwrap_or(end);
    let keys = [before, next].map(ApiKey::secret);
    let [before, next] = match find(&sent[..line], &percent_encoded(before.secret())) {
        Some(_in_query) => keys.map(percent_encoded),
        None => keys.map(Cow::Borrowed),
    };
    let mut places = find_iter(&sent[..end], &before);
    let (Some(at), None) = (places.next(), places.next()) else { return false };
    if precedes_key(&sent[..at]) && !is_token(&next) {
        return false;
    }
    let behind = sent.split_off(at);
    sent.put_slice(&next);
    sent.put_slice(&behind[before.len()..]);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::access::ApiKeys;

    #[track_caller]
    fn check(keys: [&str; 2], sent: &str, want: Option<&str>) {
        let keys = (1..).zip(keys).map(|(line, key)| (line, key.as_bytes().to_vec().into()));
        let keys = ApiKeys::new(keys.collect()).unwrap();
        let [one, other] = [0, 1].map(|place| keys.iter().nth(place).unwrap());
        let mut bytes = BytesMut::from(sent);
        assert_eq!(put_other_key(&mut bytes, one, other), want.is_some(), "{sent:?}");
        assert_eq!(&bytes, want.unwrap_or(sent).as_bytes());
    }

    #[test]
    fn the_key_is_replaced_where_it_was() {
        check(
            ["sk-1", "sk-other"],
            "POST / HTTP/1.1\r\nAuthorization: Bearer sk-1\r\nA: b\r\n\r\nsk-1",
            Some("POST / HTTP/1.1\r\nAuthorization: Bearer sk-other\r\nA: b\r\n\r\nsk-1"),
        );
        check(
            ["a/b+c", "d/e"],
            "GET /?key=a%2Fb%2Bc&x HTTP/1.1\r\n\r\n",
            Some("GET /?key=d%2Fe&x HTTP/1.1\r\n\r\n"),
        );
        check(
            ["a/b+c", "d/e"],
            "GET / HTTP/1.1\r\nx-api-key: a/b+c\r\n\r\n",
            Some("GET / HTTP/1.1\r\nx-api-key: d/e\r\n\r\n"),
        );
    }

    #[test]
    fn in_a_query_the_next_key_is_encoded_whatever_the_one_before_it_was() {
        check(
            ["sk-1", "a&b"],
            "GET /?key=sk-1&x HTTP/1.1\r\n\r\n",
            Some("GET /?key=a%26b&x HTTP/1.1\r\n\r\n"),
        );
        check(
            ["a/b", "sk-1"],
            "GET /a/b?key=a%2Fb HTTP/1.1\r\n\r\n",
            Some("GET /a/b?key=sk-1 HTTP/1.1\r\n\r\n"),
        );
    }

    #[test]
    fn in_a_subprotocol_only_a_token_can_be_the_next_key() {
        let offer = |key: &str| {
            format!(
                "GET / HTTP/1.1\r\nSec-WebSocket-Protocol: a, OpenAI-insecure-api-key.{key}\r\n\r\n"
            )
        };
        check(["sk-1", "sk-2"], &offer("sk-1"), Some(&offer("sk-2")));
        for other in ["a,b", "a/b", "a=="] {
            check(["sk-1", other], &offer("sk-1"), None);
        }
    }

    #[test]
    fn a_key_that_is_not_there_once_is_not_replaced() {
        check(["sk-1", "sk-2"], "GET / HTTP/1.1\r\nA: b\r\n\r\nsk-1", None);
        check(["sk-1", "sk-2"], "GET / HTTP/1.1\r\nA: sk-1\r\nB: sk-1\r\n\r\n", None);
        check(["sk-1", "sk-2"], "GET / HTTP/1.1\r\nA: sk-1\r\n", None);
    }
}
