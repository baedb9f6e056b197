//! What files of tokens and of API keys hold: one in each line ([`tokens`], [`keys`]).
//!
//! Blank lines and lines that begin with `#` are skipped. A message names the line, and never
//! repeats any of it.

use super::list_error::ListError;
use super::token_digest::{TOKEN_PREFIX, TokenDigest};
use std::path::Path;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Longest key, in bytes. The longest of well-known APIs have some 200.
const KEY_BYTES_MAX: usize = 4096;
/// Most keys of one file, and most tokens of one client.
const LINES_MAX: usize = 10_000;

/// The digests in a file, each with its line. There may be none: then the client has no token.
pub(super) fn tokens(file: &Path, bytes: &[u8]) -> Result<Vec<(u32, TokenDigest)>, ListError> {
    let digest = |(line, text): (u32, &[u8])| {
        let refuse = |what| ListError::Line(file.into(), line, what);
        if text.starts_with(TOKEN_PREFIX.as_bytes()) {
            return Err(refuse("this is a token in clear text; write its digest instead"));
        }
        let text = str::from_utf8(text).ok();
        let digest = text.and_then(|text| TokenDigest::from_str(text).ok());
        let digest = digest.ok_or_else(|| {
            refuse("this is not a digest; \"sha256:\" and 64 hexadecimal digits are allowed")
        })?;
        Ok((line, digest))
    };
    lines(file, bytes)?.into_iter().map(digest).collect()
}

/// The keys in a file, each with its line; at least one. And what is unusual.
pub(super) fn keys(file: &Path, bytes: &[u8]) -> Result<(Vec<Key>, Vec<String>), ListError> {
    let mut keys: Vec<Key> = Vec::new();
    let mut remarks = Vec::new();
    for (line, text) in lines(file, bytes)? {
        if let Some(what) = instead_of_key(text) {
            return Err(ListError::Line(file.into(), line, what));
        }
        match keys.iter().find(|(_, known)| **known == text) {
            Some((first, _)) => {
                remarks.push(format!("the key in line {line} is that of line {first} once more"));
            }
            None => keys.push((line, Zeroizing::new(text.to_vec()))),
        }
    }
    match keys.is_empty() {
        true => Err(ListError::whole(file, "holds no key; write one into each line")),
        false => Ok((keys, remarks)),
    }
}

/// A key and its line.
pub(super) type Key = (u32, Zeroizing<Vec<u8>>);

/// What is wrong with a text in place of a key, if anything is.
pub(super) fn instead_of_key(text: &[u8]) -> Option<&'static str> {
    let begins = |words: &[&str]| words.iter().any(|it| text.starts_with(it.as_bytes()));
    let holds = |word: &[u8]| text.windows(word.len()).any(|it| it.eq_ignore_ascii_case(word));
    if begins(&[TOKEN_PREFIX]) {
        return Some(
            "this is a token of narrows, which the API would be sent; its own key is needed",
        );
    }
    if begins(&["sha256:"]) {
        return Some("this is the digest of a token; the key of the API is needed");
    }
    if begins(&["-----"]) {
        return Some("this is a PEM file; the key of the API is needed, alone in its line");
    }
    if begins(&["{", "["]) {
        return Some("this is JSON; the key of the API is needed, alone in its line");
    }
    if begins(&["\"", "'"]) || text.ends_with(b"\"") || text.ends_with(b"'") {
        return Some("this has quotation marks; write the key without them");
    }
    if is_assignment(text) {
        return Some("this has the form NAME=KEY; write the key alone");
    }
    if begins(&["Bearer ", "bearer ", "Authorization", "authorization", "x-api-key:", "api-key:"]) {
        return Some("this is a field or its value; write the key alone, without Bearer");
    }
    if holds(b"...") || holds(b"your-") || holds(b"your_") || begins(&["<"]) {
        return Some("this is an example; the key of the API is needed");
    }
    if !text.iter().all(u8::is_ascii_graphic) {
        return Some("this has a blank, or a character that is not ASCII, which no key has");
    }
    (text.len() > KEY_BYTES_MAX).then_some("this is longer than 4096 bytes, as no key is")
}

/// Whether a text is one line of a file of variables. A key may end in the `=` of base64.
fn is_assignment(text: &[u8]) -> bool {
    let Some(at) = text.iter().position(|it| *it == b'=') else { return false };
    let (name, value) = (&text[..at], &text[at + 1..]);
    let is_name = name.iter().all(|it| it.is_ascii_uppercase() || b"_ ".contains(it));
    text.starts_with(b"export ") || is_name && !value.trim_ascii_start().is_empty()
}

/// The lines that hold something, without the blanks around it, and their numbers.
fn lines<'b>(file: &Path, bytes: &'b [u8]) -> Result<Vec<(u32, &'b [u8])>, ListError> {
    // Editors of Windows write a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err(ListError::whole(file, "is not text; save it as UTF-8"));
    }
    let numbered = (1..).zip(bytes.split(|it| *it == b'\n').map(|line| line.trim_ascii()));
    let said = numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    let lines: Vec<_> = said.take(LINES_MAX + 1).collect();
    if lines.len() > LINES_MAX {
        return Err(ListError::whole(file, "has more than 10000 lines"));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(text: &str) -> Result<Vec<(u32, String)>, String> {
        let keys = keys(Path::new("file"), text.as_bytes()).map_err(|it| it.to_string())?.0;
        let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
        Ok(keys.iter().map(|(line, key)| (*line, text(key))).collect())
    }

    #[test]
    fn keys_are_numbered_by_their_lines_and_comments_and_blanks_skipped() {
        let want = [(2, "sk-one".to_owned()), (5, "AIza==".to_owned())];
        assert_eq!(keys_of("# mine\nsk-one \r\n\n\t# old\n  AIza==\n").unwrap(), want);
        assert_eq!(keys_of("\u{feff}sk-one").unwrap(), [(1, "sk-one".to_owned())]);
        let (_, remarks) = keys(Path::new("file"), b"a1\nb2\na1\n").unwrap();
        assert_eq!(remarks, ["the key in line 3 is that of line 1 once more"]);
    }

    #[test]
    fn what_is_not_a_key_is_refused_by_its_line_and_not_repeated() {
        for (text, why) in [
            ("", "holds no key"),
            ("# sk-hunter2", "holds no key"),
            ("nrw_hunter2", "is a token of narrows"),
            ("sha256:hunter2", "the digest of a token"),
            ("-----BEGIN HUNTER2", "a PEM file"),
            ("{\"key\": \"hunter2\"}", "this is JSON"),
            ("\"sk-hunter2\"", "quotation marks"),
            ("OPENAI_API_KEY=sk-hunter2", "NAME=KEY"),
            ("export KEY=sk-hunter2", "NAME=KEY"),
            ("Bearer sk-hunter2", "without Bearer"),
            ("Authorization: Bearer sk-hunter2", "without Bearer"),
            ("sk-...hunter2", "an example"),
            ("<your key hunter2>", "an example"),
            ("sk hunter2", "a blank"),
            ("sk-hunter2\u{a0}", "not ASCII"),
            ("s\0k\0hunter2", "is not text"),
            (&"hunter2".repeat(1000), "longer than 4096"),
        ] {
            let message = keys_of(&format!("good1\n{text}")).unwrap_or_else(|_| Vec::new());
            let message = if message.is_empty() {
                keys_of(&format!("good1\n{text}")).unwrap_err()
            } else {
                keys_of(text).unwrap_err()
            };
            assert!(message.contains(why), "{text}: {message}");
            assert!(!message.to_lowercase().contains("hunter2"), "{message}");
            let has_line = why == "holds no key" || why == "is not text";
            assert!(has_line || message.starts_with("\"file\", line 2: "), "{message}");
        }
    }

    #[test]
    fn tokens_are_digests_and_there_may_be_none() {
        let of =
            |text: &str| tokens(Path::new("file"), text.as_bytes()).map_err(|it| it.to_string());
        let digest = TokenDigest::of(b"x");
        assert_eq!(of(&format!("# alice\n\n{digest}\n")).unwrap(), [(3, digest)]);
        assert_eq!(of("# none\n").unwrap(), []);
        for (text, why) in [("nrw_hunter2", "a token in clear text"), ("hunter2", "not a digest")] {
            let message = of(&format!("{digest}\n{text}")).unwrap_err();
            assert!(
                message.starts_with("\"file\", line 2: ") && message.contains(why),
                "{message}"
            );
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
