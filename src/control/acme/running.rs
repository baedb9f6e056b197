//! What is being done for certificates, side by side: [`Running`].

use crate::acme::failure::Failure;
use crate::acme::renewal::RenewalInfo;
use crate::control::acme::ordering::Ended;
use crate::limits::ACME_ORDERS_MAX;
use std::future::{Future, pending};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::pin::Pin;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Work that takes long. Dropping it ends it.
pub(super) struct Running(JoinSet<Done>);

/// What has been done for the certificate of this file.
pub(super) struct Done {
    pub(super) file: PathBuf,
    pub(super) what: What,
}

/// What has been done.
pub(super) enum What {
    /// An order that began at this time, when there were so many kinds of challenges.
    Ordered { ended: Ended, begun: Instant, kinds: usize },
    /// The authority was asked when it should be renewed.
    AskedRenewal(Result<Option<RenewalInfo>, Failure>),
}

impl Running {
    pub(super) fn new() -> Self {
        Self(JoinSet::new())
    }

    /// Whether nothing more may be begun.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= ACME_ORDERS_MAX
    }

    /// Begins something. Must be called inside a local runtime.
    pub(super) fn begin(&mut self, file: PathBuf, what: Pin<Box<dyn Future<Output = What>>>) {
        self.0.spawn_local(async move { Done { file, what: what.await } });
    }

    /// What has been done next. A panic in it goes on here.
    pub(super) async fn done(&mut self) -> Done {
        match self.0.join_next().await {
            Some(done) => done.unwrap_or_else(|error| resume_unwind(error.into_panic())),
            None => pending().await,
        }
    }

    /// Ends what is being done.
    pub(super) async fn end(mut self) {
        self.0.shutdown().await;
    }
}
