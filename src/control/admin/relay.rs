//! The pages of a running relay.

use crate::control::admin::exposition::Format;
use crate::control::admin::page::{Content, Page, Pages, Rules};
use crate::control::admin::status::Status;
use crate::control::state::{Phase, State};
use crate::control::workers::Workers;
use crate::gateway::answer::Answer;
use crate::telemetry::metrics::{self, ProcessStats, Scrape};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// The pages of a running relay.
pub(in crate::control) struct RelayPages {
    state: Rc<State>,
    workers: Workers,
    started: SystemTime,
}

impl RelayPages {
    /// Those of a relay that has just started.
    pub(in crate::control) fn new(state: Rc<State>, workers: Workers) -> Self {
        Self { state, workers, started: SystemTime::now() }
    }

    async fn metrics(&self, format: Format) -> Content {
        let scrape = Scrape {
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("NARROWS_COMMIT").unwrap_or_default(),
            totals: self.workers.reports().await.totals,
            process: ProcessStats::read(self.started),
            ..Scrape::default()
        };
        let media_type = format.media_type();
        let format = match format {
            Format::Text => metrics::Format::Text,
            Format::OpenMetrics => metrics::Format::OpenMetrics,
        };
        Content { media_type, body: scrape.expose(format) }
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
                Phase::Ready => Ok(text("ready\n")),
                Phase::Starting => Err(unready("starting", "Not all listeners accept yet.")),
                Phase::StopDelay | Phase::Draining => {
                    Err(unready("stopping", "The relay is stopping."))
                }
            },
            Page::Metrics(format) => Ok(self.metrics(format).await),
            Page::Status => {
                let status = Status::of(&self.state, self.started, SystemTime::now());
                Ok(Content { media_type: "application/json", body: status.to_json() })
            }
        }
    }
}

fn text(body: &str) -> Content {
    Content { media_type: "text/plain; charset=utf-8", body: body.to_owned() }
}

fn unready(code: &'static str, message: &'static str) -> Answer {
    let fields = "Cache-Control: no-store\r\n";
    Answer { status: 503, reason: "Service Unavailable", code, message, fields }
}
