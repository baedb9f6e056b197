//! What a route asks of its clients, and which credentials it has for its upstream:
//! [`AccessOptions`].

use super::address_list::AddressList;
use super::problem::{Location, Problems, nearest, quoted};
use super::value::{Invalid, NamedFile, Value};
pub use crate::gateway::access::KeyField;
use std::str::FromStr;

/// The keys about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessOptions {
    /// No token is needed, although there are clients.
    pub is_for_anyone: bool,
    /// Where the API's keys are; `None`: clients have their own.
    pub keys: Option<KeySource>,
    /// Where a key goes.
    pub key_field: KeyField,
    /// Whether clients may switch to the WebSocket protocol.
    pub websocket: bool,
    /// Whether CORS preflights are answered by us.
    pub cors: bool,
    /// Addresses that may use it; `None`: all.
    pub allow: Option<AddressList>,
}

/// Where the keys of an API are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file, one a line.
    File(NamedFile),
    /// In this variable of the environment, one alone.
    Variable(VariableName, Location),
}

/// Everyone may use it, with credentials of their own.
impl Default for AccessOptions {
    fn default() -> Self {
        let (is_for_anyone, keys, key_field, cors, allow) = Default::default();
        Self { is_for_anyone, keys, key_field, websocket: true, cors, allow }
    }
}

impl KeySource {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&NamedFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Variable(..) => None,
        }
    }

    /// Where it is named.
    pub fn location(&self) -> &Location {
        match self {
            Self::File(file) => &file.location,
            Self::Variable(_, location) => location,
        }
    }
}

/// The one source of keys, of two that exclude each other.
pub(super) fn key_source(
    file: Option<NamedFile>,
    variable: Option<(VariableName, Location)>,
    problems: &mut Problems,
) -> Option<KeySource> {
    if let (Some(_), Some((_, location))) = (&file, &variable) {
        problems.add(location, "`key_file` and `key_env` exclude each other");
    }
    let variable = variable.map(|(name, location)| KeySource::Variable(name, location));
    file.map(KeySource::File).or(variable)
}

/// `"anyone"`, the only value of `clients`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anyone;

impl Value for Anyone {
    const ALLOWED: &'static str =
        "only \"anyone\" is allowed; `routes` in a [[client]] says what that client may use";
}

impl FromStr for Anyone {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "anyone" => Ok(Self),
            _ => {
                let words = ["anyone", "everyone", "anybody", "everybody", "all", "any", "*"];
                let meant = nearest(text, words).map(|_| "anyone".to_owned());
                Err(Invalid { what: format!("{} is not allowed here", quoted(text)), meant })
            }
        }
    }
}

impl Value for KeyField {
    const ALLOWED: &'static str =
        "\"authorization\", \"x-api-key\", \"api-key\" and \"x-goog-api-key\" are allowed";
}

impl FromStr for KeyField {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let all = [Self::Authorization, Self::XApiKey, Self::ApiKey, Self::XGoogApiKey];
        // Names of fields are not case-sensitive (RFC 9110, section 5.1).
        if let Some(field) = all.into_iter().find(|it| it.name().eq_ignore_ascii_case(text)) {
            return Ok(field);
        }
        let meant = match text.to_ascii_lowercase().trim_end_matches([':', ' ']) {
            "bearer" | "authorization: bearer" | "authorization" => Some("authorization"),
            other => nearest(other, ["authorization", "x-api-key", "api-key", "x-goog-api-key"]),
        };
        let what = format!("{} is not a field for keys", quoted(text));
        Err(Invalid { what, meant: meant.map(str::to_owned) })
    }
}

/// The name of a variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableName(Box<str>);

impl VariableName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for VariableName {
    const ALLOWED: &'static str =
        "the name of a variable of the environment is allowed, such as \"OPENAI_API_KEY\"";
}

impl FromStr for VariableName {
    type Err = Invalid;

    /// No message repeats what is not a name, because it may be the key itself.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_name = |text: &str| {
            let is_in_name = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
            text.bytes().all(is_in_name) && !text.starts_with(|it: char| it.is_ascii_digit())
        };
        let bare = text.trim_matches(['$', '{', '}', '%']);
        if text.is_empty() {
            return Err(Invalid::new("the name is empty"));
        }
        if bare != text && is_name(bare) {
            let what = "the name is written without `$`".to_owned();
            return Err(Invalid { what, meant: Some(bare.to_owned()) });
        }
        // A variable in small letters is possible, and a key of small letters and digits, too.
        if !is_name(text) || text.len() > 64 || text.starts_with("sk_") {
            let what = "this is not the name of a variable; a key is not written here itself";
            return Err(Invalid::new(what));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_for_keys_is_one_of_four_in_any_case() {
        for name in ["authorization", "Authorization", "x-api-key", "api-key", "X-Goog-Api-Key"] {
            assert!(name.eq_ignore_ascii_case(name.parse::<KeyField>().unwrap().name()), "{name}");
        }
        let meant = |text: &str| text.parse::<KeyField>().unwrap_err().meant;
        assert_eq!(meant("Bearer").as_deref(), Some("authorization"));
        assert_eq!(meant("x-api-kee").as_deref(), Some("x-api-key"));
        assert_eq!(meant("cookie"), None);
    }

    #[test]
    fn a_key_in_place_of_the_name_of_its_variable_is_not_repeated() {
        for key in ["sk-hunter2", "sk_hunter2", "hunter2!", &"hunter2".repeat(10), "2hunter2"] {
            let message = key.parse::<VariableName>().unwrap_err().explain("");
            assert!(!message.contains("hunter2"), "{message}");
        }
        for name in ["OPENAI_API_KEY", "_key2"] {
            assert_eq!(name.parse::<VariableName>().unwrap().as_str(), name);
        }
        let meant = "${OPENAI_API_KEY}".parse::<VariableName>().unwrap_err().meant;
        assert_eq!(meant.as_deref(), Some("OPENAI_API_KEY"));
    }

    #[test]
    fn everyone_is_called_anyone() {
        assert!("anyone".parse::<Anyone>().is_ok());
        for text in ["Anyone", "everyone", "*"] {
            assert_eq!(text.parse::<Anyone>().unwrap_err().meant.as_deref(), Some("anyone"));
        }
        assert_eq!("alice".parse::<Anyone>().unwrap_err().meant, None);
    }
}
