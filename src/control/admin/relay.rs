//! The pages of a running relay.

use crate::control::admin::exposition::Format;
use crate::control::admin::page::{Content, Page, Pages, Rules};
use crate::control::admin::status::Status;
use crate::control::state::{Phase, State};
use crate::gateway::answer::Answer;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// The pages of a running relay.
pub(in crate::control) struct RelayPages {
    state: Rc<State>,
    started: SystemTime,
}

impl RelayPages {
    /// Those of a relay that has just started.
    pub(in crate::control) fn new(state: Rc<State>) -> Self {
        Self { state, started: SystemTime::now() }
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
                Phase::Draining => Err(unready("stopping", "The relay is stopping.")),
            },
            Page::Metrics(format) => Ok(metrics(format)),
            Page::Status => {
                let status = Status::of(&self.state, self.started, SystemTime::now());
                Ok(Content { media_type: "application/json", body: status.to_json() })
            }
        }
    }
}

/// The metrics in this format.
fn metrics(format: Format) -> Content {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), option_env!("NARROWS_COMMIT"));
    let (name, kind, end) = match format {
        Format::Text => ("narrows_build_info", "gauge", ""),
        Format::OpenMetrics => ("narrows_build", "info", "# EOF\n"),
    };
    let labels = format!("version=\"{version}\",commit=\"{}\"", commit.unwrap_or_default());
    let body = format!(
        "# HELP {name} What runs.\n# TYPE {name} {kind}\nnarrows_build_info{{{labels}}} 1\n{end}"
    );
    Content { media_type: format.media_type(), body }
}

fn text(body: &str) -> Content {
    Content { media_type: "text/plain; charset=utf-8", body: body.to_owned() }
}

fn unready(code: &'static str, message: &'static str) -> Answer {
    let fields = "Cache-Control: no-store\r\n";
    Answer { status: 503, reason: "Service Unavailable", code, message, fields }
}
