//! A TOML document as tables to be emptied key by key: [`Reader`] and [`Table`].
//!
//! Every key is asked for by name; what is left at the end is unknown and reported with the
//! nearest key that exists. The reader notes problems and goes on, so that one run tells them all;
//! a key that is missing or wrong is `None` to the caller, which needs no second message.
//!
//! Not here: which keys there are (`file`) and what their values mean (`value`).

use super::problem::{Location, Problems, nearest, quoted, without_secrets};
use super::value::Value;
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// Most syntax errors that are told: the parser goes on after the first one, and what it finds
/// then is often an echo.
const SYNTAX_ERRORS_MAX: usize = 3;

/// A key of the file, for the reader and for the test of the manual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Name within its table.
    pub(super) name: &'static str,
    /// What holds when it is absent.
    pub(super) default: Default,
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// It must not be.
    Required,
    /// The same as this TOML value.
    Value(&'static str),
    /// Something that no value says, or that depends on another key.
    Words(&'static str),
}

/// A table with the keys that were not asked for yet.
pub(super) struct Table<'t> {
    /// Dotted name; empty for the document itself.
    name: &'static str,
    /// Line of its header.
    line: usize,
    keys: &'static [Key],
    entries: DeTable<'t>,
}

/// A value and where it was said.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) location: Location,
}

/// Knows the file's name and lines, and collects its problems.
pub(super) struct Reader {
    name: Arc<str>,
    /// Offset of every line break.
    line_breaks: Vec<usize>,
    /// What was wrong so far.
    pub(super) problems: Problems,
}

impl Reader {
    /// Parses `text`, or says why it is not TOML.
    pub(super) fn open<'t>(
        name: &str,
        text: &'t str,
        keys: &'static [Key],
    ) -> Result<(Self, Table<'t>), Problems> {
        let line_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_breaks = line_breaks.map(|(offset, _)| offset).collect();
        let mut reader = Self { name: name.into(), line_breaks, problems: Problems::default() };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
            let location = reader.location(error.span().map_or(0, |span| span.start), "", "");
            let message = error.message().replace('\n', ", ");
            reader.problems.add(&location, format!("this is not TOML: {message}"));
        }
        let entries = document.into_inner();
        let Self { name, line_breaks, problems } = reader;
        problems.or(()).map(|()| {
            let reader = Self { name, line_breaks, problems: Problems::default() };
            (reader, Table { name: "", line: 1, keys, entries })
        })
    }

    /// A string that `T` parses.
    pub(super) fn value<T: Value>(
        &mut self,
        table: &mut Table<'_>,
        key: &'static str,
    ) -> Option<Found<T>> {
        let (location, value) = self.entry(table, key)?;
        let text: String = self.deserialize(&location, value, T::ALLOWED)?;
        match text.parse() {
            Ok(value) => Some(Found { value, location }),
            Err(invalid) => {
                self.problems.add(&location, invalid.explain(T::ALLOWED));
                None
            }
        }
    }

    /// A list of strings, each of which `T` parses; empty when it is absent. What is wrong with
    /// one of them is told at the key.
    pub(super) fn values<T: Value>(&mut self, table: &mut Table<'_>, key: &'static str) -> Vec<T> {
        let Some((location, value)) = self.entry(table, key) else { return Vec::new() };
        let allowed = format!("a list is allowed, of which each: {}", T::ALLOWED);
        let Some(texts) = self.deserialize::<Vec<String>>(&location, value, &allowed) else {
            return Vec::new();
        };
        if texts.is_empty() {
            self.problems.add(&location, format!("the list is empty; leave it out, or {allowed}"));
        }
        let mut values = Vec::new();
        for text in texts {
            match T::from_str(&text) {
                Ok(value) => values.push(value),
                Err(invalid) => self.problems.add(&location, invalid.explain(T::ALLOWED)),
            }
        }
        values
    }

    /// A whole number within `range`.
    pub(super) fn number(
        &mut self,
        table: &mut Table<'_>,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let allowed = format!("{} to {} is allowed", range.start(), range.end());
        let (location, value) = self.entry(table, key)?;
        if !value.get_ref().is_integer() {
            self.wrong_type(&location, value.get_ref(), &allowed);
            return None;
        }
        let number: i128 = self.deserialize(&location, value, &allowed)?;
        match usize::try_from(number) {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                self.problems.add(&location, format!("{number} is out of range; {allowed}"));
                None
            }
        }
    }

    /// A string that names a file.
    pub(super) fn file_name(
        &mut self,
        table: &mut Table<'_>,
        key: &'static str,
    ) -> Option<Found<String>> {
        let (location, value) = self.entry(table, key)?;
        let value = self.deserialize(&location, value, "the name of a file is allowed")?;
        Some(Found { value, location })
    }

    /// `[key]` or `key = { … }`, called `name` in messages; an absent one is an empty one.
    pub(super) fn table<'t>(
        &mut self,
        parent: &mut Table<'t>,
        key: &'static str,
        name: &'static str,
        keys: &'static [Key],
    ) -> Table<'t> {
        let mut table = Table { name, line: parent.line, keys, entries: DeTable::new() };
        if let Some((location, value)) = self.entry(parent, key) {
            table.line = self.line(value.span().start);
            match value.into_inner() {
                DeValue::Table(entries) => table.entries = entries,
                other => {
                    self.wrong_type(&location, &other, &format!("a table [{name}] is allowed"));
                }
            }
        }
        table
    }

    /// Every `[[key]]`; an empty list of them is a problem.
    pub(super) fn tables<'t>(
        &mut self,
        parent: &mut Table<'t>,
        key: &'static str,
        keys: &'static [Key],
    ) -> Vec<Table<'t>> {
        let allowed = format!("tables [[{key}]], with double brackets, are allowed");
        let Some((location, value)) = self.entry(parent, key) else { return Vec::new() };
        let items = match value.into_inner() {
            DeValue::Array(items) => items,
            other => {
                self.wrong_type(&location, &other, &allowed);
                return Vec::new();
            }
        };
        if items.is_empty() {
            self.problems
                .add(&location, format!("there is none; at least one [[{key}]] is needed"));
        }
        let mut tables = Vec::new();
        for item in items {
            let line = self.line(item.span().start);
            match item.into_inner() {
                DeValue::Table(entries) => tables.push(Table { name: key, line, keys, entries }),
                other => self.wrong_type(&location, &other, &allowed),
            }
        }
        tables
    }

    /// Where `table` begins, as the place of a problem with its `key`.
    pub(super) fn header(&self, table: &Table<'_>, key: &str) -> Location {
        Location::File {
            name: self.name.clone(),
            line: table.line,
            key: dotted(table.name, key).into(),
        }
    }

    /// Where `key` stands, if it is there. To be called before it is taken.
    pub(super) fn place(&self, table: &Table<'_>, key: &str) -> Option<Location> {
        let (name, _) = table.entries.get_key_value(key)?;
        Some(self.location(name.span().start, table.name, key))
    }

    /// Whether `key` is there. To be called before it is taken.
    pub(super) fn has(&self, table: &Table<'_>, key: &str) -> bool {
        table.entries.contains_key(key)
    }

    /// Notes every required key that is missing. To be called before keys are taken.
    pub(super) fn require(&mut self, table: &Table<'_>) {
        let required = table.keys.iter().filter(|key| key.default == Default::Required);
        for key in required.filter(|key| !table.entries.contains_key(key.name)) {
            let location = self.header(table, key.name);
            self.problems.add(&location, "this key is missing; it has no default");
        }
    }

    /// Notes everything left in `table` as unknown.
    pub(super) fn finish(&mut self, table: Table<'_>) {
        for key in table.entries.keys() {
            let text: &str = key.get_ref();
            let known = table.keys.iter().map(|key| key.name);
            let mut what = format!("unknown key {}; ", quoted(text));
            match nearest(text, known.clone()) {
                Some(meant) => what.push_str(&format!("did you mean \"{meant}\"?")),
                None => {
                    let known: Vec<_> = known.collect();
                    what.push_str(&format!("{} are known here", known.join(", ")));
                }
            }
            let location = self.location(key.span().start, table.name, "");
            self.problems.add(&location, what);
        }
    }

    /// A value as serde reads it.
    fn deserialize<T: for<'de> Deserialize<'de>>(
        &mut self,
        location: &Location,
        value: Spanned<DeValue<'_>>,
        allowed: &str,
    ) -> Option<T> {
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                // It repeats a value that has the wrong type.
                let message = without_secrets(&error.message().replace('\n', ", "));
                let message = message.unwrap_or_else(|| "the type is wrong".to_owned());
                self.problems.add(location, format!("{message}; {allowed}"));
                None
            }
        }
    }

    /// Takes `key` out of `table`.
    fn entry<'t>(
        &self,
        table: &mut Table<'t>,
        key: &'static str,
    ) -> Option<(Location, Spanned<DeValue<'t>>)> {
        debug_assert!(table.keys.iter().any(|known| known.name == key), "{key} is not listed");
        let (name, value) = table.entries.remove_entry(key)?;
        Some((self.location(name.span().start, table.name, key), value))
    }

    fn wrong_type(&mut self, location: &Location, value: &DeValue<'_>, allowed: &str) {
        self.problems.add(location, format!("this is a TOML {}; {allowed}", value.type_str()));
    }

    fn location(&self, offset: usize, table: &str, key: &str) -> Location {
        let key = dotted(table, key).into();
        Location::File { name: self.name.clone(), line: self.line(offset), key }
    }

    /// Line of the byte at `offset`, counted from 1.
    fn line(&self, offset: usize) -> usize {
        self.line_breaks.partition_point(|line_break| *line_break < offset) + 1
    }
}

fn dotted(table: &str, key: &str) -> String {
    let dot = if table.is_empty() || key.is_empty() { "" } else { "." };
    format!("{table}{dot}{key}")
}
