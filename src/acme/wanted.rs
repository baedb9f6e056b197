//! What to order: [`Wanted`].

use super::challenge::ChallengeKind;
use super::identifier::Identifier;
use super::json::shown;
use serde_json::{Value, json};

/// The profile that Let's Encrypt issues for addresses.
const PROFILE_OF_ADDRESSES: &str = "shortlived";
/// Longest list of profiles in a warning.
const OFFERED_CHARS_MAX: usize = 200;

/// What to order.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// At least one, at most 100.
    pub names: Vec<Identifier>,
    /// One of the CA's profiles, or its default. For an address it is `shortlived` if the CA offers
    /// that.
    pub profile: Option<String>,
    /// The [identifier](super::renewal::certificate_id) of the certificate that it replaces.
    pub replaces: Option<String>,
    /// The kinds of challenges that can be answered, the one to use first.
    pub challenges: Vec<ChallengeKind>,
}

impl Wanted {
    /// Leaves out what the CA does not offer. A warning, if that is the profile.
    pub(super) fn adapt(&mut self, profiles: &[String], has_renewal_info: bool) -> Option<String> {
        if !has_renewal_info {
            self.replaces = None;
        }
        let offers = |profile: &str| profiles.iter().any(|it| it == profile);
        let has_address = self.names.iter().any(|it| matches!(it, Identifier::Ip(_)));
        if has_address && offers(PROFILE_OF_ADDRESSES) {
            self.profile = Some(PROFILE_OF_ADDRESSES.to_owned());
        }
        let refused = self.profile.take_if(|it| !offers(it))?;
        let offered = if profiles.is_empty() { "none".to_owned() } else { profiles.join(", ") };
        Some(format!(
            "the CA does not offer the profile {}, so its default is ordered; it offers: {}",
            shown(&refused, OFFERED_CHARS_MAX),
            shown(&offered, OFFERED_CHARS_MAX),
        ))
    }

    /// The payload of the request for an order (RFC 8555, section 7.4; RFC 9773, section 5).
    pub(super) fn json(&self) -> Value {
        let identifiers: Vec<Value> = self.names.iter().map(Identifier::json).collect();
        let mut payload = json!({ "identifiers": identifiers });
        for (name, value) in [("profile", &self.profile), ("replaces", &self.replaces)] {
            if let Some(value) = value {
                payload[name] = json!(value);
            }
        }
        payload
    }
}
