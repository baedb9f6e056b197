//! A task that is started again after a panic: [`restarted`].

use crate::limits::ACME_RESTARTED_AFTER;
use crate::task::spawn;
use std::future::Future;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Runs what `start` makes to its end. After a panic, which has been logged, there is a pause, and
/// it is started again. Must be called inside a local runtime.
pub(super) async fn restarted<F: Future + 'static>(start: impl Fn() -> F) {
    loop {
        let (ending, ended) = oneshot::channel();
        let work = start();
        spawn(async move {
            work.await;
            let _gone = ending.send(());
        });
        // A panic drops the other end.
        if ended.await.is_ok() {
            return;
        }
        sleep(ACME_RESTARTED_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::time::Instant;

    #[test]
    fn what_panics_is_started_again_after_a_pause_and_what_ends_is_not() {
        let mut builder = Builder::new_current_thread();
        let builder = builder.enable_time().start_paused(true);
        let runtime = builder.build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let (begun, starts) = (Instant::now(), Rc::new(Cell::new(0)));
            restarted(|| {
                let starts = Rc::clone(&starts);
                async move {
                    starts.set(starts.get() + 1);
                    assert!(starts.get() > 2, "a bug");
                }
            })
            .await;
            assert_eq!((starts.get(), begun.elapsed()), (3, 2 * ACME_RESTARTED_AFTER));
        });
    }
}
