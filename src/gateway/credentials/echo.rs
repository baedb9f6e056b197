//! Keys that an upstream repeats in the head of a response: in a reference to itself
//! (`Location: /v1/files?key=KEY`), as the chosen subprotocol, or for no reason.

use super::query::percent_encoded;
use crate::gateway::access::{ApiKey, ApiKeys};
use alloc::borrow::Cow;
use bytes::{BufMut, BytesMut};
use memchr::memmem::find;
use memchr::{memchr, memchr_iter};

/// What a client finds instead of a key, if its token was somewhere else.
const NO_TOKEN: &[u8] = b"REDACTED";

/// Shortest key that is searched for. Real ones have 32 characters and more; a shorter word may be
/// in a head by chance.
const KEY_BYTES_MIN: usize = 6;

/// Replaces each of the `keys` in the head that `out` holds from `start` on by the `token` that was
/// in its place in the request; if that is empty, by a word.
pub fn hide_keys(out: &mut BytesMut, start: usize, keys: &ApiKeys, token: &[u8]) {
    let stand_in = if token.is_empty() { NO_TOKEN } else { token };
    let secrets = keys.iter().map(ApiKey::secret);
    for secret in secrets.filter(|secret| secret.len() >= KEY_BYTES_MIN) {
        replace(out, start, secret, stand_in);
        if memchr(b'%', &out[start..]).is_some()
            && let Cow::Owned(encoded) = percent_encoded(secret)
        {
            replace(out, start, &encoded, stand_in);
        }
    }
}

/// Replaces each `secret`, which is not empty.
fn replace(out: &mut BytesMut, start: usize, secret: &[u8], stand_in: &[u8]) {
    if !holds(&out[start..], secret) {
        return;
    }
    let head = out.split_off(start);
    let mut rest = &head[..];
    while let Some(at) = find(rest, secret) {
        out.put_slice(&rest[..at]);
        out.put_slice(stand_in);
        rest = &rest[at + secret.len()..];
    }
    out.put_slice(rest);
}

/// Whether `secret` is in `head`. To prepare a search takes longer than to search a head, so the
/// places of its last byte are tried: keys end in random letters, which are rare in heads.
fn holds(head: &[u8], secret: &[u8]) -> bool {
    let Some(last) = secret.last() else { return false };
    memchr_iter(*last, head).any(|at| head[..=at].ends_with(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, token: &str, want: &str) {
        let keys = [(1, b"AIza-one".to_vec().into()), (2, b"s/k+2345".to_vec().into())];
        let keys = [&keys[..], &[(3, b"short".to_vec().into())]].concat();
        let keys = ApiKeys::new(keys).unwrap();
        let mut out = BytesMut::from(format!("AIza-one{head}").as_bytes());
        hide_keys(&mut out, "AIza-one".len(), &keys, token.as_bytes());
        assert_eq!(str::from_utf8(&out).unwrap(), format!("AIza-one{want}"));
    }

    #[test]
    fn a_key_that_comes_back_is_what_the_client_has_sent() {
        check("Location: /a?key=AIza-one&b\r\n", "nrw_1", "Location: /a?key=nrw_1&b\r\n");
        check("A: AIza-one,AIza-one\r\nB: AIza-on", "nrw_1", "A: nrw_1,nrw_1\r\nB: AIza-on");
        check("A: s/k+2345 or s%2Fk%2B2345\r\n", "nrw_1", "A: nrw_1 or nrw_1\r\n");
        check("A: AIza-one\r\n", "", "A: REDACTED\r\n");
        check("A: short\r\n", "nrw_1", "A: short\r\n");
    }
}
