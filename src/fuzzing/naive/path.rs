//! Dot segments.

use super::alphabet::text;

/// RFC 3986, section 5.2.4 on a list of segments; `None` where it would climb above the root.
pub(in crate::fuzzing) fn resolve(path: &[u8]) -> Option<Vec<u8>> {
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let all: Vec<&[u8]> = path.split(|it| *it == b'/').skip(1).collect();
    for (number, segment) in all.iter().enumerate() {
        let plain = text(segment).replace("%2e", ".").replace("%2E", ".");
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
