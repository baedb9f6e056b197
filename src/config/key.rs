//! [`Key`] declares a key of the configuration file once: its name, its reader, the field it sets,
//! its default, and its row in the manual.
//!
//! `keys` lists the declarations of each table, and [`read_table`] reads a table by such a list. A
//! test in `keys` compares the tables in docs/configuration.md with the declarations, and can
//! rewrite them.
//!
//! Not here: the keys (`keys`), TOML (`table`), and the syntax of values (`value`, `url`).

use super::problem::Location;
use super::table::{Entry, Reader, Table};
use super::value::{Delay, Period};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A key of a table that is read into a `T`.
pub(super) struct Key<T: 'static> {
    /// Name within its table.
    pub(super) name: &'static str,
    /// How to read its value, and which field of `T` to set.
    pub(super) read: Read<T>,
    /// The kind of upstream that the key has an effect on.
    pub(super) needs: Needs,
    /// The value when the key is absent.
    pub(super) default: Default,
    /// Its row in the manual.
    pub(super) row: Row,
}

/// How to read a value, and which field to set. A refused value sets nothing.
pub(super) enum Read<T: 'static> {
    /// A whole number in this range.
    Number(RangeInclusive<usize>, fn(&mut T, usize)),
    /// A period of time. The field starts with the default.
    Period(fn(&mut T) -> &mut Duration),
    /// The same, or no time at all.
    Delay(fn(&mut T) -> &mut Duration),
    /// A table inside this one, read into the same `T`.
    Table(&'static [Key<T>]),
    /// Anything else, with the methods of [`Entry`].
    With(fn(&mut T, Entry<'_, '_>)),
}

/// The kind of upstream that a key has an effect on; each kind includes the ones after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// Any.
    Nothing,
    /// Another server, not a listener in this process.
    Server,
    /// A server reached over TLS.
    Tls,
}

/// The value of a key that is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// None: the key is required.
    Required,
    /// This TOML value.
    Literal(&'static str),
    /// This number.
    Number(usize),
    /// The value of its field in the default of its table; for a table, those of its keys.
    OfField,
    /// In words, because no value of the key means it, or because it depends on another key.
    Words(&'static str),
}

/// A key's row in the manual. The binary does not contain it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// What the key does.
    #[cfg(any(test, feature = "reference"))]
    pub(super) meaning: &'static str,
    /// Which values are allowed; for a time limit, its kind.
    #[cfg(any(test, feature = "reference"))]
    pub(super) allowed: &'static str,
}

/// What a key does, and which values are allowed.
pub(super) const fn row(meaning: &'static str, allowed: &'static str) -> Row {
    #[cfg(not(any(test, feature = "reference")))]
    let _ = (meaning, allowed);
    Row {
        #[cfg(any(test, feature = "reference"))]
        meaning,
        #[cfg(any(test, feature = "reference"))]
        allowed,
    }
}

impl Row {
    const fn allowed(self) -> &'static str {
        #[cfg(any(test, feature = "reference"))]
        return self.allowed;
        #[cfg(not(any(test, feature = "reference")))]
        ""
    }
}

impl<T> Key<T> {
    /// A key that has an effect on any upstream.
    pub(super) const fn new(name: &'static str, read: Read<T>, default: Default, row: Row) -> Self {
        Self { name, read, needs: Needs::Nothing, default, row }
    }

    /// A whole number. Its row gives the range.
    pub(super) const fn number(
        name: &'static str,
        range: RangeInclusive<usize>,
        set: fn(&mut T, usize),
        default: Default,
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Read::Number(range, set), default, row(meaning, ""))
    }

    /// The same key, with an effect only on such upstreams.
    pub(super) const fn needing(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    /// The same key, with another explanation in the manual.
    pub(super) const fn meaning(self, meaning: &'static str) -> Self {
        Self { row: row(meaning, self.row.allowed()), ..self }
    }

    fn read(&self, entry: Entry<'_, '_>, into: &mut T) {
        match &self.read {
            Read::Number(range, set) => {
                if let Some(number) = entry.number(range) {
                    set(into, number);
                }
            }
            Read::Period(field) => {
                if let Some(Period(period)) = entry.value() {
                    *field(into) = period;
                }
            }
            Read::Delay(field) => {
                if let Some(Delay(delay)) = entry.value() {
                    *field(into) = delay;
                }
            }
            Read::Table(keys) => read_entry(entry, keys, into),
            Read::With(read) => read(into, entry),
        }
    }
}

/// Reads the keys of `table` into `into`, in the order of their declarations. Required keys that
/// are missing are noted first, unknown keys last.
pub(super) fn read_table<T>(
    reader: &mut Reader,
    mut table: Table<'_>,
    keys: &'static [Key<T>],
    into: &mut T,
) -> Present {
    for key in keys.iter().filter(|key| key.default == Default::Required) {
        reader.require(&table, key.name);
    }
    let mut present = Present::default();
    for key in keys {
        let before = reader.problems.iter().len();
        let Some(entry) = reader.take(&mut table, key.name) else { continue };
        let location = entry.location.clone();
        key.read(entry, into);
        if reader.problems.iter().len() == before {
            present.0.push((key.name, key.needs, location));
        }
    }
    let known: Vec<_> = keys.iter().map(|key| key.name).collect();
    reader.refuse_rest(table, &known);
    present
}

/// Reads the value of a key as a table.
pub(super) fn read_entry<T>(entry: Entry<'_, '_>, keys: &'static [Key<T>], into: &mut T) {
    if let Some((reader, table)) = entry.table() {
        read_table(reader, table, keys, into);
    }
}

/// The keys of a table that were present with a valid value, and their locations.
#[derive(Default)]
pub(super) struct Present(Vec<(&'static str, Needs, Location)>);

impl Present {
    /// The location of `key`.
    pub(super) fn location(&self, key: &str) -> Option<&Location> {
        self.0.iter().find(|(name, ..)| *name == key).map(|(.., location)| location)
    }

    /// The locations of the keys that have no effect on an upstream of this kind.
    pub(super) fn without_effect(&self, upstream: Needs) -> impl Iterator<Item = &Location> {
        let useless = self.0.iter().filter(move |(_, needs, _)| *needs > upstream);
        useless.map(|(.., location)| location)
    }
}
