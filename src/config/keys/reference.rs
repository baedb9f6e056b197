//! Every key of the configuration file as data: [`tables`], for the manual, the manual page and the
//! schema.
//!
//! The shipped binary has none of this: it is compiled for tests, and with the feature `reference`.

use super::{acme, client, credentials, forward, limits, listener, log, route, timeouts, top};
use crate::config::key::Default::{Literal, Number, OfField, Required, Words};
use crate::config::key::{Key, Needs, Read};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A table of the file, and its section in the manual.
pub struct Table {
    /// Its dotted name; empty for the top of the file.
    pub name: &'static str,
    /// The heading of its section.
    pub heading: &'static str,
    /// Its keys, in the order of the manual.
    pub keys: Vec<Declared>,
}

/// A key without the type that it is read into.
pub struct Declared {
    /// Its name within its table.
    pub name: &'static str,
    /// What it does, in Markdown.
    pub meaning: String,
    /// Which values are allowed, in Markdown.
    pub allowed: String,
    /// Its default as TOML, if a value means it.
    pub default: Option<String>,
    /// Its default, in Markdown.
    pub default_said: String,
    /// Whether the table must have it.
    pub is_required: bool,
    /// What its value has to look like, as far as the declaration knows.
    pub form: Form,
}

/// What a value has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole number in this range.
    Number(RangeInclusive<usize>),
    /// A period of time.
    Period,
    /// Only its reader knows.
    Other,
}

/// All tables.
pub fn tables() -> Vec<Table> {
    vec![
        table("", "## Top level", "", top::KEYS),
        table("listener", "## `[[listener]]`", "", listener::KEYS),
        table("listener.certificates", "### `certificates`", "", credentials::KEYS),
        table("client", "## `[[client]]`", "", client::KEYS),
        table("route", "## `[[route]]`", " Only for `https://`.", route::KEYS),
        table("forward", "## `[[forward]]`", " Only for `tls://`.", forward::KEYS),
        table("acme", "## `[acme]`", "", acme::KEYS),
        table("acme.external_account", "### `external_account`", "", acme::ACCOUNT_KEYS),
        table("timeouts", "## `[timeouts]`", "", timeouts::KEYS),
        table("timeouts.to_upstream", "### `to_upstream`", "", timeouts::TO_UPSTREAM),
        table("timeouts.to_client", "### `to_client`", "", timeouts::TO_CLIENT),
        table("limits", "## `[limits]`", "", limits::KEYS),
        table("log", "## `log`", "", log::KEYS),
    ]
}

impl Declared {
    /// Its row in the manual.
    pub fn row(&self) -> String {
        let Self { name, meaning, allowed, default_said, .. } = self;
        format!("| `{name}` | {meaning} | {allowed} | {default_said} |")
    }
}

/// `only_tls` is added to the explanation of keys that need TLS.
fn table<T: Default>(
    name: &'static str,
    heading: &'static str,
    only_tls: &str,
    keys: &'static [Key<T>],
) -> Table {
    let declared = |key: &Key<T>| {
        let default = default_value(key);
        let default_said = match (key.default, &default) {
            (Required, _) => "required".to_owned(),
            (Words(words), _) => words.to_owned(),
            (_, Some(value)) => format!("`{value}`"),
            (_, None) => unreachable!("{heading}: {}: only periods have it of a field", key.name),
        };
        let only = if key.needs == Needs::Tls { only_tls } else { "" };
        let (form, allowed) = match &key.read {
            Read::Number(range, _) => {
                (Form::Number(range.clone()), format!("{} to {}", range.start(), range.end()))
            }
            Read::Period(_) | Read::Delay(_) => (Form::Period, key.row.allowed.to_owned()),
            Read::Table(_) | Read::With(_) => (Form::Other, key.row.allowed.to_owned()),
        };
        Declared {
            name: key.name,
            meaning: format!("{}{only}", key.row.meaning),
            allowed,
            default,
            default_said,
            is_required: key.default == Required,
            form,
        }
    };
    Table { name, heading, keys: keys.iter().map(declared).collect() }
}

fn default_value<T: Default>(key: &Key<T>) -> Option<String> {
    match (key.default, &key.read) {
        (Literal(value), _) => Some(value.to_owned()),
        (Number(number), _) => Some(number.to_string()),
        (OfField, Read::Period(field) | Read::Delay(field)) => {
            Some(period(*field(&mut T::default())))
        }
        (OfField, Read::Table(keys)) => {
            let pair = |key: &Key<T>| Some(format!("{} = {}", key.name, default_value(key)?));
            let pairs: Option<Vec<_>> = keys.iter().map(pair).collect();
            pairs.map(|pairs| format!("{{ {} }}", pairs.join(", ")))
        }
        (OfField | Required | Words(_), _) => None,
    }
}

/// A period as the manual writes it: minutes where there is more than one.
fn period(period: Duration) -> String {
    match period.as_secs() {
        seconds if seconds > 60 && seconds % 60 == 0 => format!("\"{}m\"", seconds / 60),
        seconds => format!("\"{seconds}s\""),
    }
}
