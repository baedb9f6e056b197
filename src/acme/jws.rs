//! Signed requests (RFC 8555, section 6.2; RFC 7515, section 7.2.2), and the binding to an account
//! that the CA knows by other means (RFC 8555, section 7.3.4): [`ExternalAccount`].

use super::account_key::AccountKey;
use super::base64url;
use aws_lc_rs::hmac;
use serde_json::{Value, json};
use std::fmt;

/// Who signs.
pub(super) enum Signer<'a> {
    /// The key itself, before there is an account.
    Key,
    /// The account at this URL.
    Account(&'a str),
}

/// The body of a request. An empty `payload` makes it a POST-as-GET. `None` if the machine cannot
/// sign.
pub(super) fn signed(
    key: &AccountKey,
    signer: &Signer<'_>,
    nonce: &str,
    url: &str,
    payload: &str,
) -> Option<String> {
    // Nonce and URL have no character that JSON escapes: they were checked when they came.
    let who = match signer {
        Signer::Key => format!(r#""jwk":{}"#, key.jwk()),
        Signer::Account(account) => format!(r#""kid":"{account}""#),
    };
    let header = format!(r#"{{"alg":"ES256",{who},"nonce":"{nonce}","url":"{url}"}}"#);
    let (header, payload) = (base64url::encode(header), base64url::encode(payload));
    let signature = key.sign(format!("{header}.{payload}").as_bytes())?;
    let signature = base64url::encode(signature);
    Some(format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#))
}

/// What a CA gave to an operator, so that a new account belongs to that operator.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    key_id: String,
    key: Vec<u8>,
}

impl ExternalAccount {
    /// The key is in base64, as CAs show it; `None` if it is not, or empty.
    pub fn new(key_id: &str, key: &str) -> Option<Self> {
        let key = base64url::decode(key.trim()).filter(|it| !it.is_empty())?;
        Some(Self { key_id: key_id.to_owned(), key })
    }

    /// The member `externalAccountBinding` of the request for an account at `url`.
    pub(super) fn binding(&self, account: &AccountKey, url: &str) -> Value {
        let header = json!({ "alg": "HS256", "kid": self.key_id, "url": url });
        let (header, payload) =
            (base64url::encode(header.to_string()), base64url::encode(account.jwk()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let signature = hmac::sign(&key, format!("{header}.{payload}").as_bytes());
        let signature = base64url::encode(signature);
        json!({ "protected": header, "payload": payload, "signature": signature })
    }
}

/// Shows nothing of the key.
impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://ca.example/new-account";

    /// The header and the payload of a JWS, decoded.
    fn parts(jws: &Value) -> (Value, String) {
        let decoded = |name: &str| {
            let bytes = base64url::decode(jws[name].as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        (serde_json::from_str(&decoded("protected")).unwrap(), decoded("payload"))
    }

    #[test]
    fn a_request_says_who_signs_it_and_what_it_is_for() {
        let key = AccountKey::generate().unwrap();
        let sign = |signer| {
            let jws = signed(&key, &signer, "nonce-1", URL, r#"{"a":1}"#).unwrap();
            parts(&serde_json::from_str(&jws).unwrap())
        };
        let (header, payload) = sign(Signer::Key);
        let jwk: Value = serde_json::from_str(&key.jwk()).unwrap();
        assert_eq!(header, json!({ "alg": "ES256", "jwk": jwk, "nonce": "nonce-1", "url": URL }));
        assert_eq!(payload, r#"{"a":1}"#);
        let (header, _) = sign(Signer::Account("https://ca.example/1"));
        let kid = "https://ca.example/1";
        assert_eq!(header, json!({ "alg": "ES256", "kid": kid, "nonce": "nonce-1", "url": URL }));
    }

    #[test]
    fn a_binding_is_the_account_key_signed_with_the_key_of_the_ca() {
        let key = AccountKey::generate().unwrap();
        let external = ExternalAccount::new("kid \"1\"", " -_8= \n").unwrap();
        let binding = external.binding(&key, URL);
        let (header, payload) = parts(&binding);
        assert_eq!(header, json!({ "alg": "HS256", "kid": "kid \"1\"", "url": URL }));
        assert_eq!(payload, key.jwk());
        let text = |it: &str| binding[it].as_str().unwrap().to_owned();
        let message = format!("{}.{}", text("protected"), text("payload"));
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &[0xfb, 0xff]);
        let signature = base64url::decode(&text("signature")).unwrap();
        assert!(hmac::verify(&mac, message.as_bytes(), &signature).is_ok());
    }

    #[test]
    fn a_key_of_an_external_account_has_to_be_base64_and_is_never_shown() {
        assert_eq!(ExternalAccount::new("kid", ""), None);
        assert_eq!(ExternalAccount::new("kid", "not base64!"), None);
        let external = ExternalAccount::new("kid", "c2VjcmV0").unwrap();
        assert_eq!(format!("{external:?}"), "ExternalAccount { key_id: \"kid\", .. }");
    }
}
