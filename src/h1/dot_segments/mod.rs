//! Dot segments in a path: `.` and `..`, plain or encoded (RFC 3986, section 5.2.4).
//!
//! They are the one part of a path that is not forwarded byte for byte: a route must not match one
//! path while the upstream serves another. `.` and `..` are resolved, also where they are written
//! `%2e`. A `..` that only some servers would find in the bytes is refused.
//!
//! Not here: splitting a target into its path and its query (`h1::target`).

pub use encoded::{ROUNDS, any_reading};

use crate::h1::target::TargetError;
use alloc::vec::Vec;
use encoded::hides_parent;
use memchr::{memchr, memrchr};

/// Whether [`resolve_dot_segments`] would do anything but copy `path`, which has no query.
///
/// This is so for `.` and `..` in any encoding, and for a hidden `..`, which that function refuses.
pub fn has_dot_segments(path: &[u8]) -> bool {
    // Most paths have neither a dot nor an escape, and so no dot segment.
    memchr::memchr2(b'.', b'%', path).is_some()
        && path.split(|&byte| byte == b'/').any(|segment| Segment::of(segment) != Segment::Plain)
}

/// Appends `path`, which has no query, to `out` without its dot segments.
///
/// This is RFC 3986, section 5.2.4 on the bytes as they are, where any dot may be `%2e`. Empty
/// segments count as segments, and nothing else changes.
///
/// # Errors
/// [`TargetError::AboveRoot`], [`TargetError::HiddenDotSegment`], or [`TargetError::WrongForm`] if
/// `path` neither is empty nor begins with `/`. What has been appended then means nothing.
pub fn resolve_dot_segments(path: &[u8], out: &mut Vec<u8>) -> Result<(), TargetError> {
    let root = out.len();
    let mut rest = match path {
        [] => return Ok(()),
        [b'/', rest @ ..] => Some(rest),
        _ => return Err(TargetError::WrongForm),
    };
    while let Some(segments) = rest {
        let end = memchr(b'/', segments);
        let segment = &segments[..end.unwrap_or(segments.len())];
        rest = end.map(|end| &segments[end + 1..]);
        match Segment::of(segment) {
            Segment::Plain => {
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
            Segment::Current => {}
            Segment::Parent => {
                let parent = memrchr(b'/', &out[root..]).ok_or(TargetError::AboveRoot)?;
                out.truncate(root + parent);
            }
            Segment::Hidden => return Err(TargetError::HiddenDotSegment),
        }
        // A dot segment names a directory: at the end of the path its slash stays.
        if rest.is_none() {
            out.push(b'/');
        }
    }
    Ok(())
}

/// What is between two slashes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Plain,
    /// `.`
    Current,
    /// `..`
    Parent,
    /// `..` for a server that decodes before it splits.
    Hidden,
}

impl Segment {
    fn of(segment: &[u8]) -> Self {
        match dots(segment) {
            Some(1) => Self::Current,
            Some(2) => Self::Parent,
            _ if hides_parent(segment) => Self::Hidden,
            _ => Self::Plain,
        }
    }
}

/// How many dots `piece` is, plain or encoded, or `None` if it is anything else.
fn dots(mut piece: &[u8]) -> Option<usize> {
    let mut count = 0;
    loop {
        piece = match piece {
            [] => return Some(count),
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return None,
        };
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_resolved_in_any_encoding() {
        // The example of RFC 3986, section 5.2.4, and the ends of section 5.4.
        resolve("/a/b/c/./../../g", Ok("/a/g"));
        resolve("/a/b/..", Ok("/a/"));
        resolve("/a/b/../", Ok("/a/"));
        resolve("/a/.", Ok("/a/"));
        resolve("/a/./", Ok("/a/"));
        resolve("/.", Ok("/"));
        resolve("/a/..", Ok("/"));
        resolve("/./a", Ok("/a"));
        resolve("/a/%2e%2E/b/%2e/c", Ok("/b/c"));
        resolve("/a/.%2e/b/%2E.", Ok("/"));
    }

    #[test]
    fn empty_segments_count_as_segments() {
        resolve("/a//../b", Ok("/a/b"));
        resolve("//..", Ok("/"));
        resolve("//../..", Err(TargetError::AboveRoot));
        resolve("//./a", Ok("//a"));
    }

    #[test]
    fn climbing_above_the_root_is_an_error() {
        for path in ["/..", "/../a", "/a/../..", "/%2e%2e/a", "/./..", "/a/../../a"] {
            resolve(path, Err(TargetError::AboveRoot));
        }
    }

    #[test]
    fn paths_without_dot_segments_are_copied() {
        for path in [
            "",
            "/",
            "//",
            "/a%2Fb//c;d=1/%c3%A9/",
            "/...",
            "/.a",
            "/a.",
            "/..a",
            "/a..",
            "/a..b%2fc",
            "/%2e%2e%2e",
            "/a%2f.%2fb",
            "/%252e/",
            "/%2",
            "/%",
            "/.;a",
            "/a;..",
            "/gpt-4.1",
            "/a%2f...%5c",
            "/%2e%2",
            "/.%2",
        ] {
            assert!(!has_dot_segments(path.as_bytes()), "{path}");
            resolve(path, Ok(path));
        }
    }

    #[test]
    fn a_dot_dot_in_disguise_is_refused_wherever_it_stands() {
        for segment in encoded::tests::DISGUISES {
            for path in [format!("/{segment}"), format!("/a/b/{segment}/c")] {
                resolve(&path, Err(TargetError::HiddenDotSegment));
            }
        }
    }

    #[test]
    fn resolving_appends_and_never_removes_what_was_there() {
        let mut out = b"/base".to_vec();
        resolve_dot_segments(b"/a/../b", &mut out).unwrap();
        assert_eq!(out, b"/base/b");
        assert_eq!(resolve_dot_segments(b"/..", &mut out), Err(TargetError::AboveRoot));
        assert_eq!(resolve_dot_segments(b"a", &mut out), Err(TargetError::WrongForm));
    }

    /// Resolves `path`; what comes out has nothing left to resolve, and only a copy goes unnoticed.
    #[track_caller]
    fn resolve(path: &str, want: Result<&str, TargetError>) {
        let mut out = Vec::new();
        let got = resolve_dot_segments(path.as_bytes(), &mut out).map(|()| out);
        assert_eq!(got, want.map(|path| path.as_bytes().to_vec()), "{path}");
        assert_eq!(has_dot_segments(path.as_bytes()), want != Ok(path), "{path}");
        assert!(got.is_err() || !has_dot_segments(&got.unwrap_or_default()), "{path}");
    }
}

mod encoded;
