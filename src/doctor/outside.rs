//! The way from outside: to the URL that clients use, and through whatever is in front of narrows.
//!
//! If narrows does not run, doctor takes its place for a moment ([`Endpoint`]): it then knows what
//! was sent and what came. If narrows runs, only the way to it is tried, because a test stream
//! through it would need an upstream that streams.

use super::answer;
use super::endpoint::{Endpoint, HELLO, STREAM, UPLOAD};
use super::finding::{Finding, Text};
use super::http::Response;
use super::journey::{Reached, Travelled, open, travel};
use super::server::{Server, request};
use super::ticks::{self, Ticks};
use crate::config::snapshot::{Listener, Snapshot};
use crate::config::url::{HostField, UpstreamUrl};
use crate::config::value::Mode;
use crate::upstream::resolver::Resolver;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Longest time for the stream, which takes two seconds, and for the upload.
const TEST_MAX: Duration = Duration::from_secs(15);
/// More than nginx takes by default, and less than a picture that models are shown.
const UPLOAD_BYTES: usize = 2 * 1024 * 1024;

/// What is tried.
pub(super) struct Outside {
    /// Where clients go.
    pub(super) url: UpstreamUrl,
    /// Where to serve the tests, in place of the listeners.
    pub(super) serve: Option<SocketAddr>,
    /// The narrows that runs.
    pub(super) running: Option<u32>,
    /// What it serves, or would serve.
    pub(super) snapshot: Option<Rc<Snapshot>>,
}

/// Goes to the URL, and tests what is on the way.
pub(super) async fn examine(outside: Outside, resolver: Arc<Resolver>) -> Travelled {
    let mut server = Server::public(&outside.url);
    let about = server.name.clone();
    let endpoint = match outside.endpoint() {
        Ok(endpoint) => endpoint,
        Err(why) => {
            let mut travelled = travel(&server, &resolver).await;
            travelled.findings.extend(travelled.reached.as_ref().and_then(|it| lost(&about, it)));
            let skipped =
                ["stream", "upload"].map(|step| Finding::skipped(step, &about, why.clone()));
            travelled.findings.extend(skipped);
            return travelled;
        }
    };
    let host = HostField::of(&outside.url);
    let path = |resource| format!("{}{}", outside.url.path, endpoint.path(resource));
    let message = |method, resource| request(method, &path(resource), host.as_str());
    let (hello, stream) = (message("GET", HELLO), message("GET", STREAM));
    let upload = with_body(message("POST", UPLOAD));
    let (addresses, sent) = (endpoint.addresses(), endpoint.ticks());
    endpoint.serve();
    server.request = Some(hello);
    let mut travelled = travel(&server, &resolver).await;
    let Some(reached) = travelled.reached.take() else { return travelled };
    let arrived = reached.response.body == HELLO.as_bytes() && reached.response.head.status == 200;
    if !arrived {
        travelled.findings.push(elsewhere(&about, reached.response.head.status, &addresses));
        return travelled;
    }
    let arrived = format!("requests for this URL arrive at {addresses}");
    travelled.findings.push(Finding::ok("arrival", &about, arrived));
    let found = tokio::join!(
        test("stream", &about, stream_through(&server, &reached, &stream, &sent)),
        test("upload", &about, upload_through(&server, &reached, &upload)),
    );
    travelled.findings.extend(<[_; 2]>::from(found));
    travelled
}

impl Outside {
    /// What takes the place of narrows, or why nothing does.
    fn endpoint(&self) -> Result<Endpoint, String> {
        if let Some(address) = self.serve {
            let bound = Endpoint::at(address);
            return bound.map_err(|error| format!("{address} cannot be listened on: {error}"));
        }
        if let Some(pid) = self.running {
            return Err(format!(
                "narrows (pid {pid}) has the port; stop it for a minute, or see --serve in \
                 docs/doctor.md"
            ));
        }
        let Some(snapshot) = &self.snapshot else {
            return Err("the configuration cannot be used".to_owned());
        };
        let suits = |it: &&Arc<Listener>| {
            it.mode == Mode::Http && !it.redirect && it.proxy_protocol.is_empty()
        };
        let listeners: Vec<_> = snapshot.sockets().filter(suits).collect();
        if listeners.is_empty() {
            return Err("no listener speaks HTTP without a PROXY header; see --serve".to_owned());
        }
        let bound = Endpoint::in_place_of(&listeners);
        bound.map_err(|error| format!("the listeners' addresses cannot be listened on: {error}"))
    }
}

fn with_body(mut head: Vec<u8>) -> Vec<u8> {
    head.truncate(head.len() - b"\r\n".len());
    head.extend(format!("Content-Length: {UPLOAD_BYTES}\r\n\r\n").into_bytes());
    head.resize(head.len() + UPLOAD_BYTES, b'x');
    head
}

async fn test(
    step: &'static str,
    about: &str,
    finding: impl Future<Output = Option<Finding>>,
) -> Finding {
    let begun = Instant::now();
    let found = timeout(TEST_MAX, finding).await;
    let remedy = "look at the log of the server in front";
    let finding = match found {
        Ok(Some(finding)) => finding,
        Ok(None) => Finding::failure(step, about, "the connection broke", remedy),
        Err(_elapsed) => Finding::failure(step, about, "no response came in time", remedy),
    };
    finding.took(begun.elapsed())
}

async fn stream_through(
    server: &Server,
    reached: &Reached,
    message: &[u8],
    sent: &Ticks,
) -> Option<Finding> {
    let mut client = open(server, reached).await?;
    client.send(message).await.ok()?;
    let (head, mut body) = client.head().await.ok()?;
    let about = &server.name;
    if head.status != 200 {
        let what = format!("{} for the test stream", head.status);
        let remedy = "look at the log of the server in front";
        return Some(Finding::failure("stream", about, what, remedy));
    }
    let (mut content, mut came) = (Vec::new(), Vec::new());
    loop {
        let ended = client.content(&mut body, &mut content).await;
        came.resize(ticks::whole(&content).max(came.len()), Instant::now());
        match ended {
            Ok(false) => {}
            ended => return Some(ticks::verdict(about, &sent.all(), &came, ended.is_ok())),
        }
    }
}

async fn upload_through(server: &Server, reached: &Reached, message: &[u8]) -> Option<Finding> {
    let mut client = open(server, reached).await?;
    let answered = client.ask(message).await;
    let status = answered.as_ref().map(|it| it.head.status).map_err(|it| *it);
    Some(match status {
        Ok(status) => uploaded(&server.name, status),
        Err(unanswered) => answer::missing(&server.name, answer::Trouble::Unanswered(unanswered)),
    })
}

/// Judges the status of the upload, which the endpoint itself never refuses.
fn uploaded(about: &str, status: u16) -> Finding {
    let mib = UPLOAD_BYTES / 1024 / 1024;
    match status {
        200 => Finding::ok("upload", about, format!("a body of {mib} MiB passes")),
        413 => Finding::failure(
            "upload",
            about,
            format!("413: something in front refuses a body of {mib} MiB"),
            "raise its limit, because prompts with pictures are longer (nginx: \
             client_max_body_size 100m; a CDN: the limit of its plan)",
        ),
        other => Finding::failure(
            "upload",
            about,
            format!("{other} for a body of {mib} MiB"),
            "look at the log of the server in front",
        ),
    }
}

/// Judges a response that may be of the narrows that runs.
fn lost(about: &str, reached: &Reached) -> Option<Finding> {
    const NO_ROUTE: &[u8] = b"route_not_found";
    let Response { head, body, .. } = &reached.response;
    match head.status {
        404 if body.windows(NO_ROUTE.len()).any(|it| it == NO_ROUTE) => Some(Finding::failure(
            "arrival",
            about,
            "404: narrows answers, and no route has this path",
            "name a path by --url that begins with that of a route; if it does, a server in front \
             removes a part of it (nginx: proxy_pass with a path)",
        )),
        status @ 520..=526 => Some(elsewhere(about, status, "the listener of narrows")),
        _ => None,
    }
}

/// Judges the status of what should have come from the endpoint, and did not.
fn elsewhere(about: &str, status: u16, addresses: &str) -> Finding {
    let (what, remedy): (_, Text) = match status {
        // Cloudflare's own.
        525 | 526 => (
            "Cloudflare does not accept the certificate that this machine shows",
            "show one that is valid for the name (domains = \"NAME\", or Cloudflare's origin \
             certificate), or plain HTTP with the mode Flexible"
                .into(),
        ),
        520..=524 => (
            "Cloudflare cannot reach this machine",
            format!(
                "let the firewall pass Cloudflare to its port, which has to be one that Cloudflare \
                 connects to (443 or 80), and lead that to {addresses}"
            )
            .into(),
        ),
        502..=504 => (
            "the server in front cannot reach this machine's listener",
            format!(
                "let it forward to {addresses} (nginx: proxy_pass), and check a firewall between"
            )
            .into(),
        ),
        401 | 403 => (
            "the server in front refuses it, or asks for a login of its own",
            "remove that for this path: programs that use the API cannot log in there".into(),
        ),
        300..=399 => (
            "the server in front leads elsewhere",
            "name the URL that it leads to by --url, and in your programs".into(),
        ),
        _ => (
            "another program answers for this URL",
            format!(
                "check that the path is that of a location in front, and that it leads to \
                     {addresses}"
            )
            .into(),
        ),
    };
    Finding::failure("arrival", about, format!("{status}: {what}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn a_body_that_is_refused_in_front_is_named() {
        assert_eq!(uploaded("a", 200).verdict, Verdict::Ok);
        assert!(uploaded("a", 413).remedy.unwrap().contains("client_max_body_size"));
        assert_eq!(uploaded("a", 500).verdict, Verdict::Failure);
    }

    #[test]
    fn a_request_that_goes_elsewhere_says_where_to_look() {
        let remedy = |status| elsewhere("a", status, "127.0.0.1:8080").remedy.unwrap();
        assert!(remedy(502).contains("let it forward to 127.0.0.1:8080"));
        assert!(remedy(404).contains("leads to 127.0.0.1:8080"));
        assert!(remedy(301).contains("--url"));
        assert!(remedy(401).contains("log in"));
        assert!(remedy(522).contains("lead that to 127.0.0.1:8080"));
        assert!(remedy(526).contains("origin certificate"));
    }

    #[test]
    fn an_upload_says_how_long_it_is() {
        let message = with_body(request("POST", "/a", "h"));
        let end = message.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&message[..end]).into_owned();
        assert!(head.contains(&format!("Content-Length: {}\r\n", message.len() - end)), "{head}");
    }
}
