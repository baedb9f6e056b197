//! `/status`: what an operator wants to know of a running relay, as JSON.
//!
//! The names of the fields are an interface: docs/operations.md explains each of them. New ones may
//! be added; none is renamed or removed. Times are RFC 3339, durations are seconds.

use crate::config::identifier::Identifier;
use crate::config::managed::ManagedCertificate;
use crate::config::own_certificate::OwnCertificate;
use crate::config::snapshot::{Snapshot, UpstreamConfig};
use crate::config::value::Mode;
use crate::control::listeners::Listening;
use crate::control::progress::{Progress, Standing};
use crate::control::reports::Reports;
use crate::control::state::{Phase, Reloads, State};
use crate::gateway::access::Client;
use crate::gateway::server_name::ForwardTarget;
use crate::telemetry::metrics::{Running, Totals, UpstreamReport};
use crate::tls::validity::{LAST_SECOND, since_1970};
use humantime::format_rfc3339_seconds;
use serde::Serialize;
use std::collections::BTreeSet;
use std::process;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_OF_A_DAY: i64 = 24 * 60 * 60;

/// The whole page.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    commit: &'static str,
    pid: u32,
    phase: &'static str,
    started: String,
    uptime_seconds: u64,
    workers: usize,
    silent_workers: usize,
    reloads: ReloadStatus,
    problems: Vec<String>,
    listeners: Vec<ListenerStatus>,
    certificates: Vec<CertificateStatus>,
    routes: Vec<RouteStatus>,
    forwards: Vec<RouteStatus>,
    upstreams: Vec<UpstreamStatus>,
    clients: Vec<ClientStatus>,
}

#[derive(Debug, Serialize)]
struct ReloadStatus {
    ok: u64,
    failed: u64,
    last: Option<LastReloadStatus>,
}

#[derive(Debug, Serialize)]
struct LastReloadStatus {
    at: String,
    problems: usize,
}

#[derive(Debug, Serialize)]
struct ListenerStatus {
    address: String,
    mode: &'static str,
    tls: bool,
    connections: usize,
}

#[derive(Debug, Default, Serialize)]
struct CertificateStatus {
    names: Vec<String>,
    configured: String,
    /// `None`: it is ordered, and not there yet.
    not_after: Option<String>,
    days_left: Option<i64>,
    problems: Vec<String>,
    /// `None`: it is a file that another program renews.
    acme: Option<AcmeStatus>,
}

#[derive(Debug, Serialize)]
struct AcmeStatus {
    state: &'static str,
    next: Option<String>,
    last_error: Option<AcmeErrorStatus>,
}

#[derive(Debug, Serialize)]
struct AcmeErrorStatus {
    what: String,
    at: String,
}

/// A route or a forward.
#[derive(Debug, Serialize)]
struct RouteStatus {
    name: String,
    /// `None`: the http listeners.
    upstream: Option<Box<str>>,
    running: usize,
    oldest_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct ClientStatus {
    name: String,
    /// `None`: never.
    expires: Option<String>,
    running: usize,
    oldest_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct UpstreamStatus {
    name: Box<str>,
    connections: ConnectionStatus,
    last_error: Option<ErrorStatus>,
}

#[derive(Debug, Serialize)]
struct ConnectionStatus {
    idle: usize,
    busy: usize,
    opening: usize,
}

#[derive(Debug, Serialize)]
struct ErrorStatus {
    cause: &'static str,
    at: String,
}

impl Status {
    /// Of a process of this version and commit that was started at `started`.
    pub(super) fn of(
        state: &State,
        reports: &Reports,
        (version, commit): (&'static str, &'static str),
        started: SystemTime,
        now: SystemTime,
    ) -> Self {
        let (snapshot, totals) = (state.snapshot(), &reports.totals);
        let listeners = state.listening();
        let named = snapshot.certificates.iter().map(|it| certificate(it, now));
        let managed = snapshot.managed.iter().map(|it| managed(it, state.progress(), now));
        Self {
            version,
            commit,
            pid: process::id(),
            phase: phase(state.phase()),
            started: time(started),
            uptime_seconds: now.duration_since(started).unwrap_or_default().as_secs(),
            workers: reports.workers,
            silent_workers: reports.silent,
            reloads: reloads(state.reloads()),
            problems: state.unusable_files().iter().map(|it| it.to_string()).collect(),
            listeners: listeners.iter().map(|it| listener(it, totals)).collect(),
            certificates: named.chain(managed).collect(),
            routes: routes(&snapshot, totals),
            forwards: forwards(&snapshot, totals),
            upstreams: upstreams(&snapshot, totals, now),
            clients: clients(&snapshot, totals),
        }
    }

    /// The page's text.
    pub(super) fn to_json(&self) -> String {
        // Only a map whose keys are not strings could fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::StopDelay => "stop_delay",
        Phase::Draining | Phase::HandedOver => "draining",
    }
}

fn reloads(reloads: Reloads) -> ReloadStatus {
    let last = reloads.last.map(|it| LastReloadStatus { at: time(it.at), problems: it.problems });
    ReloadStatus { ok: reloads.succeeded, failed: reloads.failed, last }
}

fn listener(listening: &Listening, totals: &Totals) -> ListenerStatus {
    let (listener, address) = (&listening.listener, listening.address());
    let mode = match listener.mode {
        Mode::Http => "http",
        Mode::Tcp => "tcp",
    };
    let connections = totals.connections.get(&address).copied().unwrap_or_default();
    let (address, tls) = (address.to_string(), listener.tls.is_some());
    ListenerStatus { address, mode, tls, connections }
}

fn certificate(certificate: &OwnCertificate, now: SystemTime) -> CertificateStatus {
    let OwnCertificate { location, names, not_after, validity, .. } = certificate;
    let left = not_after.saturating_sub(since_1970(now));
    let end = UNIX_EPOCH + Duration::from_secs(u64::try_from(*not_after).unwrap_or_default());
    CertificateStatus {
        names: names.clone(),
        configured: location.to_string(),
        not_after: Some(time(end)),
        days_left: Some(left.div_euclid(SECONDS_OF_A_DAY)),
        problems: validity.complaints(now).into_iter().map(|it| it.what).collect(),
        acme: None,
    }
}

/// A certificate that is ordered.
fn managed(
    managed: &ManagedCertificate,
    progress: &Progress,
    now: SystemTime,
) -> CertificateStatus {
    let Standing { phase, next, last_error } = progress.of(&managed.file);
    let last_error = last_error.map(|it| AcmeErrorStatus { what: it.text, at: time(it.at) });
    let acme = Some(AcmeStatus { state: phase.name(), next: next.map(time), last_error });
    // Others may serve all of its names meanwhile.
    let stand_in = managed.stand_ins.iter().min_by_key(|it| it.not_after);
    let stand_in = stand_in.filter(|_| managed.awaited.is_empty());
    let serves = managed.stored.as_ref().or(stand_in).map(|it| certificate(it, now));
    let serves = serves.unwrap_or_default();
    CertificateStatus {
        names: managed.names.iter().map(Identifier::to_string).collect(),
        configured: managed.location.to_string(),
        acme,
        ..serves
    }
}

fn routes(snapshot: &Snapshot, totals: &Totals) -> Vec<RouteStatus> {
    let routes = snapshot.routes.iter();
    routes.map(|it| route(&it.name, Some(&it.upstream), totals)).collect()
}

fn forwards(snapshot: &Snapshot, totals: &Totals) -> Vec<RouteStatus> {
    let forwards = snapshot.forwards.iter();
    forwards.map(|it| route(&it.name, upstream_of(&it.target), totals)).collect()
}

fn route(name: &str, upstream: Option<&Arc<UpstreamConfig>>, totals: &Totals) -> RouteStatus {
    let (running, oldest_seconds) = running(totals.running.get(name));
    let upstream = upstream.map(|it| it.label.clone());
    RouteStatus { name: name.to_string(), upstream, running, oldest_seconds }
}

/// How many run, and for how long the oldest has, if there is one.
fn running(counted: Option<&Running>) -> (usize, Option<f64>) {
    let counted = counted.filter(|it| it.count > 0);
    (counted.map_or(0, |it| it.count), counted.map(|it| seconds(it.oldest)))
}

fn clients(snapshot: &Snapshot, totals: &Totals) -> Vec<ClientStatus> {
    let client = |client: &Client| {
        let (running, oldest_seconds) = running(totals.clients_running.get(&client.name));
        let expires = client.expires().map(|it| time(UNIX_EPOCH + Duration::from_secs(it)));
        ClientStatus { name: client.name.to_string(), expires, running, oldest_seconds }
    };
    snapshot.config.clients.all.iter().map(client).collect()
}

fn upstreams(snapshot: &Snapshot, totals: &Totals, now: SystemTime) -> Vec<UpstreamStatus> {
    let of_routes = snapshot.routes.iter().map(|it| &it.upstream);
    let of_forwards = snapshot.forwards.iter().filter_map(|it| upstream_of(&it.target));
    let mut names = BTreeSet::new();
    names.extend(of_routes.chain(of_forwards).map(|it| &it.label));
    let upstreams = names.into_iter().map(|name| {
        let unused = UpstreamReport::default();
        let report = totals.upstreams.get(&**name).unwrap_or(&unused);
        let UpstreamReport { idle, busy, opening, last_failure, .. } = *report;
        let last_error = last_failure.map(|(cause, ago)| {
            let at = now.checked_sub(ago).unwrap_or(UNIX_EPOCH);
            ErrorStatus { cause, at: time(at) }
        });
        let connections = ConnectionStatus { idle, busy, opening };
        UpstreamStatus { name: name.clone(), connections, last_error }
    });
    upstreams.collect()
}

fn upstream_of(target: &ForwardTarget<Arc<UpstreamConfig>>) -> Option<&Arc<UpstreamConfig>> {
    match target {
        ForwardTarget::Http => None,
        ForwardTarget::Upstream(upstream) => Some(upstream),
    }
}

fn time(at: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND.unsigned_abs());
    format_rfc3339_seconds(at.clamp(UNIX_EPOCH, last)).to_string()
}

/// With milliseconds.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::problem::Problems;
    use crate::control::progress::{OrderError, OrderPhase};
    use crate::tls::testing::pem::{CERTIFICATE, Folder, KEY};

    const CONFIGURATION: &str = r#"
        workers = 3
        [[listener]]
        address = "127.0.0.1:1"
        certificate = "c.pem"
        key = "k.pem"
        [[listener]]
        address = "127.0.0.1:2"
        mode = "tcp"
        [[client]]
        name = "alice"
        token = "sha256:9f2c1f2a35f5e0d1c1b7a1a4a7de4f8b1f0a5d0c6b9e3d7f8a2b4c6d8e0f1a3b"
        expires = 2030-01-01
        [[client]]
        name = "bob"
        token = "sha256:1f2c1f2a35f5e0d1c1b7a1a4a7de4f8b1f0a5d0c6b9e3d7f8a2b4c6d8e0f1a3b"
        [[route]]
        path = "/gpt/"
        upstream = "https://api.openai.com/"
        [[forward]]
        server_name = "a.example"
        upstream = "http"
        [[forward]]
        server_name = "*"
        upstream = "tcp://10.0.0.5:22"
    "#;

    /// Each field of the manual, with its type.
    const WANT: &str = r#"{
  "version": "1.2.3",
  "commit": "0123abc",
  "pid": PID,
  "phase": "starting",
  "started": "2026-11-26T21:00:00Z",
  "uptime_seconds": 90,
  "workers": 2,
  "silent_workers": 1,
  "reloads": {
    "ok": 0,
    "failed": 0,
    "last": null
  },
  "problems": [
    "f:6: listener.key: the key does not belong to the certificate"
  ],
  "listeners": [],
  "certificates": [
    {
      "names": [NAMES],
      "configured": "f:5: listener.certificate",
      "not_after": "END",
      "days_left": DAYS,
      "problems": [],
      "acme": null
    },
    {
      "names": [
        "b.example"
      ],
      "configured": "f:5: listener.certificate",
      "not_after": null,
      "days_left": null,
      "problems": [],
      "acme": {
        "state": "retrying",
        "next": "2026-11-26T21:02:30Z",
        "last_error": {
          "what": "the CA refused the order",
          "at": "2026-11-26T21:01:30Z"
        }
      }
    }
  ],
  "routes": [
    {
      "name": "/gpt/",
      "upstream": "api.openai.com:443",
      "running": 3,
      "oldest_seconds": 12.345
    }
  ],
  "forwards": [
    {
      "name": "a.example",
      "upstream": null,
      "running": 0,
      "oldest_seconds": null
    },
    {
      "name": "*",
      "upstream": "tcp://10.0.0.5:22",
      "running": 0,
      "oldest_seconds": null
    }
  ],
  "upstreams": [
    {
      "name": "api.openai.com:443",
      "connections": {
        "idle": 1,
        "busy": 2,
        "opening": 3
      },
      "last_error": {
        "cause": "upstream_unreachable",
        "at": "2026-11-26T21:01:00Z"
      }
    },
    {
      "name": "tcp://10.0.0.5:22",
      "connections": {
        "idle": 0,
        "busy": 0,
        "opening": 0
      },
      "last_error": null
    }
  ],
  "clients": [
    {
      "name": "alice",
      "expires": "2030-01-01T00:00:00Z",
      "running": 2,
      "oldest_seconds": 3.0
    },
    {
      "name": "bob",
      "expires": null,
      "running": 0,
      "oldest_seconds": null
    }
  ]
}
"#;

    #[test]
    fn the_status_has_the_fields_of_the_manual() {
        let folder = Folder::new();
        folder.write("c.pem", CERTIFICATE);
        folder.write("k.pem", KEY);
        let config = Config::parse("f", &folder.path(""), CONFIGURATION).unwrap();
        let mut snapshot = Snapshot::load(config).unwrap();
        let location = snapshot.certificates[0].location.clone();
        let (names, file) = (vec!["b.example".parse().unwrap()], folder.path("b.pem"));
        let (stand_ins, awaited) = (Vec::new(), names.clone());
        snapshot.managed = vec![ManagedCertificate {
            names,
            file,
            location,
            stored: None,
            is_unreadable: false,
            stand_ins,
            awaited,
        }];
        let snapshot = Arc::new(snapshot);
        let own = &snapshot.certificates[0];
        let names: Vec<_> = own.names.iter().map(|it| format!("\n        \"{it}\"")).collect();
        let names = format!("{}\n      ", names.join(","));
        let end = UNIX_EPOCH + Duration::from_secs(own.not_after.try_into().unwrap());
        let days = end.duration_since(started()).unwrap().as_secs() / 86400;
        let want = WANT
            .replace("PID", &process::id().to_string())
            .replace("NAMES", &names)
            .replace("END", &format_rfc3339_seconds(end).to_string())
            .replace("DAYS", &days.to_string());

        let state = State::new(Arc::clone(&snapshot), Vec::new());
        let mut problems = Problems::default();
        let key = &snapshot.config.listeners[0].certificates[0].key;
        problems.add(&key.location, "the key does not belong to the certificate");
        state.note_unusable_files(problems);
        let next = Some(started() + Duration::from_secs(150));
        let text = "the CA refused the order".to_owned();
        let last_error = Some(OrderError { text, at: started() + Duration::from_secs(90) });
        let standing = Standing { phase: OrderPhase::Retrying, next, last_error };
        state.progress().note(&snapshot.managed[0].file, standing);
        // A reload has asked for another number of workers, which needs a restart.
        let reports = Reports { totals: totals().into(), workers: 2, silent: 1 };
        let now = started() + Duration::from_secs(90);
        let status = Status::of(&state, &reports, ("1.2.3", "0123abc"), started(), now);
        assert_eq!(status.to_json(), want);

        let manual = include_str!("../../../docs/operations.md");
        let fields = want.lines().filter_map(|line| line.trim().split_once("\": "));
        for field in fields.map(|(name, _)| name.trim_start_matches('"')) {
            assert!(manual.contains(&format!("`{field}`")), "{field}");
        }
    }

    fn started() -> SystemTime {
        humantime::parse_rfc3339("2026-11-26T21:00:00Z").unwrap()
    }

    fn totals() -> Totals {
        let mut totals = Totals::default();
        let running = Running { count: 3, oldest: Duration::from_micros(12_345_499) };
        totals.running.insert("/gpt/".into(), running);
        let running = Running { count: 2, oldest: Duration::from_secs(3) };
        totals.clients_running.insert("alice".into(), running);
        let last_failure = Some(("upstream_unreachable", Duration::from_secs(30)));
        let upstream =
            UpstreamReport { idle: 1, busy: 2, opening: 3, last_failure, ..Default::default() };
        totals.upstreams.insert("api.openai.com:443".into(), upstream);
        totals
    }
}
