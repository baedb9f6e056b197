//! Path to route, server name to forward: pure lookup over bytes.
//!
//! [`RouteTable`] finds the route whose prefix a request's path begins with. Prefixes begin and end
//! with `/`, so `/gpt` and `/gptx` do not match `/gpt/`; of several that match, the longest wins.
//! Paths are compared byte for byte: case and percent-encodings count, and dot segments are the
//! caller's to resolve before asking.
//!
//! [`ForwardTable`] finds the first forward whose pattern matches the name that a client asked for.
//!
//! Not here: what becomes of the request-target (`h1::target`), and the checks on what the
//! operator wrote (`config`).

use crate::gateway::rewrite::reference::Origins;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What happens to requests below one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The prefix of a request's path; begins and ends with `/`.
    pub path: Box<[u8]>,
    /// What the prefix is replaced by: the upstream's path; begins and ends with `/`.
    pub replacement: Box<[u8]>,
    /// Value of the Host field to send (RFC 9112, section 3.2).
    pub host: Box<[u8]>,
    /// Whom to ask: an index into `Snapshot::upstreams`.
    pub upstream: usize,
    /// What the upstream calls itself, so that references and cookies for its own paths come back
    /// through the route; `None`: they pass as they are.
    pub origins: Option<Origins>,
    /// The path as text, for log lines.
    pub name: Arc<str>,
}

/// All routes, in the order in which they are tried.
///
/// A plain row, not a tree: relays have a handful of routes, and comparing a prefix costs a few
/// nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// Longest path first, so that the first match is the longest.
    routes: Vec<Route>,
}

impl RouteTable {
    /// Takes the routes in any order. No two may have the same path; the configuration refuses
    /// that, and here the first would win.
    pub fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| core::cmp::Reverse(route.path.len()));
        Self { routes }
    }

    /// The route with the longest path that `path` begins with. `path` is the path component of
    /// a request-target, without the query, its dot segments resolved.
    pub fn find(&self, path: &[u8]) -> Option<&Route> {
        self.get(self.position(path)?)
    }

    /// The place of the route that [`find`](Self::find) finds, for [`get`](Self::get).
    pub fn position(&self, path: &[u8]) -> Option<usize> {
        self.routes.iter().position(|route| path.starts_with(&route.path))
    }

    /// The route at this place.
    pub fn get(&self, position: usize) -> Option<&Route> {
        self.routes.get(position)
    }

    /// All routes, longest path first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.routes.iter()
    }
}

/// Which server names a forward is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// `*`: every name, and clients that ask for none or speak no TLS.
    Any,
    /// One name.
    Exact(Box<str>),
    /// `*.` and this: one label more, neither none nor two (RFC 9525, section 6.3).
    Below(Box<str>),
}

impl NamePattern {
    /// Whether a client that asks for `name` is meant. Letters are compared without their case,
    /// and the dot that ends an absolute name does not count (RFC 1034, section 3.1).
    pub fn matches(&self, name: Option<&str>) -> bool {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        match (self, name) {
            (Self::Any, _) => true,
            (Self::Exact(_) | Self::Below(_), None) => false,
            (Self::Exact(exact), Some(name)) => name.eq_ignore_ascii_case(exact),
            (Self::Below(parent), Some(name)) => {
                name.split_once('.').is_some_and(|(label, rest)| {
                    !label.is_empty() && rest.eq_ignore_ascii_case(parent)
                })
            }
        }
    }

    /// Whether whatever `other` matches is matched by this, too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Exact(_) | Self::Below(_), Self::Any) | (Self::Exact(_), Self::Below(_)) => {
                false
            }
            (Self::Exact(_) | Self::Below(_), Self::Exact(name)) => self.matches(Some(name)),
            (Self::Below(one), Self::Below(two)) => one.eq_ignore_ascii_case(two),
        }
    }
}

/// Where the bytes of a connection go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardTarget {
    /// To an upstream: an index into `Snapshot::forward_upstreams`.
    Upstream(usize),
    /// To the HTTP relay in this process, as a connection of the http listener that the tcp
    /// listener leads to.
    Http,
}

/// What a tcp listener does with clients that ask for certain names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// For whom.
    pub pattern: NamePattern,
    /// Where to.
    pub target: ForwardTarget,
    /// The pattern as it was written, for log lines.
    pub name: Arc<str>,
}

/// All forwards, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardTable {
    forwards: Vec<Forward>,
}

impl ForwardTable {
    /// The order matters: the first match wins.
    pub fn new(forwards: Vec<Forward>) -> Self {
        Self { forwards }
    }

    /// The first forward for a client that asks for `name`, or for none.
    pub fn find(&self, name: Option<&str>) -> Option<&Forward> {
        self.forwards.iter().find(|forward| forward.pattern.matches(name))
    }

    /// Whether the name that a client asks for makes a difference. When it does not, nothing has to
    /// be heard from the client before its upstream is known.
    pub fn depends_on_name(&self) -> bool {
        self.forwards.first().is_some_and(|first| first.pattern != NamePattern::Any)
    }

    /// All forwards, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Forward> {
        self.forwards.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_is_matched_whatever_its_case_and_with_the_dot_of_an_absolute_name() {
        let exact = NamePattern::Exact("db.example.com".into());
        for name in ["db.example.com", "DB.Example.COM", "db.example.com."] {
            assert!(exact.matches(Some(name)), "{name}");
        }
        for name in
            ["", ".", "example.com", "a.db.example.com", "db.example.com..", "xdb.example.com"]
        {
            assert!(!exact.matches(Some(name)), "{name}");
        }
        assert!(!exact.matches(None));
    }

    #[test]
    fn a_wildcard_stands_for_one_label_and_a_star_for_everything() {
        let below = NamePattern::Below("example.com".into());
        for name in ["a.example.com", "A.EXAMPLE.com."] {
            assert!(below.matches(Some(name)), "{name}");
        }
        for name in ["example.com", ".example.com", "a.b.example.com", "aexample.com", "com"] {
            assert!(!below.matches(Some(name)), "{name}");
        }
        assert!(!below.matches(None));
        assert!(NamePattern::Any.matches(None) && NamePattern::Any.matches(Some("x")));
    }

    #[test]
    fn the_first_forward_that_matches_wins() {
        let exact = forward("a.example.com", NamePattern::Exact("a.example.com".into()));
        let below = forward("*.example.com", NamePattern::Below("example.com".into()));
        let any = forward("*", NamePattern::Any);
        let table = ForwardTable::new(vec![exact, below, any.clone()]);
        let found = |name| table.find(name).map(|forward| &*forward.name);
        assert_eq!(found(Some("a.example.com")), Some("a.example.com"));
        assert_eq!(found(Some("b.example.com")), Some("*.example.com"));
        assert_eq!(found(Some("example.com")), Some("*"));
        assert_eq!(found(None), Some("*"));
        assert!(table.depends_on_name());
        assert!(!ForwardTable::new(vec![any]).depends_on_name());
        assert_eq!(ForwardTable::default().find(None), None);
    }

    #[test]
    fn a_pattern_covers_those_that_can_match_nothing_beside_it() {
        let exact = |name: &str| NamePattern::Exact(name.into());
        let below = |name: &str| NamePattern::Below(name.into());
        assert!(
            NamePattern::Any.covers(&exact("a.b")) && NamePattern::Any.covers(&NamePattern::Any)
        );
        assert!(below("b.c").covers(&exact("A.B.C")) && below("b.c").covers(&below("B.C")));
        assert!(exact("a.b").covers(&exact("A.b")));
        for (one, other) in [
            (exact("a.b"), NamePattern::Any),
            (below("b"), NamePattern::Any),
            (exact("a.b"), below("b")),
            (below("b"), exact("b")),
            (below("b"), below("a.b")),
        ] {
            assert!(!one.covers(&other), "{one:?} {other:?}");
        }
    }

    fn forward(name: &str, pattern: NamePattern) -> Forward {
        Forward { pattern, target: ForwardTarget::Http, name: name.into() }
    }

    #[test]
    fn a_path_matches_the_prefix_it_begins_with() {
        check(&["/gpt/"], "/gpt/v1/models", Some("/gpt/"));
        check(&["/gpt/"], "/gpt/", Some("/gpt/"));
        check(&["/"], "/anything", Some("/"));
    }

    #[test]
    fn neither_the_prefix_without_its_slash_nor_a_longer_segment_matches() {
        check(&["/gpt/"], "/gpt", None);
        check(&["/gpt/"], "/gptx", None);
        check(&["/gpt/"], "/gptx/v1", None);
        check(&["/gpt/"], "/x/gpt/", None);
    }

    #[test]
    fn the_longest_match_wins_in_whatever_order_the_routes_were_given() {
        check(&["/", "/a/", "/a/b/"], "/a/b/c", Some("/a/b/"));
        check(&["/a/b/", "/a/", "/"], "/a/b/c", Some("/a/b/"));
        check(&["/a/b/", "/a/", "/"], "/a/b", Some("/a/"));
        check(&["/a/b/", "/a/", "/"], "/ab", Some("/"));
    }

    #[test]
    fn paths_are_compared_byte_for_byte() {
        check(&["/gpt/"], "/GPT/", None);
        check(&["/gpt/"], "/%67pt/", None);
        check(&["/gpt/"], "//gpt/", None);
        check(&["/a%2Fb/"], "/a%2Fb/c", Some("/a%2Fb/"));
        check(&["/a%2Fb/"], "/a%2fb/c", None);
    }

    #[test]
    fn an_empty_table_matches_nothing() {
        check(&[], "/", None);
        check(&["/"], "", None);
    }

    #[track_caller]
    fn check(prefixes: &[&str], path: &str, want: Option<&str>) {
        let routes = prefixes.iter().map(|prefix| route(prefix)).collect();
        let table = RouteTable::new(routes);
        assert_eq!(table.find(path.as_bytes()).map(|route| &*route.name), want, "{path}");
    }

    fn route(path: &str) -> Route {
        Route {
            path: path.as_bytes().into(),
            replacement: b"/".as_slice().into(),
            host: b"example.com".as_slice().into(),
            upstream: 0,
            origins: None,
            name: path.into(),
        }
    }
}
