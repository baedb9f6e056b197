//! The answers of a CA.

use crate::acme::account::{Account, Registration};
use crate::acme::account_key::AccountKey;
use crate::acme::challenge::{Challenge, ChallengeKind};
use crate::acme::failure::Failure;
use crate::acme::identifier::Identifier;
use crate::acme::message::{Request, Response};
use crate::acme::order::{Order, Step};
use crate::acme::renewal;
use crate::acme::schedule::{Lifetime, renew_at, retry_at};
use crate::acme::wanted::Wanted;
use std::cell::RefCell;

const NOW: i64 = 1_700_000_000;
/// More than an order can take: polls for a quarter of an hour, each with its rejected nonces.
const STEPS_MAX: usize = 30_000;

thread_local! {
    /// Making a key takes longer than most inputs.
    static KEY: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Whatever a CA answers, an order ends: without a panic, after a bounded number of steps and
/// within its time. Until then it sends only sound requests to `https`, waits forwards and not for
/// long, and serves only tokens that fit into a path. What it tells the operator is one line of
/// printable ASCII. The next attempt lies in the future, and within a month.
///
/// The input is answers, written as in HTTP, with a line `%` between them. After the last one the
/// first follows.
pub fn acme(data: &[u8]) {
    let answers: Vec<Response> = data.split(|it| *it == b'%').take(64).map(answer).collect();
    let mut account = account();
    let failure = run(&mut account, &answers);
    if let Some(failure) = failure {
        let next = retry_at(&failure, &[NOW], None, true, NOW, u32::MAX);
        assert!((NOW..NOW + 31 * 86_400).contains(&next), "{next}");
    }
    for answer in &answers {
        let Ok(info) = renewal::read(answer, NOW) else { continue };
        assert!((NOW + 60..=NOW + 86_400).contains(&info.check_at));
        let lifetime = Lifetime { not_before: NOW, not_after: NOW + 90 * 86_400 };
        assert!(renew_at(lifetime, b"", Some(info.window)) <= NOW + 81 * 86_400);
    }
}

/// Runs an order to its end. Why it failed, if it did.
fn run(account: &mut Account, answers: &[Response]) -> Option<Failure> {
    let names = vec![Identifier::Dns("a.example".into()), Identifier::Ip([192, 0, 2, 1].into())];
    let wanted = Wanted {
        names,
        profile: Some("tlsserver".to_owned()),
        replaces: Some("aki.serial".to_owned()),
        challenges: vec![ChallengeKind::TlsAlpn01, ChallengeKind::Http01],
    };
    let mut answers = answers.iter().cycle();
    let mut now = NOW;
    let mut order = Order::new(wanted, now);
    for _ in 0..STEPS_MAX {
        match order.next(account, now) {
            Step::Request(request) => {
                check_request(&request);
                order.answer(account, answers.next().expect("at least one"), now);
            }
            Step::Prepare(challenge) => check_challenge(&challenge),
            Step::Validation(names) => assert!(names.len() <= 2, "{names:?}"),
            Step::Validated => {}
            Step::Warn(text) => check_text(&text),
            Step::Wait(until) => {
                assert!((now + 1..=now + 60).contains(&until), "{until}");
                now = until;
            }
            Step::Done(_) => return None,
            Step::Failed(failure) => {
                assert!(now <= NOW + 15 * 60, "it takes too long");
                check_text(&failure.text);
                failure.advice.iter().for_each(|it| check_text(it));
                return Some(failure);
            }
        }
    }
    panic!("it does not end");
}

fn check_request(request: &Request) {
    assert!(request.url.starts_with("https://") && request.url.len() <= 4096);
    assert!(request.url.bytes().all(|it| it.is_ascii_graphic()));
    if !request.body.is_empty() {
        let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
        assert!(body["protected"].is_string() && body["signature"].is_string());
    }
}

fn check_challenge(challenge: &Challenge) {
    match challenge {
        Challenge::Http { token, key_authorization } => {
            assert!(token.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)));
            assert!(key_authorization.starts_with(token) && token.len() <= 256);
        }
        Challenge::TlsAlpn { name, .. } => {
            assert!(["a.example", "1.2.0.192.in-addr.arpa"].contains(&&**name), "{name}");
        }
    }
}

fn check_text(text: &str) {
    assert!(text.bytes().all(|it| (b' '..=b'~').contains(&it)), "{text:?}");
    assert!((1..6000).contains(&text.len()), "{text}");
}

/// An answer as it is written in the input: status, fields, an empty line, content.
fn answer(text: &[u8]) -> Response {
    let text = text.trim_ascii_start();
    let end = text.windows(2).position(|it| it == b"\n\n").unwrap_or(text.len());
    let (head, body) = text.split_at(end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|it| it.trim().parse().ok()).unwrap_or(200);
    let mut response = Response { status, body: body.trim_ascii().to_vec(), ..Response::default() };
    for (name, value) in lines.filter_map(|it| it.split_once(": ")) {
        let field = match name {
            "Replay-Nonce" => &mut response.nonce,
            "Location" => &mut response.location,
            "Retry-After" => &mut response.retry_after,
            "Date" => &mut response.date,
            _ => continue,
        };
        *field = Some(value.to_owned());
    }
    response
}

fn account() -> Account {
    let key = KEY.with_borrow_mut(|pkcs8| {
        let generate = || AccountKey::generate().expect("a key").pkcs8().to_vec();
        AccountKey::from_pkcs8(pkcs8.get_or_insert_with(generate)).expect("a key")
    });
    Account::new("https://ca.example/directory", key, Registration::default())
}
