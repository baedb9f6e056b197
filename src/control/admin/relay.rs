//! The pages of a running relay.

use crate::config::snapshot::Snapshot;
use crate::control::admin::page::{Content, Page, Pages, Rules};
use crate::control::admin::shared::Shared;
use crate::control::admin::status::Status;
use crate::control::reports::Reports;
use crate::control::state::{Phase, State};
use crate::control::workers::Workers;
use crate::gateway::answer::Answer;
use crate::task::blocking;
use crate::telemetry::metrics::{Format, ProcessStats, Reloads, Scrape};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// The version of the program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from, if that is known.
const COMMIT: &str = match option_env!("NARROWS_COMMIT") {
    Some(commit) => commit,
    None => "",
};

/// The pages of a running relay.
pub(in crate::control) struct RelayPages {
    state: Rc<State>,
    workers: Workers,
    reports: Shared<Reports>,
    started: SystemTime,
}

impl RelayPages {
    /// Those of a relay that has just started.
    pub(in crate::control) fn new(state: Rc<State>, workers: Workers) -> Self {
        Self { state, workers, reports: Shared::default(), started: SystemTime::now() }
    }

    async fn reports(&self) -> Rc<Reports> {
        self.reports.get(|| self.workers.reports()).await
    }

    async fn metrics(&self, format: Format) -> Content {
        let reports = self.reports().await;
        let mut process = ProcessStats::read(self.started);
        if process.open_fds.is_none() {
            process.open_fds = blocking(ProcessStats::listed_fds).await.ok().flatten();
        }
        let reloads = self.state.reloads();
        let scrape = Scrape {
            version: VERSION,
            commit: COMMIT,
            totals: Arc::clone(&reports.totals),
            certificates: certificates(&self.state.snapshot()),
            silent_workers: reports.silent,
            unusable_files: self.state.unusable_files().iter().len(),
            awaited: awaited(&self.state.snapshot()),
            orders: self.state.progress().orders(),
            reloads: Reloads { ok: reloads.succeeded, failed: reloads.failed },
            process,
        };
        Content { media_type: format.content_type(), body: scrape.expose(format) }
    }

    async fn status(&self) -> Content {
        let reports = self.reports().await;
        let (build, now) = ((VERSION, COMMIT), SystemTime::now());
        let status = Status::of(&self.state, &reports, build, self.started, now);
        Content { media_type: "application/json", body: status.to_json() }
    }
}

impl Pages for RelayPages {
    fn rules(&self) -> Rules {
        let snapshot = self.state.snapshot();
        Rules { timeouts: Arc::clone(&snapshot.timeouts), head: snapshot.limits.head }
    }

    async fn page(&self, page: Page) -> Result<Content, Answer> {
        match page {
            Page::Live => Ok(text("ok\n")),
            Page::Ready => match self.state.phase() {
                // Who asked here just before the hand-over asked whether the address is served.
                Phase::Ready | Phase::HandedOver => Ok(text("ready\n")),
                Phase::Starting => Err(unready("starting", "Not all listeners accept yet.")),
                Phase::StopDelay | Phase::Draining => {
                    Err(unready("stopping", "The relay is stopping."))
                }
            },
            Page::Metrics(format) => Ok(self.metrics(format).await),
            Page::Status => Ok(self.status().await),
        }
    }
}

/// Until when each name has a certificate: of two for one name, the earlier end.
fn certificates(snapshot: &Snapshot) -> HashMap<Arc<str>, i64> {
    let mut ends = HashMap::new();
    let managed = snapshot.managed.iter().flat_map(|it| it.stored.iter().chain(&it.stand_ins));
    for certificate in snapshot.certificates.iter().chain(managed) {
        for name in &certificate.names {
            let end = ends.entry(name.as_str().into()).or_insert(certificate.not_after);
            *end = certificate.not_after.min(*end);
        }
    }
    ends
}

/// How many names have no certificate yet.
fn awaited(snapshot: &Snapshot) -> usize {
    snapshot.managed.iter().map(|it| it.awaited.len()).sum()
}

fn text(body: &str) -> Content {
    Content { media_type: "text/plain; charset=utf-8", body: body.to_owned() }
}

fn unready(code: &'static str, message: &'static str) -> Answer {
    let fields = "Cache-Control: no-store\r\n";
    let reason = "Service Unavailable";
    Answer { status: 503, reason, code, message, fields, retry_after: None }
}
