//! Orders, authorizations, challenges and certificates (RFC 8555, sections 7.4 and 7.5).

use super::Ca;
use super::answer::Answer;
use super::api::Signed;
use super::der::{CertificateRequest, certificate_request};
use super::identifier::Identifier;
use super::jws::{decoded, encoded};
use super::problem::Problem;
use super::rules::Profile;
use super::serve::now;
use super::state::{Authorization, Challenge, Event, Order, Stage, State, Status};
use super::validation::Task;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Without profiles.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

pub(super) fn create(ca: &Ca, signed: &Signed) -> Result<Answer, Problem> {
    let wanted = signed.jws.object()?;
    if !wanted["notBefore"].is_null() || !wanted["notAfter"].is_null() {
        return Err(Problem::malformed("the dates are ours to choose"));
    }
    let listed = wanted["identifiers"].as_array().filter(|it| !it.is_empty());
    let listed = listed.ok_or_else(|| Problem::malformed("no identifiers"))?;
    let identifiers = listed
        .iter()
        .map(|it| {
            Identifier::from_json(it).map_err(|why| Problem::new(400, "rejectedIdentifier", why))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let profile = profile(ca, &wanted["profile"], &identifiers)?;
    let mut state = ca.state();
    let replaces = replaced(&state, signed.account, &wanted["replaces"], &identifiers)?;
    let authorizations =
        identifiers.iter().map(|it| authorize(ca, &mut state, signed.account, it)).collect();
    state.orders.push(Order {
        account: signed.account,
        identifiers,
        authorizations,
        profile: profile.map(|it| it.name),
        replaces,
        stage: Stage::Open,
    });
    let number = state.orders.len() - 1;
    let url = ca.url(&format!("order/{number}"));
    Ok(Answer::json(201, &order_json(ca, &state, number)).with("Location", url))
}

fn profile(
    ca: &Ca,
    wanted: &Value,
    identifiers: &[Identifier],
) -> Result<Option<Profile>, Problem> {
    let profiles = ca.rules.borrow().profiles.clone();
    let chosen = match wanted.as_str() {
        None => profiles.into_iter().next(),
        Some(name) => {
            let known = profiles.into_iter().find(|it| it.name == name);
            let unknown = || Problem::new(400, "invalidProfile", "there is no such profile");
            Some(known.ok_or_else(unknown)?)
        }
    };
    let has_address = identifiers.iter().any(|it| matches!(it, Identifier::Ip(_)));
    if has_address && chosen.as_ref().is_some_and(|it| !it.for_addresses) {
        let detail = "this profile does not permit addresses";
        return Err(Problem::new(400, "rejectedIdentifier", detail));
    }
    Ok(chosen)
}

/// The certificate that an order replaces (RFC 9773, section 5).
fn replaced(
    state: &State,
    account: usize,
    id: &Value,
    identifiers: &[Identifier],
) -> Result<Option<String>, Problem> {
    let Some(id) = id.as_str() else { return Ok(None) };
    let known = state.certificates.iter().find(|it| it.id == id && it.account == account);
    let known = known.ok_or_else(|| Problem::malformed("replaces no certificate of yours"))?;
    if known.is_replaced {
        return Err(Problem::new(409, "alreadyReplaced", "this certificate is replaced"));
    }
    if !known.names.iter().any(|it| identifiers.contains(it)) {
        return Err(Problem::malformed("replaces a certificate for other names"));
    }
    Ok(Some(id.to_owned()))
}

fn authorize(ca: &Ca, state: &mut State, account: usize, identifier: &Identifier) -> usize {
    let number = state.authorizations.len();
    let offered = ca.rules.borrow().challenges.clone();
    // An address has no DNS record to put a challenge into (RFC 8738, section 7).
    let offered = offered
        .into_iter()
        .filter(|it| matches!(identifier, Identifier::Dns(_)) || *it != "dns-01");
    state.authorizations.push(Authorization {
        account,
        identifier: identifier.clone(),
        token: encoded(digest(&SHA256, &number.to_be_bytes()).as_ref()),
        challenges: offered.map(|kind| Challenge { kind, status: Status::Pending }).collect(),
    });
    number
}

pub(super) fn show(ca: &Ca, signed: &Signed, path: &[&str]) -> Result<Answer, Problem> {
    as_get(signed)?;
    let mut state = ca.state();
    let number = own(path, signed, &state.orders, |it| it.account)?;
    let event = state.issue(number);
    let body = order_json(ca, &state, number);
    drop(state);
    event.into_iter().for_each(|it| ca.happened(it));
    Ok(Answer::json(200, &body))
}

/// RFC 8555, section 7.4: the certificate request. The certificate is there the next time.
pub(super) fn finalize(ca: &Ca, signed: &Signed, path: &[&str]) -> Result<Answer, Problem> {
    let wanted = signed.jws.object()?;
    let mut state = ca.state();
    let number = own(path, signed, &state.orders, |it| it.account)?;
    let order = &state.orders[number];
    let status = state.order_status(order);
    if status != "ready" {
        return Err(Problem::new(403, "orderNotReady", format!("the order is {status}")));
    }
    let request = decoded(wanted["csr"].as_str().unwrap_or_default())?;
    let request = checked(&request, order, &state)?;
    let rules = ca.rules.borrow().clone();
    let profile = rules.profiles.iter().find(|it| Some(it.name) == order.profile);
    let lifetime = profile.map_or(LIFETIME, |it| it.lifetime);
    let begin = now(ca) - rules.age;
    let leaf = ca.authority.issue(&order.identifiers, &request.key, begin, lifetime, number);
    state.orders[number].stage = Stage::Processing(leaf.chain, leaf.id);
    let url = ca.url(&format!("order/{number}"));
    let body = order_json(ca, &state, number);
    Ok(Answer::json(200, &body).with("Location", url).retry_after(rules.retry_after))
}

fn checked(der: &[u8], order: &Order, state: &State) -> Result<CertificateRequest, Problem> {
    let bad = |detail: &str| Problem::new(400, "badCSR", detail);
    let request = certificate_request(der).map_err(|_| bad("it cannot be read"))?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &request.key.0);
    let verified = key.verify(&request.signed, &request.signature);
    verified.map_err(|_| bad("its signature is wrong"))?;
    if request.key.0 == state.accounts[order.account].key.point() {
        return Err(bad("its key is the account's"));
    }
    let (mut asked, mut ordered) = (request.names.clone(), order.identifiers.clone());
    asked.sort();
    ordered.sort();
    if asked != ordered {
        return Err(bad("its names are not the order's"));
    }
    Ok(request)
}

pub(super) fn authorization(ca: &Ca, signed: &Signed, path: &[&str]) -> Result<Answer, Problem> {
    as_get(signed)?;
    let state = ca.state();
    let number = own(path, signed, &state.authorizations, |it| it.account)?;
    let authorization = &state.authorizations[number];
    let challenges: Vec<_> = authorization
        .challenges
        .iter()
        .map(|it| challenge_json(ca, number, authorization, it))
        .collect();
    let body = json!({
        "identifier": authorization.identifier.to_json(),
        "status": authorization.status(),
        "challenges": challenges,
    });
    let waits = authorization.status() == "pending";
    let retry_after = ca.rules.borrow().retry_after.filter(|_| waits);
    Ok(Answer::json(200, &body).retry_after(retry_after))
}

/// RFC 8555, section 7.5.1: validation begins when the client is ready.
pub(super) fn challenge(ca: &Arc<Ca>, signed: &Signed, path: &[&str]) -> Result<Answer, Problem> {
    let mut state = ca.state();
    let number = own(path, signed, &state.authorizations, |it| it.account)?;
    let key = state.accounts[signed.account].key.clone();
    let authorization = &mut state.authorizations[number];
    let kind = path.get(1).unwrap_or(&"");
    let position = authorization.challenges.iter().position(|it| it.kind == *kind);
    let position = position.ok_or_else(Problem::not_found)?;
    if !signed.jws.payload.is_empty() && signed.jws.payload != b"{}" {
        return Err(Problem::malformed("the answer to a challenge is an empty object"));
    }
    let is_pending = authorization.status() == "pending";
    let challenge = &mut authorization.challenges[position];
    if is_pending && challenge.status == Status::Pending && !signed.jws.payload.is_empty() {
        challenge.status = Status::Processing;
        let task = Task {
            identifier: authorization.identifier.clone(),
            kind: challenge.kind,
            token: authorization.token.clone(),
            expected: key.authorization(&authorization.token),
        };
        tokio::spawn(validate(Arc::clone(ca), number, position, task));
    }
    let authorization = &state.authorizations[number];
    let body = challenge_json(ca, number, authorization, &authorization.challenges[position]);
    let up = format!("<{}>;rel=\"up\"", ca.url(&format!("authorization/{number}")));
    Ok(Answer::json(200, &body).with("Link", up))
}

async fn validate(ca: Arc<Ca>, number: usize, position: usize, task: Task) {
    let result = task.run(&ca).await;
    let event = Event::Validated {
        identifier: task.identifier.to_string(),
        challenge: task.kind,
        is_valid: result.is_ok(),
    };
    let status = result.map_or_else(Status::Invalid, |()| Status::Valid);
    ca.state().authorizations[number].challenges[position].status = status;
    ca.happened(event);
}

pub(super) fn certificate(ca: &Ca, signed: &Signed, path: &[&str]) -> Result<Answer, Problem> {
    as_get(signed)?;
    let state = ca.state();
    let number = own(path, signed, &state.certificates, |it| it.account)?;
    let chain = state.certificates[number].chain.clone();
    Ok(Answer::of(200, "application/pem-certificate-chain", chain))
}

fn order_json(ca: &Ca, state: &State, number: usize) -> Value {
    let order = &state.orders[number];
    let authorizations = order.authorizations.iter();
    let mut body = json!({
        "status": state.order_status(order),
        "expires": humantime::format_rfc3339_seconds(now(ca) + LIFETIME).to_string(),
        "identifiers": order.identifiers.iter().map(Identifier::to_json).collect::<Vec<_>>(),
        "authorizations":
            authorizations.map(|it| ca.url(&format!("authorization/{it}"))).collect::<Vec<_>>(),
        "finalize": ca.url(&format!("order/{number}/finalize")),
    });
    if let Some(profile) = order.profile {
        body["profile"] = profile.into();
    }
    if let Some(replaces) = &order.replaces {
        body["replaces"] = replaces.as_str().into();
    }
    if let Stage::Issued(certificate) = order.stage {
        body["certificate"] = ca.url(&format!("certificate/{certificate}")).into();
    }
    body
}

fn challenge_json(
    ca: &Ca,
    number: usize,
    authorization: &Authorization,
    challenge: &Challenge,
) -> Value {
    let kind = challenge.kind;
    let mut body = json!({
        "type": kind,
        "url": ca.url(&format!("challenge/{number}/{kind}")),
        "status": challenge.status.word(),
        "token": authorization.token,
    });
    if let Status::Invalid(problem) = &challenge.status {
        body["error"] = problem.to_json();
    }
    body
}

/// POST-as-GET (RFC 8555, section 6.3).
fn as_get(signed: &Signed) -> Result<(), Problem> {
    let is_empty = signed.jws.payload.is_empty();
    is_empty.then_some(()).ok_or_else(|| Problem::malformed("POST-as-GET has an empty payload"))
}

/// The number in a path, of something that belongs to the account.
fn own<T>(
    path: &[&str],
    signed: &Signed,
    all: &[T],
    owner: impl Fn(&T) -> usize,
) -> Result<usize, Problem> {
    let number = path.first().and_then(|it| it.parse::<usize>().ok());
    let number = number.filter(|it| *it < all.len()).ok_or_else(Problem::not_found)?;
    let is_own = owner(&all[number]) == signed.account;
    is_own.then_some(number).ok_or_else(|| Problem::unauthorized("it is another account's"))
}
