//! Path to route: pure lookup over bytes.
//!
//! [`RouteTable`] finds the route whose prefix a request's path begins with. Prefixes begin and end
//! with `/`, so `/gpt` and `/gptx` do not match `/gpt/`; of several that match, the longest wins.
//! Paths are compared byte for byte: case and percent-encodings count, and the caller resolves dot
//! segments before it asks.
//!
//! A route is a handle: it holds its upstream and its limits, so an exchange that has its route
//! needs nothing else of the configuration, and a new configuration does not touch it.
//!
//! Not here: what becomes of the request-target (`h1::target`), and the checks on what the
//! operator wrote (`config`).

use crate::gateway::rewrite::uri_reference::Origins;
use crate::h1::limits::HeadLimits;
use crate::timeouts::Timeouts;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// What happens to requests below one path. `U` is the upstream: what is configured of it, or a
/// worker's connections to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<U> {
    /// The prefix of a request's path; begins and ends with `/`.
    pub path: Box<[u8]>,
    /// What the prefix is replaced by: the upstream's path; begins and ends with `/`.
    pub replacement: Box<[u8]>,
    /// Value of the Host field to send (RFC 9112, section 3.2).
    pub host: Box<[u8]>,
    /// Whom to ask.
    pub upstream: U,
    /// What the upstream calls itself, so that references and cookies for its own paths come back
    /// through the route; `None`: they pass as they are.
    pub origins: Option<Origins>,
    /// The path as text, for log lines.
    pub name: Arc<str>,
    /// What may take how long.
    pub timeouts: Arc<Timeouts>,
    /// How large the head of a response may be.
    pub head_limits: HeadLimits,
}

impl<U> Route<U> {
    /// The route from `path` to the path `replacement` of `upstream`, with no further settings.
    pub fn new(path: &str, replacement: &str, host: &str, upstream: U) -> Self {
        Self {
            path: path.as_bytes().into(),
            replacement: replacement.as_bytes().into(),
            host: host.as_bytes().into(),
            upstream,
            origins: None,
            name: path.into(),
            timeouts: Arc::default(),
            head_limits: HeadLimits::default(),
        }
    }

    /// The same route to `upstream`.
    pub fn to<V>(&self, upstream: V) -> Route<V> {
        Route {
            path: self.path.clone(),
            replacement: self.replacement.clone(),
            host: self.host.clone(),
            upstream,
            origins: self.origins.clone(),
            name: Arc::clone(&self.name),
            timeouts: Arc::clone(&self.timeouts),
            head_limits: self.head_limits,
        }
    }
}

/// All routes, in the order in which they are tried.
///
/// A plain row, not a tree: relays have a handful of routes, and comparing a prefix costs a few
/// nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable<U> {
    /// Longest path first, so that the first match is the longest.
    routes: Vec<Rc<Route<U>>>,
}

impl<U> RouteTable<U> {
    /// Takes the routes in any order. No two may have the same path; the configuration refuses
    /// that, and here the first would win.
    pub fn new(routes: impl IntoIterator<Item = Route<U>>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().map(Rc::new).collect();
        routes.sort_by_key(|route| Reverse(route.path.len()));
        Self { routes }
    }

    /// The route with the longest path that `path` begins with. `path` is the path component of
    /// a request-target, without the query, its dot segments resolved.
    pub fn find(&self, path: &[u8]) -> Option<&Rc<Route<U>>> {
        self.routes.iter().find(|route| path.starts_with(&route.path))
    }

    /// All routes, longest path first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rc<Route<U>>> {
        self.routes.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let table = RouteTable::new(prefixes.iter().map(|prefix| route(prefix)));
        assert_eq!(table.find(path.as_bytes()).map(|route| &*route.name), want, "{path}");
    }

    fn route(path: &str) -> Route<()> {
        Route::new(path, "/", "example.com", ())
    }
}
