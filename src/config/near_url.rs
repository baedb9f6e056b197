//! URLs as people write them: [`meant`] finds what was probably meant.
//!
//! Text in, text out: whether the result is valid is for the caller to see (`url`).

use super::problem::nearest;

/// Ends of paths that name one endpoint of an API. What comes before is the same for all of them.
const ENDPOINTS: &[&str] = &[
    "/chat/completions",
    "/completions",
    "/responses",
    "/embeddings",
    "/messages",
    "/models",
    "/images/generations",
    "/audio/transcriptions",
];

/// The URL that `text` probably means, without what it must not have, and with what it lacks.
pub(super) fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (near_scheme(scheme)?, rest),
        None => without_scheme(text),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let path = endpoint(path)
        .map_or(path, |endpoint| path.trim_end_matches('/').strip_suffix(endpoint).unwrap_or(path));
    let path = path.trim_end_matches('*');
    // A port that comes after the slash.
    let port = path.trim_matches('/').strip_prefix(':');
    let is_port = |it: &&str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    let (authority, path) = match port.filter(is_port) {
        Some(port) => (format!("{authority}:{port}"), ""),
        None => (authority.to_owned(), path),
    };
    let slash = if path.ends_with('/') { "" } else { "/" };
    Some(format!("{scheme}://{authority}{path}{slash}"))
}

/// The endpoint of an API that a path ends with.
pub(super) fn endpoint(path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches('/');
    ENDPOINTS.iter().copied().find(|endpoint| path.ends_with(endpoint))
}

fn near_scheme(scheme: &str) -> Option<&'static str> {
    match scheme.trim().to_ascii_lowercase().as_str() {
        "ws" => Some("http"),
        "wss" | "tls" | "ssl" => Some("https"),
        other => nearest(other, ["https", "http"])
            .filter(|it| other.starts_with('h') && other.ends_with('s') == it.ends_with('s')),
    }
}

/// The scheme of a URL without one, and the rest: plain HTTP on this machine, else HTTPS.
fn without_scheme(text: &str) -> (&'static str, &str) {
    for scheme in ["https", "http"] {
        let rest = text.strip_prefix(scheme).map(|rest| rest.trim_start_matches([':', '/', '\\']));
        if let Some(rest) = rest.filter(|rest| rest.len() < text.len() - scheme.len()) {
            return (scheme, rest);
        }
    }
    let host = text.split([':', '/']).next().unwrap_or(text);
    let is_here = host == "localhost" || host.starts_with("127.") || text.starts_with("[::1]");
    (if is_here { "http" } else { "https" }, text.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added_and_what_is_too_much_is_left_out() {
        for (text, want) in [
            ("api.openai.com", "https://api.openai.com/"),
            ("//api.openai.com/", "https://api.openai.com/"),
            ("localhost:11434", "http://localhost:11434/"),
            ("127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1/"),
            ("https:/h/", "https://h/"),
            ("https//h/", "https://h/"),
            ("https:h", "https://h/"),
            ("http:\\\\h", "http://h/"),
            ("htps://h/", "https://h/"),
            ("wss://h/", "https://h/"),
            ("ws://h/", "http://h/"),
            (" https://h/ ", "https://h/"),
            ("https://h/v1", "https://h/v1/"),
            ("https://h/v1/*", "https://h/v1/"),
            ("https://h/v1/chat/completions", "https://h/v1/"),
            ("https://h/v1/messages/", "https://h/v1/"),
            ("https://h/?key=1", "https://h/"),
            ("https://h/a#b", "https://h/a/"),
            ("https://h/:8443", "https://h:8443/"),
        ] {
            assert_eq!(meant(text).as_deref(), Some(want), "{text}");
        }
        assert_eq!(meant("ftp://h/"), None);
    }
}
