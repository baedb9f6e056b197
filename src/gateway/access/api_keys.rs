//! The keys of an upstream's API.

use crate::limits::{KEY_REST_MAX, KEYS_MAX};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// The place of a key in its file, from 1; 0: none. An exchange has three of them.
pub(super) type Place = u8;

/// Not used until a reload, or until its file changes.
const OUT: u64 = u64::MAX;

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
pub struct ApiKey {
    /// Its line in the file, from 1: what is said of it in the log.
    pub line: u32,
    /// Its place among the keys of the file, from 1 to [`KEYS_MAX`].
    pub(super) place: Place,
    /// From when it may be used, in seconds since 1970-01-01 (UTC); 0: at once. All workers see it.
    usable_from: AtomicU64,
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
    /// There are more than [`KEYS_MAX`].
    TooMany,
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

    fn usable_from(&self) -> u64 {
        self.usable_from.load(Ordering::Relaxed)
    }

    fn is_out(&self) -> bool {
        self.usable_from() == OUT
    }

    fn is_usable(&self, clock: &impl Fn() -> u64) -> bool {
        match self.usable_from() {
            0 => true,
            OUT => false,
            from => {
                let now = clock();
                // A clock that was set back must not let it rest for longer than it may.
                from <= now || from > now.saturating_add(KEY_REST_MAX.as_secs())
            }
        }
    }

    /// Lets it rest. False: it rested already.
    pub(super) fn rest_for(&self, seconds: u64, clock: &impl Fn() -> u64) -> bool {
        let was_usable = self.is_usable(clock);
        self.usable_from.fetch_max(clock().saturating_add(seconds), Ordering::Relaxed);
        was_usable
    }

    /// Puts it out of use. False: it was already.
    pub(super) fn put_out(&self) -> bool {
        self.usable_from.swap(OUT, Ordering::Relaxed) != OUT
    }
}

impl ApiKeys {
    /// The keys of a file, each with its line.
    ///
    /// # Errors
    /// There is none, one of them is malformed, or they are too many.
    pub fn new(keys: Vec<(u32, Zeroizing<Vec<u8>>)>) -> Result<Self, BadKeys> {
        let is_word = |it: &[u8]| !it.is_empty() && it.iter().all(u8::is_ascii_graphic);
        if let Some((line, _)) = keys.iter().find(|(_, secret)| !is_word(secret)) {
            return Err(BadKeys::Malformed(*line));
        }
        if keys.len() > KEYS_MAX {
            return Err(BadKeys::TooMany);
        }
        let key = |(place, (line, secret))| ApiKey { line, place, usable_from: 0.into(), secret };
        let keys: Box<[_]> = (1..=u8::MAX).zip(keys).map(key).collect();
        if keys.is_empty() { Err(BadKeys::Missing) } else { Ok(Self(keys)) }
    }

    /// The key for a new request. `clock` gives the seconds since 1970-01-01 (UTC).
    pub fn in_use(&self, clock: impl Fn() -> u64) -> Option<&ApiKey> {
        let usable = self.usable_behind(0, &clock);
        usable
            .or_else(|| self.iter().filter(|it| !it.is_out()).min_by_key(|it| it.usable_from()))
            .or_else(|| self.iter().next())
    }

    /// For how many seconds all keys that are not out rest; `None`: one is usable, or all are out.
    pub fn rest(&self, clock: impl Fn() -> u64) -> Option<u64> {
        if self.usable_behind(0, &clock).is_some() {
            return None;
        }
        let first = self.iter().map(ApiKey::usable_from).filter(|it| *it != OUT).min()?;
        Some(first.saturating_sub(clock()).max(1))
    }

    /// Lets keys rest for as long as the same ones in `before` do.
    pub fn rest_as(&self, before: &Self) {
        for key in self.iter() {
            let same = before.iter().find(|it| it.secret() == key.secret() && !it.is_out());
            if let Some(same) = same {
                key.usable_from.store(same.usable_from(), Ordering::Relaxed);
            }
        }
    }

    /// Lets those that were out be tried again.
    pub fn forgive(&self) {
        for key in self.iter().filter(|key| key.is_out()) {
            key.usable_from.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn usable_behind(&self, place: Place, clock: &impl Fn() -> u64) -> Option<&ApiKey> {
        self.iter().skip(place.into()).find(|it| it.is_usable(clock))
    }

    pub(super) fn at(&self, place: Place) -> Option<&ApiKey> {
        self.iter().nth(usize::from(place).checked_sub(1)?)
    }

    /// Whether there is another one to go on with.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ApiKey> {
        self.0.iter()
    }
}

/// The same key in the same place, whether it may be used now or not.
impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        (self.line, &self.secret) == (other.line, &other.secret)
    }
}

impl Eq for ApiKey {}

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
    fn keys_are_known_by_their_lines() {
        let keys = keys(&[(3, b"sk-one"), (7, b"sk-two")]).unwrap();
        let all = keys.iter().map(|it| (it.line, it.place, it.secret())).collect::<Vec<_>>();
        assert_eq!(all, [(3, 1, &b"sk-one"[..]), (7, 2, b"sk-two")]);
    }

    #[test]
    fn more_keys_than_a_request_can_remember_are_refused() {
        let many = |count: usize| keys(&vec![(1, &b"a"[..]); count]);
        assert!(many(KEYS_MAX).is_ok());
        assert_eq!(many(KEYS_MAX + 1), Err(BadKeys::TooMany));
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
