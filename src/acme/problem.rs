//! Problem documents (RFC 7807; RFC 8555, section 6.7): [`Problem`], why a CA refused something.

use super::json::{array, shown, text};
use serde_json::Value;
use std::fmt;

/// The types of ACME, before their last word.
const NAMESPACE: &str = "urn:ietf:params:acme:error:";
/// Longest text of one problem that is shown. The longest of Let's Encrypt that says something has
/// some 250 characters.
const DETAIL_CHARS_MAX: usize = 300;
const KIND_CHARS_MAX: usize = 40;
/// The same of one subproblem, and of its name.
const SUBPROBLEM_CHARS_MAX: usize = 120;
/// Most subproblems that are shown. An order may have one for each of its names.
const SUBPROBLEMS_MAX: usize = 3;

/// Why a CA refused something, fit for one line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    kind: String,
    detail: String,
    /// Each with its name, if it has one.
    subproblems: Vec<String>,
}

impl Problem {
    /// Reads a body; `None` if it is not a problem document.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        Self::read(&serde_json::from_slice(body).ok()?)
    }

    /// Reads an object; `None` if it has neither a type nor a text.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let kind = text(value, "type").unwrap_or_default();
        let kind = kind.strip_prefix(NAMESPACE).unwrap_or(kind);
        let detail = text(value, "detail").or_else(|| text(value, "title")).unwrap_or_default();
        if kind.is_empty() && detail.is_empty() {
            return None;
        }
        let subproblems = array(value, "subproblems").iter().take(SUBPROBLEMS_MAX);
        Some(Self {
            kind: shown(kind, KIND_CHARS_MAX),
            detail: shown(detail, DETAIL_CHARS_MAX),
            subproblems: subproblems.filter_map(subproblem).collect(),
        })
    }

    /// The last word of its type, such as `rateLimited`. Empty if it has none.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

/// `rateLimited: too many certificates; a.example: caa: forbidden`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = joined(&self.kind, &self.detail);
        f.write_str(if own.is_empty() { "no reason is given" } else { &own })?;
        self.subproblems.iter().try_for_each(|it| write!(f, "; {it}"))
    }
}

fn subproblem(value: &Value) -> Option<String> {
    // One level: the RFC has no more.
    let own = Problem { subproblems: Vec::new(), ..Problem::read(value)? };
    let own = shown(&own.to_string(), SUBPROBLEM_CHARS_MAX);
    let name = value.get("identifier").and_then(|it| text(it, "value")).unwrap_or_default();
    Some(joined(&shown(name, SUBPROBLEM_CHARS_MAX), &own))
}

fn joined(before: &str, after: &str) -> String {
    let colon = if before.is_empty() || after.is_empty() { "" } else { ": " };
    format!("{before}{colon}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, kind: &str, shown: &str) {
        let problem = Problem::parse(body.as_bytes()).unwrap();
        assert_eq!((problem.kind(), &*problem.to_string()), (kind, shown));
    }

    #[test]
    fn a_problem_is_its_type_and_its_text() {
        check(
            r#"{"type":"urn:ietf:params:acme:error:connection","status":400,
                "detail":"203.0.113.7: Fetching http://a.example/: Connection refused"}"#,
            "connection",
            "connection: 203.0.113.7: Fetching http://a.example/: Connection refused",
        );
        check(r#"{"detail":"try later"}"#, "", "try later");
        check(
            r#"{"type":"about:blank","title":"Not Found"}"#,
            "about:blank",
            "about:blank: Not Found",
        );
        check(r#"{"type":"urn:ietf:params:acme:error:caa"}"#, "caa", "caa");
    }

    #[test]
    fn subproblems_name_whom_they_are_about() {
        check(
            r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"Some names were rejected",
                "subproblems":[
                    {"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"policy",
                     "identifier":{"type":"dns","value":"b.example"}},
                    {"type":"urn:ietf:params:acme:error:caa","detail":"forbidden",
                     "subproblems":[{"detail":"deeper"}]},
                    7, {}
                ]}"#,
            "malformed",
            "malformed: Some names were rejected; b.example: rejectedIdentifier: policy; \
             caa: forbidden",
        );
    }

    #[test]
    fn what_is_not_a_problem_document_is_none() {
        for body in ["", "<html>", "{}", "[]", "7", r#"{"type":7,"detail":{}}"#, r#"{"detail":""}"#]
        {
            assert_eq!(Problem::parse(body.as_bytes()), None, "{body}");
        }
        let deep = "[".repeat(1000);
        assert_eq!(Problem::parse(deep.as_bytes()), None);
    }

    #[test]
    fn a_problem_is_shown_in_bounded_printable_text() {
        let long = "\u{1b}".repeat(5000);
        let sub = serde_json::json!({ "detail": long, "identifier": { "value": long } });
        let body =
            serde_json::json!({ "type": long, "detail": long, "subproblems": vec![sub; 50] });
        let shown = Problem::read(&body).unwrap().to_string();
        assert!(shown.len() < 1200 && shown.bytes().all(|it| (b' '..=b'~').contains(&it)));
    }
}
