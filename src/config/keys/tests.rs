//! Compares the declarations with the manual and with the defaults of the types.

use super::reference::{Declared, Table, tables};
use crate::config::Config;
use crate::config::testing::read;
use std::{env, fs};

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

/// `UPDATE_MANUAL=1 cargo test --lib the_manual` writes the rows into the manual.
#[test]
fn the_manual_has_the_row_of_every_declaration_and_no_other() {
    let mut manual = fs::read_to_string(MANUAL).unwrap();
    if env::var_os("UPDATE_MANUAL").is_some() {
        manual = tables().iter().fold(manual, |manual, table| with_rows(&manual, table));
        fs::write(MANUAL, &manual).unwrap();
    }
    for table in tables() {
        let (_, written, _) = split(&manual, table.heading);
        let wanted = rows(&table);
        assert!(written == wanted, "{}: the rows should be:\n{wanted}\n", table.heading);
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
    for Table { heading, keys, .. } in tables() {
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

fn rows(table: &Table) -> String {
    table.keys.iter().map(Declared::row).collect::<Vec<_>>().join("\n")
}

fn with_rows(manual: &str, table: &Table) -> String {
    let (before, _, after) = split(manual, table.heading);
    format!("{before}{}{after}", rows(table))
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
