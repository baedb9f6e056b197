//! Request-targets and the dot segments in them.

use super::naive;
use crate::gateway::route::{Route, RouteTable};
use crate::h1::authority::Authority;
use crate::h1::dot_segments::{ROUNDS, has_dot_segments, resolve_dot_segments};
use crate::h1::target::{RequestTarget, split_query};

/// `METHOD TARGET`: parsing never panics and keeps every byte. Dot segments are resolved as RFC
/// 3986 says, and none are left. No path that a route lets through leads a server out of the
/// route's own path, even if the server decodes up to three times, takes `\` for a slash, folds
/// full-width letters to ASCII, accepts or drops broken UTF-8, cuts parameters from segments, or
/// merges slashes.
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
    assert_eq!(Some(&resolved), naive::resolve(path).as_ref());
    assert_eq!(has_dot_segments(path), resolved != path);
    assert!(!has_dot_segments(&resolved));
    let routes = ["/", "/gpt/", "/gpt/v1/"].map(|path| Route::new(path, path, "a", ()));
    let routes = RouteTable::new(routes);
    let route = routes.find(&resolved).expect("one of the routes is for all");
    let rest = resolved.strip_prefix(&*route.path).expect("a prefix");
    assert!(
        routes
            .iter()
            .all(|it| it.path.len() <= route.path.len() || !resolved.starts_with(&it.path))
    );
    assert!(stays_inside(rest), "{:?} climbs", naive::text(rest));
}

/// Whether `rest` leads no server above the place where it begins, however the server decodes.
pub(super) fn stays_inside(rest: &[u8]) -> bool {
    (0..=ROUNDS).all(|rounds| {
        [false, true].iter().all(|&is_lenient| {
            let decoded = (0..rounds).fold(rest.to_vec(), |it, _| decode(&it, is_lenient));
            [false, true].iter().all(|&ends_early| {
                [false, true].iter().all(|&merges| walk_stays_inside(&decoded, ends_early, merges))
            })
        })
    })
}

/// One round of decoding by a server: escapes are decoded, and other characters folded to ASCII. A
/// lenient server takes overlong and broken UTF-8 for what it resembles; the others drop it.
fn decode(bytes: &[u8], is_lenient: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        let hex = |range: std::ops::Range<usize>| {
            let digits = str::from_utf8(rest.get(range)?).ok()?;
            let are_digits = digits.bytes().all(|it| it.is_ascii_hexdigit());
            are_digits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
        };
        let is_unicode = matches!(rest, [b'%', b'u' | b'U', ..]);
        match (hex(1..3).filter(|_| *first == b'%'), hex(2..6).filter(|_| is_unicode)) {
            (Some(byte), _) => {
                out.push(byte as u8);
                rest = &rest[3..];
            }
            (None, Some(code)) => {
                let text = char::from_u32(code).unwrap_or('a').to_string();
                out.extend_from_slice(text.as_bytes());
                rest = &rest[6..];
            }
            (None, None) => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    if is_lenient {
        for special in *b"./\\;%?#\0" {
            let (high, low) = (special >> 6, special & 0x3f);
            for long in [
                &[0xc0 | high, 0x80 | low][..],
                &[0xc0 | high, low],
                &[0xe0, 0x80 | high, 0x80 | low],
                &[0xf0, 0x80, 0x80 | high, 0x80 | low],
            ] {
                out = replaced(&out, long, special);
            }
        }
    }
    let valid: String = out.utf8_chunks().map(|chunk| chunk.valid()).collect();
    let invisible = |it: &char| matches!(it, '\u{ad}' | '\u{200b}' | '\u{feff}');
    let folded: String = valid.chars().filter(|it| !invisible(it)).flat_map(resembled).collect();
    folded.into_bytes()
}

fn replaced(bytes: &[u8], old: &[u8], new: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        match rest.strip_prefix(old) {
            Some(behind) => (out.push(new), rest = behind).0,
            None => (out.push(*first), rest = behind).0,
        }
    }
    out
}

fn resembled(letter: char) -> Vec<char> {
    match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).into_iter().collect(),
        '\u{2024}' | '\u{fe52}' | '\u{3002}' | '\u{ff61}' => vec!['.'],
        '\u{2025}' => vec!['.', '.'],
        '\u{2026}' => vec!['.', '.', '.'],
        '\u{2215}' | '\u{2044}' => vec!['/'],
        '\u{2216}' => vec!['\\'],
        '\u{37e}' => vec![';'],
        other => vec![other],
    }
}

/// Whether a server that walks along a decoded path never climbs above its start. It takes `\` for
/// `/`, drops blanks and control bytes, and cuts segments at `;`, `?`, `#`, and at a NUL if it
/// `ends_early`.
fn walk_stays_inside(decoded: &[u8], ends_early: bool, merges: bool) -> bool {
    let mut depth = 0_usize;
    for segment in decoded.split(|it| matches!(it, b'/' | b'\\')) {
        let ends = |it: &u8| matches!(it, b';' | b'?' | b'#') || (ends_early && *it == 0);
        let name = segment.split(ends).next().unwrap_or_default();
        let name: Vec<u8> =
            name.iter().copied().filter(|it| *it != b' ' && !it.is_ascii_control()).collect();
        match name.as_slice() {
            b"" if merges => {}
            b"." => {}
            b".." if depth == 0 => return false,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}
