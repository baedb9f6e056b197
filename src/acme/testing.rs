//! For tests: a CA in memory, which checks what it gets, and the certificates that it issues.

use super::base64url;
use super::identifier::Identifier;
use super::message::{Method, Request, Response};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};
use serde_json::{Value, json};
use std::time::Duration;

const HOST: &str = "https://ca.example";
pub(crate) const DIRECTORY: &str = "https://ca.example/directory";

/// A CA that does what its fields say.
pub(crate) struct Ca {
    pub(crate) profiles: Vec<&'static str>,
    pub(crate) has_renewal_info: bool,
    pub(crate) requires_external_account: bool,
    pub(crate) has_account: bool,
    /// Of the account.
    pub(crate) contact: Value,
    /// How many nonces are rejected from now on.
    pub(crate) bad_nonces: u32,
    /// How often an order is polled before anything changes.
    pub(crate) polls: u32,
    /// The problem that validation ends with.
    pub(crate) problem: Option<Value>,
    /// A path whose requests come twice, because the first answer is lost.
    pub(crate) repeated: Option<&'static str>,
    /// Answers for the next requests to paths, in place of its own.
    pub(crate) forced: Vec<(&'static str, Response)>,
    pub(crate) not_before: i64,
    /// The payload of each request, by path.
    pub(crate) requests: Vec<(String, Value)>,
    pub(crate) state: State,
}

/// What it remembers.
#[derive(Default)]
pub(crate) struct State {
    nonces: u32,
    spent: u32,
    jwk: Value,
    names: Vec<Value>,
    responded: usize,
    polled: u32,
    request: Option<Vec<u8>>,
}

impl Ca {
    pub(crate) fn new() -> Self {
        Self {
            profiles: Vec::new(),
            has_renewal_info: false,
            requires_external_account: false,
            has_account: false,
            contact: Value::Null,
            bad_nonces: 0,
            polls: 1,
            problem: None,
            repeated: None,
            forced: Vec::new(),
            not_before: 0,
            requests: Vec::new(),
            state: State::default(),
        }
    }

    /// How often this path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests.iter().filter(|it| it.0 == path).count()
    }

    /// The payload of the last request to this path.
    pub(crate) fn last(&self, path: &str) -> &Value {
        let mut of_path = self.requests.iter().rev().filter(|it| it.0 == path);
        &of_path.next().unwrap_or_else(|| panic!("nothing was sent to {path}")).1
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Response {
        if self.repeated.take_if(|it| request.url.ends_with(&**it)).is_some() {
            self.answer(request);
        }
        let path = request.url.strip_prefix(HOST).unwrap_or_else(|| panic!("{}", request.url));
        let payload = match request.method {
            Method::Get | Method::Head => {
                assert!(request.body.is_empty() && request.content_type.is_none());
                Ok(Value::Null)
            }
            Method::Post => self.verify(request),
        };
        self.requests.push((path.to_owned(), payload.clone().unwrap_or_default()));
        self.state.responded += usize::from(path.starts_with("/challenge/") && payload.is_ok());
        let forced = self.forced.iter().position(|it| it.0 == path);
        let mut response = match (payload, forced) {
            (_, Some(at)) => self.forced.remove(at).1,
            (Err(response), None) => *response,
            (Ok(payload), None) => self.own_answer(path, &payload),
        };
        if path != "/directory" {
            self.state.nonces += 1;
            response.nonce.get_or_insert(format!("nonce-{}", self.state.nonces));
        }
        response
    }

    /// The payload of a JWS whose signature, nonce and URL are right.
    fn verify(&mut self, request: &Request) -> Result<Value, Box<Response>> {
        let jws: Value = serde_json::from_str(&request.body).unwrap();
        let part = |name: &str| base64url::decode(jws[name].as_str().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&part("protected")).unwrap();
        assert_eq!(header["url"], *request.url);
        assert_eq!(request.content_type, Some("application/jose+json"));
        if let Some(jwk) = header.get("jwk") {
            self.state.jwk = jwk.clone();
            assert!(request.url.ends_with("/account"));
        } else {
            assert_eq!(header["kid"], format!("{HOST}/account/1"));
        }
        let coordinate =
            |it: &str| base64url::decode(self.state.jwk[it].as_str().unwrap()).unwrap();
        let point = [&[4], &*coordinate("x"), &*coordinate("y")].concat();
        let text = |name: &str| jws[name].as_str().unwrap();
        let message = format!("{}.{}", text("protected"), text("payload"));
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(message.as_bytes(), &part("signature")).unwrap();

        let nonce = header["nonce"].as_str().unwrap().strip_prefix("nonce-").unwrap();
        let nonce: u32 = nonce.parse().unwrap();
        let is_fresh = (self.state.spent + 1..=self.state.nonces).contains(&nonce);
        self.state.spent = nonce;
        if !is_fresh || self.bad_nonces > 0 {
            self.bad_nonces = self.bad_nonces.saturating_sub(1);
            return Err(Box::new(problem(400, "badNonce", "old")));
        }
        let payload = part("payload");
        Ok(if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload).unwrap() })
    }

    pub(crate) fn own_answer(&mut self, path: &str, payload: &Value) -> Response {
        let number = path.rsplit('/').next().and_then(|it| it.parse().ok()).unwrap_or(0);
        match path.split('/').nth(1).unwrap() {
            "directory" => self.directory(),
            "nonce" => Response { status: 200, ..Response::default() },
            "account" if payload["onlyReturnExisting"] == true && !self.has_account => {
                problem(400, "accountDoesNotExist", "none")
            }
            "account" => {
                self.has_account = true;
                if let Some(contact) = payload.get("contact") {
                    self.contact = contact.clone();
                }
                created("/account/1", &json!({ "status": "valid", "contact": self.contact }))
            }
            "order" if path == "/order" => {
                if !self.has_account {
                    return problem(400, "accountDoesNotExist", "none");
                }
                self.state.names = payload["identifiers"].as_array().unwrap().clone();
                (self.state.responded, self.state.polled, self.state.request) = (0, 0, None);
                created("/order/1", &self.order("pending"))
            }
            "order" => self.polled(),
            "authz" => self.authorization(number),
            "challenge" => {
                assert_eq!(*payload, json!({}));
                ok(&json!({ "status": "processing" }))
            }
            "finalize" if self.state.request.is_some() => problem(403, "orderNotReady", "done"),
            "finalize" => {
                let request = base64url::decode(payload["csr"].as_str().unwrap()).unwrap();
                self.state.request = Some(request);
                self.state.polled = 0;
                ok(&self.order("processing"))
            }
            "certificate" => self.certificate(),
            _ => problem(404, "malformed", "no such place"),
        }
    }

    fn directory(&self) -> Response {
        let profiles: serde_json::Map<_, _> =
            self.profiles.iter().map(|it| ((*it).to_owned(), json!("words"))).collect();
        let mut directory = json!({
            "newNonce": format!("{HOST}/nonce"), "newAccount": format!("{HOST}/account"),
            "newOrder": format!("{HOST}/order"),
            "meta": {
                "profiles": profiles,
                "externalAccountRequired": self.requires_external_account,
            },
        });
        if self.has_renewal_info {
            directory["renewalInfo"] = json!(format!("{HOST}/renewal"));
        }
        ok(&directory)
    }

    fn polled(&mut self) -> Response {
        self.state.polled += 1;
        let is_decided = self.state.polled > self.polls;
        assert!(self.state.responded >= self.state.names.len(), "polled before all challenges");
        let status = match (&self.problem, &self.state.request) {
            (Some(_), _) if is_decided => "invalid",
            (None, None) if is_decided => "ready",
            (None, Some(_)) if is_decided => "valid",
            (_, None) => "pending",
            (_, Some(_)) => "processing",
        };
        ok(&self.order(status))
    }

    fn order(&self, status: &str) -> Value {
        let authorizations = (0..self.state.names.len()).map(|it| format!("{HOST}/authz/{it}"));
        let mut order = json!({
            "status": status, "identifiers": self.state.names,
            "finalize": format!("{HOST}/finalize"),
            "authorizations": authorizations.collect::<Vec<_>>(),
        });
        if status == "valid" {
            order["certificate"] = json!(format!("{HOST}/certificate"));
        }
        order
    }

    fn authorization(&self, number: usize) -> Response {
        let status =
            if self.problem.is_some() && self.state.polled > 0 { "invalid" } else { "pending" };
        let challenge = |kind: &str| {
            let mut challenge = json!({
                "type": kind, "url": format!("{HOST}/challenge/{number}"),
                "token": format!("token-{number}"), "status": status,
            });
            if status == "invalid" && kind == "tls-alpn-01" {
                challenge["error"] = self.problem.clone().unwrap();
            }
            challenge
        };
        let challenges = ["dns-01", "http-01", "tls-alpn-01"].map(challenge);
        let name = &self.state.names[number];
        ok(&json!({ "status": status, "identifier": name, "challenges": challenges }))
    }

    fn certificate(&self) -> Response {
        let text = |it: &Value| it["value"].as_str().unwrap().to_owned();
        let names = self.state.names.iter().map(|it| {
            let name = text(it);
            name.parse().map_or_else(|_| Identifier::Dns(name.into()), Identifier::Ip)
        });
        let names: Vec<_> = names.collect();
        let (request, end) = (self.state.request.as_ref().unwrap(), self.not_before + 90 * 86_400);
        let chain = certificate_for(&names, request, self.not_before, end);
        Response { status: 200, body: chain.into_bytes(), ..Response::default() }
    }
}

pub(crate) fn ok(body: &Value) -> Response {
    Response { status: 200, body: body.to_string().into_bytes(), ..Response::default() }
}

fn created(path: &str, body: &Value) -> Response {
    Response { status: 201, location: Some(format!("{HOST}{path}")), ..ok(body) }
}

pub(crate) fn problem(status: u16, kind: &str, detail: &str) -> Response {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    Response { status, ..ok(&json!({ "type": kind, "detail": detail })) }
}

/// A certificate in PEM for the key of a request.
pub(crate) fn certificate_for(
    names: &[Identifier],
    request: &[u8],
    not_before: i64,
    not_after: i64,
) -> String {
    let mut issuer = CertificateParams::default();
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(issuer, KeyPair::generate().unwrap());
    let names: Vec<String> = names.iter().map(Identifier::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    let second =
        |it: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(it).unwrap());
    (params.not_before, params.not_after) = (second(not_before), second(not_after));
    let certificate = params.signed_by(&Point::of(request), &issuer).unwrap();
    super::pem::encode("CERTIFICATE", certificate.der())
}

/// The public key in a request, on P-256.
struct Point(Vec<u8>);

impl Point {
    fn of(request: &[u8]) -> Self {
        // The end of the algorithm's name, and a bit string of 65 bytes.
        let before = [0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00];
        let at = request.windows(before.len()).position(|it| it == before).unwrap();
        Self(request[at + before.len()..][..65].to_vec())
    }
}

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
