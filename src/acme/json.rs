//! Reading what a CA writes: fields of JSON, and text for an operator.

use super::message::checked_url;
use serde_json::Value;

/// The member of an object, if it is a string.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

/// The member of an object, if it is a URL that we would use.
pub(super) fn url(value: &Value, name: &str) -> Option<String> {
    checked_url(text(value, name)?).map(str::to_owned)
}

/// The elements of a member; none if it is not an array.
pub(super) fn array<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text of a CA for one line of a log: printable ASCII, at most `max` characters. What is not
/// printable is escaped, and the tokens of challenges are left out.
pub(super) fn shown(text: &str, max: usize) -> String {
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    let mut shown = String::new();
    // Escapes make it longer, never shorter.
    for part in text.split_inclusive(|it| !is_word(it)) {
        let word = part.trim_end_matches(|it| !is_word(it));
        shown.push_str(if may_be_token(word) { OMISSION } else { word });
        for other in part[word.len()..].chars() {
            match other {
                '\n' | '\r' | '\t' => shown.push(' '),
                ' '..='~' => shown.push(other),
                _ => shown.extend(other.escape_unicode()),
            }
        }
        if shown.len() > max {
            shown.truncate(max - OMISSION.len());
            return shown + OMISSION;
        }
    }
    shown
}

const OMISSION: &str = "...";

/// Whether a word is as long and as mixed as a token, which no host name and no heading is.
fn may_be_token(word: &str) -> bool {
    /// A token has 128 bits at least (RFC 8555, section 8).
    const TOKEN_CHARS_MIN: usize = 22;
    word.len() >= TOKEN_CHARS_MIN
        && word.contains(|it: char| it.is_ascii_uppercase())
        && word.contains(|it: char| it.is_ascii_lowercase())
        && word.contains(|it: char| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_of_a_ca_becomes_one_printable_line_of_bounded_length() {
        assert_eq!(shown("DNS problem: no\nrecord", 40), "DNS problem: no record");
        assert_eq!(shown("a\u{1b}[31mb", 40), "a\\u{1b}[31mb");
        assert_eq!(shown("naïve", 40), "na\\u{ef}ve");
        assert_eq!(shown("0123456789", 10), "0123456789");
        assert_eq!(shown("0123456789a", 10), "0123456...");
        assert_eq!(shown(&"\u{10ffff}".repeat(1000), 30).len(), 30);
    }

    #[test]
    fn tokens_in_a_text_of_a_ca_are_left_out() {
        let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
        let text = format!("http://a.example/.well-known/acme-challenge/{token}: \"404\"");
        let want = "http://a.example/.well-known/acme-challenge/...: \"404\"";
        assert_eq!(shown(&text, 200), want);
    }

    #[test]
    fn members_of_another_type_are_as_if_they_were_missing() {
        let value = json!({ "a": 1, "b": "http://x/", "c": "https://x/", "d": {} });
        assert_eq!(text(&value, "a"), None);
        assert_eq!(url(&value, "b"), None);
        assert_eq!(url(&value, "c").as_deref(), Some("https://x/"));
        assert!(array(&value, "d").is_empty() && array(&json!(1), "d").is_empty());
    }
}
