//! What the admin listener serves: [`Page`], what one looks like ([`Content`]), and who has them
//! ([`Pages`]).

use crate::gateway::answer::Answer;
use crate::h1::limits::HeadLimits;
use crate::telemetry::metrics::Format;
use crate::timeouts::Timeouts;
use std::sync::Arc;

/// A page, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Page {
    /// `/livez`: the process is alive.
    Live,
    /// `/readyz`: all listeners accept, and no stop has begun.
    Ready,
    /// `/metrics`, in the form that the client prefers.
    Metrics(Format),
    /// `/status`: what an operator wants to know, as JSON.
    Status,
}

/// A page that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Content {
    /// The value of Content-Type.
    pub(in crate::control) media_type: &'static str,
    /// The bytes.
    pub(in crate::control) body: String,
}

/// The limits of the current configuration, which the clients of all listeners share.
#[derive(Clone, Debug)]
pub(in crate::control) struct Rules {
    pub(in crate::control) timeouts: Arc<Timeouts>,
    pub(in crate::control) head: HeadLimits,
}

/// Who makes the pages.
pub(in crate::control) trait Pages {
    /// The limits for the next request.
    fn rules(&self) -> Rules;

    /// Makes a page, or says why there is none now.
    fn page(&self, page: Page) -> impl Future<Output = Result<Content, Answer>>;
}
