//! The HTTPS client for a directory: [`HttpsClient`].
//!
//! It sends one request at a time, and keeps the connection for the next one. Everything is
//! bounded: the time of a request, the size of an answer. Redirects are not followed: RFC 8555 has
//! none, and the signed URL of a request names the server that it is for.

use crate::acme::message::{Method, Request, Response};
use crate::config::reach::{Reach, ReachOptions};
use crate::config::snapshot::{UpstreamConfig, UpstreamTls};
use crate::config::url::{Endpoint, HostField, UpstreamUrl};
use crate::control::acme::message::{Connection, Failed};
use crate::error::{Cause, DialFailure, ExchangeError, TlsFault};
use crate::h1::framing::ResponseTo;
use crate::limits::{ACME_ANSWER_BYTES_MAX, ACME_ANSWER_MAX};
use crate::timeouts::Timeouts;
use crate::upstream::dial::{Dial, Dialing, NetworkDialer};
use crate::upstream::resolver::Resolver;
use std::fmt::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::timeout;

/// The client's name and version (RFC 8555, section 6.1).
const USER_AGENT: &str = concat!("narrows/", env!("CARGO_PKG_VERSION"));

/// A client, with a connection that may be used again.
pub(super) struct HttpsClient {
    dial: Box<dyn Fn(&Endpoint) -> Dialing>,
    kept: Option<(Endpoint, Connection)>,
}

/// Why a request has no response.
#[derive(Debug)]
pub(super) enum HttpsError {
    /// It is no URL that we can ask. It may be one that the directory gave.
    Url,
    /// The server cannot be reached, or its certificate is not accepted.
    Dial(Endpoint, Box<DialFailure>),
    /// The connection ended without a response.
    Unanswered(Endpoint),
    /// The response is malformed, or incomplete.
    Response(Endpoint, ExchangeError),
    /// The response is too long.
    TooLong(Endpoint),
    /// There is no response yet.
    Late(Endpoint),
    /// The response is a redirect, of this status.
    Redirect(Endpoint, u16),
}

impl HttpsClient {
    /// A client that verifies servers as `tls` says, whatever their name.
    pub(super) fn new(tls: UpstreamTls) -> Self {
        let resolver = Arc::new(Resolver::default());
        let dial = move |endpoint: &Endpoint| dialer(endpoint, &tls, &resolver).dial(None);
        Self::with(Box::new(dial))
    }

    fn with(dial: Box<dyn Fn(&Endpoint) -> Dialing>) -> Self {
        Self { dial, kept: None }
    }

    /// Sends a request and returns the response, whatever its status; but not a redirect.
    ///
    /// # Errors
    /// There is no response within [`ACME_ANSWER_MAX`], or none that can be used.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Response, HttpsError> {
        let Some(url) = Url::parse(&request.url) else { return Err(HttpsError::Url) };
        let asked = timeout(ACME_ANSWER_MAX, self.exchange(request, &url)).await;
        let response = asked.unwrap_or_else(|_| Err(HttpsError::Late(url.endpoint.clone())))?;
        match response.status {
            300..=399 => Err(HttpsError::Redirect(url.endpoint, response.status)),
            _ => Ok(response),
        }
    }

    async fn exchange(&mut self, request: &Request, url: &Url<'_>) -> Result<Response, HttpsError> {
        let message = encode(request, url);
        let to = match request.method {
            Method::Head => ResponseTo::Head,
            Method::Get | Method::Post => ResponseTo::Other,
        };
        let failed = |failed| match failed {
            Failed::Unanswered => HttpsError::Unanswered(url.endpoint.clone()),
            Failed::Error(error) => HttpsError::Response(url.endpoint.clone(), error),
            Failed::TooLong => HttpsError::TooLong(url.endpoint.clone()),
        };
        let kept = self.kept.take().filter(|(to, it)| *to == url.endpoint && it.is_silent());
        if let Some((_, connection)) = kept {
            match self.exchange_on(connection, &message, to, url).await {
                // It was closed while the request was under way. A server that had read it would
                // refuse its nonce the second time.
                Err(Failed::Unanswered) => {}
                ended => return ended.map_err(failed),
            }
        }
        let dialed = (self.dial)(&url.endpoint).await;
        let opened = dialed.map_err(|it| HttpsError::Dial(url.endpoint.clone(), it))?;
        let connection = Connection::new(opened.transport);
        self.exchange_on(connection, &message, to, url).await.map_err(failed)
    }

    async fn exchange_on(
        &mut self,
        mut connection: Connection,
        message: &[u8],
        to: ResponseTo,
        url: &Url<'_>,
    ) -> Result<Response, Failed> {
        let (response, persists) = connection.exchange(message, to).await?;
        if persists {
            self.kept = Some((url.endpoint.clone(), connection));
        }
        Ok(response)
    }
}

/// The parts of a URL that a request needs.
struct Url<'u> {
    endpoint: Endpoint,
    host: HostField,
    target: &'u str,
}

impl<'u> Url<'u> {
    fn parse(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_at_checked("https://".len())?;
        let is_clean = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !scheme.eq_ignore_ascii_case("https://") || !is_clean {
            return None;
        }
        let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let server: UpstreamUrl = format!("https://{authority}/").parse().ok()?;
        let target = if target.is_empty() { "/" } else { target };
        Some(Self { host: HostField::of(&server), endpoint: server.endpoint, target })
    }
}

/// The whole request. What it is made of has no line end: the URL is checked, the rest is ours.
fn encode(request: &Request, url: &Url<'_>) -> Vec<u8> {
    let Request { method, accept, content_type, body, .. } = request;
    let method = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
    };
    let (target, host) = (url.target, url.host.as_str());
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    let mut field = |name: &str, value: &str| {
        // A string takes everything.
        let _ = write!(head, "{name}: {value}\r\n");
    };
    field("User-Agent", USER_AGENT);
    field("Accept", accept);
    if let Some(content_type) = content_type {
        field("Content-Type", content_type);
        field("Content-Length", &body.len().to_string());
    }
    head.push_str("\r\n");
    [head, body.clone()].concat().into_bytes()
}

impl HttpsError {
    /// What usually helps, if it is clear from the failure.
    pub(super) fn advice(&self) -> Option<&'static str> {
        let Self::Dial(_, failure) = self else { return None };
        match failure.error.cause {
            Cause::Tls(TlsFault::CertificateExpired | TlsFault::CertificateNotYetValid) => Some(
                "check the clock of this machine, by which the CA's own certificate is not valid \
                 now",
            ),
            Cause::Tls(TlsFault::CertificateIssuer) => Some(
                "if the CA is your own, name its root (--acme-ca, or ca in [acme]); otherwise \
                 something on the way ends TLS",
            ),
            _ => None,
        }
    }
}

fn dialer(endpoint: &Endpoint, tls: &UpstreamTls, resolver: &Arc<Resolver>) -> NetworkDialer {
    let server_name = endpoint.host.server_name();
    let upstream = UpstreamConfig {
        reach: Reach::new(true, endpoint.clone(), ReachOptions::default()),
        tls: Some(UpstreamTls { server_name, ..tls.clone() }),
        warm: 0,
        connection_age: None,
        label: endpoint.to_string().into(),
    };
    NetworkDialer::new(&upstream, Arc::new(Timeouts::default()), resolver, Rc::default())
}

impl fmt::Display for HttpsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => write!(out, "the directory gives a URL that cannot be used"),
            Self::Dial(server, failure) => {
                write!(out, "no connection to {server}")?;
                let step = failure.step.map(|it| it.name());
                let why = [step, failure.reason()].into_iter().flatten();
                let why: Vec<_> = why.collect();
                if why.is_empty() { Ok(()) } else { write!(out, " ({})", why.join(": ")) }
            }
            Self::Unanswered(server) => write!(out, "{server} ended the connection unanswered"),
            Self::Response(server, error) => {
                let reason = error.reason().unwrap_or("it ended too soon");
                write!(out, "the answer of {server} cannot be used ({reason})")
            }
            Self::TooLong(server) => {
                let most = ACME_ANSWER_BYTES_MAX / 1024;
                write!(out, "the answer of {server} is longer than {most} KiB")
            }
            Self::Late(server) => {
                write!(out, "{server} did not answer within {} s", ACME_ANSWER_MAX.as_secs())
            }
            Self::Redirect(server, status) => {
                write!(out, "{server} answered {status}, and redirects are not followed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{DialStep, SocketError};
    use crate::net::memory::{End, MemoryStream};
    use crate::net::transport::Transport;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::io::IoSlice;
    use std::task::Context;
    use std::time::Duration;
    use tokio::time::Instant;

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// Servers in memory: each connection sends the answers of one script, whatever it is asked.
    #[derive(Default)]
    struct Servers {
        scripts: RefCell<VecDeque<(&'static str, Option<End>)>>,
        opened: RefCell<Vec<(Endpoint, MemoryStream)>>,
    }

    impl Servers {
        fn new(scripts: impl IntoIterator<Item = (&'static str, Option<End>)>) -> Rc<Self> {
            let scripts = RefCell::new(scripts.into_iter().collect());
            Rc::new(Self { scripts, ..Self::default() })
        }

        fn client(self: &Rc<Self>) -> HttpsClient {
            let servers = Rc::clone(self);
            HttpsClient::with(Box::new(move |endpoint| {
                let (servers, endpoint) = (Rc::clone(&servers), endpoint.clone());
                Box::pin(async move {
                    let refused = Cause::Unreachable(SocketError::ConnectionRefused);
                    let Some((answer, end)) = servers.scripts.borrow_mut().pop_front() else {
                        return Err(ExchangeError::upstream(refused).into());
                    };
                    let (near, mut far) = MemoryStream::pair(1 << 16);
                    poll_fn(|cx| far.poll_write(cx, &[IoSlice::new(answer.as_bytes())]))
                        .await
                        .unwrap();
                    end.into_iter().for_each(|end| far.end(end));
                    servers.opened.borrow_mut().push((endpoint, far));
                    Ok(Transport::from(near).into())
                })
            }))
        }

        /// What the server of this connection has received.
        async fn received(&self, number: usize) -> String {
            let mut into = [0; 4096];
            let far =
                |cx: &mut Context<'_>| self.opened.borrow_mut()[number].1.poll_read(cx, &mut into);
            let read = poll_fn(far).await.unwrap();
            String::from_utf8(into[..read].to_vec()).unwrap()
        }
    }

    fn get(url: &str) -> Request {
        let (url, body, accept) = (url.to_owned(), String::new(), "application/json");
        Request { method: Method::Get, url, body, content_type: None, accept }
    }

    #[tokio::test]
    async fn a_request_has_the_fields_that_the_protocol_wants() {
        let servers = Servers::new([(OK, None)]);
        let post = Request {
            method: Method::Post,
            url: "HTTPS://CA.example:14000/acme/new?x=1".to_owned(),
            accept: "application/pem-certificate-chain",
            content_type: Some("application/jose+json"),
            body: "{}".to_owned(),
        };
        assert_eq!(servers.client().ask(&post).await.unwrap().body, b"ok");
        let want = "POST /acme/new?x=1 HTTP/1.1\r\nHost: CA.example:14000\r\nUser-Agent: narrows/";
        let received = servers.received(0).await;
        assert!(received.starts_with(want), "{received}");
        let want = "\r\nAccept: application/pem-certificate-chain\r\n\
            Content-Type: application/jose+json\r\nContent-Length: 2\r\n\r\n{}";
        assert!(received.ends_with(want), "{received}");
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_the_same_server_alone() {
        let servers = Servers::new([(OK, None), (OK, None)]);
        let mut client = servers.client();
        client.ask(&get("https://a.example")).await.unwrap();
        let send = async |number: usize| {
            let answer = [IoSlice::new(OK.as_bytes())];
            let far = |cx: &mut Context<'_>| {
                servers.opened.borrow_mut()[number].1.poll_write(cx, &answer)
            };
            poll_fn(far).await.unwrap();
        };
        let again = get("https://a.example:443/b");
        let (asked, ()) = tokio::join!(client.ask(&again), async {
            tokio::task::yield_now().await;
            send(0).await;
        });
        asked.unwrap();
        assert_eq!(servers.opened.borrow().len(), 1);
        client.ask(&get("https://b.example/")).await.unwrap();
        let hosts = servers.opened.borrow().iter().map(|it| it.0.to_string()).collect::<Vec<_>>();
        assert_eq!(hosts, ["a.example:443", "b.example:443"]);
    }

    #[test]
    fn a_certificate_of_the_server_that_is_not_valid_now_leads_to_the_clock() {
        let advice = |fault| {
            let error = ExchangeError::upstream(Cause::Tls(fault));
            let failure = DialFailure::at(DialStep::Tls, None, Duration::ZERO, error);
            let url: UpstreamUrl = "https://a.example/".parse().unwrap();
            HttpsError::Dial(url.endpoint, failure).advice().unwrap_or_default()
        };
        for fault in [TlsFault::CertificateExpired, TlsFault::CertificateNotYetValid] {
            assert!(advice(fault).contains("the clock of this machine"));
        }
        assert!(advice(TlsFault::CertificateIssuer).contains("--acme-ca"));
        assert_eq!(advice(TlsFault::NotTls), "");
    }

    #[tokio::test]
    async fn a_kept_connection_that_was_closed_is_replaced_and_a_new_one_is_not() {
        let servers = Servers::new([(OK, Some(End::Clean)), (OK, Some(End::Reset))]);
        let mut client = servers.client();
        client.ask(&get("https://a.example/")).await.unwrap();
        client.ask(&get("https://a.example/")).await.unwrap_err();
        let error = client.ask(&get("https://a.example/")).await.unwrap_err().to_string();
        assert_eq!(error, "no connection to a.example:443 (ECONNREFUSED)");
    }

    #[tokio::test]
    async fn redirects_and_urls_that_are_not_https_are_refused() {
        let moved =
            "HTTP/1.1 302 Found\r\nLocation: https://b.example/\r\nContent-Length: 0\r\n\r\n";
        let servers = Servers::new([(moved, None)]);
        let mut client = servers.client();
        let error = client.ask(&get("https://a.example/")).await.unwrap_err().to_string();
        assert_eq!(error, "a.example:443 answered 302, and redirects are not followed");
        for url in [
            "http://a.example/",
            "https://",
            "https://u@a.example/",
            "https://a.example/ HTTP/1.1\r\nX: y",
            "https://a.example/#b",
            "https://a.example?x",
            "ftp",
            "httpsé://a",
        ] {
            let error = client.ask(&get(url)).await.unwrap_err();
            assert!(matches!(error, HttpsError::Url), "{url}: {error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        let servers = Servers::new([("HTTP/1.1 200 OK\r\n", None)]);
        let begun = Instant::now();
        let error = servers.client().ask(&get("https://a.example/")).await.unwrap_err();
        assert_eq!(error.to_string(), "a.example:443 did not answer within 60 s");
        assert_eq!(begun.elapsed(), ACME_ANSWER_MAX);
    }
}
