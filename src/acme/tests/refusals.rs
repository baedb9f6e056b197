//! Orders that end without a certificate, and what is said then.

use super::super::failure::Cause;
use super::super::identifier::Identifier;
use super::super::message::Response;
use super::super::testing::{Ca, ok, problem};
use super::{NOW, account, dns, run, wanted};
use serde_json::{Value, json};

#[test]
fn a_name_that_cannot_be_validated_ends_the_order_with_the_reason_of_the_ca() {
    let refusal = json!({
        "type": "urn:ietf:params:acme:error:connection",
        "detail": "203.0.113.7: Timeout during connect (likely firewall problem)"
    });
    let mut ca = Ca { problem: Some(refusal), ..Ca::new() };
    let failure = run(&mut ca, &mut account(), wanted(&["a.example", "b.example"])).failure();
    assert_eq!(failure.cause, Cause::Validation);
    assert_eq!(
        failure.text,
        "the CA could not validate a.example by TLS-ALPN-01: connection: 203.0.113.7: Timeout \
         during connect (likely firewall problem); b.example by TLS-ALPN-01: connection: \
         203.0.113.7: Timeout during connect (likely firewall problem)"
    );
    assert!(failure.advice.unwrap().starts_with("usual causes: port 443 is closed"));
    assert_eq!(failure.names, [dns("a.example"), dns("b.example")]);
    assert_eq!(ca.count("/finalize"), 0);
}

#[test]
fn if_the_url_leads_to_no_directory_the_advice_is_to_check_it() {
    let not_found = Response { status: 404, ..Response::default() };
    let answers = [
        (not_found, "asked to show its directory, the CA answered with status 404"),
        (ok(&json!({})), "the CA's answer cannot be used: it is not a directory"),
    ];
    for (answer, text) in answers {
        let mut ca = Ca::new();
        ca.forced.push(("/directory", answer));
        let failure = run(&mut ca, &mut account(), wanted(&["a.example"])).failure();
        assert_eq!(failure.text, text);
        assert!(failure.advice.unwrap().contains("--acme-directory"));
    }
}

#[test]
fn a_refused_order_says_why_and_when_to_come_back() {
    let mut ca = Ca::new();
    let refusal = problem(429, "rateLimited", "too many certificates already issued");
    ca.forced.push(("/order", Response { retry_after: Some("3600".to_owned()), ..refusal }));
    let failure = run(&mut ca, &mut account(), wanted(&["a.example"])).failure();
    assert_eq!(failure.cause, Cause::RateLimited);
    assert_eq!(
        failure.text,
        "the CA refused to make the order: rateLimited: too many certificates already issued"
    );
    assert_eq!(failure.retry_at, Some(NOW + 3600));
}

#[test]
fn an_error_of_the_ca_is_waited_out_a_few_times() {
    let unavailable = || Response { status: 503, ..Response::default() };
    let mut ca = Ca { polls: 0, ..Ca::new() };
    ca.forced.extend([("/order", unavailable()), ("/order", unavailable())]);
    let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
    assert_eq!(course.seconds, 2 + 4 + 1 + 1);
    course.issued();

    ca.forced.extend((0..4).map(|_| ("/order", unavailable())));
    let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
    assert_eq!(course.seconds, 2 + 4 + 8);
    let failure = course.failure();
    assert_eq!(failure.cause, Cause::Server);
    assert_eq!(failure.text, "asked to make the order, the CA answered with status 503");

    let later = Response { retry_after: Some("600".to_owned()), ..unavailable() };
    ca.forced.push(("/order", later));
    let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
    assert_eq!(course.seconds, 0, "too long to hold an order for");
    assert_eq!(course.failure().retry_at, Some(NOW + 600));
}

#[test]
fn a_validation_that_ends_without_a_result_counts_as_failed_and_an_order_without_one_does_not() {
    for (path, is_counted) in [("/challenge/0", true), ("/order/1", true), ("/finalize", false)] {
        let mut ca = Ca { polls: 1, ..Ca::new() };
        let refusal = problem(403, "unauthorized", "the account is deactivated");
        ca.forced.push((path, refusal));
        let failure = run(&mut ca, &mut account(), wanted(&["a.example"])).failure();
        let counted = if is_counted { vec![dns("a.example")] } else { Vec::new() };
        assert_eq!(failure.names, counted, "{path}");
    }
}

#[test]
fn names_are_noted_before_the_ca_validates_them_and_those_that_are_valid_are_not() {
    let mut ca = Ca::new();
    let course = run(&mut ca, &mut account(), wanted(&["a.example", "b.example"]));
    assert_eq!(course.validated, [(vec![dns("a.example"), dns("b.example")], 0), (vec![], 0)]);
    let valid = json!({
        "status": "valid",
        "identifier": { "type": "dns", "value": "a.example" },
        "challenges": [],
    });
    let mut ca = Ca::new();
    let refusal = problem(403, "unauthorized", "the account is deactivated");
    ca.forced.extend([("/authz/0", ok(&valid)), ("/challenge/1", refusal)]);
    let course = run(&mut ca, &mut account(), wanted(&["a.example", "b.example"]));
    assert_eq!(course.validated, [(vec![dns("b.example")], 0)]);
    assert_eq!(course.failure().names, [dns("b.example")]);
}

#[test]
fn a_ca_that_rejects_every_nonce_is_given_up() {
    let mut ca = Ca { bad_nonces: u32::MAX, ..Ca::new() };
    let failure = run(&mut ca, &mut account(), wanted(&["a.example"])).failure();
    assert_eq!(failure.text, "the CA refused to make an account: badNonce: old");
    assert!(ca.requests.len() < 20);
}

#[test]
fn a_nonce_that_cannot_be_written_into_a_header_is_not_used() {
    let mut ca = Ca::new();
    for _ in 0..20 {
        let nonce = Some("a\"b".to_owned());
        ca.forced.push(("/nonce", Response { status: 200, nonce, ..Response::default() }));
    }
    let failure = run(&mut ca, &mut account(), wanted(&["a.example"])).failure();
    assert_eq!(failure.text, "the CA's answer cannot be used: it gives no nonce");
}

#[test]
fn a_ca_that_never_decides_is_given_up_at_the_deadline() {
    let mut ca = Ca { polls: u32::MAX, ..Ca::new() };
    let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
    assert_eq!(course.seconds, 15 * 60);
    let failure = course.failure();
    assert_eq!(
        (failure.cause, &*failure.text),
        (Cause::Server, "the CA did not finish the order in time",)
    );
}

#[test]
fn an_account_that_only_an_operator_can_get_is_not_asked_for_without() {
    let mut ca = Ca { requires_external_account: true, ..Ca::new() };
    let failure = run(&mut ca, &mut account(), wanted(&["a.example"])).failure();
    assert_eq!(failure.cause, Cause::Refused);
    assert!(failure.advice.unwrap().contains("external_account"));
    assert_eq!(ca.count("/account"), 0);
}

#[test]
fn an_account_that_is_refused_has_the_wrong_external_account_and_a_closed_one_needs_another() {
    let advice = |path| {
        let mut ca = Ca::new();
        ca.forced.push((path, problem(403, "unauthorized", "no")));
        run(&mut ca, &mut account(), wanted(&["a.example"])).failure().advice.unwrap()
    };
    assert!(advice("/account").contains("external_account"));
    assert!(advice("/order").contains("closed the account"));
}

#[test]
fn a_ca_that_does_not_offer_our_challenges_is_refused() {
    let mut ca = Ca::new();
    let authorization = json!({
        "status": "pending", "identifier": { "type": "dns", "value": "a.example" },
        "challenges": [{ "type": "dns-01", "url": "https://ca.example/1", "token": "t" }],
    });
    ca.forced.push(("/authz/0", ok(&authorization)));
    let failure = run(&mut ca, &mut account(), wanted(&["a.example"])).failure();
    assert_eq!(failure.text, "the CA does not validate a.example by TLS-ALPN-01 or HTTP-01");
    assert_eq!(failure.cause, Cause::Refused);
}

#[test]
fn an_order_that_fails_after_validation_has_the_reason_of_the_order() {
    let mut ca = Ca { polls: 0, ..Ca::new() };
    let order = |status: &str, error: Value| {
        ok(&json!({
            "status": status, "finalize": "https://ca.example/finalize", "error": error,
            "authorizations": ["https://ca.example/authz/0"]
        }))
    };
    let error = json!({ "type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids" });
    ca.forced.push(("/finalize", order("invalid", error)));
    let failure = run(&mut ca, &mut account(), wanted(&["a.example"])).failure();
    assert_eq!(failure.text, "the CA gave up the order: caa: CAA forbids");
    assert_eq!(failure.cause, Cause::Validation);
    assert_eq!(failure.names, [dns("a.example")]);
}

/// Every answer of an order is cut off, damaged, or replaced by something else.
#[test]
fn an_answer_that_cannot_be_used_ends_the_order_in_bounded_time() {
    let mut complete = Ca { polls: 0, ..Ca::new() };
    run(&mut complete, &mut account(), wanted(&["a.example"])).issued();
    let paths: Vec<String> = complete.requests.into_iter().map(|it| it.0).collect();
    for path in paths {
        let path: &'static str = path.leak();
        for body in ["", "{", "null", "[]", "{}", r#"{"status":"valid"}"#, "\u{1b}[31m"] {
            let mut ca = Ca { polls: 0, ..Ca::new() };
            let body = body.as_bytes().to_vec();
            ca.forced.push((path, Response { status: 200, body, ..Response::default() }));
            let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
            if ["/nonce", "/challenge/0"].contains(&path) {
                course.issued();
            } else {
                let failure = course.failure();
                let text = "the CA's answer cannot be used: ";
                assert!(failure.text.starts_with(text), "{path}: {failure:?}");
            }
        }
    }
}

#[test]
fn an_address_that_fails_has_no_advice_about_dns() {
    let refusal = json!({ "type": "urn:ietf:params:acme:error:connection", "detail": "refused" });
    let mut ca = Ca { problem: Some(refusal), ..Ca::new() };
    let mut wanted = wanted(&[]);
    wanted.names = vec![Identifier::Ip("192.0.2.1".parse().unwrap())];
    let failure = run(&mut ca, &mut account(), wanted).failure();
    assert_eq!(
        failure.advice.as_deref(),
        Some(
            "usual causes: port 443 is closed to the internet; the address belongs to another \
             machine"
        )
    );
}
