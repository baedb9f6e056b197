//! Path to route: pure lookup over bytes.
//!
//! [`RouteTable`] finds the route whose prefix a request's path begins with. Prefixes begin and end
//! with `/`, so `/gpt` and `/gptx` do not match `/gpt/`; of several that match, the longest wins.
//! Paths are compared byte for byte: case and percent-encodings count, and the caller resolves dot
//! segments before it asks. An upstream may see the same path in other bytes, so that a route with
//! rules of access inside of another one could be got around: [`RouteTable::hides_guarded`].
//!
//! A route is a handle: it holds its upstream and its limits, so an exchange that has its route
//! needs nothing else of the configuration, and a new configuration does not touch it.
//!
//! Not here: what becomes of the request-target (`h1::target`), and the checks on what the
//! operator wrote (`config`).

use crate::gateway::access::{ApiKeys, RouteAccess};
use crate::gateway::rewrite::uri_reference::Origins;
use crate::h1::dot_segments::any_reading;
use crate::h1::limits::HeadLimits;
use crate::timeouts::Timeouts;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Most bytes of a segment that are hashed: a peer may send a segment of any length.
const HASHED_BYTES_MAX: usize = 64;

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
    /// Who may use it, and with which keys; `None`: everyone, with credentials of their own.
    pub access: Option<Arc<RouteAccess>>,
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
            access: None,
            name: path.into(),
            timeouts: Arc::default(),
            head_limits: HeadLimits::default(),
        }
    }

    /// The keys of its API, if it has any.
    pub fn keys(&self) -> Option<&ApiKeys> {
        self.access.as_ref()?.keys.as_deref()
    }

    /// Whether CORS preflights are answered by us.
    pub fn answers_preflights(&self) -> bool {
        self.access.as_ref().is_some_and(|access| access.cors)
    }

    /// The same route to `upstream`.
    pub fn to<V>(&self, upstream: V) -> Route<V> {
        Route {
            path: self.path.clone(),
            replacement: self.replacement.clone(),
            host: self.host.clone(),
            upstream,
            origins: self.origins.clone(),
            access: self.access.clone(),
            name: Arc::clone(&self.name),
            timeouts: Arc::clone(&self.timeouts),
            head_limits: self.head_limits,
        }
    }
}

/// All routes, grouped by the first segment of their paths.
///
/// A route can only match if its first segment is the path's, so a lookup compares the paths of
/// one group, longest first, and at last `/`, which has no segment. Groups are found by bisection
/// among the hashes of segments, in some 15 ns for any number of routes. Two segments with one
/// hash share a group, which does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable<U> {
    /// By hash, and then longest path first.
    routes: Vec<(u64, Rc<Route<U>>)>,
    /// The route of `/`.
    root: Option<Rc<Route<U>>>,
    /// Routes with rules of access that are inside of another one.
    guarded: Vec<Rc<Route<U>>>,
    /// Whether one of those has a capital letter in its path.
    has_guarded_capitals: bool,
}

impl<U> RouteTable<U> {
    /// Takes the routes in any order. No two may have the same path; the configuration refuses
    /// that.
    pub fn new(routes: impl IntoIterator<Item = Route<U>>) -> Self {
        let all = routes.into_iter().map(Rc::new);
        let (roots, others): (Vec<_>, Vec<_>) = all.partition(|route| *route.path == *b"/");
        let mut routes: Vec<_> =
            others.into_iter().map(|route| (hash_of_first_segment(&route.path), route)).collect();
        routes.sort_unstable_by_key(|(hash, route)| (*hash, Reverse(route.path.len())));
        let root = roots.into_iter().next();
        let table = Self { routes, root, guarded: Vec::new(), has_guarded_capitals: false };
        let is_inside =
            |route: &Route<U>| table.find(&route.path[..route.path.len() - 1]).is_some();
        let guarded = |route: &&Rc<Route<U>>| route.access.is_some() && is_inside(route);
        let guarded: Vec<_> = table.iter().filter(guarded).cloned().collect();
        let has_guarded_capitals =
            guarded.iter().any(|it| it.path.iter().any(u8::is_ascii_uppercase));
        Self { guarded, has_guarded_capitals, ..table }
    }

    /// The route with the longest path that `path` begins with. `path` is the path component of
    /// a request-target, without the query, its dot segments resolved.
    pub fn find(&self, path: &[u8]) -> Option<&Rc<Route<U>>> {
        let mut matching = self.group(path).chain(&self.root);
        matching.find(|route| path.starts_with(&route.path))
    }

    /// Whether `path`, whose route is `found`, leads into a guarded route inside of that for an
    /// upstream that reads it otherwise than we do: one that decodes escapes, merges slashes, drops
    /// parameters, ignores case, or needs no slash at the end. If both routes have the same
    /// upstream, it would serve there what only the inner one gives access to.
    pub fn hides_guarded(&self, path: &[u8], found: &Route<U>) -> bool {
        let inner = || self.guarded.iter().filter(|it| it.path.len() > found.path.len());
        !self.guarded.is_empty()
            && (self.lacks_last_slash(path)
                || (self.has_guarded_capitals || can_be_read_otherwise(path))
                    && any_reading(path, |read| inner().any(|it| leads_into(read, &it.path))))
    }

    /// Whether it is the path of a route with rules of access, but for the slash at the end.
    fn lacks_last_slash(&self, path: &[u8]) -> bool {
        let mut guarded = self.group(path).filter(|it| it.access.is_some());
        guarded.any(|it| it.path.strip_suffix(b"/") == Some(path))
    }

    /// The routes, longest path first, whose first segment may be that of `path`.
    fn group(&self, path: &[u8]) -> impl Iterator<Item = &Rc<Route<U>>> {
        let hash = hash_of_first_segment(path);
        let first = self.routes.partition_point(|(other, _)| *other < hash);
        let group = self.routes[first..].iter().take_while(move |(other, _)| *other == hash);
        group.map(|(_, route)| route)
    }

    /// All routes.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Route<U>>> {
        self.routes.iter().map(|(_, route)| route).chain(&self.root)
    }
}

/// Whether [`any_reading`] of the path is anything but the path.
fn can_be_read_otherwise(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'%' | b'\\' | b';' | b'A'..=b'Z'))
        || path.windows(2).any(|two| two == b"//")
}

/// Whether `path` begins with a route's path in any case, or is all of it but for the last slash.
fn leads_into(path: &[u8], route: &[u8]) -> bool {
    let begin = &path[..path.len().min(route.len())];
    begin.eq_ignore_ascii_case(route)
        || route.strip_suffix(b"/").is_some_and(|it| path.eq_ignore_ascii_case(it))
}

/// FNV-1a of what is between the first two slashes, or of its beginning.
fn hash_of_first_segment(path: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let segment = path.iter().skip(1).take_while(|byte| **byte != b'/').take(HASHED_BYTES_MAX);
    segment.fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
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
    fn segments_that_begin_alike_or_are_longer_than_what_is_hashed_are_told_apart() {
        let long = |end: &str| format!("/{}{end}/", "a".repeat(HASHED_BYTES_MAX));
        let (one, other) = (long("one"), long("other"));
        let prefixes = [&one, &other, "/", "/a/", "/a/b/"];
        for prefix in prefixes {
            check(&prefixes, &format!("{prefix}x"), Some(prefix));
        }
        check(&prefixes, &long("third"), Some("/"));
        check(&prefixes, one.trim_end_matches('/'), Some("/"));
        check(&prefixes, "/a", Some("/"));
        check(&prefixes[..2], "/a", None);
    }

    #[test]
    fn the_longest_of_all_matches_is_found_among_many() {
        let digits = |count: u32| {
            (0..4_u32.pow(count)).map(move |number| {
                let digit = |at| ["0", "1", "10", "/"][(number >> (2 * at)) as usize % 4];
                (0..count).map(digit).collect::<String>()
            })
        };
        let paths: Vec<_> = (0..=5).flat_map(digits).map(|it| format!("/{it}")).collect();
        let is_route = |(at, path): &(usize, &String)| at % 3 != 0 && path.ends_with('/');
        let prefixes: Vec<_> = paths.iter().enumerate().filter(is_route).collect();
        let table = RouteTable::new(prefixes.iter().map(|(_, path)| route(path)));
        for path in &paths {
            let matching = prefixes.iter().filter(|(_, prefix)| path.starts_with(*prefix));
            let want = matching.max_by_key(|(_, prefix)| prefix.len()).map(|(_, it)| it.as_str());
            assert_eq!(table.find(path.as_bytes()).map(|it| &*it.name), want, "{path}");
        }
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
