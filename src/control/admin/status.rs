//! `/status`: what an operator wants to know of a running relay, as JSON.
//!
//! The names of the fields are an interface: docs/operations.md explains each of them. New ones may
//! be added; none is renamed or removed. Times are RFC 3339, durations are seconds.

use crate::config::snapshot::{Snapshot, UpstreamConfig};
use crate::config::value::Mode;
use crate::control::listeners::Listening;
use crate::control::state::{Phase, State};
use crate::gateway::server_name::ForwardTarget;
use humantime::format_rfc3339_seconds;
use serde::Serialize;
use std::collections::BTreeSet;
use std::process;
use std::time::SystemTime;

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
    listeners: Vec<ListenerStatus>,
    routes: Vec<RouteStatus>,
    forwards: Vec<RouteStatus>,
    upstreams: Vec<UpstreamStatus>,
}

#[derive(Debug, Serialize)]
struct ListenerStatus {
    address: String,
    mode: &'static str,
    tls: bool,
}

/// A route or a forward.
#[derive(Debug, Serialize)]
struct RouteStatus {
    name: String,
    /// `None`: the http listeners.
    upstream: Option<String>,
}

#[derive(Debug, Serialize)]
struct UpstreamStatus {
    name: String,
}

impl Status {
    /// Of a process that was started at `started`.
    pub(super) fn of(state: &State, started: SystemTime, now: SystemTime) -> Self {
        let snapshot = state.snapshot();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("NARROWS_COMMIT").unwrap_or_default(),
            pid: process::id(),
            phase: phase(state.phase()),
            started: format_rfc3339_seconds(started).to_string(),
            uptime_seconds: now.duration_since(started).unwrap_or_default().as_secs(),
            workers: snapshot.workers,
            listeners: state.listening().iter().map(listener).collect(),
            routes: routes(&snapshot),
            forwards: forwards(&snapshot),
            upstreams: upstreams(&snapshot),
        }
    }

    /// The page's text.
    pub(super) fn to_json(&self) -> String {
        // Only a map with keys that are no strings could fail.
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
        Phase::Draining => "draining",
    }
}

fn listener(listening: &Listening) -> ListenerStatus {
    let mode = match listening.listener.mode {
        Mode::Http => "http",
        Mode::Tcp => "tcp",
    };
    let tls = listening.listener.tls.is_some();
    ListenerStatus { address: listening.address().to_string(), mode, tls }
}

fn routes(snapshot: &Snapshot) -> Vec<RouteStatus> {
    let routes = snapshot.routes.iter();
    let routes = routes.map(|it| RouteStatus {
        name: it.name.to_string(),
        upstream: Some(it.upstream.label.to_string()),
    });
    routes.collect()
}

fn forwards(snapshot: &Snapshot) -> Vec<RouteStatus> {
    let forwards = snapshot.forwards.iter();
    let forwards = forwards.map(|it| {
        let upstream = match &it.target {
            ForwardTarget::Http => None,
            ForwardTarget::Upstream(upstream) => Some(upstream.label.to_string()),
        };
        RouteStatus { name: it.name.to_string(), upstream }
    });
    forwards.collect()
}

fn upstreams(snapshot: &Snapshot) -> Vec<UpstreamStatus> {
    let of_routes = snapshot.routes.iter().map(|it| &it.upstream);
    let of_forwards = snapshot.forwards.iter().filter_map(|it| match &it.target {
        ForwardTarget::Http => None,
        ForwardTarget::Upstream(upstream) => Some(upstream),
    });
    let label = |it: &std::sync::Arc<UpstreamConfig>| it.label.to_string();
    let names: BTreeSet<_> = of_routes.chain(of_forwards).map(label).collect();
    names.into_iter().map(|name| UpstreamStatus { name }).collect()
}
