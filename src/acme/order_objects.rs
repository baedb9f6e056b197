//! Orders and authorizations as a CA describes them (RFC 8555, sections 7.1.3 and 7.1.4):
//! [`OrderObject`] and [`Authorization`].

use super::challenge::{ChallengeKind, is_token};
use super::identifier::Identifier;
use super::json::{array, text, url};
use super::message::checked_url;
use super::problem::Problem;
use serde_json::Value;

/// The state of an order or an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Names have to be validated.
    Pending,
    /// The CA waits for the request of the certificate.
    Ready,
    /// The certificate is being made, or a name validated.
    Processing,
    /// It is done.
    Valid,
    /// It has failed, or has ended in another way.
    Invalid,
}

impl Status {
    fn of(value: &Value) -> Option<Self> {
        Some(match text(value, "status")? {
            "pending" => Self::Pending,
            "ready" => Self::Ready,
            "processing" => Self::Processing,
            "valid" => Self::Valid,
            "invalid" | "deactivated" | "expired" | "revoked" => Self::Invalid,
            _ => return None,
        })
    }
}

/// An order, as the CA sees it.
#[derive(Debug)]
pub(super) struct OrderObject {
    pub(super) status: Status,
    pub(super) authorizations: Vec<String>,
    pub(super) finalize: String,
    pub(super) certificate: Option<String>,
    pub(super) error: Option<Problem>,
}

impl OrderObject {
    /// Reads a body; `None` if it is not an order, or has more authorizations than `names_max`.
    pub(super) fn parse(body: &[u8], names_max: usize) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let authorizations = array(&value, "authorizations");
        if authorizations.len() > names_max {
            return None;
        }
        let urls = authorizations.iter().map(|it| checked_url(it.as_str()?).map(str::to_owned));
        Some(Self {
            status: Status::of(&value)?,
            authorizations: urls.collect::<Option<_>>()?,
            finalize: url(&value, "finalize")?,
            certificate: url(&value, "certificate"),
            error: value.get("error").and_then(Problem::read),
        })
    }
}

/// How control of one name may be proven.
#[derive(Debug)]
pub(super) struct Authorization {
    pub(super) status: Status,
    pub(super) name: Identifier,
    /// Those of the kinds that we can answer.
    pub(super) challenges: Vec<Offer>,
    /// Why it is invalid.
    pub(super) error: Option<(ChallengeKind, Problem)>,
}

/// A challenge, as the CA describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) kind: ChallengeKind,
    pub(super) url: String,
    pub(super) token: String,
}

impl Authorization {
    /// Reads a body; `None` if it is not an authorization of one of `names`.
    pub(super) fn parse(body: &[u8], names: &[Identifier]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let identifier = value.get("identifier")?;
        let (kind, who) = (text(identifier, "type")?, text(identifier, "value")?);
        let name = names.iter().find(|it| it.is(kind, who))?.clone();
        let challenges = array(&value, "challenges");
        let error = challenges.iter().find_map(|it| {
            let kind = ChallengeKind::named(text(it, "type")?)?;
            Some((kind, Problem::read(it.get("error")?)?))
        });
        let challenges = challenges.iter().filter_map(offer).collect();
        Some(Self { status: Status::of(&value)?, name, challenges, error })
    }

    /// The challenge of the kind that comes first in `wanted`.
    pub(super) fn choose(&self, wanted: &[ChallengeKind]) -> Option<&Offer> {
        wanted.iter().find_map(|kind| self.challenges.iter().find(|it| it.kind == *kind))
    }
}

fn offer(value: &Value) -> Option<Offer> {
    let kind = ChallengeKind::named(text(value, "type")?)?;
    let token = text(value, "token").filter(|it| is_token(it))?.to_owned();
    Some(Offer { kind, url: url(value, "url")?, token })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn name() -> Identifier {
        Identifier::Dns("a.example".into())
    }

    #[test]
    fn an_order_has_a_status_and_the_urls_of_what_is_next() {
        let mut order = json!({
            "status": "pending", "expires": "2026-01-01T00:00:00Z",
            "identifiers": [{ "type": "dns", "value": "a.example" }],
            "authorizations": ["https://ca.example/authz/1"],
            "finalize": "https://ca.example/finalize/1"
        });
        let parse = |order: &Value| OrderObject::parse(order.to_string().as_bytes(), 1);
        let parsed = parse(&order).unwrap();
        assert_eq!(parsed.status, Status::Pending);
        assert_eq!(parsed.authorizations, ["https://ca.example/authz/1"]);
        assert_eq!(parsed.finalize, "https://ca.example/finalize/1");
        assert!(parsed.certificate.is_none() && parsed.error.is_none());

        order["status"] = json!("valid");
        order["certificate"] = json!("https://ca.example/cert/1");
        let parsed = parse(&order).unwrap();
        assert_eq!(parsed.certificate.as_deref(), Some("https://ca.example/cert/1"));
        order["status"] = json!("odd");
        assert!(parse(&order).is_none());
        order["status"] = json!("valid");
        order["authorizations"] = json!(["https://ca.example/1", "https://ca.example/2"]);
        assert!(parse(&order).is_none(), "more authorizations than names");
        order["authorizations"] = json!(["http://ca.example/1"]);
        assert!(parse(&order).is_none(), "not https");
    }

    #[test]
    fn the_first_kind_of_challenge_that_is_wanted_and_offered_is_chosen() {
        let body = json!({
            "status": "pending", "identifier": { "type": "dns", "value": "A.EXAMPLE" },
            "challenges": [
                { "type": "dns-01", "url": "https://ca.example/1", "token": "t1" },
                { "type": "http-01", "url": "https://ca.example/2", "token": "t2" },
                { "type": "tls-alpn-01", "url": "https://ca.example/3", "token": "../t3" },
                { "type": "tls-alpn-01", "url": "https://ca.example/4", "token": "t4" }
            ]
        })
        .to_string();
        let authorization = Authorization::parse(body.as_bytes(), &[name()]).unwrap();
        let kinds = |wanted: &[_]| authorization.choose(wanted).map(|it| it.token.as_str());
        assert_eq!(kinds(&[ChallengeKind::TlsAlpn01, ChallengeKind::Http01]), Some("t4"));
        assert_eq!(kinds(&[ChallengeKind::Http01]), Some("t2"));
        assert_eq!(kinds(&[]), None);
        assert_eq!(authorization.name, name(), "as it was ordered");
    }

    #[test]
    fn an_authorization_of_another_name_is_none() {
        let body = br#"{"status":"pending","identifier":{"type":"dns","value":"b.example"}}"#;
        assert!(Authorization::parse(body, &[name()]).is_none());
        assert!(Authorization::parse(b"{}", &[name()]).is_none());
    }

    #[test]
    fn an_invalid_authorization_says_why() {
        let body = br#"{"status":"invalid","identifier":{"type":"dns","value":"a.example"},
            "challenges":[{"type":"http-01","status":"invalid","url":"https://a/","token":"t",
            "error":{"type":"urn:ietf:params:acme:error:dns","detail":"NXDOMAIN"}}]}"#;
        let authorization = Authorization::parse(body, &[name()]).unwrap();
        let (kind, problem) = authorization.error.unwrap();
        assert_eq!((kind, problem.kind()), (ChallengeKind::Http01, "dns"));
    }
}
