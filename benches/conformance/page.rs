//! The page that the results make.

use crate::{Outcome, Row};
use narrows_kit::conformance::rows::SECTIONS;
use narrows_kit::programs::Program;
use std::fmt::Write;

/// Longest account of what a program did; what is longer repeats itself.
const ACCOUNT_MAX: usize = 150;

const INTRODUCTION: &str = "\
The rows of the [conformance suite](../tests/conformance/main.rs), played through each program \
as raw bytes over loopback, in one write and in pieces: plain HTTP on both sides, connections to \
the upstream kept, nothing buffered. The configurations are in \
[benches/conformance](../benches/conformance/configuration.rs), and `cargo bench --bench \
conformance -- --page docs/conformance.md` writes this page.

There are three kinds of rows. *Must*: the standard says what to do; the source gives its \
section. *Safety*: several answers are proper, but no message with two readings may reach the \
upstream, no request inside of another one may be served, and no client may get another client's \
response. *Choice*: the standard leaves it open; the row is played and not judged.
";

const LEGEND: &str = "\
Each cell says what the program did: before the arrow, what the client got (the status and \
content of each response, and how its connection continued: `keep`, `end`, `reset`, `cut` in a \
message, `waits` for longer than a second); after the arrow, the requests that the upstream got, \
a malformed one verbatim. Failures are **bold**; where narrows deviates on purpose, it fails.
";

/// All of it.
pub(crate) fn write(programs: &[Program], rows: &[Row]) -> String {
    let mut page = format!("# Conformance, beside other programs\n\n{INTRODUCTION}\n");
    let names: Vec<_> = programs.iter().filter_map(|it| it.version()).collect();
    table_head(&mut page, &["Section", "Rows", "Judged"], &names);
    for (section, _) in SECTIONS {
        let of_section = rows.iter().filter(|row| row.section == *section);
        score(&mut page, section, &of_section.collect::<Vec<_>>());
    }
    score(&mut page, "**All**", &rows.iter().collect::<Vec<_>>());
    let choices: Vec<_> = rows.iter().filter(|row| !row.is_judged()).collect();
    let as_we_do = names.iter().enumerate().skip(1).map(|(program, name)| {
        let count = choices.iter().filter(|row| row.outcomes[program].is_ours).count();
        format!("{name} does {count} as narrows does")
    });
    let as_we_do: Vec<_> = as_we_do.collect();
    let count = choices.len();
    let _infallible =
        writeln!(page, "\nOf {count} rows about a choice, {}.", as_we_do.join(", and "));
    let _infallible = write!(page, "\n## Where they differ\n\n{LEGEND}\n");
    table_head(&mut page, &["Row", "Source"], &names);
    for row in rows.iter().filter(|row| row.differs()) {
        let cells: Vec<_> = row.outcomes.iter().map(Outcome::cell).collect();
        let (name, source) = (&row.case.name, row.case.source);
        let _infallible = writeln!(
            page,
            "| {}: {} | {source} | {} |",
            row.section,
            code_free(name),
            cells.join(" | ")
        );
    }
    page
}

fn table_head(page: &mut String, columns: &[&str], names: &[String]) {
    let columns: Vec<_> = columns.iter().copied().chain(names.iter().map(String::as_str)).collect();
    let lines = "---|".repeat(columns.len());
    let _infallible = writeln!(page, "| {} |\n|{lines}", columns.join(" | "));
}

fn score(page: &mut String, title: &str, rows: &[&Row]) {
    let judged: Vec<_> = rows.iter().filter(|row| row.is_judged()).collect();
    let programs = rows.first().map_or(0, |row| row.outcomes.len());
    let passes = (0..programs).map(|program| {
        let passed = judged.iter().filter(|row| row.outcomes[program].passes == Some(true));
        passed.count().to_string()
    });
    let passes: Vec<_> = passes.collect();
    let (all, judged) = (rows.len(), judged.len());
    let _infallible = writeln!(page, "| {title} | {all} | {judged} | {} |", passes.join(" | "));
}

impl Row {
    /// Whether somebody did not pass.
    fn differs(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.passes == Some(false))
    }
}

impl Outcome {
    fn cell(&self) -> String {
        let mut did: String = self.did.chars().take(ACCOUNT_MAX).collect();
        if did.len() < self.did.len() {
            did.push('…');
        }
        let did = format!("`{}`", did.replace('`', "'").replace('|', "\\|"));
        if self.passes == Some(true) { did } else { format!("**{did}**") }
    }
}

/// A name may hold what a table takes for its own.
fn code_free(name: &str) -> String {
    name.replace('|', "\\|")
}
