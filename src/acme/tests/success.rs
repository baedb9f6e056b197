//! Orders that end with a certificate.

use super::super::account::{Account, Registration};
use super::super::account_key::AccountKey;
use super::super::challenge::{Challenge, ChallengeKind};
use super::super::identifier::Identifier;
use super::super::jws::ExternalAccount;
use super::super::message::Response;
use super::super::testing::{Ca, DIRECTORY, problem};
use super::{NOW, account, run, wanted};
use serde_json::json;

#[test]
fn an_order_makes_an_account_shows_every_name_and_ends_with_a_chain() {
    let mut ca = Ca { not_before: NOW - 60, ..Ca::new() };
    let course = run(&mut ca, &mut account(), wanted(&["a.example", "b.example"]));
    assert_eq!(course.warnings, Vec::<String>::new());
    let prepared: Vec<_> = course.prepared.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(prepared, ["TlsAlpn(a.example)", "TlsAlpn(b.example)"]);
    assert_eq!(*ca.last("/account"), json!({ "termsOfServiceAgreed": true }));
    let identifiers = json!([
        { "type": "dns", "value": "a.example" }, { "type": "dns", "value": "b.example" }
    ]);
    assert_eq!(*ca.last("/order"), json!({ "identifiers": identifiers }));
    assert_eq!(ca.count("/nonce"), 1, "each answer brings the next nonce");
    let issued = course.issued();
    assert_eq!(issued.not_before, NOW - 60);
    assert_eq!(issued.not_after, NOW - 60 + 90 * 86_400);
    assert!(issued.chain_pem.starts_with("-----BEGIN CERTIFICATE-----\n"));
}

#[test]
fn a_second_order_uses_the_directory_and_the_account_of_the_first() {
    let (mut ca, mut account) = (Ca::new(), account());
    run(&mut ca, &mut account, wanted(&["a.example"])).issued();
    run(&mut ca, &mut account, wanted(&["b.example"])).issued();
    for (path, count) in [("/directory", 1), ("/account", 1), ("/nonce", 1), ("/order", 2)] {
        assert_eq!(ca.count(path), count, "{path}");
    }
}

#[test]
fn the_account_of_a_stored_key_is_looked_for_before_one_is_made() {
    let stored = |key: &AccountKey| {
        let key = AccountKey::from_pkcs8(key.pkcs8()).unwrap();
        Account::new(DIRECTORY, key, Registration::default())
    };
    let (mut ca, key) = (Ca::new(), AccountKey::generate().unwrap());
    run(&mut ca, &mut stored(&key), wanted(&["a.example"])).issued();
    assert_eq!(ca.count("/account"), 2, "the CA did not know it");
    run(&mut ca, &mut stored(&key), wanted(&["a.example"])).issued();
    assert_eq!(ca.count("/account"), 3);
    assert_eq!(*ca.last("/account"), json!({ "onlyReturnExisting": true }));
}

#[test]
fn contacts_that_have_changed_are_changed_at_the_ca() {
    let (mut ca, key) = (Ca::new(), AccountKey::generate().unwrap());
    let with = |ca: &mut Ca, contact: &str| {
        let contact = vec![contact.to_owned()];
        let registration = Registration { contact, ..Registration::default() };
        let key = AccountKey::from_pkcs8(key.pkcs8()).unwrap();
        let mut account = Account::new(DIRECTORY, key, registration);
        run(ca, &mut account, wanted(&["a.example"]))
    };
    with(&mut ca, "mailto:a@example.com").issued();
    with(&mut ca, "mailto:a@example.com").issued();
    assert_eq!(ca.count("/account/1"), 0);
    with(&mut ca, "mailto:b@example.com").issued();
    assert_eq!(*ca.last("/account/1"), json!({ "contact": ["mailto:b@example.com"] }));
    assert_eq!(ca.contact, json!(["mailto:b@example.com"]));

    ca.forced.push(("/account/1", problem(400, "invalidContact", "no such domain")));
    let course = with(&mut ca, "mailto:c@example.invalid");
    let warning =
        "the CA refused to change the contacts of the account: invalidContact: no such domain";
    assert_eq!(course.warnings, [warning]);
    course.issued();
}

#[test]
fn an_account_that_the_ca_has_lost_is_made_again() {
    let (mut ca, mut account) = (Ca::new(), account());
    run(&mut ca, &mut account, wanted(&["a.example"])).issued();
    ca.has_account = false;
    run(&mut ca, &mut account, wanted(&["a.example"])).issued();
    assert_eq!(ca.count("/account"), 2);
}

#[test]
fn contact_and_external_account_are_a_part_of_the_registration() {
    let registration = Registration {
        contact: vec!["mailto:me@example.com".to_owned()],
        external: ExternalAccount::new("kid-1", "c2VjcmV0"),
        is_new: true,
    };
    let mut account = Account::new(DIRECTORY, AccountKey::generate().unwrap(), registration);
    let mut ca = Ca { requires_external_account: true, ..Ca::new() };
    run(&mut ca, &mut account, wanted(&["a.example"])).issued();
    let payload = ca.last("/account");
    assert_eq!(payload["contact"], json!(["mailto:me@example.com"]));
    assert!(payload["externalAccountBinding"]["signature"].is_string());
}

#[test]
fn rejected_nonces_are_replaced_by_those_that_come_with_the_rejection() {
    let mut ca = Ca { bad_nonces: 9, ..Ca::new() };
    run(&mut ca, &mut account(), wanted(&["a.example"])).issued();
    assert_eq!(ca.count("/nonce"), 1);
}

#[test]
fn the_other_kind_of_challenge_is_used_where_it_comes_first() {
    let mut wanted = wanted(&["a.example"]);
    wanted.challenges = vec![ChallengeKind::Http01];
    let course = run(&mut Ca::new(), &mut account(), wanted);
    let [Challenge::Http { token, key_authorization }] = &*course.prepared else { panic!() };
    assert_eq!(token, "token-0");
    assert!(key_authorization.starts_with("token-0."));
}

#[test]
fn an_address_gets_the_short_profile_and_its_reverse_name_is_served() {
    let mut ca = Ca { profiles: vec!["classic", "shortlived"], ..Ca::new() };
    let mut wanted = wanted(&[]);
    wanted.names = vec![Identifier::Ip("127.0.0.1".parse().unwrap())];
    wanted.profile = Some("classic".to_owned());
    let course = run(&mut ca, &mut account(), wanted);
    assert_eq!(format!("{:?}", course.prepared), "[TlsAlpn(1.0.0.127.in-addr.arpa)]");
    let identifiers = json!([{ "type": "ip", "value": "127.0.0.1" }]);
    let payload = json!({ "identifiers": identifiers, "profile": "shortlived" });
    assert_eq!(*ca.last("/order"), payload);
    course.issued();
}

#[test]
fn a_profile_that_the_ca_does_not_have_is_left_out_with_a_warning() {
    let mut ca = Ca { profiles: vec!["classic", "tlsserver"], ..Ca::new() };
    let with = |profile: &str| {
        let mut wanted = wanted(&["a.example"]);
        wanted.profile = Some(profile.to_owned());
        wanted
    };
    run(&mut ca, &mut account(), with("tlsserver")).issued();
    assert_eq!(ca.last("/order")["profile"], "tlsserver");
    let course = run(&mut ca, &mut account(), with("long\u{1b}"));
    assert!(ca.last("/order").get("profile").is_none());
    let warning = "the CA does not offer the profile long\\u{1b}, so its default is \
                   ordered; it offers: classic, tlsserver";
    assert_eq!(course.warnings, [warning]);
    course.issued();
}

#[test]
fn a_renewal_says_what_it_replaces_if_the_ca_wants_to_know() {
    let renewal = || {
        let mut wanted = wanted(&["a.example"]);
        wanted.replaces = Some("aki.serial".to_owned());
        wanted
    };
    let mut ca = Ca { has_renewal_info: true, ..Ca::new() };
    run(&mut ca, &mut account(), renewal()).issued();
    assert_eq!(ca.last("/order")["replaces"], "aki.serial");

    let refusals = [(409, "alreadyReplaced"), (403, "unauthorized"), (404, "malformed")];
    for (status, kind) in refusals {
        ca.forced.push(("/order", problem(status, kind, "not by this order")));
        run(&mut ca, &mut account(), renewal()).issued();
        assert!(ca.last("/order").get("replaces").is_none(), "ordered again without: {kind}");
    }

    ca.has_renewal_info = false;
    run(&mut ca, &mut account(), renewal()).issued();
    assert!(ca.last("/order").get("replaces").is_none());
}

#[test]
fn polls_wait_as_long_as_the_ca_says_within_reason() {
    let mut ca = Ca { polls: 3, ..Ca::new() };
    let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
    assert_eq!(course.seconds, (1 + 1 + 2 + 3) + (4 + 5 + 6 + 7), "its own pauses");
    course.issued();

    let order = |retry_after: &str| {
        let body = json!({ "status": "processing", "finalize": "https://ca.example/finalize" });
        let retry_after = Some(retry_after.to_owned());
        Response { retry_after, ..super::super::testing::ok(&body) }
    };
    for (retry_after, seconds) in [("7", 7), ("0", 1), ("86400", 60)] {
        let mut ca = Ca { polls: 0, ..Ca::new() };
        ca.forced.push(("/order/1", order(retry_after)));
        let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
        assert_eq!(course.seconds, 1 + seconds + 2, "{retry_after}");
        course.issued();
    }
}

#[test]
fn a_clock_that_is_off_is_reported_once() {
    let date = |at: &str| Some(at.to_owned());
    let mut ca = Ca::new();
    for path in ["/directory", "/nonce"] {
        let response = Ca::new().own_answer(path, &json!(null));
        // NOW is 22:13:20.
        ca.forced
            .push((path, Response { date: date("Tue, 14 Nov 2023 23:13:20 GMT"), ..response }));
    }
    let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
    let warning = "the clock of this machine is 3600 s behind the CA's: correct it";
    assert_eq!(course.warnings, [warning]);
    course.issued();
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_used_with_a_warning() {
    let mut ca = Ca { not_before: NOW + 3600, ..Ca::new() };
    let course = run(&mut ca, &mut account(), wanted(&["a.example"]));
    assert_eq!(course.warnings.len(), 1);
    assert!(course.warnings[0].starts_with("the new certificate is valid only in 35"));
    course.issued();
}

#[test]
fn a_certificate_has_a_new_key_each_time() {
    let (mut ca, mut account) = (Ca::new(), account());
    let keys: Vec<_> = (0..2)
        .map(|_| run(&mut ca, &mut account, wanted(&["a.example"])).issued().key_pem)
        .collect();
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_request_that_is_sent_again_after_a_lost_answer_does_no_harm() {
    let paths = ["/account", "/order", "/authz/0", "/challenge/0", "/finalize", "/certificate"];
    for path in paths.into_iter().chain(["/nonce", "/directory", "/order/1"]) {
        let mut ca = Ca { repeated: Some(path), ..Ca::new() };
        run(&mut ca, &mut account(), wanted(&["a.example"])).issued();
        assert_eq!(ca.repeated, None, "{path}");
    }
}
