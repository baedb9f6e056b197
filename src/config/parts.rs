//! Tables of one name below each other, parsed one at a time: [`Parts`].
//!
//! A parsed document takes some fifteen times the memory of its text, which is much where there are
//! thousands of clients or routes, and the allocator may keep what was used once. So each run of
//! `[[client]]` is taken out of the document but for its first header, and its tables are parsed
//! when it is their turn.
//!
//! That is done only where it means the same: if a part is not TOML by itself, a header is
//! continued by `[client.more]`, or anything is wrong, the caller parses the document as a whole.

use std::iter;
use std::ops::Range;

/// A document in which each run of tables is left out but for its first header.
pub(super) struct Parts {
    /// The document.
    pub(super) rest: String,
    runs: Vec<Run>,
}

/// Two or more tables with the same header, one after the other.
#[derive(Clone)]
struct Run {
    /// The first header in the document.
    header: usize,
    /// All of it in the file.
    place: Range<usize>,
}

impl Parts {
    /// Those of `text`. `None`: it has no run, or a text of several lines, where anything may be.
    pub(super) fn of(text: &str) -> Option<Self> {
        if text.contains("\"\"\"") || text.contains("'''") {
            return None;
        }
        let (mut rest, mut runs) = (String::new(), Vec::new());
        let mut taken = 0;
        let mut all = sections(text, 0).peekable();
        while let Some(first) = all.next() {
            let name = header(&text[first.clone()]);
            let mut place = first;
            while let Some(next) =
                all.next_if(|it| name.is_some() && header(&text[it.clone()]) == name)
            {
                place.end = next.end;
            }
            // A single table is one section.
            if name.is_some() && sections(text, place.start).next().is_some_and(|it| it != place) {
                rest.push_str(&text[taken..place.start]);
                runs.push(Run { header: rest.len(), place: place.clone() });
                rest.extend(text[place.start..].split_inclusive('\n').next());
                taken = place.end;
            }
        }
        rest.push_str(&text[taken..]);
        (!runs.is_empty()).then_some(Self { rest, runs })
    }

    /// The tables of the run whose header is at `offset` of the document, in the file.
    pub(super) fn run_at<'t>(
        &self,
        offset: usize,
        text: &'t str,
    ) -> Option<impl Iterator<Item = Range<usize>> + use<'t>> {
        let at = self.runs.binary_search_by_key(&offset, |it| it.header).ok()?;
        let place = self.runs[at].place.clone();
        Some(sections(text, place.start).take_while(move |it| it.end <= place.end))
    }

    /// Where in the file an offset of the document is.
    pub(super) fn in_file(&self, offset: usize) -> usize {
        let before = self.runs.partition_point(|it| it.header <= offset);
        let Some(last) = before.checked_sub(1).map(|at| &self.runs[at]) else { return offset };
        let behind = offset - last.header;
        let header = self.header_bytes(last);
        if behind < header { last.place.start + behind } else { last.place.end + behind - header }
    }

    fn header_bytes(&self, run: &Run) -> usize {
        self.rest[run.header..].split_inclusive('\n').next().map_or(0, str::len)
    }
}

/// The places of all headers from `start` on, each with what is below it.
fn sections(text: &str, start: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = start;
    let mut headers = text[start..].split_inclusive('\n').filter_map(move |line| {
        let begin = at;
        at += line.len();
        line.trim_start().starts_with('[').then_some(begin)
    });
    let mut next = headers.next();
    iter::from_fn(move || {
        let begin = next?;
        next = headers.next();
        Some(begin..next.unwrap_or(text.len()))
    })
}

/// The name in a header of two brackets that stands alone in its line, as in `[[client]]`.
fn header(section: &str) -> Option<&str> {
    let line = section.lines().next()?;
    let name = line.strip_prefix("[[")?.strip_suffix("]]")?;
    let is_bare = |it: u8| it.is_ascii_lowercase() || it == b'_';
    (!name.is_empty() && name.bytes().all(is_bare)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::MINIMAL;

    #[test]
    fn a_run_is_left_out_but_for_its_first_header_and_its_tables_come_one_by_one() {
        let text = "a = 1\n[[x]]\nb = 1\n# c\n[[x]]\n[[x]]\nb = 2\n[y]\nc = 3\n[[x]]\n[[z]]\n[[z]]";
        let parts = Parts::of(text).unwrap();
        assert_eq!(parts.rest, "a = 1\n[[x]]\n[y]\nc = 3\n[[x]]\n[[z]]\n");
        let run = |offset: usize| {
            let tables = parts.run_at(offset, text)?;
            Some(tables.map(|it| &text[it]).collect::<Vec<_>>())
        };
        assert_eq!(run(6).unwrap(), ["[[x]]\nb = 1\n# c\n", "[[x]]\n", "[[x]]\nb = 2\n"]);
        assert_eq!(run(parts.rest.find("[[z").unwrap()).unwrap(), ["[[z]]\n", "[[z]]"]);
        assert!([0, 5, 7, parts.rest.rfind("[[x").unwrap()].iter().all(|it| run(*it).is_none()));
        for (offset, character) in parts.rest.char_indices() {
            assert_eq!(text[parts.in_file(offset)..].chars().next(), Some(character), "{offset}");
        }
    }

    #[test]
    fn a_document_without_a_run_is_left_as_it_is() {
        for text in [MINIMAL, "[[a]]\n[[b]]\n[[a]]\n", "[[a]]\n[[a]]\nb = \"\"\"\n\"\"\"\n"] {
            assert!(Parts::of(text).is_none(), "{text}");
        }
    }

    /// Lines that mean something else when the ones around them are elsewhere.
    const LINES: &[&str] = &[
        "[[client]]",
        "[[client]]",
        "[[client]]\nname = \"a\"",
        "[[client]]\r\nname = \"b\"\r",
        "[[client]] # c",
        " [[client]]",
        "[client]",
        "[client.x]",
        "[[client.x]]",
        "[x.client]",
        "client = 1",
        "client = [{ name = \"c\" }, 1]",
        "[[route]]\npath = \"/a/\"\nupstream = \"http://h/\"",
        "[[route]]\npath = \"/a\"",
        "[[listener]]\naddress = \"127.0.0.1:0\"",
        "certificates = [{ certificate = \"c\", key = \"k\" }]",
        "[[listener.certificates]]\ncertificate = \"c\"",
        "name = \"alice\"",
        "token = \"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
        "routes = [",
        "\"/a/\",",
        "[1]",
        "]",
        "# [[client]]",
        "x = \"[[client]]",
        "y = \"\"\"",
        "",
        "é",
    ];

    #[test]
    fn what_is_read_and_what_is_wrong_is_the_same_in_parts_and_in_one() {
        let mut random = 1_u64;
        let mut below = |end: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % end
        };
        let mut in_parts = 0;
        for _ in 0..5_000 {
            let count = 2 + below(10);
            let lines: Vec<_> = (0..count).map(|_| LINES[below(LINES.len())]).collect();
            let text = lines.join("\n");
            in_parts += usize::from(Parts::of(&text).is_some());
            crate::fuzzing::config(text.as_bytes());
        }
        assert!(in_parts > 500, "{in_parts}");
    }
}
