//! Why an attempt at a certificate failed: [`Failure`], in words for an operator, with what usually
//! helps.

use super::challenge::ChallengeKind;
use super::identifier::Identifier;
use super::message::Response;
use super::problem::Problem;

/// Longest text of a failure: a line of the log has room for it beside everything else.
const TEXT_BYTES_MAX: usize = 1000;

/// What kind of failure it is, which decides when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No answer: the CA or the network is down.
    Unreachable,
    /// An error of the CA, or an answer that cannot be used.
    Server,
    /// A rate limit of the CA.
    RateLimited,
    /// The CA could not validate a name. CAs limit how often that may happen.
    Validation,
    /// The CA will not do it, and a repetition does not change that.
    Refused,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub cause: Cause,
    /// What happened, in a sentence without a full stop. Of bounded length, and printable ASCII
    /// but for what the caller of [`Failure::unreachable`] says.
    pub text: String,
    /// What usually helps.
    pub advice: Option<String>,
    /// The names that the CA could not validate, or perhaps could not.
    pub names: Vec<Identifier>,
    /// The CA does not want to be asked before this time, in seconds since 1970.
    pub retry_at: Option<i64>,
    /// The type of the CA's problem document, such as `rateLimited`, or empty.
    pub kind: String,
}

impl Failure {
    /// No answer came.
    pub fn unreachable(text: impl Into<String>) -> Self {
        Self::new(Cause::Unreachable, text)
    }

    pub(super) fn new(cause: Cause, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - 3));
            text.push_str("...");
        }
        Self { cause, text, advice: None, names: Vec::new(), retry_at: None, kind: String::new() }
    }

    /// An answer that cannot be used.
    pub(super) fn unusable(what: &str) -> Self {
        Self::new(Cause::Server, format!("the CA's answer cannot be used: {what}"))
    }

    /// This machine cannot do what it needs to.
    pub(super) fn of_machine(what: &str) -> Self {
        Self::new(Cause::Server, format!("this machine cannot {what}"))
    }

    /// An answer that is an error. The CA was asked `what`, such as "to make an account".
    pub(super) fn of_response(what: &str, response: &Response, now: i64) -> Self {
        let retry_at = response.retry_at(now);
        let status = response.status;
        let Some(problem) = Problem::parse(&response.body) else {
            let cause = cause("", status);
            let text = format!("asked {what}, the CA answered with status {status}");
            return Self { retry_at, ..Self::new(cause, text) };
        };
        let cause = cause(problem.kind(), status);
        let advice = advice(problem.kind()).map(str::to_owned);
        let text = format!("the CA refused {what}: {problem}");
        let kind = problem.kind().to_owned();
        Self { advice, retry_at, kind, ..Self::new(cause, text) }
    }

    /// The CA has given up an order.
    pub(super) fn of_order(problem: &Problem) -> Self {
        let kind = problem.kind().to_owned();
        let advice = advice(&kind).map(str::to_owned);
        let cause = cause(&kind, 0);
        let text = format!("the CA gave up the order: {problem}");
        Self { advice, kind, ..Self::new(cause, text) }
    }

    /// A new account was refused, because of its external account.
    pub(super) fn with_external_account(self) -> Self {
        let advice = "check the key identifier and the key of external_account in [acme]";
        Self { advice: Some(advice.to_owned()), ..self }
    }

    /// The URL of the directory leads to something else.
    pub(super) fn with_directory(self) -> Self {
        let advice = "check the whole URL of the CA's directory: --acme-directory, or directory in \
                      [acme]";
        Self { advice: Some(advice.to_owned()), ..self }
    }

    /// The operator has to get an account by other means first.
    pub(super) fn lacks_external_account() -> Self {
        let text = "the CA requires an external account";
        let advice = advice("externalAccountRequired").map(str::to_owned);
        Self { advice, ..Self::new(Cause::Refused, text) }
    }

    /// Names that could not be validated, each with the reason and the kind of challenge.
    pub(super) fn of_validation(invalid: Vec<(Identifier, ChallengeKind, Problem)>) -> Self {
        /// Most names with their own reason.
        const SHOWN_MAX: usize = 3;
        let reasons: Vec<String> = invalid
            .iter()
            .take(SHOWN_MAX)
            .map(|(name, challenge, problem)| format!("{name} by {challenge}: {problem}"))
            .collect();
        let mut text = format!("the CA could not validate {}", reasons.join("; "));
        if invalid.len() > SHOWN_MAX {
            text.push_str(&format!("; and {} more names", invalid.len() - SHOWN_MAX));
        }
        let first = invalid.first();
        let kind = first.map(|it| it.2.kind().to_owned()).unwrap_or_default();
        let advice = first.map(|(name, challenge, _)| usual_causes(&kind, name, *challenge));
        let names = invalid.into_iter().map(|(name, ..)| name).collect();
        Self { advice, names, kind, ..Self::new(Cause::Validation, text) }
    }
}

/// What kind of failure a problem of this type is.
fn cause(kind: &str, status: u16) -> Cause {
    match kind {
        "rateLimited" => Cause::RateLimited,
        "serverInternal" | "badNonce" => Cause::Server,
        "caa" | "connection" | "dns" | "tls" | "incorrectResponse" => Cause::Validation,
        _ => match status {
            429 => Cause::RateLimited,
            500.. => Cause::Server,
            _ => Cause::Refused,
        },
    }
}

/// The three usual causes of a failed validation, the one that the problem points at first.
fn usual_causes(kind: &str, name: &Identifier, challenge: ChallengeKind) -> String {
    let port = challenge.port();
    let closed = format!("port {port} is closed to the internet");
    if matches!(name, Identifier::Ip(_)) {
        return format!("usual causes: {closed}; the address belongs to another machine");
    }
    let elsewhere = "the DNS records (A, AAAA) of the name point elsewhere";
    let caa = "a CAA record forbids this CA";
    let order = match kind {
        "connection" => [&closed, elsewhere, caa],
        "caa" => [caa, elsewhere, &closed],
        _ => [elsewhere, &closed, caa],
    };
    format!("usual causes: {}", order.join("; "))
}

/// What helps against a refusal, by its type.
fn advice(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "externalAccountRequired" => {
            "get a key identifier and a key from the CA, and set external_account in [acme]"
        }
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            "the CA issues for public names and addresses only, and not for all of them"
        }
        "invalidContact" | "unsupportedContact" => "correct contact, or leave it out",
        "caa" => "a CAA record of the domain forbids this CA",
        "rateLimited" => "it is tried again when the CA allows it; a restart does not help",
        "unauthorized" => {
            "if the CA has closed the account, move its key out of the state directory, and a new \
             account is made"
        }
        "userActionRequired" => "the CA's terms have changed: visit its web page",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, kind: &str) -> Response {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        let body = serde_json::json!({ "type": kind, "detail": "words" }).to_string().into();
        Response { status, body, retry_after: Some("60".to_owned()), ..Response::default() }
    }

    #[test]
    fn an_error_says_what_was_asked_and_why_it_was_refused() {
        let failure =
            Failure::of_response("to make the order", &response(429, "rateLimited"), 1000);
        assert_eq!(failure.cause, Cause::RateLimited);
        assert_eq!(failure.text, "the CA refused to make the order: rateLimited: words");
        assert_eq!(failure.retry_at, Some(1060));
        assert_eq!(failure.kind, "rateLimited");

        let html = Response { status: 502, body: b"<html>".to_vec(), ..Response::default() };
        let failure = Failure::of_response("to make the order", &html, 0);
        assert_eq!(failure.cause, Cause::Server);
        assert_eq!(failure.text, "asked to make the order, the CA answered with status 502");
    }

    #[test]
    fn the_type_of_a_problem_decides_what_kind_of_failure_it_is() {
        let cause = |status, kind| Failure::of_response("it", &response(status, kind), 0).cause;
        assert_eq!(cause(403, "rateLimited"), Cause::RateLimited);
        assert_eq!(cause(429, "somethingNew"), Cause::RateLimited);
        assert_eq!(cause(500, "serverInternal"), Cause::Server);
        assert_eq!(cause(503, "somethingNew"), Cause::Server);
        assert_eq!(cause(403, "caa"), Cause::Validation);
        assert_eq!(cause(400, "rejectedIdentifier"), Cause::Refused);
    }

    #[test]
    fn a_failed_validation_names_the_three_usual_causes_the_likely_one_first() {
        let name = Identifier::Dns("a.example".into());
        let of = |kind: &str| {
            let problem = Problem::parse(&response(400, kind).body).unwrap();
            Failure::of_validation(vec![(name.clone(), ChallengeKind::TlsAlpn01, problem)])
        };
        let failure = of("connection");
        assert_eq!(
            failure.text,
            "the CA could not validate a.example by TLS-ALPN-01: connection: words"
        );
        assert_eq!(
            failure.advice.as_deref(),
            Some(
                "usual causes: port 443 is closed to the internet; the DNS records (A, AAAA) of \
                 the name point elsewhere; a CAA record forbids this CA"
            )
        );
        assert_eq!(failure.names.first(), Some(&name));
        assert!(of("dns").advice.unwrap().starts_with("usual causes: the DNS records"));
        assert!(of("unauthorized").advice.unwrap().starts_with("usual causes: the DNS records"));
        assert!(of("caa").advice.unwrap().starts_with("usual causes: a CAA record"));
    }

    #[test]
    fn of_many_failed_names_some_are_shown_and_all_are_listed() {
        let invalid = (0..100).map(|it| {
            let name = Identifier::Dns(format!("{it}.example").into());
            (name, ChallengeKind::Http01, Problem::default())
        });
        let failure = Failure::of_validation(invalid.collect());
        assert!(failure.text.ends_with("; and 97 more names"), "{}", failure.text);
        assert_eq!(failure.names.len(), 100);
    }
}
