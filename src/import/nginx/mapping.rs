//! How the paths of requests become those of the upstream: [`Mapping`].
//!
//! nginx replaces the text of a `location` by that in `proxy_pass`, or sends what a regular
//! expression has captured. A route replaces a prefix that ends in "/" by a path that ends in "/".

use crate::tls::secret::may_be_secret;

/// The beginning of a path, and what replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// What the path of a request begins with.
    pub(super) from: String,
    /// What is sent in its place.
    pub(super) to: String,
}

/// Longest name of an endpoint that is shown.
const SHOWN_BYTES_MAX: usize = 64;

/// The ends of paths that name one endpoint of an API. What comes before is a good prefix.
const ENDPOINTS: &[&str] = &[
    "chat/completions",
    "completions",
    "responses",
    "embeddings",
    "messages",
    "models",
    "realtime",
    "images/generations",
    "images/edits",
    "audio/transcriptions",
    "audio/translations",
    "audio/speech",
    "moderations",
    "files",
    "batches",
    "rerank",
    "generate",
    "chat",
    "embed",
    "tags",
];

impl Mapping {
    /// The same as a route can say it, and what that changes.
    pub(super) fn of_route(self) -> (Self, Change) {
        if let Some(shared) = self.shared_prefix() {
            let what = "a route is a prefix that ends in \"/\", so it serves what lies beside this \
                        endpoint as well";
            return (shared, Change::Noted(what));
        }
        if let Some(endpoint) = self.endpoint_below() {
            let (from, to) = (self.from, self.to[..self.to.len() - endpoint.len()].to_owned());
            let is_shown = endpoint.len() <= SHOWN_BYTES_MAX && !may_be_secret(&endpoint);
            let endpoint = if is_shown { &endpoint } else { "the endpoint's name" };
            let what = format!(
                "nginx sends this path itself to one endpoint, and a route serves what is below \
                 it: clients have to add {endpoint}"
            );
            return (Self { from, to }, Change::ForClients(what));
        }
        let Self { from, to } = self;
        let (mapping, what) = match (from.ends_with('/'), to.ends_with('/')) {
            (true, true) => (Self { from, to }, ""),
            (true, false) => (
                Self { from, to: to + "/" },
                "nginx would join both paths without \"/\" between them, which is hardly meant",
            ),
            (false, true) => (
                Self { from: from + "/", to },
                "a prefix ends in \"/\", to match whole segments; nginx would send \"//\"",
            ),
            (false, false) => (
                Self { from: from + "/", to: to + "/" },
                "a prefix ends in \"/\", to match whole segments",
            ),
        };
        (mapping, Change::Noted(what))
    }

    /// What lies before the endpoint, if it is the same on both sides.
    pub(super) fn shared_prefix(&self) -> Option<Self> {
        let endpoint = endpoint_of(&self.to)?;
        let before = |path: &str| {
            path.strip_suffix(endpoint).filter(|it| it.ends_with('/')).map(str::to_owned)
        };
        Some(Self { from: before(&self.from)?, to: before(&self.to)? })
    }

    /// Whether one path is sent to one endpoint that has another name.
    pub(super) fn is_one_path(&self) -> bool {
        !self.from.ends_with('/')
            && endpoint_of(&self.to).is_some()
            && self.shared_prefix().is_none()
    }

    /// The endpoint that a path with "/" at its end is sent to. nginx joins what follows to its
    /// name, so that this path alone is of use.
    fn endpoint_below(&self) -> Option<String> {
        let endpoint = endpoint_of(&self.to)?;
        let from = self.from.strip_suffix('/')?;
        (!from.ends_with(&format!("/{endpoint}"))).then(|| endpoint.to_owned())
    }
}

/// What becomes different as a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// This, which is worth a remark; nothing, if it is empty.
    Noted(&'static str),
    /// What clients have to do.
    ForClients(String),
}

/// The end of `path` that names one endpoint: a well-known one, or `model:method` as Google has it.
fn endpoint_of(path: &str) -> Option<&str> {
    let is_end = |endpoint: &&&str| {
        path.strip_suffix(**endpoint).is_some_and(|before| before.ends_with('/'))
    };
    let method = path.rsplit('/').next().filter(|segment| segment.contains(':'));
    ENDPOINTS.iter().find(is_end).copied().or(method)
}

/// The beginning of the paths that `regex` matches, if it is plain text followed by at most one
/// group that takes the rest; and what that group begins with.
pub(super) fn prefix_of(regex: &str) -> Option<(String, &'static str)> {
    /// Ends of expressions: what they add to the text before, and what the group begins with.
    const ENDS: &[(&str, &str, &str)] = &[
        ("/?(.*)", "/", ""),
        ("/(.*)", "/", ""),
        ("/(.+)", "/", ""),
        ("(/.*)", "/", "/"),
        ("(/.+)", "/", "/"),
        ("(.*)", "", ""),
        ("(.+)", "", ""),
        (".*", "", ""),
        ("", "", ""),
    ];
    let regex = regex.strip_prefix('^')?;
    let regex = regex.strip_suffix('$').unwrap_or(regex);
    ENDS.iter().find_map(|(end, added, group)| {
        let text = plain(regex.strip_suffix(end)?)?;
        Some((text + added, *group)).filter(|(text, _)| text.starts_with('/'))
    })
}

/// The same for an expression that nginx looks for anywhere in a path, if it has a group for all
/// that follows a segment. Without one it might as well be meant for the end of a path.
pub(super) fn unanchored_prefix_of(regex: &str) -> Option<(String, &'static str)> {
    let (text, group) = prefix_of(&format!("^{regex}"))?;
    let has_group = regex.strip_suffix('$').unwrap_or(regex).ends_with(')');
    (has_group && text.ends_with('/')).then_some((text, group))
}

/// What an expression without operators matches. A bare dot is taken for a dot.
fn plain(regex: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = regex.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().filter(char::is_ascii_punctuation)?),
            it if "*+?()[]{}|^$".contains(it) => return None,
            it => text.push(it),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_route_end_in_a_slash() {
        check("/gpt/", "/", "/gpt/", "/", "");
        check("/gpt/", "/api", "/gpt/", "/api/", "without \"/\"");
        check("/gpt", "/", "/gpt/", "/", "would send \"//\"");
        check("/gpt", "/api", "/gpt/", "/api/", "whole segments");
    }

    #[test]
    fn one_endpoint_of_an_api_becomes_what_its_endpoints_share() {
        let beside = "lies beside";
        check("/v1/chat/completions", "/v1/chat/completions", "/v1/", "/v1/", beside);
        check("/v1/messages", "/anthropic/v1/messages", "/v1/", "/anthropic/v1/", beside);
        check("/v1/realtime", "/v1/realtime", "/v1/", "/v1/", beside);
        let generate = "/v1beta/models/gemini:generateContent";
        check(generate, generate, "/v1beta/models/", "/v1beta/models/", beside);
    }

    #[test]
    fn an_expression_for_a_prefix_is_read_and_any_other_is_not() {
        let text = |it: &str| prefix_of(it).map(|(text, group)| format!("{text}|{group}"));
        assert_eq!(text("^/gpt/(.*)$").as_deref(), Some("/gpt/|"));
        assert_eq!(text("^/gpt/?(.*)").as_deref(), Some("/gpt/|"));
        assert_eq!(text("^/gpt(/.*)$").as_deref(), Some("/gpt/|/"));
        assert_eq!(text("^/gpt(.*)").as_deref(), Some("/gpt|"));
        assert_eq!(text("^/v1\\.0/.*").as_deref(), Some("/v1.0/|"));
        assert_eq!(text("^/v1.0/").as_deref(), Some("/v1.0/|"));
        for other in ["/gpt/", "^/(a|b)/(.*)$", r"\.php$", "^/[a-z]/", "^", "^gpt/", r"^/a\d"] {
            assert_eq!(text(other), None, "{other}");
        }
    }

    #[test]
    fn an_expression_that_is_not_anchored_needs_a_group_for_the_rest() {
        let text =
            |it: &str| unanchored_prefix_of(it).map(|(text, group)| format!("{text}|{group}"));
        assert_eq!(text("/gpt/(.*)").as_deref(), Some("/gpt/|"));
        assert_eq!(text("/gpt(/.*)$").as_deref(), Some("/gpt/|/"));
        for other in
            ["^/gpt/(.*)", "/gpt/", "/gpt(.*)", "/chat/completions$", r"\.php$", "gpt/(.*)"]
        {
            assert_eq!(text(other), None, "{other}");
        }
    }

    #[test]
    fn of_a_path_that_is_one_endpoint_the_remark_says_what_clients_have_to_add() {
        let chat = "/v1/chat/completions";
        check("/", chat, "/", "/v1/", "clients have to add chat/completions");
        check("/gpt/", chat, "/gpt/", "/v1/", "clients have to add chat/completions");
        check("/", "/chat", "/", "/", "clients have to add chat");
        let long = format!("/v1/{}:x", "m".repeat(SHOWN_BYTES_MAX));
        check("/", &long, "/", "/v1/", "clients have to add the endpoint's name");
        check("/v1/models/", "/v1/models", "/v1/models/", "/v1/models/", "without \"/\"");
    }

    #[track_caller]
    fn check(from: &str, to: &str, path: &str, upstream: &str, why: &str) {
        let mapping = Mapping { from: from.to_owned(), to: to.to_owned() };
        let (mapping, change) = mapping.of_route();
        let what = match change {
            Change::Noted(what) => what.to_owned(),
            Change::ForClients(what) => what,
        };
        assert_eq!((&*mapping.from, &*mapping.to), (path, upstream));
        assert!(what.contains(why) && why.is_empty() == what.is_empty(), "{what}");
    }
}
