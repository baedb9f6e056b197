//! Signed requests (RFC 7515; RFC 8555, section 6.2).

use super::problem::Problem;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// One signed object, not verified yet.
pub(super) struct Jws {
    pub(super) protected: Value,
    pub(super) payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

impl Jws {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Problem::malformed(format!("the body is no JSON: {error}")))?;
        Self::from_json(&body)
    }

    pub(super) fn from_json(body: &Value) -> Result<Self, Problem> {
        let part = |name| body[name].as_str().ok_or_else(|| missing(name));
        let (protected, payload) = (part("protected")?, part("payload")?);
        let header = serde_json::from_slice(&decoded(protected)?);
        Ok(Self {
            protected: header.map_err(|_| Problem::malformed("the header is no JSON"))?,
            payload: decoded(payload)?,
            signed: format!("{protected}.{payload}"),
            signature: decoded(part("signature")?)?,
        })
    }

    /// A text of the protected header.
    pub(super) fn header(&self, name: &str) -> Result<&str, Problem> {
        self.protected[name].as_str().ok_or_else(|| missing(name))
    }

    /// The payload as an object.
    pub(super) fn object(&self) -> Result<Value, Problem> {
        let value = serde_json::from_slice(&self.payload);
        value.ok().filter(Value::is_object).ok_or_else(|| Problem::malformed("no JSON object"))
    }

    /// Whether an account signed it.
    pub(super) fn verify(&self, key: &Jwk) -> Result<(), Problem> {
        if self.header("alg")? != "ES256" {
            return Err(Problem::new(400, "badSignatureAlgorithm", "ES256 is what I know"));
        }
        let point = [&[4], &key.x[..], &key.y].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        let verified = key.verify(self.signed.as_bytes(), &self.signature);
        verified.map_err(|_| Problem::malformed("the signature is wrong"))
    }

    /// Whether the owner of an external account signed it.
    pub(super) fn verify_mac(&self, key: &[u8]) -> Result<(), Problem> {
        if self.header("alg")? != "HS256" {
            return Err(Problem::malformed("an external account is bound by HS256"));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let verified = hmac::verify(&key, self.signed.as_bytes(), &self.signature);
        verified.map_err(|_| Problem::unauthorized("the external account's signature is wrong"))
    }
}

/// The public key of an account, on the curve P-256 (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Jwk {
    x: Vec<u8>,
    y: Vec<u8>,
}

impl Jwk {
    pub(super) fn from_json(value: &Value) -> Result<Self, Problem> {
        if value["kty"] != "EC" || value["crv"] != "P-256" {
            return Err(Problem::new(400, "badPublicKey", "P-256 is what I know"));
        }
        let coordinate = |name| {
            let bytes = decoded(value[name].as_str().ok_or_else(|| missing(name))?)?;
            let is_whole = bytes.len() == 32;
            is_whole.then_some(bytes).ok_or_else(|| Problem::malformed("a coordinate of 32 bytes"))
        };
        Ok(Self { x: coordinate("x")?, y: coordinate("y")? })
    }

    /// The key authorization of a challenge (RFC 8555, section 8.1).
    pub(super) fn authorization(&self, token: &str) -> String {
        let (x, y) = (encoded(&self.x), encoded(&self.y));
        // RFC 7638: the required members, in order, without spaces.
        let members = json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y }).to_string();
        let thumbprint = digest::digest(&digest::SHA256, members.as_bytes());
        format!("{token}.{}", encoded(thumbprint.as_ref()))
    }

    /// The point, as the key of a certificate has it.
    pub(super) fn point(&self) -> Vec<u8> {
        [&[4], &self.x[..], &self.y].concat()
    }
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Problem::malformed("no base64url without padding"))
}

fn missing(name: &str) -> Problem {
    Problem::malformed(format!("{name} is missing"))
}
