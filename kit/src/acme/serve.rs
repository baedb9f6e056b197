//! The directory's own HTTPS: connections, requests, nonces, and faults on the way.

use super::answer::Answer;
use super::api;
use super::rules::{Endpoint, Fault};
use super::state::Event;
use super::{Ca, problem::Problem};
use crate::certificates::acceptor;
use crate::connection::Connection;
use crate::http::{Framing, field_value};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{future, io};
use tokio::net::TcpListener;
use tokio_rustls::rustls::ALL_VERSIONS;

/// A request, read to its end.
pub(super) struct Request {
    pub(super) method: String,
    /// Without its first slash.
    pub(super) path: String,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        field_value(&self.head, name)
    }
}

pub(super) async fn accept(ca: Arc<Ca>, listener: TcpListener) {
    let tls = acceptor("server", ALL_VERSIONS);
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        let (ca, tls) = (Arc::clone(&ca), tls.clone());
        tokio::spawn(async move {
            if ca.rules.borrow().is_down {
                let _gone = Connection::new(tcp).reset_on_drop();
                return;
            }
            if let Ok(tls) = tls.accept(tcp).await {
                let _ended = serve(&ca, Connection::new(tls)).await;
            }
        });
    }
}

async fn serve(ca: &Arc<Ca>, mut connection: Connection) -> io::Result<()> {
    loop {
        let request = read(&mut connection).await?;
        if ca.rules.borrow().is_down {
            return connection.reset_on_drop();
        }
        let endpoint = api::endpoint(&request.path);
        if let Some(endpoint) = endpoint {
            ca.happened(Event::Request(endpoint));
        }
        let mut fault = None;
        if let Some(endpoint) = endpoint {
            ca.rules.send_if_modified(|rules| {
                fault = rules.take_fault(endpoint);
                false
            });
        }
        let answer = match fault {
            None => api::answer(ca, &request),
            Some(Fault::Reset) => return connection.reset_on_drop(),
            Some(Fault::Hang) => {
                hang(ca, endpoint).await;
                api::answer(ca, &request)
            }
            Some(Fault::Response(status, body)) => Answer::of(status, "text/html", body),
            Some(Fault::Problem { status, kind, detail, retry_after }) => {
                Answer::from(Problem::new(status, kind, detail)).retry_after(retry_after)
            }
        };
        let answer = completed(ca, &request, endpoint, answer);
        connection.send(answer.to_bytes(request.method == "HEAD")).await?;
    }
}

/// Waits until requests to this endpoint hang no longer.
async fn hang(ca: &Ca, endpoint: Option<Endpoint>) {
    let mut rules = ca.rules.subscribe();
    let hangs =
        |it: &super::Planned| Some(it.endpoint) == endpoint && matches!(it.fault, Fault::Hang);
    let over = rules.wait_for(|rules| !rules.faults.iter().any(hangs)).await.is_ok();
    if !over {
        future::pending::<()>().await;
    }
}

/// What every response has: the date, and a nonce if the request was a POST (RFC 8555, section
/// 6.5).
fn completed(ca: &Ca, request: &Request, endpoint: Option<Endpoint>, answer: Answer) -> Answer {
    let answer = answer.with("Date", httpdate::fmt_http_date(now(ca)));
    if request.method == "POST" || endpoint == Some(Endpoint::NewNonce) {
        return answer.with("Replay-Nonce", ca.state().new_nonce());
    }
    answer
}

/// The time by the directory's clock.
pub(super) fn now(ca: &Ca) -> SystemTime {
    let ahead = ca.rules.borrow().clock;
    let by = Duration::from_secs(ahead.unsigned_abs());
    if ahead < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
}

async fn read(connection: &mut Connection) -> io::Result<Request> {
    let head = connection.read_head().await?;
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().trim_start_matches('/').to_owned();
    let body = match Framing::of(&head) {
        Framing::Length(length) => connection.read_exactly(length).await?,
        Framing::Chunked | Framing::UntilClose => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok(Request { method, path, head, body })
}
