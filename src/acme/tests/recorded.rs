//! Answers as public CAs give them, shortened, with the words of problems in our own.

use super::super::directory::Directory;
use super::super::failure::{Cause, Failure};
use super::super::identifier::Identifier;
use super::super::message::Response;
use super::super::order_objects::{Authorization, OrderObject, Status};
use super::super::problem::Problem;
use super::super::renewal;
use super::dns;

const DIRECTORY: &str = r#"{
  "keyChange": "https://acme-v02.api.letsencrypt.org/acme/key-change",
  "meta": {
    "caaIdentities": ["letsencrypt.org"],
    "profiles": {
      "classic": "https://letsencrypt.org/docs/profiles#classic",
      "shortlived": "https://letsencrypt.org/docs/profiles#shortlived",
      "tlsserver": "https://letsencrypt.org/docs/profiles#tlsserver"
    },
    "termsOfService": "https://letsencrypt.org/documents/LE-SA-v1.6-August-18-2025.pdf",
    "website": "https://letsencrypt.org"
  },
  "newAccount": "https://acme-v02.api.letsencrypt.org/acme/new-acct",
  "newNonce": "https://acme-v02.api.letsencrypt.org/acme/new-nonce",
  "newOrder": "https://acme-v02.api.letsencrypt.org/acme/new-order",
  "renewalInfo": "https://acme-v02.api.letsencrypt.org/acme/renewal-info",
  "revokeCert": "https://acme-v02.api.letsencrypt.org/acme/revoke-cert",
  "yA2lmAAAAAA": "https://community.letsencrypt.org/t/adding-random-entries/33417"
}"#;

const ORDER: &str = r#"{
  "status": "ready",
  "expires": "2026-12-04T00:12:45Z",
  "identifiers": [{ "type": "dns", "value": "a.example" }],
  "authorizations": ["https://acme-v02.api.letsencrypt.org/acme/authz/1/2"],
  "finalize": "https://acme-v02.api.letsencrypt.org/acme/finalize/1/3",
  "profile": "classic"
}"#;

const AUTHORIZATION: &str = concat!(
    r#"{
  "identifier": { "type": "dns", "value": "a.example" },
  "status": "invalid",
  "expires": "2026-12-04T00:12:45Z",
  "challenges": [
    {
      "type": "http-01",
      "url": "https://acme-v02.api.letsencrypt.org/acme/chall/1/2/abc",
      "status": "invalid",
      "validated": "2026-11-27T00:12:47Z",
      "error": {
        "type": "urn:ietf:params:acme:error:unauthorized",
        "detail": "203.0.113.7: Invalid response from "#,
    r#"http://a.example/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"#,
    r#": 404",
        "status": 403
      },
      "token": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
      "validationRecord": [
        { "url": "http://a.example/.well-known/acme-challenge/evaGxf", "port": "80",
          "hostname": "a.example", "addressesResolved": ["203.0.113.7"],
          "addressUsed": "203.0.113.7" }
      ]
    }
  ]
}"#
);

const RATE_LIMITED: &str = concat!(
    r#"{
  "type": "urn:ietf:params:acme:error:rateLimited",
  "detail": "5 failures for \"a.example\" in the last 1h0m0s, "#,
    r#"come back after 2026-11-27 01:04:36 UTC: see https://letsencrypt.org/docs/rate-limits/"#,
    r#"#authorization-failures-per-hostname-per-account",
  "status": 429
}"#
);

const REJECTED: &str = r#"{
  "type": "urn:ietf:params:acme:error:rejectedIdentifier",
  "detail": "Two of these names are refused (and 1 more problem)",
  "status": 400,
  "subproblems": [
    { "type": "urn:ietf:params:acme:error:malformed", "detail": "The name has no public suffix",
      "status": 400, "identifier": { "type": "dns", "value": "host.internal" } },
    { "type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "Forbidden by policy",
      "status": 400, "identifier": { "type": "dns", "value": "example.com" } }
  ]
}"#;

const RENEWAL: &str = r#"{
  "suggestedWindow": { "start": "2027-01-25T07:44:21Z", "end": "2027-01-27T02:55:49.5Z" }
}"#;

#[test]
fn the_directory_of_a_public_ca_is_read() {
    let directory = Directory::parse(DIRECTORY.as_bytes()).unwrap();
    assert_eq!(directory.profiles, ["classic", "shortlived", "tlsserver"]);
    assert!(directory.renewal_info.is_some() && !directory.requires_external_account);
}

#[test]
fn orders_and_authorizations_of_a_public_ca_are_read() {
    let order = OrderObject::parse(ORDER.as_bytes(), 1).unwrap();
    assert_eq!(order.status, Status::Ready);
    let authorization = authorization(AUTHORIZATION.as_bytes()).unwrap();
    let (kind, problem) = authorization.error.unwrap();
    let failure = Failure::of_validation(vec![(authorization.name, kind, problem)]);
    assert_eq!(
        failure.text,
        "the CA could not validate a.example by HTTP-01: unauthorized: 203.0.113.7: Invalid \
         response from http://a.example/.well-known/acme-challenge/...: 404"
    );
}

#[test]
fn refusals_of_a_public_ca_are_shown_with_all_that_matters() {
    let refused = |status, body: &str, retry_after: Option<&str>| {
        let retry_after = retry_after.map(str::to_owned);
        let body = body.as_bytes().to_vec();
        let response = Response { status, body, retry_after, ..Response::default() };
        Failure::of_response("to make the order", &response, 1000)
    };
    let failure = refused(429, RATE_LIMITED, Some("2880"));
    assert_eq!((failure.cause, failure.retry_at), (Cause::RateLimited, Some(3880)));
    assert_eq!(
        failure.text,
        "the CA refused to make the order: rateLimited: 5 failures for \"a.example\" in the last \
         1h0m0s, come back after 2026-11-27 01:04:36 UTC: see \
         https://letsencrypt.org/docs/rate-limits/#authorization-failures-per-hostname-per-account"
    );
    let failure = refused(400, REJECTED, None);
    assert_eq!(failure.cause, Cause::Refused);
    assert_eq!(
        failure.text,
        "the CA refused to make the order: rejectedIdentifier: Two of these names are refused \
         (and 1 more problem); host.internal: malformed: The name has no public suffix; \
         example.com: rejectedIdentifier: Forbidden by policy"
    );
}

#[test]
fn renewal_information_of_a_public_ca_is_read() {
    let body = RENEWAL.as_bytes().to_vec();
    let response = Response { status: 200, body, ..Response::default() };
    let window = renewal::read(&response, 0).unwrap().window;
    assert_eq!(window.end - window.start, 155_488);
}

#[test]
fn an_answer_that_is_cut_off_is_not_half_of_an_answer() {
    let names = [dns("a.example")];
    type Reads<'a> = &'a dyn Fn(&[u8]) -> bool;
    let readers: [(&str, Reads<'_>); 5] = [
        (DIRECTORY, &|it| Directory::parse(it).is_some()),
        (ORDER, &|it| OrderObject::parse(it, 1).is_some()),
        (AUTHORIZATION, &|it| Authorization::parse(it, &names).is_some()),
        (REJECTED, &|it| Problem::parse(it).is_some()),
        (RENEWAL, &|it| {
            let response = Response { status: 200, body: it.to_vec(), ..Response::default() };
            renewal::read(&response, 0).is_ok()
        }),
    ];
    for (body, reads) in readers {
        let body = body.as_bytes();
        assert!(reads(body));
        for len in 0..body.len() {
            assert!(!reads(&body[..len]), "{len} bytes of {}", body.len());
        }
        for at in 0..body.len() {
            let mut damaged = body.to_vec();
            damaged[at] ^= 0x10;
            let _either = reads(&damaged);
        }
    }
}

fn authorization(body: &[u8]) -> Option<Authorization> {
    let names: [Identifier; 1] = [dns("a.example")];
    Authorization::parse(body, &names)
}
