//! The digest of a token, which is all that the configuration holds of it: [`TokenDigest`].
//!
//! A fast hash is enough, because a token has 256 random bits. What is not random is recognised
//! here, as far as it can be: the digest of a short text is refused.

use super::value::{Invalid, Value};
use aws_lc_rs::digest::{self, Context, Digest};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::str::FromStr;

/// What a token begins with, so that people and secret scanners recognise it.
pub const TOKEN_PREFIX: &str = "nrw_";
/// Digits of base62 in a token, after [`TOKEN_PREFIX`]: as many as 32 bytes need.
pub const TOKEN_DIGITS: usize = 43;

const DIGEST_PREFIX: &str = "sha256:";

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    /// The digest of `token`.
    pub fn of(token: &[u8]) -> Self {
        Self(sha256(token))
    }
}

/// The places of what looks like a token in `text`.
pub(super) fn clear_tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    /// A shorter one is not a token of ours, but perhaps a word about tokens.
    const DIGITS_MIN: usize = 20;
    text.match_indices(TOKEN_PREFIX).filter_map(|(at, prefix)| {
        let rest = &text[at + prefix.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        (digits >= DIGITS_MIN).then_some(at..at + prefix.len() + digits)
    })
}

/// Tokens that anyone would try, and what the text of each is in words.
pub(super) struct Guesses(Vec<(TokenDigest, &'static str)>);

impl Guesses {
    /// Those that are tokens. Takes some milliseconds for any number of them.
    pub(super) fn among(is_token: impl Fn(&TokenDigest) -> bool) -> Self {
        let mut guesses = Self(Vec::new());
        let mut add = |text: &str, what| guesses.add(text, what, &is_token);
        add("", "an empty text");
        for word in WORDS.split_ascii_whitespace() {
            add(word, "a word that everyone tries first");
        }
        let one = ('!'..='~').map(String::from);
        let letters = || ('0'..='z').filter(char::is_ascii_alphanumeric);
        let two = letters().flat_map(|one| letters().map(move |two| format!("{one}{two}")));
        let numbers = (100..1000).map(|it: u16| it.to_string());
        for short in one.chain(two).chain(numbers) {
            add(&short, "a text that is too short");
        }
        guesses
    }

    /// What the text with this digest is, if it can be guessed.
    pub(super) fn find(&self, token: &TokenDigest) -> Option<&'static str> {
        self.0.iter().find(|(other, _)| other == token).map(|(_, what)| *what)
    }

    /// Adds `text`, and the line that `echo` makes of it.
    fn add(&mut self, text: &str, what: &'static str, is_token: impl Fn(&TokenDigest) -> bool) {
        let both =
            [TokenDigest::of(text.as_bytes()), TokenDigest::of(format!("{text}\n").as_bytes())];
        self.0.extend(both.into_iter().filter(is_token).map(|token| (token, what)));
    }
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(text: &[u8]) -> [u8; 32] {
    bytes(&digest::digest(&digest::SHA256, text))
}

/// The same of what is read, in pieces.
///
/// # Errors
///
/// It cannot be read.
pub(super) fn sha256_of(from: impl Read) -> io::Result<[u8; 32]> {
    let (mut context, mut from) = (Context::new(&digest::SHA256), BufReader::new(from));
    loop {
        let piece = from.fill_buf()?;
        if piece.is_empty() {
            return Ok(bytes(&context.finish()));
        }
        context.update(piece);
        let read = piece.len();
        from.consume(read);
    }
}

fn bytes(digest: &Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// What people take for a token until they have a better one.
const WORDS: &str = "test token secret password passwd changeme change-me admin root user guest \
                       demo example hello default letmein qwerty 12345 123456 12345678 123456789 \
                       1234567890 abc abc123 key apikey api-key api_key narrows alice bob friend \
                       sk-test sk-1234 sk-123456 nrw_ nrw_test nrw_token";

impl Value for TokenDigest {
    const ALLOWED: &'static str =
        "\"sha256:\" and 64 hexadecimal digits are allowed; `narrows token NAME` prints both";
}

impl FromStr for TokenDigest {
    type Err = Invalid;

    /// No message repeats the text, which may be a token.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(hex) = text.strip_prefix(DIGEST_PREFIX) else {
            return Err(Invalid::new(instead_of_digest(text)));
        };
        let digits: Option<Vec<_>> = hex.bytes().map(hex_digit).collect();
        let Some(digits) = digits else {
            return Err(Invalid::new("what follows \"sha256:\" is not hexadecimal"));
        };
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            let what = format!("the digest has {} hexadecimal digits, and not 64", digits.len());
            return Err(Invalid::new(what));
        }
        if digits.iter().all(|digit| *digit == digits[0]) {
            return Err(Invalid::new("this is an example of a digest"));
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

/// What a text is that does not begin as a digest does.
fn instead_of_digest(text: &str) -> &'static str {
    let is_hex = !text.is_empty() && text.bytes().all(|it| it.is_ascii_hexdigit());
    if text.is_empty() {
        "the digest is empty"
    } else if text.starts_with(TOKEN_PREFIX) {
        "this is a token in clear text, and its digest is needed, so that no one who reads the \
         file can use it"
    } else if is_hex && text.len() == 64 {
        "\"sha256:\" is missing before the digest"
    } else if is_hex && [32, 40, 96, 128].contains(&text.len()) {
        "this is not a SHA-256, which has 64 hexadecimal digits"
    } else {
        "this is not a digest; a token is not written in clear text"
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DIGEST_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Without the digest: it identifies a token.
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, "abc".
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest: TokenDigest = ABC.parse().unwrap();
        assert_eq!((digest, digest.to_string().as_str()), (TokenDigest::of(b"abc"), ABC));
        let upper = format!("sha256:{}", ABC["sha256:".len()..].to_uppercase());
        assert_eq!(upper.parse(), Ok(digest));
    }

    #[test]
    fn what_is_not_a_digest_is_refused_and_not_repeated() {
        let hex = &ABC["sha256:".len()..];
        for (text, why) in [
            ("", "the digest is empty"),
            ("nrw_hunter2", "a token in clear text"),
            ("hunter2", "not written in clear text"),
            (hex, "\"sha256:\" is missing"),
            (&hex[..32], "not a SHA-256"),
            (&ABC[..ABC.len() - 1], "has 63 hexadecimal digits"),
            ("sha256:hunter2", "not hexadecimal"),
            (&format!("sha256:{}", "0".repeat(64)), "an example"),
            ("SHA256:hunter2", "not written in clear text"),
        ] {
            let message = text.parse::<TokenDigest>().unwrap_err().explain(TokenDigest::ALLOWED);
            assert!(message.contains(why), "{text}: {message}");
            assert!(!message.contains("hunter2") && !message.contains(&hex[..16]), "{message}");
        }
    }

    #[test]
    fn the_digest_of_what_can_be_guessed_is_recognised() {
        for text in ["", "\n", "test", "test\n", "changeme", "x", "x\n", "ab", "42", "123", "999"] {
            let token = TokenDigest::of(text.as_bytes());
            assert!(Guesses::among(|it| *it == token).find(&token).is_some(), "{text:?}");
        }
        let token = format!("{TOKEN_PREFIX}{}", "a1".repeat(20));
        let token = TokenDigest::of(token.as_bytes());
        assert_eq!(Guesses::among(|it| *it == token).find(&token), None);
    }
}
