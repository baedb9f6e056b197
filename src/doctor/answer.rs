//! What an upstream's response to a request without a key means: [`verdict`].

use super::finding::{Finding, shown};
use super::http::{Response, Unanswered};

const STEP: &str = "http";

/// What bodies say to clients from countries that an API does not serve.
const NOT_HERE: &[&str] = &[
    // OpenAI, 403: the `code`.
    "unsupported_country_region_territory",
    // Anthropic, 403: the `message` of an error of the type `forbidden`.
    "Request not allowed",
    // Gemini, 400 with the status FAILED_PRECONDITION, to requests with a key.
    "User location is not supported",
];

/// What Gemini says to requests without a key (403), whatever the country.
const WANTS_KEY: &[&str] = &["Method doesn't allow unregistered callers"];

/// What Cloudflare's pages say to those whom its firewall turns away.
const TURNED_AWAY: &[&str] =
    &["Just a moment", "you have been blocked", "error code: 10", "Attention Required"];

/// What a server says that wants TLS.
const WANTS_TLS: &[&str] = &["sent to HTTPS port", "HTTP request to an HTTPS server"];

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// None came in time.
    Late,
    Unanswered(Unanswered),
}

/// Judges that there is none.
pub(super) fn missing(about: &str, trouble: Trouble) -> Finding {
    match trouble {
        Trouble::Late => Finding::failure(
            STEP,
            about,
            "connected, and no whole response came within 10 s",
            "look at the server (its log, its load): it accepts connections and does not serve \
             them, or it waits for a server of its own that does not answer",
        ),
        Trouble::Unanswered(Unanswered::Ended) => Finding::failure(
            STEP,
            about,
            "the connection was closed without a response",
            "check that the URL says http:// or https:// as the port wants it; a server that wants \
             a client's certificate, or a firewall, does this, too",
        ),
        Trouble::Unanswered(Unanswered::NotHttp) => Finding::failure(
            STEP,
            about,
            "what answers does not speak HTTP/1",
            "check the port in the URL: another service has it",
        ),
    }
}

/// Judges the response of `about`, which is reached by TLS or not.
pub(super) fn verdict(about: &str, response: &Response, is_tls: bool) -> Finding {
    let head = &response.head;
    let says = |phrases: &[&str]| phrases.iter().any(|it| contains(&response.body, it));
    let status = head.status;
    let is_page = head.content_type.as_ref().is_some_and(|it| it.starts_with("text/html"));
    if let Some(finding) = turned_away(about, response) {
        return finding;
    }
    match status {
        401 => Finding::ok(STEP, about, "401: it asks for a key, as it should without one"),
        403 if says(WANTS_KEY) => Finding::ok(
            STEP,
            about,
            "403: it asks for a key; whether it serves this country shows only with one",
        ),
        400 if !is_tls && says(WANTS_TLS) => Finding::failure(
            STEP,
            about,
            "400: this port wants TLS",
            "write https:// in the upstream's URL",
        ),
        421 => Finding::failure(
            STEP,
            about,
            "421: this server is not responsible for the host",
            "check `connect`, `tls_name` and `host` of the route against the upstream's URL",
        ),
        300..=399 => redirected(about, head.location.as_deref(), status, is_tls),
        200..=299 if is_page => Finding::warning(
            STEP,
            about,
            format!("{status} with a web page, where an API answers in JSON"),
            "check the upstream's URL: it may be that of a website, not of its API",
        ),
        500..=599 => Finding::warning(
            STEP,
            about,
            format!("{status}: it can be reached, and fails itself{}", by(head.server.as_deref())),
            "look at the status page of the API, or at the log of the server behind this address",
        ),
        _ => Finding::ok(STEP, about, format!("{status}: it answers")),
    }
}

/// Those who refuse this machine, or its network, whatever it asks for.
fn turned_away(about: &str, response: &Response) -> Option<Finding> {
    let says = |phrases: &[&str]| phrases.iter().any(|it| contains(&response.body, it));
    let status = response.head.status;
    Some(match status {
        400 | 403 | 451 if says(NOT_HERE) => Finding::failure(
            STEP,
            about,
            format!(
                "{status}: the API does not serve the country of this machine's public address"
            ),
            "run narrows on a machine in a country that the API serves: this is about the address \
             that the API sees, not about narrows",
        ),
        403 | 503 if says(TURNED_AWAY) => Finding::failure(
            STEP,
            about,
            format!(
                "{status}: a firewall in front of the API refuses this machine's public address"
            ),
            "use another public address: those of some hosting providers have a bad name",
        ),
        407 | 511 => Finding::failure(
            STEP,
            about,
            format!("{status}: the network wants a login first"),
            "log in to the network, or ask its administrator to let this machine out",
        ),
        _ => return None,
    })
}

fn redirected(about: &str, location: Option<&str>, status: u16, is_tls: bool) -> Finding {
    let host = location.and_then(|it| it.split_once("://")).map(|(_, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        // Without what may be a password.
        let authority = &rest[..end];
        shown(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
    });
    let Some(host) = host else {
        return Finding::ok(STEP, about, format!("{status}: it answers"));
    };
    let what = format!("{status}: it leads to {host}");
    match is_tls {
        true => Finding::warning(
            STEP,
            about,
            what,
            "if clients are not to follow it, write that host in the upstream's URL",
        ),
        false => Finding::warning(
            STEP,
            about,
            what,
            "a login page of the network does this (open http://neverssl.com in a browser), or a \
             server that wants https:// in the upstream's URL",
        ),
    }
}

fn by(server: Option<&str>) -> String {
    server.map(|it| format!(" (Server: {})", shown(it))).unwrap_or_default()
}

fn contains(body: &[u8], phrase: &str) -> bool {
    body.windows(phrase.len()).any(|it| it == phrase.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::http::Head;

    fn of(head: Head, body: &str) -> Finding {
        let response = Response { head, body: body.into(), persists: true };
        verdict("a:443", &response, true)
    }

    fn check(status: u16, body: &str, want: Verdict, part: &str) {
        let finding = of(Head { status, ..Head::default() }, body);
        let text = format!("{} {}", finding.what, finding.remedy.clone().unwrap_or_default());
        assert!(finding.verdict == want && text.contains(part), "{status}: {finding:?}");
    }

    #[test]
    fn a_request_for_a_key_means_that_the_way_is_good() {
        check(401, "", Verdict::Ok, "asks for a key");
        check(403, r#"{"error":"no key"}"#, Verdict::Ok, "answers");
        check(404, "", Verdict::Ok, "answers");
        check(429, "", Verdict::Ok, "answers");
    }

    #[test]
    fn a_country_that_is_not_served_is_told_from_a_missing_key() {
        // As they are quoted in reports of users.
        let openai = r#"{"error":{"code":"unsupported_country_region_territory",
            "message":"Country, region, or territory not supported","param":null,
            "type":"request_forbidden"}}"#;
        check(403, openai, Verdict::Failure, "country");
        let anthropic = r#"{"error":{"type":"forbidden","message":"Request not allowed"}}"#;
        check(403, anthropic, Verdict::Failure, "country");
        let gemini = r#"{"error":{"code":400,"message":"User location is not supported for the API
            use.","status":"FAILED_PRECONDITION"}}"#;
        check(400, gemini, Verdict::Failure, "country");
        let keyless = r#"{"error":{"code":403,"message":"Method doesn't allow unregistered callers
            (callers without established identity).","status":"PERMISSION_DENIED"}}"#;
        check(403, keyless, Verdict::Ok, "only with one");
        check(403, "<title>Just a moment...</title>", Verdict::Failure, "another public address");
    }

    #[test]
    fn a_response_that_does_not_come_says_what_to_check() {
        let remedy = |trouble| missing("a:80", trouble).remedy.unwrap();
        assert!(remedy(Trouble::Late).contains("does not serve"));
        assert!(remedy(Trouble::Unanswered(Unanswered::Ended)).contains("http:// or https://"));
        assert!(remedy(Trouble::Unanswered(Unanswered::NotHttp)).contains("port"));
        let body = "<center>The plain HTTP request was sent to HTTPS port</center>".into();
        let head = Head { status: 400, ..Head::default() };
        let plain = verdict("a:443", &Response { head, body, persists: false }, false);
        assert!(plain.remedy.unwrap().contains("https://"));
    }

    #[test]
    fn networks_that_want_a_login_are_recognized() {
        check(407, "", Verdict::Failure, "login");
        check(511, "", Verdict::Failure, "login");
        let location = Some("http://u:secret@portal.example/login?token=secret".to_owned());
        let moved = Head { status: 302, location, ..Head::default() };
        let portal = verdict("a:80", &Response { head: moved, ..Response::default() }, false);
        assert_eq!(portal.what, "302: it leads to portal.example");
        assert!(portal.remedy.unwrap().contains("login page"));
    }

    #[test]
    fn servers_that_fail_or_are_others_are_warnings() {
        check(502, "", Verdict::Warning, "fails itself");
        check(421, "", Verdict::Failure, "connect");
        let content_type = Some("text/html; charset=utf-8".to_owned());
        let page = of(Head { status: 200, content_type, ..Head::default() }, "");
        assert!(page.verdict == Verdict::Warning && page.what.contains("web page"));
    }
}
