//! What each request is answered (RFC 8555, section 7).

use super::Ca;
use super::answer::Answer;
use super::jws::{Jwk, Jws};
use super::orders;
use super::problem::Problem;
use super::rules::Endpoint;
use super::serve::{Request, now};
use super::state::{Account, Event};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A verified request.
pub(super) struct Signed {
    pub(super) account: usize,
    pub(super) jws: Jws,
}

/// What a path is for.
pub(super) fn endpoint(path: &str) -> Option<Endpoint> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    Some(match first {
        "directory" => Endpoint::Directory,
        "nonce" => Endpoint::NewNonce,
        "account" => Endpoint::NewAccount,
        "new-order" => Endpoint::NewOrder,
        "order" if rest.ends_with("/finalize") => Endpoint::Finalize,
        "order" => Endpoint::Order,
        "authorization" => Endpoint::Authorization,
        "challenge" => Endpoint::Challenge,
        "certificate" => Endpoint::Certificate,
        "renewal" => Endpoint::RenewalInformation,
        _ => return None,
    })
}

pub(super) fn answer(ca: &Arc<Ca>, request: &Request) -> Answer {
    answered(ca, request).unwrap_or_else(Answer::from)
}

fn answered(ca: &Arc<Ca>, request: &Request) -> Result<Answer, Problem> {
    // RFC 8555, section 6.1.
    if request.field("user-agent").is_none_or(str::is_empty) {
        return Err(Problem::malformed("no User-Agent"));
    }
    let endpoint = endpoint(&request.path).ok_or_else(Problem::not_found)?;
    let rest: Vec<&str> = request.path.split('/').skip(1).collect();
    match (request.method.as_str(), endpoint) {
        ("GET", Endpoint::Directory) => Ok(directory(ca)),
        ("HEAD", Endpoint::NewNonce) => Ok(Answer::empty(200)),
        ("GET", Endpoint::NewNonce) => Ok(Answer::empty(204)),
        ("GET", Endpoint::RenewalInformation) => renewal(ca, rest.first().unwrap_or(&"")),
        ("POST", Endpoint::NewAccount) if rest.is_empty() => new_account(ca, request),
        ("POST", Endpoint::Directory | Endpoint::NewNonce | Endpoint::RenewalInformation)
        | ("GET" | "HEAD", _) => Err(Problem::new(405, "malformed", "not by this method")),
        ("POST", _) => {
            let signed = by_account(ca, request)?;
            match endpoint {
                Endpoint::NewOrder => orders::create(ca, &signed),
                Endpoint::Order => orders::show(ca, &signed, &rest),
                Endpoint::Finalize => orders::finalize(ca, &signed, &rest),
                Endpoint::Authorization => orders::authorization(ca, &signed, &rest),
                Endpoint::Challenge => orders::challenge(ca, &signed, &rest),
                Endpoint::Certificate => orders::certificate(ca, &signed, &rest),
                Endpoint::NewAccount
                | Endpoint::Directory
                | Endpoint::NewNonce
                | Endpoint::RenewalInformation => Err(Problem::not_found()),
            }
        }
        _ => Err(Problem::new(405, "malformed", "not by this method")),
    }
}

fn directory(ca: &Ca) -> Answer {
    let rules = ca.rules.borrow();
    let mut meta = json!({ "termsOfService": ca.url("terms"), "website": ca.url("") });
    meta["externalAccountRequired"] = rules.external_account.is_some().into();
    if !rules.profiles.is_empty() {
        let described = rules.profiles.iter().map(|it| (it.name.to_owned(), json!("a profile")));
        meta["profiles"] = Value::Object(described.collect::<Map<_, _>>());
    }
    let mut directory = json!({
        "newNonce": ca.url("nonce"),
        "newAccount": ca.url("account"),
        "newOrder": ca.url("new-order"),
        "revokeCert": ca.url("revoke"),
        "keyChange": ca.url("key-change"),
        "meta": meta,
        // Let's Encrypt adds one at random, so that clients ignore what they do not know.
        "Zk3mVw1xR8s": "https://example.com/",
    });
    if rules.renewal.is_some() {
        directory["renewalInfo"] = ca.url("renewal").into();
    }
    Answer::json(200, &directory)
}

/// RFC 9773, section 4.
fn renewal(ca: &Ca, id: &str) -> Result<Answer, Problem> {
    let information = ca.rules.borrow().renewal.clone().ok_or_else(Problem::not_found)?;
    if !ca.state().certificates.iter().any(|it| it.id == id) {
        return Err(Problem::not_found());
    }
    let time = |seconds: i64| {
        let by = Duration::from_secs(seconds.unsigned_abs());
        let at: SystemTime = if seconds < 0 { now(ca) - by } else { now(ca) + by };
        humantime::format_rfc3339_seconds(at).to_string()
    };
    let (start, end) = information.window;
    let window = json!({ "start": time(start), "end": time(end) });
    let body = json!({ "suggestedWindow": window, "explanationURL": ca.url("why") });
    Ok(Answer::json(200, &body).retry_after(Some(information.retry_after)))
}

/// RFC 8555, section 7.3.
fn new_account(ca: &Ca, request: &Request) -> Result<Answer, Problem> {
    let jws = posted(ca, request)?;
    if !jws.protected["kid"].is_null() {
        return Err(Problem::malformed("a new account is signed with its key, not by its name"));
    }
    let key = Jwk::from_json(&jws.protected["jwk"])?;
    jws.verify(&key)?;
    let wanted = jws.object()?;
    let known = ca.state().account_with(&key);
    if let Some(account) = known {
        return Ok(account_answer(ca, 200, account));
    }
    if wanted["onlyReturnExisting"] == true {
        return Err(Problem::new(400, "accountDoesNotExist", "no account has this key"));
    }
    if wanted["termsOfServiceAgreed"] != true {
        return Err(Problem::new(403, "userActionRequired", "the terms are not agreed to"));
    }
    let contact = wanted["contact"].as_array().cloned().unwrap_or_default();
    if contact.iter().any(|it| !it.as_str().unwrap_or_default().starts_with("mailto:")) {
        return Err(Problem::new(400, "unsupportedContact", "mailto: is what I know"));
    }
    bound(ca, &wanted["externalAccountBinding"], &jws)?;
    let mut state = ca.state();
    state.accounts.push(Account { key, contact: contact.into() });
    let account = state.accounts.len() - 1;
    drop(state);
    Ok(account_answer(ca, 201, account))
}

fn account_answer(ca: &Ca, status: u16, account: usize) -> Answer {
    let contact = ca.state().accounts[account].contact.clone();
    let body = json!({ "status": "valid", "contact": contact, "orders": ca.url("orders") });
    Answer::json(status, &body).with("Location", ca.url(&format!("account/{account}")))
}

/// Whether the owner of the external account wants this key (RFC 8555, section 7.3.4).
fn bound(ca: &Ca, binding: &Value, outer: &Jws) -> Result<(), Problem> {
    let Some(external) = ca.rules.borrow().external_account.clone() else { return Ok(()) };
    if binding.is_null() {
        let detail = "an external account is required";
        return Err(Problem::new(403, "externalAccountRequired", detail));
    }
    let inner = Jws::from_json(binding)?;
    if inner.header("kid")? != external.key_id {
        return Err(Problem::unauthorized("no external account has this key identifier"));
    }
    if inner.header("url")? != outer.header("url")? || !inner.protected["nonce"].is_null() {
        return Err(Problem::malformed("the binding has the same url, and no nonce"));
    }
    if inner.object()? != outer.protected["jwk"] {
        return Err(Problem::malformed("the binding is for another key"));
    }
    inner.verify_mac(&external.key)
}

/// A request that an account signed.
fn by_account(ca: &Ca, request: &Request) -> Result<Signed, Problem> {
    let jws = posted(ca, request)?;
    if !jws.protected["jwk"].is_null() {
        return Err(Problem::malformed("both jwk and kid, or jwk alone"));
    }
    let kid = jws.header("kid")?.to_owned();
    let state = ca.state();
    let mut numbers = 0..state.accounts.len();
    let account = numbers.find(|it| ca.url(&format!("account/{it}")) == kid);
    let unknown = || Problem::new(400, "accountDoesNotExist", "no account has this name");
    let account = account.ok_or_else(unknown)?;
    jws.verify(&state.accounts[account].key)?;
    drop(state);
    Ok(Signed { account, jws })
}

/// A signed request with a good nonce, for the URL that it came to.
fn posted(ca: &Ca, request: &Request) -> Result<Jws, Problem> {
    if request.field("content-type") != Some("application/jose+json") {
        return Err(Problem::new(415, "malformed", "not application/jose+json"));
    }
    let jws = Jws::parse(&request.body)?;
    let nth = ca.rules.borrow().nonce_rejection;
    let used = ca.state().use_nonce(jws.header("nonce")?, nth);
    if let Err(was_good) = used {
        if was_good {
            ca.happened(Event::NonceRefused);
        }
        return Err(Problem::new(400, "badNonce", "this nonce is not good"));
    }
    if jws.header("url")? != ca.url(&request.path) {
        return Err(Problem::unauthorized("signed for another url"));
    }
    Ok(jws)
}
