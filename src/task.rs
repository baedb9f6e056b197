//! Tasks that are few or rare: [`spawn`].
//!
//! For each type of future, the runtime compiles its whole machinery of tasks, some 10 KB. Boxed,
//! all of them have one type. A client's connection is no such task: there, neither an allocation
//! nor an indirect call is wasted.

use std::future::Future;
use std::pin::Pin;
use tokio::task::{AbortHandle, spawn_local};

/// Runs `future` as a task of this thread. Must be called inside a local runtime.
pub fn spawn<F: Future + 'static>(future: F) -> AbortHandle {
    spawn_boxed(Box::pin(async { drop(future.await) }))
}

fn spawn_boxed(future: Pin<Box<dyn Future<Output = ()>>>) -> AbortHandle {
    spawn_local(future).abort_handle()
}
