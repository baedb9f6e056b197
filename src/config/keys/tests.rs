//! Compares the declarations with the manual and with the defaults of the types.

use super::{acme, client, credentials, forward, limits, listener, log, route, timeouts, top};
use crate::config::Config;
use crate::config::key::Default::{Literal, Number, OfField, Required, Words};
use crate::config::key::{Key, Needs, Read};
use crate::config::testing::read;
use std::time::Duration;
use std::{env, fs};

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

/// A table of the file, and its section in the manual.
struct Table {
    heading: &'static str,
    keys: Vec<Declared>,
}

impl Table {
    fn rows(&self) -> String {
        let rows: Vec<_> = self.keys.iter().map(|key| key.row.as_str()).collect();
        rows.join("\n")
    }
}

/// A key without the type that it is read into.
struct Declared {
    name: &'static str,
    /// Its default as TOML, if a value means it.
    default: Option<String>,
    /// Its row in the manual.
    row: String,
}

fn tables() -> Vec<Table> {
    vec![
        table("## Top level", "", top::KEYS),
        table("## `[[listener]]`", "", listener::KEYS),
        table("### `certificates`", "", credentials::KEYS),
        table("## `[[client]]`", "", client::KEYS),
        table("## `[[route]]`", " Only for `https://`.", route::KEYS),
        table("## `[[forward]]`", " Only for `tls://`.", forward::KEYS),
        table("## `[acme]`", "", acme::KEYS),
        table("### `external_account`", "", acme::ACCOUNT_KEYS),
        table("## `[timeouts]`", "", timeouts::KEYS),
        table("### `to_upstream`", "", timeouts::TO_UPSTREAM),
        table("### `to_client`", "", timeouts::TO_CLIENT),
        table("## `[limits]`", "", limits::KEYS),
        table("## `log`", "", log::KEYS),
    ]
}

/// `only_tls` is added to the explanation of keys that need TLS.
fn table<T: Default>(heading: &'static str, only_tls: &str, keys: &'static [Key<T>]) -> Table {
    let declared = |key: &Key<T>| {
        let default = default_value(key);
        let last = match (key.default, &default) {
            (Required, _) => "required".to_owned(),
            (Words(words), _) => words.to_owned(),
            (_, Some(value)) => format!("`{value}`"),
            (_, None) => {
                panic!("{heading}: {}: only periods have the default of a field", key.name)
            }
        };
        let only = if key.needs == Needs::Tls { only_tls } else { "" };
        let allowed = match &key.read {
            Read::Number(range, _) => format!("{} to {}", range.start(), range.end()),
            Read::Period(_) | Read::Delay(_) | Read::Table(_) | Read::With(_) => {
                key.row.allowed.to_owned()
            }
        };
        let row = format!("| `{}` | {}{only} | {allowed} | {last} |", key.name, key.row.meaning);
        Declared { name: key.name, default, row }
    };
    Table { heading, keys: keys.iter().map(declared).collect() }
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

/// `UPDATE_MANUAL=1 cargo test --lib the_manual` writes the rows into the manual.
#[test]
fn the_manual_has_the_row_of_every_declaration_and_no_other() {
    let mut manual = fs::read_to_string(MANUAL).unwrap();
    if env::var_os("UPDATE_MANUAL").is_some() {
        manual = tables().iter().fold(manual, |manual, table| with_rows(&manual, table));
        fs::write(MANUAL, &manual).unwrap();
    }
    for table in tables() {
        let (_, rows, _) = split(&manual, table.heading);
        let wanted = table.rows();
        assert!(rows == wanted, "{}: the rows should be:\n{wanted}\n", table.heading);
    }
}

#[test]
fn an_explicit_default_changes_nothing() {
    // Room for a key in each table, so that the lines of the others stay.
    let text = |table: &str, line: &str| {
        let place = |heading: &str| if heading == table { line } else { "" };
        let dotted =
            ["acme", "timeouts", "timeouts.to_upstream", "timeouts.to_client", "limits", "log"];
        let headings = [
            "## `[acme]`",
            "## `[timeouts]`",
            "### `to_upstream`",
            "### `to_client`",
            "## `[limits]`",
            "## `log`",
        ];
        let dotted = headings.iter().zip(dotted).find(|(heading, _)| **heading == table);
        let dotted = dotted.map(|(_, name)| format!("{name}.{line}")).unwrap_or_default();
        let dotted = if line.is_empty() { "" } else { &dotted };
        format!(
            r#"{}{dotted}
            [[listener]]
            address = "127.0.0.1:8080"
            {}
            [[listener]]
            address = "127.0.0.1:8081"
            mode = "tcp"
            [[route]]
            path = "/gpt/"
            upstream = "https://api.openai.com/"
            {}
            [[forward]]
            server_name = "*"
            upstream = "tls://127.0.0.1:22"
            {}
            "#,
            place("## Top level"),
            place("## `[[listener]]`"),
            place("## `[[route]]`"),
            place("## `[[forward]]`"),
        )
    };
    for Table { heading, keys } in tables() {
        for Declared { name, default, .. } in keys {
            let Some(value) = default else { continue };
            let (with, without) = (text(heading, &format!("{name} = {value}")), text(heading, ""));
            assert_ne!(with, without, "{heading} {name}: it is not in the text");
            // Whether there is a table `[acme]` is known without its keys.
            let read = |text| Config { acme_location: None, ..read(text).unwrap() };
            assert_eq!(read(&with), read(&without), "{heading} {name}");
        }
    }
}

#[test]
fn the_examples_of_the_manual_are_valid() {
    let manual = fs::read_to_string(MANUAL).unwrap();
    let examples: Vec<_> = manual.split("```toml\n").skip(1).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let example = example.split("```").next().unwrap();
        assert_eq!(read(example).map(|_| ()), Ok(()), "{example}");
    }
}

fn with_rows(manual: &str, table: &Table) -> String {
    let (before, _, after) = split(manual, table.heading);
    format!("{before}{}{after}", table.rows())
}

/// The manual before, in and after the rows under this heading.
fn split<'m>(manual: &'m str, heading: &str) -> (&'m str, &'m str, &'m str) {
    let section = manual.find(&format!("\n{heading}\n")).expect(heading) + 1;
    let rows = section + manual[section..].find("\n| `").expect(heading) + 1;
    assert!(!manual[section..rows].contains("\n#"), "{heading}: no table");
    let (before, rest) = manual.split_at(rows);
    let (rows, after) = rest.split_at(rest.find("\n\n").unwrap_or(rest.len()));
    (before, rows, after)
}
