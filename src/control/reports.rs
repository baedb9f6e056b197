//! The counters of all workers: [`Reporting`] asks each worker for its own, and adds them up.

use crate::limits::{REPORT_MAX, REPORTS_ASKED_MAX};
use crate::telemetry::metrics::Totals;
use crate::worker::{Command, ReportRequest};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
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

/// What is remembered from one report to the next.
#[derive(Clone, Debug)]
pub(super) struct Reporting(Rc<RefCell<Remembered>>);

#[derive(Debug)]
struct Remembered {
    workers: Vec<Reporter>,
    /// How often all were asked.
    rounds: u64,
    /// What workers have counted by names that they have forgotten, and another one has not.
    forgotten: Totals,
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
        let workers = (0..workers).map(|_| Reporter::default()).collect();
        let (rounds, forgotten) = Default::default();
        Self(Rc::new(RefCell::new(Remembered { workers, rounds, forgotten })))
    }

    /// Asks all workers, and waits for [`REPORT_MAX`] at most.
    pub(super) async fn ask(&self, workers: &[UnboundedSender<Command>]) -> Reports {
        let (round, mut answers) = self.0.borrow_mut().begin(workers);
        let mut silent = vec![true; workers.len()];
        let answered = async {
            while let Some((worker, totals)) = answers.recv().await {
                self.0.borrow_mut().take(worker, round, totals);
                silent[worker] = false;
            }
        };
        let _late = timeout(REPORT_MAX, answered).await;
        let totals = self.0.borrow_mut().sum(&silent);
        let (workers, silent) = (silent.len(), silent.into_iter().filter(|it| *it).count());
        Reports { totals: Arc::new(totals), workers, silent }
    }
}

impl Remembered {
    /// Asks all workers, in a round of its own. The receiver gets their numbers and answers.
    fn begin(
        &mut self,
        workers: &[UnboundedSender<Command>],
    ) -> (u64, UnboundedReceiver<(usize, Totals)>) {
        let (reports, answers) = unbounded_channel();
        self.rounds += 1;
        for (worker, (commands, reporter)) in workers.iter().zip(&self.workers).enumerate() {
            // One that hangs is not asked for ever more.
            if Arc::strong_count(&reporter.asked) <= REPORTS_ASKED_MAX {
                let (reports, asked) = (reports.clone(), Arc::clone(&reporter.asked));
                let _ended =
                    commands.send(Command::Report(ReportRequest { worker, reports, asked }));
            }
        }
        (self.rounds, answers)
    }

    /// Takes the answer of a worker. That of a later round may have been taken already.
    fn take(&mut self, worker: usize, round: u64, totals: Totals) {
        let Some(reporter) = self.workers.get_mut(worker) else { return };
        if round > reporter.round {
            self.forgotten.add_forgotten(&reporter.last, &totals);
            (reporter.round, reporter.last) = (round, totals);
        }
    }

    /// What all workers have counted.
    ///
    /// A worker forgets a name that a reload has removed once it uses it no more. As long as
    /// another one uses it, the sum does not go back.
    fn sum(&mut self, silent: &[bool]) -> Totals {
        for (reporter, silent) in self.workers.iter_mut().zip(silent) {
            // One that no longer has the request and has not answered has ended.
            if *silent && Arc::strong_count(&reporter.asked) == 1 {
                reporter.last.nothing_runs();
            }
        }
        let last = self.workers.iter().map(|it| &it.last);
        self.forgotten.keep_names_of(last.clone());
        Totals::of(last.chain([&self.forgotten]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{RouteReport, Running};
    use std::future::poll_fn;
    use std::task::Poll;
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

    #[tokio::test(start_paused = true)]
    async fn a_sum_does_not_go_back_when_one_of_two_workers_forgets_a_name() {
        let (mut workers, senders) = workers();
        let reporting = Reporting::new(2);
        let report = |repeats: u64| {
            let route = RouteReport { repeats, ..RouteReport::default() };
            Totals { routes: [("/".into(), route)].into(), ..Totals::default() }
        };
        let none = Totals::default;
        for (first, second, want) in [
            (report(3), report(4), Some(7)),
            (report(3), none(), Some(7)),
            // Back, with a new counter.
            (report(5), report(1), Some(10)),
            (none(), report(2), Some(11)),
            (none(), none(), None),
            (report(1), none(), Some(1)),
        ] {
            let (reports, ()) = tokio::join!(reporting.ask(&senders), async {
                answer_with(&mut workers[0], first).await;
                answer_with(&mut workers[1], second).await;
            });
            assert_eq!(reports.totals.routes.get("/").map(|it| it.repeats), want);
        }
    }

    fn workers() -> (Vec<UnboundedReceiver<Command>>, Vec<UnboundedSender<Command>>) {
        let pairs = [unbounded_channel(), unbounded_channel()];
        pairs.into_iter().map(|(sender, receiver)| (receiver, sender)).unzip()
    }

    async fn answer(worker: &mut UnboundedReceiver<Command>, refused: u64) {
        let running = Running { count: 1, ..Running::default() };
        let (refused, running) =
            ([("connections", refused)].into(), [("/".into(), running)].into());
        answer_with(worker, Totals { refused, running, ..Totals::default() }).await;
    }

    async fn answer_with(worker: &mut UnboundedReceiver<Command>, totals: Totals) {
        yield_now().await;
        let Some(Command::Report(request)) = worker.recv().await else { panic!("not asked") };
        request.reports.send((request.worker, totals)).unwrap();
    }

    fn refused(reports: &Reports) -> u64 {
        reports.totals.refused["connections"]
    }
}
