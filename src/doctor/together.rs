//! Futures that run at the same time, and results that come in their order: [`in_order`].

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// A future of any kind. One type, because code that waits exists once for each.
pub(super) type Later<T> = Pin<Box<dyn Future<Output = T>>>;

/// Runs all of `futures`, and passes each result on as soon as those before it have been.
pub(super) async fn in_order<T>(
    futures: impl IntoIterator<Item = Later<T>>,
    mut pass_on: impl FnMut(T),
) {
    enum Slot<T> {
        Running(Later<T>),
        Done(T),
    }
    let mut slots: VecDeque<_> = futures.into_iter().map(Slot::Running).collect();
    poll_fn(|cx| {
        for slot in &mut slots {
            if let Slot::Running(future) = slot
                && let Poll::Ready(result) = future.as_mut().poll(cx)
            {
                *slot = Slot::Done(result);
            }
        }
        while let Some(Slot::Done(_)) = slots.front() {
            if let Some(Slot::Done(result)) = slots.pop_front() {
                pass_on(result);
            }
        }
        if slots.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The results of all of `futures`, in their order.
pub(super) async fn all<T>(futures: impl IntoIterator<Item = Later<T>>) -> Vec<T> {
    let mut results = Vec::new();
    in_order(futures, |result| results.push(result)).await;
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    fn after(milliseconds: u64) -> Later<u64> {
        Box::pin(async move {
            sleep(Duration::from_millis(milliseconds)).await;
            milliseconds
        })
    }

    #[tokio::test(start_paused = true)]
    async fn results_come_in_order_and_each_as_soon_as_it_can() {
        let begun = Instant::now();
        let mut came = Vec::new();
        let pass_on = |it| came.push((it, begun.elapsed().as_millis()));
        in_order([after(10), after(30), after(20)], pass_on).await;
        assert_eq!(came, [(10, 10), (30, 30), (20, 30)]);
        assert_eq!(all([after(2), after(1)]).await, [2, 1]);
        assert_eq!(all::<()>([]).await, []);
    }
}
