//! The name of a client in the log and in metrics: [`ClientName`].

use super::excerpt::is_invisible;
use super::problem::quoted;
use super::value::{Invalid, Value};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name, in characters. It is in each log line of its client.
const NAME_CHARS_MAX: usize = 64;

/// What the operator calls a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientName(Arc<str>);

impl ClientName {
    /// The name, without blanks at its ends and without control characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, shared.
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for ClientName {
    const ALLOWED: &'static str = "a name such as \"alice\" is allowed, of up to 64 characters";
}

impl FromStr for ClientName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |what: &str| Err(Invalid::new(format!("{} {what}", quoted(text))));
        if text.starts_with("nrw_") || text.starts_with("sha256:") {
            return Err(Invalid::new("a token or its digest is not a name, which the log shows"));
        }
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.chars().count() > NAME_CHARS_MAX {
            return refuse("is longer than 64 characters");
        }
        if text.contains(is_invisible) {
            return refuse("has an invisible character");
        }
        if text.trim() != text {
            let meant = Some(text.trim().to_owned()).filter(|it| !it.is_empty());
            return Err(Invalid {
                what: format!("{} begins or ends with a blank", quoted(text)),
                meant,
            });
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_visible_text() {
        for name in ["alice", "Alice's laptop", "爱丽丝", "team/a@b"] {
            assert_eq!(name.parse::<ClientName>().unwrap().as_str(), name);
        }
        let long = "a".repeat(NAME_CHARS_MAX + 1);
        for name in ["", " ", "a ", "a\nb", "a\u{200b}b", "nrw_x", "sha256:x", &long] {
            assert!(name.parse::<ClientName>().is_err(), "{name:?}");
        }
    }
}
