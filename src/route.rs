//! Path to route: [`RouteTable`] finds the route whose prefix a request's path begins with.
//!
//! Pure lookup over bytes. Prefixes begin and end with `/`, so `/gpt` and `/gptx` do not match
//! `/gpt/`; of several that match, the longest wins. Paths are compared byte for byte: case and
//! percent-encodings count, and dot segments are the caller's to resolve before asking.
//!
//! Not here: what becomes of the request-target (`h1::target`), and the checks on what the
//! operator wrote (`config`).

use std::sync::Arc;

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
        routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        Self { routes }
    }

    /// The route with the longest path that `path` begins with. `path` is the path component of
    /// a request-target, without the query, its dot segments resolved.
    pub fn find(&self, path: &[u8]) -> Option<&Route> {
        self.routes.iter().find(|route| path.starts_with(&route.path))
    }

    /// All routes, longest path first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Route> {
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
            name: path.into(),
        }
    }
}
