//! What TLS may read from a client during its handshake: `ReadLimit`. Pure.
//!
//! An incomplete message is held for as long as its peer likes, so the bytes that may arrive are
//! limited. And the first bytes may be a request in plain HTTP: TLS must not see those, so that its
//! client can be answered in plain HTTP.

use crate::h1::partial_head::{begins_request, may_be_head};
use std::io::ErrorKind;

/// A request that came without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainHttp {
    /// By its first bytes it may be a HEAD, whose answer has no content.
    pub may_be_head: bool,
}

/// A limit on what is read, and a check of the first bytes. There is none at first.
#[derive(Debug)]
pub(super) struct ReadLimit {
    /// How many more bytes may be read.
    left: u32,
    first: First,
}

/// What is known of the first bytes, if they should be TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// They may be anything, or have been checked.
    Anything,
    /// They are still to come.
    Awaited,
    /// They begin a request in plain HTTP.
    PlainHttp(PlainHttp),
}

impl ReadLimit {
    const UNLIMITED: u32 = u32::MAX;

    /// No limit.
    pub(super) const NONE: Self = Self { left: Self::UNLIMITED, first: First::Anything };

    /// Lets no more than `len` bytes be read from now on.
    pub(super) fn set(&mut self, len: u32) {
        self.left = len;
    }

    /// Whether there is a limit.
    pub(super) fn is_set(&self) -> bool {
        self.left != Self::UNLIMITED
    }

    /// Makes the first bytes an error if they begin a request in plain HTTP.
    pub(super) fn refuse_plain_http(&mut self) {
        self.first = First::Awaited;
    }

    /// The request in plain HTTP, if one came. From then on nothing is limited.
    pub(super) fn take_plain_http(&mut self) -> Option<PlainHttp> {
        let First::PlainHttp(request) = self.first else { return None };
        *self = Self::NONE;
        Some(request)
    }

    /// Checks what was read last. An error once means an error from then on, because the bytes are
    /// lost.
    ///
    /// # Errors
    /// `InvalidData` if it is beyond the limit, or begins a request in plain HTTP.
    pub(super) fn check(&mut self, read: &[u8]) -> Result<(), ErrorKind> {
        let left = u32::try_from(read.len()).ok().and_then(|len| self.left.checked_sub(len));
        self.left = left.unwrap_or(0);
        left.ok_or(ErrorKind::InvalidData)?;
        if self.first == First::Awaited && !read.is_empty() {
            self.first = First::Anything;
            if begins_request(read) {
                self.first = First::PlainHttp(PlainHttp { may_be_head: may_be_head(read) });
                return Err(ErrorKind::InvalidData);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_more_than_the_limit_is_an_error_and_so_is_every_byte_after_it() {
        let mut limit = ReadLimit::NONE;
        assert!(!limit.is_set());
        limit.set(5);
        assert_eq!(limit.check(b"hello"), Ok(()));
        assert!(limit.is_set());
        limit.set(3);
        assert_eq!(limit.check(b"four"), Err(ErrorKind::InvalidData));
        assert_eq!(limit.check(b"x"), Err(ErrorKind::InvalidData));
    }

    #[test]
    fn only_the_first_bytes_may_be_plain_http() {
        let first = |bytes: &[&[u8]]| {
            let mut limit = ReadLimit::NONE;
            limit.set(100);
            limit.refuse_plain_http();
            let checked = bytes.iter().try_for_each(|bytes| limit.check(bytes));
            (checked.is_err(), limit.take_plain_http(), limit.is_set())
        };
        let request = |may_be_head| Some(PlainHttp { may_be_head });
        assert_eq!(first(&[b"GET / HTTP/1.1\r\n"]), (true, request(false), false));
        assert_eq!(first(&[b"", b"HEAD / HTTP/1.1\r\n"]), (true, request(true), false));
        assert_eq!(first(&[b"\x16\x03\x01", b"GET / HTTP/1.1\r\n"]), (false, None, true));
    }
}
