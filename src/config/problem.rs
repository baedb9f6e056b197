//! Problems in a configuration: [`Problem`], its [`Location`], and the collection [`Problems`].
//!
//! In the log every problem is one line, `FILE:LINE: key: what is wrong; what helps`. All of them
//! are reported at once, so that an operator who repairs a file need not run `check` ten times.
//!
//! Not here: how a person reads them (`report`).

use super::source::Source;
use crate::tls::secret::may_be_secret;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Most characters of an operator's text that a message quotes.
const QUOTED_CHARS_MAX: usize = 80;

/// Where a value comes from. Messages begin with it.
#[derive(Clone, Debug)]
pub enum Location {
    /// A key or a value in the configuration file.
    File {
        /// The file.
        source: Arc<Source>,
        /// Its line, counted from 1.
        line: u32,
        /// Its bytes; empty if the problem is with the file as a whole.
        place: Range<u32>,
        /// Dotted name of the key, such as `route.path`; empty if the problem is with no key.
        key: Arc<str>,
    },
    /// An argument on the command line: `--listen`, or `ROUTE`.
    Argument(&'static str),
}

impl Location {
    /// A place in a file of which the text is known.
    pub(super) fn in_file(
        source: &Arc<Source>,
        place: Range<usize>,
        key: impl Into<Arc<str>>,
    ) -> Self {
        let (source, text) = (Arc::clone(source), source.text());
        let line = text.map_or(0, |text| text.line_number(place.start)) as u32;
        Self::File { source, line, place: place.start as u32..place.end as u32, key: key.into() }
    }

    /// The line in the file, counted from 1.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line as usize),
            Self::Argument(_) => None,
        }
    }

    /// Its bytes in the file.
    pub(super) fn place(&self) -> Range<u32> {
        match self {
            Self::File { place, .. } => place.clone(),
            Self::Argument(_) => 0..0,
        }
    }

    /// Name of the key or argument; empty if the problem is with none.
    pub fn name(&self) -> &str {
        match self {
            Self::File { key, .. } => key,
            Self::Argument(name) => name,
        }
    }
}

/// Equal are locations that display the same, wherever in the line they are.
impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        let file = |it: &Self| match it {
            Self::File { source, .. } => Some(Arc::clone(source)),
            Self::Argument(_) => None,
        };
        (file(self), self.line(), self.name()) == (file(other), other.line(), other.name())
    }
}

impl Eq for Location {}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::File { source, line, key, .. } = self {
            write!(f, "{}:{line}", source.name())?;
            f.write_str(if key.is_empty() { "" } else { ": " })?;
        }
        f.write_str(self.name())
    }
}

/// One problem to repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where to repair it.
    pub location: Location,
    /// What is wrong. One line.
    pub what: String,
    /// What is allowed, or what to write instead. One line each.
    pub help: Vec<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.what)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// All problems found; displays as one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one more.
    #[cold]
    pub fn add(&mut self, location: &Location, what: impl Into<String>) {
        self.push(location, what.into(), Vec::new());
    }

    /// Notes one more, and what to do.
    #[cold]
    pub fn add_with_help(
        &mut self,
        location: &Location,
        what: impl Into<String>,
        help: impl IntoIterator<Item = String>,
    ) {
        self.push(location, what.into(), help.into_iter().collect());
    }

    /// Adds `others` after these.
    pub(super) fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value` if there are no problems, otherwise the problems, sorted by line.
    ///
    /// # Errors
    ///
    /// There are problems.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self.sorted()) }
    }

    /// The same problems, sorted by line.
    pub fn sorted(mut self) -> Self {
        self.0.sort_by_cached_key(|problem| problem.location.line().unwrap_or(0));
        self
    }

    /// The problems found so far.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }

    #[cold]
    fn push(&mut self, location: &Location, what: String, help: Vec<String>) {
        self.0.push(Problem { location: location.clone(), what, help });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `text` in quotes, escaped, without possible secrets, and cut to a readable length.
pub fn quoted(text: &str) -> String {
    let Some(text) = without_secrets(text) else {
        return "a text that may be secret, and is not repeated here,".to_owned();
    };
    let mut shown: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// `text` without possible secrets, which are the user information and the query of a URL. `None`
/// if `text` looks like a key.
pub fn without_secrets(text: &str) -> Option<String> {
    if may_be_secret(text) {
        return None;
    }
    // A password may hold any character, also those that end the host of a URL.
    let (hidden, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => {
            let scheme = user.find("://").map_or("", |at| &user[..at + "://".len()]);
            (format!("{scheme}…@"), rest)
        }
        None => (String::new(), text),
    };
    let end = rest.find('?').filter(|at| at + 1 < rest.len());
    let (rest, query) = end.map_or((rest, ""), |at| (&rest[..at], "?…"));
    Some(format!("{hidden}{rest}{query}"))
}

/// Points to the first of two that exclude each other, if it has a line.
pub(super) fn also_at(first: &Location) -> String {
    also_in(first.line())
}

/// The same by its line.
pub(super) fn also_in(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("; the first is in line {line}"))
}

/// The known word that `word` is most likely a misspelling of, if at most a third of its letters
/// differ, also of each part: `request_body` is no slip for `request_head`.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let is_near = |word: &str, known: &str| edit_distance(word, known) <= known.len().div_ceil(3);
    let has_near_parts = |known: &str| {
        let parts = |text: &str| text.split(['_', '-']).map(str::to_owned).collect::<Vec<_>>();
        let (parts, known) = (parts(word), parts(known));
        parts.len() != known.len() || parts.iter().zip(&known).all(|(it, known)| is_near(it, known))
    };
    known
        .into_iter()
        .filter(|known| is_near(word, known) && has_near_parts(known))
        .map(|known| (edit_distance(word, known), known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Levenshtein's distance in bytes, regardless of case: insertions, deletions and substitutions
/// from `a` to `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    // `row[j]` is the distance from the part of `a` seen so far to the first `j` bytes of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(!from.eq_ignore_ascii_case(&to));
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::KEY;

    #[test]
    fn the_distance_counts_insertions_deletions_and_substitutions() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let known = ["certificate", "key", "address", "mode"];
        assert_eq!(nearest("certifcate", known), Some("certificate"));
        assert_eq!(nearest("adress", known), Some("address"));
        assert_eq!(nearest("keys", known), Some("key"));
        assert_eq!(nearest("banana", known), None);
        let known = ["request_head", "response_head", "connections_per_address"];
        assert_eq!(nearest("requst_head", known), Some("request_head"));
        assert_eq!(nearest("connection_per_address", known), Some("connections_per_address"));
        assert_eq!(nearest("request_body", known), None);
        let known = ["certificate", "key", "address", "mode"];
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn a_quoted_text_stays_on_one_line_and_short() {
        assert_eq!(quoted("a\nb\"c"), r#""a\nb\"c""#);
        let long = "é".repeat(QUOTED_CHARS_MAX + 1);
        assert_eq!(quoted(&long).chars().count(), QUOTED_CHARS_MAX + 3);
    }

    #[test]
    fn possible_secrets_are_not_quoted() {
        let check = |text, want: &str| assert_eq!(quoted(text), format!("{want:?}"), "{text}");
        check("https://user:pass@host/", "https://…@host/");
        check("user:pass@host:1", "…@host:1");
        check("/gpt/=https://a:b@c@host/x", "/gpt/=https://…@host/x");
        check("https://host/?key=secret", "https://host/?…");
        check("https://host/?", "https://host/?");
        check("https://user:p?ss@host/", "https://…@host/");
        for key in [KEY.to_owned(), KEY.replace('\n', ""), KEY.lines().nth(1).unwrap().to_owned()] {
            assert!(quoted(&key).starts_with("a text that may be secret"), "{key}");
            let below = format!("/etc/narrows.d/{key}");
            assert!(quoted(&below).starts_with("a text that may be secret"), "{below}");
        }
        let path = "/opt/services/relay/certificates/production/of/the/year/2026/";
        check(path, path);
    }

    #[test]
    fn problems_come_in_the_order_of_the_file() {
        let source = Arc::new(Source::new("f", "\n".repeat(8)));
        let at = |line: usize| Location::in_file(&source, line - 1..line, "k");
        let mut problems = Problems::default();
        problems.add(&at(7), "late");
        problems.add(&at(2), "early");
        assert_eq!(problems.sorted().to_string(), "f:2: k: early\nf:7: k: late");
    }
}
