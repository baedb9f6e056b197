//! Findings as people read them, line by line while they come, and as JSON for machines:
//! [`Report`].

use super::finding::{Finding, Verdict};
use crate::config::report::Colours;
use crate::config::snapshot::count;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::mem;
use std::time::{Duration, Instant};

/// How the report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines of text.
    Text(Colours),
    /// One JSON document at the end.
    Json,
}

impl Form {
    /// What fits stdout.
    pub(super) fn of_stdout(json: bool) -> Self {
        if json { Self::Json } else { Self::Text(Colours::of(&io::stdout())) }
    }
}

/// The findings so far.
pub(super) struct Report<W> {
    form: Form,
    out: W,
    begun: Instant,
    findings: Vec<Finding>,
}

impl<W: Write> Report<W> {
    /// An empty one.
    pub(super) fn new(form: Form, out: W) -> Self {
        Self { form, out, begun: Instant::now(), findings: Vec::new() }
    }

    /// Adds findings, and shows them at once if they are shown as text.
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|it| self.add_one(it));
    }

    fn add_one(&mut self, finding: Finding) {
        if let Form::Text(colours) = self.form {
            let previous = self.findings.last().map(|it| it.step);
            let text = line(&finding, previous, colours);
            // If no one reads, the exit code still says it all.
            let _unread = self.out.write_all(text.as_bytes());
            let _unread = self.out.flush();
        }
        self.findings.push(finding);
    }

    /// Ends the report. Whether nothing has failed.
    pub(super) fn finish(mut self) -> bool {
        let findings = mem::take(&mut self.findings);
        let is_well = !findings.iter().any(|it| it.verdict == Verdict::Failure);
        let text = match self.form {
            Form::Text(colours) => summary(&findings, self.begun.elapsed(), colours),
            Form::Json => json(&findings, is_well),
        };
        let _unread = self.out.write_all(text.as_bytes());
        let _unread = self.out.flush();
        is_well
    }
}

/// Where what was found begins in a line, and so the remedy in the next.
const INDENT: usize = 8 + 10 + 15;

fn line(finding: &Finding, previous: Option<&str>, colours: Colours) -> String {
    let Finding { step, about, verdict, what, remedy, took } = finding;
    let took = took.map(milliseconds).unwrap_or_default();
    let verdict_name = painted(verdict.name(), *verdict, colours);
    let padding = " ".repeat(8 - verdict.name().len());
    let step = if previous == Some(step) { "" } else { step };
    let mut text = format!("{verdict_name}{padding}{took:>8}  {step:<15}{about}");
    text.push_str(if about.is_empty() { "" } else { ": " });
    text.push_str(what);
    text.push('\n');
    if let Some(remedy) = remedy {
        let _ = writeln!(text, "{:INDENT$}-> {remedy}", "");
    }
    text
}

fn summary(findings: &[Finding], took: Duration, colours: Colours) -> String {
    let number = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    let (failures, warnings) = (number(Verdict::Failure), number(Verdict::Warning));
    let worst = match (failures, warnings) {
        (0, 0) => Verdict::Ok,
        (0, _) => Verdict::Warning,
        _ => Verdict::Failure,
    };
    let said = format!("{}, {}", count(failures, "failure"), count(warnings, "warning"));
    let said = painted(&said, worst, colours);
    let (ok, skipped) = (number(Verdict::Ok), number(Verdict::Skipped));
    let seconds = took.as_secs_f64();
    let mut text = format!("\n{said}, {ok} ok, {skipped} skipped, in {seconds:.1} s\n");
    let first = findings.iter().find(|it| it.verdict == Verdict::Failure);
    if let Some(Finding { step, about, what, .. }) = first {
        let colon = if about.is_empty() { "" } else { ": " };
        let _ = writeln!(text, "Begin with the first failure: {step}: {about}{colon}{what}");
    }
    text
}

/// A tenth of a millisecond is enough for what is near.
fn milliseconds(took: Duration) -> String {
    match took.as_secs_f64() * 1000.0 {
        few @ ..10.0 => format!("{few:.1} ms"),
        many => format!("{many:.0} ms"),
    }
}

fn painted(text: &str, verdict: Verdict, colours: Colours) -> String {
    let code = match verdict {
        Verdict::Ok => "32",
        Verdict::Warning => "1;33",
        Verdict::Failure => "1;31",
        Verdict::Skipped => "2",
    };
    colours.paint(code, text)
}

#[derive(Serialize)]
struct Document<'f> {
    version: &'static str,
    ok: bool,
    findings: Vec<Row<'f>>,
}

#[derive(Serialize)]
struct Row<'f> {
    step: &'static str,
    about: &'f str,
    verdict: Verdict,
    what: &'f str,
    remedy: Option<&'f str>,
    seconds: Option<f64>,
}

impl<'f> From<&'f Finding> for Row<'f> {
    fn from(finding: &'f Finding) -> Self {
        let Finding { step, about, verdict, what, remedy, took } = finding;
        let seconds = took.map(|it| it.as_secs_f64());
        Self { step, about, verdict: *verdict, what, remedy: remedy.as_deref(), seconds }
    }
}

fn json(findings: &[Finding], ok: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let document = Document { version, ok, findings: findings.iter().map(Row::from).collect() };
    // Only maps with keys that are not strings cannot be written.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> [Finding; 3] {
        [
            Finding::ok("tcp", "a:443, IPv4", "connected").took(Duration::from_micros(1234)),
            Finding::warning("tcp", "a:443, IPv6", "no answer", "write family = \"4\""),
            Finding::failure("http", "a:443", "no \"answer\"", "ask"),
        ]
    }

    fn text(form: Form, findings: impl IntoIterator<Item = Finding>) -> (String, bool) {
        let mut out = Vec::new();
        let mut report = Report::new(form, &mut out);
        report.add(findings);
        let is_well = report.finish();
        (String::from_utf8(out).unwrap(), is_well)
    }

    #[test]
    fn each_finding_is_a_line_and_its_remedy_the_next() {
        let (text, is_well) = text(Form::Text(Colours::Off), findings());
        let want = "\
ok        1.2 ms  tcp            a:443, IPv4: connected
warning                          a:443, IPv6: no answer
                                 -> write family = \"4\"
failure           http           a:443: no \"answer\"
                                 -> ask

1 failure, 1 warning, 1 ok, 0 skipped, in 0.0 s
Begin with the first failure: http: a:443: no \"answer\"
";
        assert_eq!((text.as_str(), is_well), (want, false));
    }

    #[test]
    fn warnings_alone_are_no_failure() {
        let warning = || [Finding::warning("tcp", "", "slow", "wait")];
        assert!(text(Form::Text(Colours::On), warning()).1);
        let (text, is_well) = text(Form::Json, warning());
        assert!(is_well && text.contains("\"ok\": true"), "{text}");
    }

    #[test]
    fn colours_are_for_terminals() {
        assert!(text(Form::Text(Colours::On), findings()).0.contains("\x1b[1;31mfailure"));
        assert!(!text(Form::Text(Colours::Off), findings()).0.contains('\x1b'));
    }

    #[test]
    fn json_has_every_finding_with_its_remedy() {
        let (text, is_well) = text(Form::Json, findings());
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(!is_well && document["ok"] == false);
        assert_eq!(document["findings"][0]["seconds"], 0.001_234);
        assert_eq!(document["findings"][0]["remedy"], serde_json::Value::Null);
        assert_eq!(document["findings"][2]["what"], "no \"answer\"");
        assert_eq!(document["findings"][1]["verdict"], "warning");
    }
}
