//! narrows.toml(5).

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use narrows::config::keys::reference::{Declared, Table, tables};
use narrows::config::schema::without_links;
use std::io::{self, Write};

const EXAMPLE: &[&str] = &[
    "[[listener]]",
    "address = \":443\"",
    "domains = [\"api.example.com\"]",
    "",
    "[[route]]",
    "path = \"/gpt/\"",
    "upstream = \"https://api.openai.com/\"",
];

/// Writes the page.
pub(crate) fn write(to: &mut dyn Write) -> io::Result<()> {
    let mut page = Roff::default();
    page.control("TH", ["narrows.toml", "5", "", env!("CARGO_PKG_VERSION"), "narrows"]);
    page.control("SH", ["NAME"]);
    page.text([roman("narrows.toml - configuration of narrows")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("A file in TOML, UTF-8, of at most 1 MiB, which "),
        bold("narrows run --config"),
        roman(" reads at start and at SIGHUP. "),
        bold("narrows check"),
        roman(" lists everything that is wrong with it. An unknown key is an error."),
    ]);
    for table in tables() {
        section(&mut page, &table);
    }
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    for line in EXAMPLE {
        page.text([roman(*line)]);
    }
    page.control("fi", []);
    page.control("SH", ["FILES"]);
    page.control("TP", []);
    page.text([italic("/etc/narrows/narrows.toml")]);
    page.text([roman("The configuration of the service.")]);
    page.control("TP", []);
    page.text([italic("/usr/share/narrows/narrows.schema.json")]);
    page.text([roman("The same as a JSON schema, for editors.")]);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("narrows"), roman("(1), /usr/share/doc/narrows/docs/configuration.md")]);
    page.to_writer(to)
}

fn section(page: &mut Roff, table: &Table) {
    let title = table.heading.trim_start_matches('#').trim().replace('`', "");
    let title = match table.name.rsplit_once('.') {
        Some((outer, _)) => format!("{title} (of {outer})"),
        None => title,
    };
    page.control("SH", [title.to_uppercase().as_str()]);
    for key in &table.keys {
        entry(page, key);
    }
}

fn entry(page: &mut Roff, key: &Declared) {
    page.control("TP", []);
    page.text([bold(key.name)]);
    page.text(inlines(&key.meaning));
    page.control("br", []);
    page.text(inlines(&format!("Allowed: {}.", key.allowed)));
    page.control("br", []);
    page.text(inlines(&format!("Default: {}.", key.default_said)));
}

/// Markdown: what is in back-ticks is bold, and links are text.
fn inlines(text: &str) -> Vec<Inline> {
    let text = without_links(text);
    let parts = text.split('`').enumerate();
    parts.map(|(index, it)| if index % 2 == 1 { bold(it) } else { roman(it) }).collect()
}
