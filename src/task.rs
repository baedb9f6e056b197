//! Tasks that are few or rare: [`spawn`] on this thread, [`blocking`] on one that may block.
//!
//! For each type of future or work, the runtime compiles its whole machinery of tasks, some 10 KB.
//! Boxed, all of them have one type. A client's connection is no such task: there, neither an
//! allocation nor an indirect call is wasted.

use std::any::Any;
use std::future::{Future, pending};
use std::pin::Pin;
use std::thread;
use tokio::task::{AbortHandle, JoinError, spawn_blocking, spawn_local};

/// Runs `future` as a task of this thread. Must be called inside a local runtime.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> AbortHandle {
    spawn_boxed(Box::pin(future))
}

/// Runs `work` on a thread that may block. It begins at the first poll, and goes on if this future
/// is dropped. A panic in it, which has been logged, is the error.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> thread::Result<T> {
    let result = blocking_boxed(Box::new(|| Box::new(work()))).await?;
    // It is the one of this work.
    result.downcast().map(|result| *result)
}

/// What any work returns.
type AnyResult = Box<dyn Any + Send>;

fn spawn_boxed(future: Pin<Box<dyn Future<Output = ()>>>) -> AbortHandle {
    spawn_local(future).abort_handle()
}

async fn blocking_boxed(work: Box<dyn FnOnce() -> AnyResult + Send>) -> thread::Result<AnyResult> {
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(result) => Ok(result),
        Err(Ok(panic)) => Err(panic),
        // The runtime ends, and this task with it.
        Err(Err(_cancelled)) => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_on_another_thread_and_its_result_comes_back() {
        let here = thread::current().id();
        assert_ne!(blocking(|| thread::current().id()).await.unwrap(), here);
        assert_eq!(blocking(|| "text".to_owned()).await.unwrap(), "text");
    }

    #[tokio::test]
    async fn a_panic_of_the_work_is_its_error() {
        let panic = blocking(|| -> u8 { panic!("a bug") }).await.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"a bug"));
    }
}
