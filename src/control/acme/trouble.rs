//! What is wrong with the state directory, said once: [`Trouble`].

use crate::telemetry::targets::ACME;

/// The last thing that was said.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<String>);

impl Trouble {
    /// Says what is wrong, unless that was the last thing said.
    pub(super) fn tell(&mut self, what: &str) {
        if self.0.as_deref() != Some(what) {
            tracing::error!(
                target: ACME,
                "no certificate can be ordered: {what}; it is tried again"
            );
            self.0 = Some(what.to_owned());
        }
    }

    /// Says that it is over, if something was wrong.
    pub(super) fn is_over(&mut self) {
        if self.0.take().is_some() {
            tracing::info!(target: ACME, "certificates can be ordered again");
        }
    }
}
