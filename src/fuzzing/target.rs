//! Request-targets and the dot segments in them.

use super::naive;
use crate::h1::authority::Authority;
use crate::h1::target::{RequestTarget, has_dot_segments, resolve_dot_segments, split_query};
use crate::route::{Route, RouteTable};

/// `METHOD TARGET`: parsing is total and keeps every byte. Dot segments resolve as RFC 3986 says,
/// once and for all. And no path that a route lets through leads a server out of what the route
/// stands for: not one that takes `%2f`, `%5c` and `\` for separators, nor one that also cuts
/// parameters from segments, or merges slashes.
pub fn target(data: &[u8]) {
    let is_path = data.is_empty() || data.starts_with(b"/");
    assert!(is_path || resolve_dot_segments(data, &mut Vec::new()).is_err());
    let at = data.iter().position(|it| *it == b' ').unwrap_or(0);
    let (method, target) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let path_and_query = match RequestTarget::parse(method, target) {
        Err(_) => return,
        Ok(RequestTarget::Asterisk) => {
            return assert_eq!((method, target), (&b"OPTIONS"[..], &b"*"[..]));
        }
        Ok(RequestTarget::Authority(authority)) => {
            assert_eq!(method, b"CONNECT");
            return check_authority(target, authority);
        }
        Ok(RequestTarget::Origin(path)) => {
            assert_eq!(path, target);
            path
        }
        Ok(RequestTarget::Absolute { https, authority, path_and_query }) => {
            let scheme = if https { "https://" } else { "http://" };
            let (front, behind) = target.split_at(scheme.len());
            assert_eq!(naive::text(front).to_ascii_lowercase(), scheme);
            let place = behind.strip_suffix(path_and_query).expect("the path is the end");
            check_authority(place, authority);
            path_and_query
        }
    };
    assert!(target.iter().all(|it| it.is_ascii_graphic() && *it != b'#'));
    let (path, query) = split_query(path_and_query);
    assert_eq!([path, query].concat(), path_and_query);
    assert!(!path.contains(&b'?') && (query.is_empty() || query[0] == b'?'));
    if path.starts_with(b"/") {
        check_path(path);
    }
}

fn check_authority(bytes: &[u8], authority: Authority<'_>) {
    let rest = bytes.strip_prefix(authority.host).expect("the host is the front");
    let digits = rest.strip_prefix(b":").unwrap_or_default();
    assert_eq!(authority.port.map(u64::from), naive::number(digits));
    assert!(!authority.host.is_empty() && !bytes.contains(&b'@') && !bytes.contains(&b'/'));
}

fn check_path(path: &[u8]) {
    let mut resolved = Vec::new();
    if resolve_dot_segments(path, &mut resolved).is_err() {
        assert!(has_dot_segments(path));
        return;
    }
    assert_eq!(Some(&resolved), naive_resolve(path).as_ref());
    assert_eq!(has_dot_segments(path), resolved != path);
    assert!(!has_dot_segments(&resolved));
    let routes = ["/", "/gpt/", "/gpt/v1/"].map(|path| Route {
        path: path.as_bytes().into(),
        replacement: path.as_bytes().into(),
        host: b"a".as_slice().into(),
        upstream: 0,
        site: None,
        name: path.into(),
    });
    let routes = RouteTable::new(routes.into());
    let route = routes.find(&resolved).expect("one of the routes is for all");
    let rest = resolved.strip_prefix(&*route.path).expect("a prefix");
    assert!(
        routes
            .iter()
            .all(|it| it.path.len() <= route.path.len() || !resolved.starts_with(&it.path))
    );
    assert!(stays_inside(rest), "{:?} climbs", naive::text(rest));
}

/// Whether no server, however it decodes `rest`, is led above the place where that begins.
pub(super) fn stays_inside(rest: &[u8]) -> bool {
    [
        Sloppy { parameters: false, merges: false },
        Sloppy { parameters: true, merges: false },
        Sloppy { parameters: true, merges: true },
    ]
    .iter()
    .all(|sloppy| sloppy.stays_inside(rest))
}

/// RFC 3986, section 5.2.4 on a list of segments; `None` where it would climb above the root.
pub(super) fn naive_resolve(path: &[u8]) -> Option<Vec<u8>> {
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let all: Vec<&[u8]> = path.split(|it| *it == b'/').skip(1).collect();
    for (number, segment) in all.iter().enumerate() {
        let plain = naive::text(segment).replace("%2e", ".").replace("%2E", ".");
        let is_last = number + 1 == all.len();
        match plain.as_str() {
            "." => {}
            ".." => {
                segments.pop()?;
            }
            _ => segments.push(segment.to_vec()),
        }
        if is_last && (plain == "." || plain == "..") {
            segments.push(Vec::new());
        }
    }
    Some(segments.iter().flat_map(|it| [b"/", it.as_slice()].concat()).collect())
}

/// A server that decodes before it splits.
struct Sloppy {
    /// `..;x` is `..`.
    parameters: bool,
    /// `//` is `/`.
    merges: bool,
}

impl Sloppy {
    /// Whether the server, at each point of its way along `rest`, is below where it began.
    fn stays_inside(&self, rest: &[u8]) -> bool {
        let mut decoded = naive::text(rest);
        for (code, byte) in [("2e", "."), ("2f", "/"), ("5c", "/")] {
            let other_case = code.to_ascii_uppercase();
            decoded = decoded.replace(&format!("%{code}"), byte);
            decoded = decoded.replace(&format!("%{other_case}"), byte);
        }
        let mut depth = 0_usize;
        for segment in decoded.replace('\\', "/").split('/') {
            let name = if self.parameters { segment.split(';').next() } else { Some(segment) };
            match name.unwrap_or_default() {
                "" if self.merges => {}
                "." => {}
                ".." if depth == 0 => return false,
                ".." => depth -= 1,
                _ => depth += 1,
            }
        }
        true
    }
}
