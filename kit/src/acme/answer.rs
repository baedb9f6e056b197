//! A response of the directory.

use serde_json::Value;
use std::fmt::Write;

/// A response before it has its nonce and date.
pub(super) struct Answer {
    pub(super) status: u16,
    fields: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json", body.to_string())
    }

    pub(super) fn of(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let fields = vec![("Content-Type", kind.to_owned())];
        Self { status, fields, body: body.into() }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, fields: Vec::new(), body: Vec::new() }
    }

    /// With this field, in place of one that it has.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.retain(|(it, _)| *it != name);
        self.fields.push((name, value.into()));
        self
    }

    /// With Retry-After in seconds, if there are any.
    pub(super) fn retry_after(self, seconds: Option<u64>) -> Self {
        match seconds {
            Some(seconds) => self.with("Retry-After", seconds.to_string()),
            None => self,
        }
    }

    /// All of it, or its head alone as the answer to HEAD.
    pub(super) fn to_bytes(&self, is_head: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} \r\n", self.status);
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if self.status != 204 {
            write!(head, "Content-Length: {}\r\n", self.body.len()).unwrap();
        }
        let body: &[u8] = if is_head { &[] } else { &self.body };
        [head.as_bytes(), b"\r\n", body].concat()
    }
}
