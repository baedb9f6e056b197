//! A TOML document, read key by key: [`Reader`], [`Table`] and [`Entry`].
//!
//! Each known key is taken out of its table by name; whatever is left is unknown, and is reported
//! with the nearest known key. The reader notes a problem and continues, so that one run finds them
//! all. A wrong value is `None` to the caller, who need not report it again.
//!
//! Not here: lists of tables (`table_list`), which keys there are (`keys`), and what their values
//! mean (`value`).

use super::excerpt::may_be_shown;
use super::lookalike::Lookalike;
use super::parts::Parts;
use super::places::Places;
use super::problem::{Location, Problems, nearest, quoted};
use super::source::Source;
use super::toml_value::{below, header, is_table, kind};
use super::value::{Invalid, NamedFile, Rules, Value, rules_of};
use super::{foreign_keys, lookalike, moment, near, syntax};
use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The dotted names of the tables that have a key of this name.
pub(super) type Homes = fn(&str) -> Vec<&'static str>;

/// Turns offsets in the file into locations, and collects problems.
pub(super) struct Reader {
    pub(super) places: Places,
    /// The parts of the document mean something else than the whole.
    pub(super) is_torn: bool,
    /// The folder that relative file names start from.
    folder: PathBuf,
    homes: Homes,
    /// The problems found so far.
    pub(super) problems: Problems,
}

/// A table with the keys that have not been taken yet.
pub(super) struct Table<'t> {
    /// Dotted name; empty for the document itself.
    pub(super) name: Arc<str>,
    /// Its header.
    pub(super) place: Range<usize>,
    pub(super) entries: DeTable<'t>,
}

/// A key that was taken out of its table, and its value. Each method reads the value as one type
/// and notes what is wrong with it.
pub(super) struct Entry<'r, 't> {
    /// The location of the value.
    pub(super) location: Location,
    pub(super) reader: &'r mut Reader,
    /// Dotted name.
    pub(super) name: Arc<str>,
    pub(super) value: Spanned<DeValue<'t>>,
}

impl Reader {
    /// Reads a file of which the text is known, or what is left of it without `parts`.
    pub(super) fn new(
        source: &Arc<Source>,
        parts: Option<Arc<Parts>>,
        folder: &Path,
        homes: Homes,
    ) -> Self {
        Self {
            places: Places::new(source, parts),
            is_torn: false,
            folder: folder.to_owned(),
            homes,
            problems: Problems::default(),
        }
    }

    /// Parses `document`, or notes why it is not TOML.
    pub(super) fn open<'t>(&mut self, document: &'t str) -> Option<Table<'t>> {
        let (document, errors) = DeTable::parse_recoverable(document);
        if errors.is_empty() {
            let entries = document.into_inner();
            return Some(Table { name: "".into(), place: 0..0, entries });
        }
        self.is_torn = self.places.has_parts();
        if !self.is_torn {
            for fault in syntax::faults(self.places.text(), &errors) {
                let location = self.location(fault.place, "");
                self.problems.add_with_help(&location, fault.what, fault.help);
            }
        }
        None
    }

    /// Takes `key` out of `table`.
    pub(super) fn take<'t>(&mut self, table: &mut Table<'t>, key: &str) -> Option<Entry<'_, 't>> {
        let (_, value) = table.entries.remove_entry(key)?;
        let name = self.places.name(&table.dotted(key));
        let location = self.location(value.span(), &name);
        Some(Entry { location, reader: self, name, value })
    }

    /// The location of the header of `table`, to report a problem with a missing `key`.
    pub(super) fn header(&self, table: &Table<'_>, key: &str) -> Location {
        self.location(table.place.clone(), &table.dotted(key))
    }

    /// Notes that `key` is missing, if it is. Call it before taking keys.
    pub(super) fn require(&mut self, table: &Table<'_>, key: &str) {
        if self.lacks(table, key) {
            let location = self.header(table, key);
            let example = foreign_keys::example(&table.name, key);
            let help = example.map(|it| format!("write {it}"));
            self.problems.add_with_help(&location, "this key is missing; it has no default", help);
        }
    }

    /// Whether `table` has neither `key` nor a foreign name of it, which is noted as unknown.
    pub(super) fn lacks(&self, table: &Table<'_>, key: &str) -> bool {
        let is_meant = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &Cow<'_, str> = name.get_ref();
            foreign_keys::stands_for(name, &table.name, key)
                || is_table(value.get_ref()) && nearest(name, [key]).is_some()
        };
        !table.has(key) && !table.entries.iter().any(is_meant)
    }

    /// Notes every key that is left in `table` as unknown.
    pub(super) fn refuse_rest(&mut self, table: Table<'_>, known: &[&str]) {
        for (key, value) in &table.entries {
            let text: &str = key.get_ref();
            let location = self.location(key.span(), &table.name);
            if let Some(lookalike) = Lookalike::find(text) {
                self.problems.add(&location, lookalike.what());
                continue;
            }
            let kind = if is_table(value.get_ref()) { "table" } else { "key" };
            let what = format!("unknown {kind} {}", quoted(text));
            let help = match nearest(text, known.iter().copied()) {
                Some(meant) if kind == "table" => format!("did you mean {}?", header(meant)),
                _ => self.instead_of(text, &table.name, known),
            };
            self.problems.add_with_help(&location, what, [help]);
        }
    }

    /// What to write instead of `key`, which is not known in the table called `name`.
    fn instead_of(&self, key: &str, name: &str, known: &[&str]) -> String {
        if let Some(instead) = foreign_keys::instead_of_key(key, name) {
            return instead;
        }
        let homes: Vec<String> = (self.homes)(key).into_iter().map(below).collect();
        if !homes.is_empty() {
            return format!("{} belongs {}", quoted(key), homes.join(" or "));
        }
        match nearest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean {}?", quoted(meant)),
            None => format!("{} are known here", known.join(", ")),
        }
    }

    /// Parses a string.
    fn parse<T: Value>(&mut self, value: &Spanned<DeValue<'_>>, location: &Location) -> Option<T> {
        let invalid = match value.get_ref() {
            DeValue::String(text) => match T::from_str(text) {
                Ok(parsed) => return Some(parsed),
                Err(invalid) => Some(invalid),
            },
            _ => None,
        };
        self.refuse(value, location, invalid, rules_of::<T>());
        None
    }

    /// Notes that a value is not a string, or an `invalid` one. Of the type, only the rules are
    /// passed, because this would be compiled anew for each.
    #[cold]
    fn refuse(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        location: &Location,
        invalid: Option<Invalid>,
        rules: Rules,
    ) {
        let (allowed, _) = rules;
        match (value.get_ref(), invalid) {
            (DeValue::String(text), Some(invalid)) => {
                let location = match Lookalike::find(text) {
                    Some(it) => &self.location(self.within(value, it.character), location.name()),
                    None => location,
                };
                let (what, help) = lookalike::explained(text, invalid, rules);
                self.problems.add_with_help(location, what, help);
            }
            (other, _) => {
                let help = match other {
                    DeValue::Array(_) | DeValue::Table(_) => None,
                    _ => lookalike::in_quotes(self.raw(value), rules),
                };
                let help = help.unwrap_or_else(|| allowed.to_owned());
                self.wrong_type(location, other, "a string", help);
            }
        }
    }

    #[cold]
    pub(super) fn wrong_type(
        &mut self,
        location: &Location,
        value: &DeValue<'_>,
        needed: &str,
        help: String,
    ) {
        let what = format!("this is {}, and {needed} is needed", kind(value));
        self.problems.add_with_help(location, what, [help]);
    }

    /// The place of a character in a string, or of the string, if it is written as an escape.
    fn within(&self, value: &Spanned<DeValue<'_>>, character: char) -> Range<usize> {
        let start = value.span().start;
        let found = self.raw(value).find(character).map(|at| start + at);
        found.map_or_else(|| value.span(), |at| at..at + character.len_utf8())
    }

    /// A value as it is written.
    fn raw(&self, value: &Spanned<DeValue<'_>>) -> &str {
        self.places.raw(value.span())
    }

    fn location(&self, place: Range<usize>, key: &str) -> Location {
        self.places.location(place, key)
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
        self.reader.parse(&self.value, &self.location)
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
        self.values_at().1.into_iter().map(|(_, value)| value).collect()
    }

    /// The same, each with its location, and the folder that relative names of files start from.
    pub(super) fn values_at<T: Value>(self) -> (&'r Path, Vec<(Location, T)>) {
        let Self { location, reader, value, .. } = self;
        let allowed = format!("a list is allowed, of which each: {}", T::ALLOWED);
        let DeValue::Array(items) = value.get_ref() else {
            let raw = reader.raw(&value);
            let is_shown = value.get_ref().is_str() && may_be_shown(reader.places.text(), raw);
            let help = if is_shown { format!("write [{raw}]") } else { allowed };
            reader.wrong_type(&location, value.get_ref(), "a list", help);
            return (&reader.folder, Vec::new());
        };
        if items.is_empty() {
            let what = "the list is empty";
            let help = format!("leave it out, or {allowed}");
            reader.problems.add_with_help(&location, what, [help]);
        }
        let mut values = Vec::new();
        for item in items.iter() {
            let location = reader.location(item.span(), location.name());
            values.extend(reader.parse::<T>(item, &location).map(|it| (location, it)));
        }
        (&reader.folder, values)
    }

    /// A whole number within `range`.
    pub(super) fn number(self, range: &RangeInclusive<usize>) -> Option<usize> {
        let Self { location, reader, value, .. } = self;
        let allowed = format!("{} to {} is allowed", range.start(), range.end());
        let DeValue::Integer(integer) = value.get_ref() else {
            let meant = value.get_ref().as_str().and_then(near::number);
            let help = meant.map(|number| format!("write {number}, without quotes"));
            let help = help.unwrap_or(allowed);
            reader.wrong_type(&location, value.get_ref(), "a whole number", help);
            return None;
        };
        let number = usize::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fits = number.filter(|number| range.contains(number));
        if fits.is_none() {
            // The parser lets pass what follows the digits of a negative number.
            let raw = reader.raw(&value);
            let is_number = raw.chars().all(|it| it.is_ascii_hexdigit() || "+-_xo".contains(it));
            let what = if is_number {
                format!("{} is out of range", raw.chars().take(40).collect::<String>())
            } else {
                "this is not a whole number".to_owned()
            };
            reader.problems.add_with_help(&location, what, [allowed]);
        }
        fits
    }

    /// `true` or `false`.
    pub(super) fn boolean(self) -> Option<bool> {
        let Self { location, reader, value, .. } = self;
        let DeValue::Boolean(boolean) = value.get_ref() else {
            let help = "write true or false, without quotes".to_owned();
            reader.wrong_type(&location, value.get_ref(), "true or false", help);
            return None;
        };
        Some(*boolean)
    }

    /// A date, or a date and a time, in seconds since 1970.
    pub(super) fn moment(self) -> Option<u64> {
        let Self { location, reader, value, .. } = self;
        let refuse = |(what, help)| reader.problems.add_with_help(&location, what, [help]);
        moment::read(value.get_ref()).map_err(refuse).ok()
    }

    /// Whether it is the name of a file without any folder.
    pub(super) fn is_bare_name(&self) -> bool {
        self.value.get_ref().as_str().is_some_and(|name| !name.contains('/'))
    }

    /// The name of a file, relative to the folder of the configuration file.
    pub(super) fn file(self) -> Option<NamedFile> {
        let Self { location, reader, value, .. } = self;
        let Some(name) = value.get_ref().as_str() else {
            let allowed = "the name of a file is allowed".to_owned();
            reader.wrong_type(&location, value.get_ref(), "a string", allowed);
            return None;
        };
        let (what, help) = if name.is_empty() {
            ("the name of the file is empty", "write the name, or delete the line")
        } else if name.contains("-----BEGIN") {
            let help = "save the text in a file, and write the name of that file here";
            ("this is the text of a PEM file, and its name is needed", help)
        } else {
            return Some(NamedFile { path: reader.folder.join(name), location });
        };
        reader.problems.add_with_help(&location, what, [help.to_owned()]);
        None
    }

    /// `[key]` or `key = { … }`.
    pub(super) fn table(self) -> Option<(&'r mut Reader, Table<'t>)> {
        let Self { location, reader, name, value } = self;
        let place = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => Some((reader, Table { name, place, entries })),
            other => {
                let help = format!("write [{name}], with single brackets, and its keys below it");
                reader.wrong_type(&location, &other, "a table", help);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};
    use rustix::time::{ClockId, clock_gettime};
    use std::time::Duration;

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
            "f:2: listener.address: this key is missing; it has no default; write address = \
             \"127.0.0.1:8080\"",
            "f:3: listener: unknown key \"adress\"; did you mean \"address\"?",
            "f:5: route.path: the path \"/gpt\" does not end in \"/\"; a path that begins and ends \
             with \"/\" is allowed; did you mean \"/gpt/\"?",
            "f:6: route.upstream: the path \"/v1\" does not end in \"/\"; http:// or https://, a \
             host, an optional port and a path that ends in \"/\" are allowed; did you mean \
             \"https://api.openai.com/v1/\"?",
            "f:8: timeouts.connect: this is a number, and a string is needed; write \"5s\"",
            "f:9: timeouts.linger: \"0s\" is no time at all; a whole number of ms, s, m or h is \
             allowed, from \"1ms\" to \"24h\"",
            "f:11: limits.connections: 0 is out of range; 1 to 1000000 is allowed",
        ];
        assert_eq!(read(text).unwrap_err().to_string(), problems.join("\n"));
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        refuse("a = 1\nb = \n", "f:2: the value is missing; ");
        refuse("a = 1\na = 2\n", "f:2: this key is set twice; the first is in line 1; ");
        refuse("workers = 1\n[limits]\n[limits]\n", "f:3: there is a second table of this name");
        refuse("\0", "f:1: this is not TOML: ");
        let many = read(&"= = \n".repeat(100)).unwrap_err();
        assert!(many.iter().len() <= 3);
    }

    #[test]
    fn wrong_types_are_told() {
        let with = |text: &str| format!("{text}\n{MINIMAL}");
        refuse(
            &with("workers = \"2\""),
            "this is a string, and a whole number is needed; write 2,",
        );
        refuse(&with("workers = 2.0"), "workers: this is a number, and a whole number is needed");
        refuse(&with("workers = -1"), "workers: -1 is out of range; 1 to 256 is allowed");
        refuse(
            &with("workers = -1_f@\u{2}"),
            "workers: this is not a whole number; 1 to 256 is allowed",
        );
        refuse(
            &with("workers = 99999999999999999999"),
            "workers: 99999999999999999999 is out of range",
        );
        refuse(
            &with("timeouts = 5"),
            "timeouts: this is a number, and a table is needed; write [t",
        );
        refuse(
            "[listener]\naddress = \"127.0.0.1:1\"",
            "f:1: listener: this table has single brackets; write [[listener]], with double",
        );
        refuse("route = [1]", "f:1: route: this is a number, and a table is needed; write [[");
        refuse(&with("timeouts.to_client = \"5s\""), "timeouts.to_client: this is a string");
    }

    #[test]
    fn hostile_text_is_refused_in_bounded_time() {
        // Of this thread's time: that of the clock depends on what else the machine does.
        let spent = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let before = spent();
        for piece in ["a", "[", "[[", "{", "a.", "[a]\n", "a={a=", "\"\\u", "é\n", "[[route]]\n"] {
            assert!(read(&piece.repeat(20_000)).is_err());
        }
        let many_keys: String = (0..20_000).map(|number| format!("a{number} = 1\n")).collect();
        assert_eq!(read(&many_keys).unwrap_err().iter().len(), 20_002);
        assert!(spent() - before < Duration::from_secs(20));
    }
}
