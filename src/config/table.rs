//! A TOML document, read key by key: [`Reader`], [`Table`] and [`Entry`].
//!
//! Each known key is taken out of its table by name; whatever is left is unknown, and is reported
//! with the nearest known key. The reader notes a problem and continues, so that one run finds them
//! all. A wrong value is `None` to the caller, who need not report it again.
//!
//! Not here: which keys there are (`keys`) and what their values mean (`value`).

use super::problem::{Location, Problems, nearest, quoted, without_secrets};
use super::source::Source;
use super::value::{NamedFile, Value};
use serde::Deserialize;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// Most syntax errors that are reported. The parser continues after the first one, but what it
/// finds then is often a consequence of it.
const SYNTAX_ERRORS_MAX: usize = 3;

/// Turns offsets in the file into locations, and collects problems.
pub(super) struct Reader {
    source: Arc<Source>,
    /// The folder that relative file names start from.
    folder: PathBuf,
    /// The problems found so far.
    pub(super) problems: Problems,
}

/// A table with the keys that have not been taken yet.
pub(super) struct Table<'t> {
    /// Dotted name; empty for the document itself.
    name: String,
    /// Its header.
    place: Range<usize>,
    entries: DeTable<'t>,
}

/// A key that was taken out of its table, and its value. Each method reads the value as one type
/// and notes what is wrong with it.
pub(super) struct Entry<'r, 't> {
    /// The location of the value.
    pub(super) location: Location,
    reader: &'r mut Reader,
    /// Dotted name.
    name: String,
    value: Spanned<DeValue<'t>>,
}

impl Reader {
    /// Parses `text`, or says why it is not TOML.
    pub(super) fn open<'t>(
        name: &str,
        folder: &Path,
        text: &'t str,
    ) -> Result<(Self, Table<'t>), Problems> {
        let source = Arc::new(Source::new(name, text));
        let (folder, problems) = (folder.to_owned(), Problems::default());
        let mut reader = Self { source, folder, problems };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
            let location = reader.location(error.span().unwrap_or_default(), "");
            let message = error.message().replace('\n', ", ");
            reader.problems.add(&location, format!("this is not TOML: {message}"));
        }
        std::mem::take(&mut reader.problems).or(())?;
        let entries = document.into_inner();
        Ok((reader, Table { name: String::new(), place: 0..0, entries }))
    }

    /// Takes `key` out of `table`.
    pub(super) fn take<'t>(&mut self, table: &mut Table<'t>, key: &str) -> Option<Entry<'_, 't>> {
        let (_, value) = table.entries.remove_entry(key)?;
        let name = table.dotted(key);
        Some(Entry { location: self.location(value.span(), &name), reader: self, name, value })
    }

    /// The location of the header of `table`, to report a problem with a missing `key`.
    pub(super) fn header(&self, table: &Table<'_>, key: &str) -> Location {
        self.location(table.place.clone(), &table.dotted(key))
    }

    /// Notes that `key` is missing, if it is. Call it before taking keys.
    pub(super) fn require(&mut self, table: &Table<'_>, key: &str) {
        if !table.has(key) {
            let location = self.header(table, key);
            self.problems.add(&location, "this key is missing; it has no default");
        }
    }

    /// Notes every key that is left in `table` as unknown.
    pub(super) fn refuse_rest(&mut self, table: Table<'_>, known: &[&str]) {
        for key in table.entries.keys() {
            let text: &str = key.get_ref();
            let what = match nearest(text, known.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("{} are known here", known.join(", ")),
            };
            let location = self.location(key.span(), &table.name);
            let unknown = format!("unknown key {}", quoted(text));
            self.problems.add_with_help(&location, unknown, [what]);
        }
    }

    fn wrong_type(&mut self, location: &Location, value: &DeValue<'_>, allowed: &str) {
        let what = format!("this is a TOML {}", value.type_str());
        self.problems.add_with_help(location, what, [allowed.to_owned()]);
    }

    fn location(&self, place: Range<usize>, key: &str) -> Location {
        Location::File { source: Arc::clone(&self.source), place, key: key.into() }
    }
}

impl Table<'_> {
    /// Whether `key` is present and has not been taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    fn dotted(&self, key: &str) -> String {
        let dot = if self.name.is_empty() || key.is_empty() { "" } else { "." };
        format!("{}{dot}{key}", self.name)
    }
}

impl<'r, 't> Entry<'r, 't> {
    /// A string that parses as a `T`.
    pub(super) fn value<T: Value>(self) -> Option<T> {
        let (reader, location, text) = self.deserialize::<String>(T::ALLOWED)?;
        let value = text.parse();
        let refused = |invalid: &T::Err| {
            reader.problems.add_with_help(&location, &*invalid.what, invalid.help(T::ALLOWED));
        };
        value.inspect_err(refused).ok()
    }

    /// A string that parses as a `T`, or a list of such strings.
    pub(super) fn one_or_more<T: Value>(self) -> Vec<T> {
        match self.value.get_ref() {
            DeValue::Array(_) => self.values(),
            _ => self.value().into_iter().collect(),
        }
    }

    /// A list of strings that each parse as a `T`.
    pub(super) fn values<T: Value>(self) -> Vec<T> {
        let allowed = format!("a list is allowed, of which each: {}", T::ALLOWED);
        let Some((reader, location, texts)) = self.deserialize::<Vec<String>>(&allowed) else {
            return Vec::new();
        };
        if texts.is_empty() {
            reader
                .problems
                .add(&location, format!("the list is empty; leave it out, or {allowed}"));
        }
        let mut values = Vec::new();
        for text in texts {
            match T::from_str(&text) {
                Ok(value) => values.push(value),
                Err(invalid) => {
                    let help = invalid.help(T::ALLOWED);
                    reader.problems.add_with_help(&location, invalid.what, help);
                }
            }
        }
        values
    }

    /// A whole number within `range`.
    pub(super) fn number(self, range: &RangeInclusive<usize>) -> Option<usize> {
        let allowed = format!("{} to {} is allowed", range.start(), range.end());
        if !self.value.get_ref().is_integer() {
            self.reader.wrong_type(&self.location, self.value.get_ref(), &allowed);
            return None;
        }
        let (reader, location, number) = self.deserialize::<i128>(&allowed)?;
        let fits = usize::try_from(number).ok().filter(|number| range.contains(number));
        if fits.is_none() {
            reader.problems.add_with_help(
                &location,
                format!("{number} is out of range"),
                [allowed],
            );
        }
        fits
    }

    /// The name of a file, relative to the folder of the configuration file.
    pub(super) fn file(self) -> Option<NamedFile> {
        let (reader, location, name) =
            self.deserialize::<String>("the name of a file is allowed")?;
        Some(NamedFile { path: reader.folder.join(name), location })
    }

    /// `[key]` or `key = { … }`.
    pub(super) fn table(self) -> Option<(&'r mut Reader, Table<'t>)> {
        let Self { location, reader, name, value } = self;
        let place = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => Some((reader, Table { name, place, entries })),
            other => {
                reader.wrong_type(&location, &other, &format!("a table [{name}] is allowed"));
                None
            }
        }
    }

    /// The result of `read` for every `[[key]]`. An empty list is a problem.
    pub(super) fn tables<T>(self, read: fn(&mut Reader, Table<'_>) -> T) -> Vec<T> {
        let Self { location, reader, name, value } = self;
        let allowed = format!("tables [[{name}]], with double brackets, are allowed");
        let items = match value.into_inner() {
            DeValue::Array(items) => items,
            other => {
                reader.wrong_type(&location, &other, &allowed);
                return Vec::new();
            }
        };
        if items.is_empty() {
            let what = format!("there is none; at least one [[{name}]] is needed");
            reader.problems.add(&location, what);
        }
        let mut tables = Vec::new();
        for item in items {
            let place = item.span();
            match item.into_inner() {
                DeValue::Table(entries) => {
                    tables.push(Table { name: name.clone(), place, entries });
                }
                other => reader.wrong_type(&location, &other, &allowed),
            }
        }
        tables.into_iter().map(|table| read(reader, table)).collect()
    }

    /// Deserializes the value with serde.
    fn deserialize<D: for<'de> Deserialize<'de>>(
        self,
        allowed: &str,
    ) -> Option<(&'r mut Reader, Location, D)> {
        let Self { location, reader, value, .. } = self;
        match D::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some((reader, location, value)),
            Err(error) => {
                // serde's message repeats the value.
                let message = without_secrets(&error.message().replace('\n', ", "));
                let message = message.unwrap_or_else(|| "the type is wrong".to_owned());
                reader.problems.add_with_help(&location, message, [allowed.to_owned()]);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};
    use std::time::{Duration, Instant};

    #[test]
    fn all_problems_are_told_at_once_each_with_its_line() {
        let text = r#"worker = 2
[[listener]]
adress = "127.0.0.1:8080"
[[route]]
path = "/gpt"
upstream = "https://api.openai.com/v1"
[timeouts]
connect = 5
linger = "0s"
[limits]
connections = 0
"#;
        let problems = [
            "f:1: unknown key \"worker\"; did you mean \"workers\"?",
            "f:2: listener.address: this key is missing; it has no default",
            "f:3: listener: unknown key \"adress\"; did you mean \"address\"?",
            "f:5: route.path: the path \"/gpt\" does not end in \"/\"; a path that begins and ends \
             with \"/\" is allowed; did you mean \"/gpt/\"?",
            "f:6: route.upstream: the path \"/v1\" does not end in \"/\"; http:// or https://, a \
             host, an optional port and a path that ends in \"/\" are allowed; did you mean \
             \"/v1/\"?",
            "f:8: timeouts.connect: invalid type: integer `5`, expected a string; a whole number \
             of ms, s, m or h is allowed, from \"1ms\" to \"24h\"",
            "f:9: timeouts.linger: \"0s\" is no time at all; a whole number of ms, s, m or h is \
             allowed, from \"1ms\" to \"24h\"",
            "f:11: limits.connections: 0 is out of range; 1 to 1000000 is allowed",
        ];
        assert_eq!(read(text).unwrap_err().to_string(), problems.join("\n"));
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        refuse("a = 1\nb = \n", "f:2: this is not TOML: ");
        refuse("a = 1\na = 2\n", "f:2: this is not TOML: duplicate key");
        refuse("workers = 1\n[limits]\n[limits]\n", "f:3: this is not TOML: duplicate key");
        refuse("\0", "f:1: this is not TOML: ");
        let many = read(&"= = \n".repeat(100)).unwrap_err();
        assert!(many.iter().len() <= 3);
    }

    #[test]
    fn wrong_types_are_told() {
        let with = |text: &str| format!("{text}\n{MINIMAL}");
        refuse(&with("workers = \"2\""), "workers: this is a TOML string; 1 to 256 is allowed");
        refuse(&with("workers = 2.0"), "workers: this is a TOML float; 1 to 256");
        refuse(&with("workers = -1"), "workers: -1 is out of range; 1 to 256 is allowed");
        refuse(
            &with("workers = 99999999999999999999"),
            "workers: 99999999999999999999 is out of range",
        );
        refuse(&with("timeouts = 5"), "timeouts: this is a TOML integer; a table [timeouts]");
        refuse(
            "[listener]\naddress = \"127.0.0.1:1\"",
            "f:1: listener: this is a TOML table; tables [[listener]]",
        );
        refuse("route = [1]", "f:1: route: this is a TOML integer; tables [[route]]");
        refuse(&with("timeouts.to_client = \"5s\""), "timeouts.to_client: this is a TOML string");
    }

    #[test]
    fn hostile_text_is_refused_in_bounded_time() {
        let started = Instant::now();
        for piece in ["a", "[", "[[", "{", "a.", "[a]\n", "a={a=", "\"\\u", "é\n", "[[route]]\n"] {
            assert!(read(&piece.repeat(20_000)).is_err());
        }
        let many_keys: String = (0..20_000).map(|number| format!("a{number} = 1\n")).collect();
        assert_eq!(read(&many_keys).unwrap_err().iter().len(), 20_002);
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
