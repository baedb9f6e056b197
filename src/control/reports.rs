//! The counters of all workers: [`Reporting`] asks each worker for its own, and adds them up.

use crate::limits::{REPORT_MAX, REPORTS_ASKED_MAX};
use crate::telemetry::metrics::Totals;
use crate::worker::{Command, ReportRequest};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// What the workers have counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reports {
    /// The sums. Of a worker that has not answered they have its last report, so that no counter
    /// goes back.
    pub(super) totals: Arc<Totals>,
    /// How many workers there are.
    pub(super) workers: usize,
    /// How many of them have not answered.
    pub(super) silent: usize,
}

/// What is remembered of each worker from one report to the next.
#[derive(Clone, Debug)]
pub(super) struct Reporting {
    reporters: Rc<RefCell<Vec<Reporter>>>,
    /// How often all were asked.
    rounds: Rc<Cell<u64>>,
}

#[derive(Debug, Default)]
struct Reporter {
    last: Totals,
    /// The round that `last` answers.
    round: u64,
    /// Each request that the worker has not answered yet has a copy.
    asked: Arc<()>,
}

impl Reporting {
    /// Of so many workers.
    pub(super) fn new(workers: usize) -> Self {
        let reporters = (0..workers).map(|_| Reporter::default()).collect();
        Self { reporters: Rc::new(RefCell::new(reporters)), rounds: Rc::default() }
    }

    /// Asks all workers, and waits for [`REPORT_MAX`] at most.
    pub(super) async fn ask(&self, workers: &[UnboundedSender<Command>]) -> Reports {
        let (reports, mut answers) = unbounded_channel();
        let round = self.rounds.get() + 1;
        self.rounds.set(round);
        let asked = self.reporters.borrow();
        for (worker, (commands, reporter)) in workers.iter().zip(&*asked).enumerate() {
            // One that hangs is not asked for ever more.
            if Arc::strong_count(&reporter.asked) <= REPORTS_ASKED_MAX {
                let (reports, asked) = (reports.clone(), Arc::clone(&reporter.asked));
                let _ended =
                    commands.send(Command::Report(ReportRequest { worker, reports, asked }));
            }
        }
        drop((reports, asked));
        let mut silent = vec![true; workers.len()];
        let answered = async {
            while let Some((worker, totals)) = answers.recv().await {
                if let Some(reporter) = self.reporters.borrow_mut().get_mut(worker) {
                    reporter.take(round, totals);
                    silent[worker] = false;
                }
            }
        };
        let _late = timeout(REPORT_MAX, answered).await;
        let reporters = &mut *self.reporters.borrow_mut();
        for (reporter, silent) in reporters.iter_mut().zip(&silent) {
            // One that no longer has the request and has not answered has ended.
            if *silent && Arc::strong_count(&reporter.asked) == 1 {
                reporter.last.nothing_runs();
            }
        }
        let totals = Totals::of(reporters.iter().map(|reporter| &reporter.last));
        let (workers, silent) = (silent.len(), silent.into_iter().filter(|it| *it).count());
        Reports { totals: Arc::new(totals), workers, silent }
    }
}

impl Reporter {
    /// Takes the answer of a round. That of a later one may have been taken already.
    fn take(&mut self, round: u64, totals: Totals) {
        if round > self.round {
            (self.round, self.last) = (round, totals);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Running;
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::sync::mpsc::UnboundedReceiver;
    use tokio::task::yield_now;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_answer_counts_with_its_last_report_after_a_limit_of_time() {
        let (mut workers, senders) = workers();
        let reporting = Reporting::new(2);
        let (reports, ()) = tokio::join!(reporting.ask(&senders), async {
            answer(&mut workers[0], 3).await;
            answer(&mut workers[1], 4).await;
        });
        assert_eq!((refused(&reports), reports.workers, reports.silent), (7, 2, 0));

        let begun = Instant::now();
        let (reports, ()) = tokio::join!(reporting.ask(&senders), answer(&mut workers[0], 5));
        assert_eq!((refused(&reports), reports.silent), (9, 1));
        assert_eq!(reports.totals.all_running().count, 2);
        assert_eq!(begun.elapsed(), REPORT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_has_ended_is_not_waited_for_and_still_counts_but_nothing_runs_on_it() {
        let (mut workers, senders) = workers();
        let reporting = Reporting::new(2);
        let (_, ()) = tokio::join!(reporting.ask(&senders), async {
            answer(&mut workers[0], 3).await;
            answer(&mut workers[1], 4).await;
        });
        drop(workers.remove(1));
        let begun = Instant::now();
        let (reports, ()) = tokio::join!(reporting.ask(&senders), answer(&mut workers[0], 5));
        assert_eq!((refused(&reports), reports.silent), (9, 1));
        assert_eq!(reports.totals.all_running().count, 1);
        assert_eq!(begun.elapsed().as_nanos(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_hangs_is_asked_a_few_times_and_again_when_it_answers() {
        let (mut workers, senders) = workers();
        let reporting = Reporting::new(2);
        for _ in 0..2 * REPORTS_ASKED_MAX {
            assert_eq!(reporting.ask(&senders).await.silent, 2);
        }
        assert_eq!(workers[0].len(), REPORTS_ASKED_MAX);
        while workers[0].try_recv().is_ok() {}
        let (reports, ()) = tokio::join!(reporting.ask(&senders), answer(&mut workers[0], 5));
        assert_eq!((refused(&reports), reports.silent), (5, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_an_earlier_question_does_not_replace_a_later_one() {
        let (mut workers, senders) = workers();
        let reporting = Reporting::new(2);
        // Both wait for the second worker, and the first to be asked is the last to look.
        let mut first = Box::pin(reporting.ask(&senders));
        let asked = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending()));
        assert!(asked.await);
        let (second, ()) = tokio::join!(reporting.ask(&senders), async {
            answer(&mut workers[0], 3).await;
            answer(&mut workers[0], 4).await;
        });
        assert_eq!(refused(&second), 4);
        assert_eq!(refused(&first.await), 4);
    }

    fn workers() -> (Vec<UnboundedReceiver<Command>>, Vec<UnboundedSender<Command>>) {
        let pairs = [unbounded_channel(), unbounded_channel()];
        pairs.into_iter().map(|(sender, receiver)| (receiver, sender)).unzip()
    }

    async fn answer(worker: &mut UnboundedReceiver<Command>, refused: u64) {
        yield_now().await;
        let Some(Command::Report(request)) = worker.recv().await else { panic!("not asked") };
        let running = Running { count: 1, ..Running::default() };
        let (refused, running) =
            ([("connections", refused)].into(), [("/".into(), running)].into());
        let totals = Totals { refused, running, ..Totals::default() };
        request.reports.send((request.worker, totals)).unwrap();
    }

    fn refused(reports: &Reports) -> u64 {
        reports.totals.refused["connections"]
    }
}
