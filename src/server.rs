//! Placeholder.

use crate::config::snapshot::Snapshot;

/// Why the server stopped other than by request.
#[derive(Debug)]
pub struct RunError;

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not yet built")
    }
}

impl std::error::Error for RunError {}

/// Serves until a signal asks to stop.
///
/// # Errors
///
/// Something failed for good.
pub fn run(_snapshot: Snapshot) -> Result<(), RunError> {
    Err(RunError)
}
