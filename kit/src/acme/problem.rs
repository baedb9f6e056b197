//! Errors as a client gets them: problem documents (RFC 9457; RFC 8555, section 6.7).

use super::answer::Answer;
use serde_json::{Value, json};

/// A problem document, with the status of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    /// The last part of its URN.
    pub(super) kind: &'static str,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into() }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed", detail)
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(403, "unauthorized", detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "malformed", "there is nothing here")
    }

    /// Within another object, such as a challenge.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "type": format!("urn:ietf:params:acme:error:{}", self.kind),
            "detail": self.detail,
            "status": self.status,
        })
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        Self::json(problem.status, &problem.to_json())
            .with("Content-Type", "application/problem+json")
    }
}
