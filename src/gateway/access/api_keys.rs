//! The keys of an upstream's API.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroizing;

/// The field in which an API expects its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyField {
    /// `Authorization: Bearer KEY` (RFC 6750, section 2.1).
    #[default]
    Authorization,
    /// `x-api-key: KEY`.
    XApiKey,
    /// `api-key: KEY`.
    ApiKey,
    /// `x-goog-api-key: KEY`.
    XGoogApiKey,
}

/// A key. It is overwritten when it is dropped, and shown nowhere.
#[derive(PartialEq, Eq)]
pub struct ApiKey {
    /// Its line in the file, from 1: what is said of it in the log.
    pub line: u32,
    secret: Zeroizing<Vec<u8>>,
}

/// The keys of one route, in the order of the file; at least one.
#[derive(PartialEq, Eq)]
pub struct ApiKeys(Box<[ApiKey]>);

/// Why keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKeys {
    /// There are none.
    Missing,
    /// The key in this line is empty, or has a byte that is not visible ASCII, so that it cannot be
    /// a word of a field value.
    Malformed(u32),
}

impl KeyField {
    /// The name of the field.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorization => "Authorization",
            Self::XApiKey => "x-api-key",
            Self::ApiKey => "api-key",
            Self::XGoogApiKey => "x-goog-api-key",
        }
    }

    /// What precedes the key in the field's value.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Authorization => "Bearer ",
            Self::XApiKey | Self::ApiKey | Self::XGoogApiKey => "",
        }
    }
}

impl ApiKey {
    /// Its bytes: visible ASCII, at least one.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl ApiKeys {
    /// The keys of a file, each with its line.
    ///
    /// # Errors
    /// There is none, or one of them is malformed.
    pub fn new(keys: Vec<(u32, Zeroizing<Vec<u8>>)>) -> Result<Self, BadKeys> {
        let is_word = |it: &[u8]| !it.is_empty() && it.iter().all(u8::is_ascii_graphic);
        if let Some((line, _)) = keys.iter().find(|(_, secret)| !is_word(secret)) {
            return Err(BadKeys::Malformed(*line));
        }
        let keys: Box<[_]> =
            keys.into_iter().map(|(line, secret)| ApiKey { line, secret }).collect();
        if keys.is_empty() { Err(BadKeys::Missing) } else { Ok(Self(keys)) }
    }

    /// The key to send. `None` cannot happen: there is at least one.
    pub fn in_use(&self) -> Option<&ApiKey> {
        self.0.first()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ApiKey> {
        self.0.iter()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key in line {}", self.line)
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(lines: &[(u32, &[u8])]) -> Result<ApiKeys, BadKeys> {
        ApiKeys::new(lines.iter().map(|(line, key)| (*line, key.to_vec().into())).collect())
    }

    #[test]
    fn the_first_key_is_in_use() {
        let keys = keys(&[(3, b"sk-one"), (7, b"sk-two")]).unwrap();
        let in_use = keys.in_use().unwrap();
        assert_eq!((in_use.line, in_use.secret()), (3, &b"sk-one"[..]));
        assert_eq!(keys.iter().map(|it| it.line).collect::<Vec<_>>(), [3, 7]);
    }

    #[test]
    fn a_key_that_could_end_its_field_or_add_a_word_to_it_is_refused() {
        assert_eq!(keys(&[]), Err(BadKeys::Missing));
        for bad in [&b""[..], b" ", b"a b", b"a\r\nHost: b", b"a\n", b"a\0", b"\xc3\xa4", b"a\x7f"]
        {
            assert_eq!(keys(&[(1, b"good"), (2, bad)]), Err(BadKeys::Malformed(2)), "{bad:?}");
        }
    }

    #[test]
    fn what_is_shown_of_keys_is_their_lines() {
        let shown = format!("{:?}", keys(&[(3, b"sk-one"), (7, b"sk-two")]).unwrap());
        assert_eq!(shown, "[the key in line 3, the key in line 7]");
    }
}
