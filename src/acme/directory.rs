//! What a CA offers, and where (RFC 8555, section 7.1.1): [`Directory`].

use super::json::url;
use serde_json::Value;

/// Longest name of a profile, and most of them.
const PROFILE_BYTES_MAX: usize = 64;
const PROFILES_MAX: usize = 32;

/// What a CA offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    pub(super) new_order: String,
    /// For renewal information (RFC 9773).
    pub(super) renewal_info: Option<String>,
    /// The names of its profiles, if it has any.
    pub(super) profiles: Vec<String>,
    pub(super) requires_external_account: bool,
}

impl Directory {
    /// Reads a body; `None` if it lacks what every CA has.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let meta = value.get("meta").unwrap_or(&Value::Null);
        let profiles = meta.get("profiles").and_then(Value::as_object);
        let profiles = profiles.into_iter().flatten().map(|(name, _)| name);
        let required = meta.get("externalAccountRequired").and_then(Value::as_bool);
        Some(Self {
            new_nonce: url(&value, "newNonce")?,
            new_account: url(&value, "newAccount")?,
            new_order: url(&value, "newOrder")?,
            renewal_info: url(&value, "renewalInfo").map(|it| it.trim_end_matches('/').to_owned()),
            profiles: profiles.filter(|it| is_profile(it)).take(PROFILES_MAX).cloned().collect(),
            requires_external_account: required.unwrap_or(false),
        })
    }
}

fn is_profile(name: &str) -> bool {
    name.len() <= PROFILE_BYTES_MAX && name.bytes().all(|it| it.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_says_what_a_ca_offers_and_where() {
        let body = br#"{
            "newNonce": "https://ca.example/nonce", "newAccount": "https://ca.example/account",
            "newOrder": "https://ca.example/order", "revokeCert": "https://ca.example/revoke",
            "renewalInfo": "https://ca.example/ari/", "a random key": "https://ca.example/x",
            "meta": {
                "profiles": { "classic": "the old one", "shortlived": "6 days", "a b": "blank" },
                "externalAccountRequired": true
            }
        }"#;
        let directory = Directory::parse(body).unwrap();
        assert_eq!(directory.new_nonce, "https://ca.example/nonce");
        assert_eq!(directory.new_account, "https://ca.example/account");
        assert_eq!(directory.new_order, "https://ca.example/order");
        assert_eq!(directory.renewal_info.as_deref(), Some("https://ca.example/ari"));
        assert_eq!(directory.profiles, ["classic", "shortlived"]);
        assert!(directory.requires_external_account);
    }

    #[test]
    fn a_directory_without_a_place_for_orders_or_with_plain_http_is_none() {
        let body = br#"{ "newNonce": "https://a/1", "newAccount": "https://a/2",
            "newOrder": "https://a/3" }"#;
        let directory = Directory::parse(body).unwrap();
        assert!(directory.renewal_info.is_none() && !directory.requires_external_account);
        let text = str::from_utf8(body).unwrap();
        for name in ["newNonce", "newAccount", "newOrder"] {
            assert_eq!(Directory::parse(text.replace(name, "other").as_bytes()), None);
        }
        assert_eq!(Directory::parse(text.replace("https", "http").as_bytes()), None);
        for len in 0..body.len() {
            assert_eq!(Directory::parse(&body[..len]), None);
        }
    }
}
