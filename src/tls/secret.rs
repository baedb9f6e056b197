//! What may be a secret in the wrong place, and is not shown: [`may_be_secret`].

use std::fmt;
use std::path::Path;

/// Beginnings of the keys of well-known APIs.
const API_KEY_BEGINNINGS: &[&str] =
    &["sk-", "sk_", "gsk_", "ghp_", "AIza", "xai-", "nrw_", "Bearer "];

/// Whether a text in a place where a key does not belong holds one, or a part of one: the hyphens
/// of PEM, a long run of base64, also after the name of a folder, or the key of an API.
pub fn may_be_secret(text: &str) -> bool {
    let is_blank = |it: char| it.is_whitespace() || it == '\\';
    let is_base64 = |it: char| it.is_ascii_alphanumeric() || "+/=".contains(it);
    let joined: String = text.chars().filter(|it| !is_blank(*it)).collect();
    text.contains("-----")
        || joined.split(|it| !is_base64(it)).any(is_much_base64)
        || API_KEY_BEGINNINGS.iter().any(|begin| holds_api_key(text, begin))
}

/// Whether `text` holds a word that begins like this, and is as long and mixed as a key.
fn holds_api_key(text: &str, begin: &str) -> bool {
    /// The shortest keys have 32 characters after their beginning.
    const REST_CHARS_MIN: usize = 20;
    text.match_indices(begin).any(|(at, _)| {
        let is_in_key = |it: &char| it.is_ascii_alphanumeric() || "-_".contains(*it);
        let before = text[..at].chars().next_back();
        let rest: String = text[at + begin.len()..].chars().take_while(is_in_key).collect();
        before.is_none_or(|it| !it.is_ascii_alphanumeric())
            && rest.len() >= REST_CHARS_MIN
            && rest.contains(|it: char| it.is_ascii_digit())
    })
}

/// The name of a file in quotes. A text that may be a secret is not shown: people write a key where
/// its file belongs.
pub(crate) struct FileName<'p>(pub(crate) &'p Path);

impl fmt::Display for FileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        if may_be_secret(&text) {
            f.write_str("this looks like a key, and not like the name of a file; it")
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

/// Whether a run of base64 is too long and too mixed for the words of a path, which have few
/// capitals and digits.
fn is_much_base64(text: &str) -> bool {
    /// A line of a key has 64 of them; the last line of a short key is not a key.
    const BASE64_CHARS_MIN: usize = 48;
    let count = |of: fn(&u8) -> bool| text.bytes().filter(of).count();
    text.len() >= BASE64_CHARS_MIN
        && count(u8::is_ascii_uppercase) >= 5
        && count(u8::is_ascii_digit) >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::KEY;

    #[test]
    fn the_name_of_a_file_is_shown_and_a_key_in_its_place_is_not() {
        let shown = |text: &str| FileName(Path::new(text)).to_string();
        let name = "/etc/letsencrypt/live/relay.example.com-0001/fullchain.pem";
        assert_eq!(shown(name), format!("{name:?}"));
        let line = KEY.lines().nth(1).unwrap();
        for secret in [KEY, line, &format!("/etc/{line}"), &KEY.replace('\n', "\\n")] {
            assert!(may_be_secret(secret), "{secret}");
            assert!(!shown(secret).contains(&line[..16]));
        }
        for key in ["sk-proj-0123456789abcdefghij", "a = \"sk-ant-0123456789abcdefghij\""] {
            assert!(may_be_secret(key), "{key}");
        }
        for word in
            ["/task-0123456789abcdefghij/", "sk-relay-01.example.com", "/sk-and-words-only-in-it/"]
        {
            assert!(!may_be_secret(word), "{word}");
        }
    }
}
