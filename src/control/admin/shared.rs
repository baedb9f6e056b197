//! Answers that cost time, made once for all who ask at the same time: [`Shared`].

use crate::limits::{REPORT_PAUSE_MAX, REPORT_TIME_SHARE};
use std::rc::Rc;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The last answer.
///
/// An answer is made after it was asked for, so that it shows all that the client knows of. But to
/// make one takes time from the workers: those who ask while one is made get the next one together,
/// and between two there is a pause, so that no number of scrapers slows the relay down.
pub(super) struct Shared<T> {
    /// The lock is held while an answer is made.
    last: Mutex<Option<Made<T>>>,
}

/// An answer that was made.
struct Made<T> {
    answer: Rc<T>,
    begun: Instant,
    next: Instant,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { last: Mutex::new(None) }
    }
}

impl<T> Shared<T> {
    /// What `make` gives, to this caller or to one that asked later.
    pub(super) async fn get<F: Future<Output = T>>(&self, make: impl FnOnce() -> F) -> Rc<T> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(made) = &*last {
            if made.begun > asked {
                return Rc::clone(&made.answer);
            }
            sleep_until(made.next).await;
        }
        let begun = Instant::now();
        let answer = Rc::new(make().await);
        let end = Instant::now();
        let pause = (end - begun) * REPORT_TIME_SHARE;
        let next = end + pause.min(REPORT_PAUSE_MAX);
        *last = Some(Made { answer: Rc::clone(&answer), begun, next });
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;
    use tokio::join;
    use tokio::time::sleep;

    const TAKES: Duration = Duration::from_millis(20);

    /// Asks after `wait`, and gives the number of the answer, and when it came.
    async fn ask(shared: &Shared<u32>, count: &Cell<u32>, wait: Duration) -> (u32, Duration) {
        let begun = Instant::now();
        sleep(wait).await;
        let make = || async {
            sleep(TAKES).await;
            count.set(count.get() + 1);
            count.get()
        };
        (*shared.get(make).await, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_while_an_answer_is_made_get_the_next_one_together() {
        let (shared, count) = (Shared::default(), Cell::new(0));
        let at = |wait| ask(&shared, &count, Duration::from_millis(wait));
        let (first, second, third) = join!(at(0), at(1), at(19));
        assert_eq!(first, (1, TAKES));
        // After a pause, and not made before it was asked for.
        let next = TAKES + TAKES * REPORT_TIME_SHARE + TAKES;
        assert_eq!((second, third), ((2, next), (2, next)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_after_the_pause_is_made_at_once() {
        let (shared, count) = (Shared::default(), Cell::new(0));
        assert_eq!(ask(&shared, &count, Duration::ZERO).await, (1, TAKES));
        let later = TAKES * REPORT_TIME_SHARE;
        assert_eq!(ask(&shared, &count, later).await, (2, later + TAKES));
    }
}
