//! Bytes, words and verdicts.

/// What the beginning of some bytes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::fuzzing) enum Verdict<T> {
    /// Nothing that could follow would make it right.
    Bad,
    /// Right so far.
    Partial,
    /// Right, and complete.
    Whole(T),
}

impl<T> Verdict<T> {
    /// What is complete.
    pub(in crate::fuzzing) fn whole(self) -> Option<T> {
        match self {
            Self::Bad | Self::Partial => None,
            Self::Whole(it) => Some(it),
        }
    }
}

/// `1*DIGIT` in 64 bits.
pub(in crate::fuzzing) fn number(digits: &[u8]) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    text(digits).parse().ok().filter(|_| are_digits)
}

pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_tchar)
}

pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

/// What may be in a value or a reason phrase: `HTAB / SP / VCHAR / obs-text`.
pub(super) fn is_field_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The bytes as text, for comparing and for messages.
pub(in crate::fuzzing) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
