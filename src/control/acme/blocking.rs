//! Work with files, on a thread of its own: [`blocking`].

use crate::task;
use std::panic::resume_unwind;
use std::sync::Arc;

/// Runs `work` on a thread that may block. A panic goes on here.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    task::blocking(work).await.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The same with `held`, which is let go when the work has ended, also if no one waits for it.
pub(super) async fn blocking_with<H: Send + Sync + 'static, T: Send + 'static>(
    held: &Arc<H>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let held = Arc::clone(held);
    blocking(move || {
        let done = work();
        drop(held);
        done
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn what_is_held_is_let_go_when_the_work_ends_and_no_sooner() {
        let (begun, has_begun) = oneshot::channel();
        let (go_on, goes_on) = mpsc::channel();
        let (held, gone) = oneshot::channel::<()>();
        let (held, mut gone) = (Arc::new(held), gone);
        let work = move || {
            let _waits = begun.send(());
            let _told = goes_on.recv();
        };
        tokio::select! {
            () = blocking_with(&held, work) => panic!("it has not been told to go on"),
            _begun = has_begun => {}
        }
        drop(held);
        assert_eq!(gone.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        go_on.send(()).unwrap();
        assert!(gone.await.is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "a bug")]
    async fn a_panic_goes_on_where_the_work_was_asked_for() {
        blocking(|| -> u8 { panic!("a bug") }).await;
    }
}
