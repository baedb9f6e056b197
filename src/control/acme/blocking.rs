//! Work with files, on a thread of its own: [`blocking`].

use std::panic::resume_unwind;
use tokio::task::spawn_blocking;

/// Runs `work` on a thread that may block. A panic goes on here.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}
