//! What no one may read in a log, a metric, a page or an error: the keys and tokens of tests.
//!
//! Every one of them carries a mark, so that it is recognised wherever it comes out, and in
//! whatever test. [`relay`](crate::relay) runs each relay at `trace` and searches all that it
//! writes, panics too.

/// What keys and tokens have in them, in any case, where no letter or digit precedes it.
const MARKS: [&str; 4] = ["sk-", "nrw_", "canary", "private key-----"];

/// The first secret in `text`, if there is one.
pub fn found_in(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let starts = MARKS.iter().flat_map(|mark| lower.match_indices(mark));
    let mut starts = starts.map(|(at, _)| at).filter(|at| !follows_word(&lower, *at));
    let secret = &text[starts.next()?..];
    Some(secret.split(|it: char| it.is_whitespace() || "\"'&,;".contains(it)).next().unwrap_or(""))
}

/// Asserts that there is none in `text`, which anyone may read.
#[track_caller]
pub fn assert_none(text: &str) {
    if let Some(secret) = found_in(text) {
        panic!("a secret, {secret:?}, is in {text:?}");
    }
}

fn follows_word(text: &str, at: usize) -> bool {
    text[..at].ends_with(|it: char| it.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_secret_is_found_in_a_line_and_words_like_them_are_not() {
        for (text, want) in [
            ("a=\"sk-1\" b", Some("sk-1")),
            ("?key=NRW_abc&c", Some("NRW_abc")),
            ("AIza-Canary-1", Some("Canary-1")),
            ("-----BEGIN PRIVATE KEY-----", Some("PRIVATE")),
            ("task-1 disk-full risk-", None),
            ("", None),
        ] {
            assert_eq!(found_in(text), want, "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "a secret, \"sk-1\"")]
    fn a_secret_that_came_out_fails_the_test() {
        assert_none("reason=\"sk-1\"");
    }
}
