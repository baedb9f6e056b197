//! Which worker serves a connection: [`Balance`].
//!
//! The kernel spreads the clients of an address over the sockets of its workers by a hash, so long
//! streams may be together by chance: of 20 on two workers, 14 or more are on one in every ninth
//! case. So the worker that has accepted a connection passes it to the one with the fewest, if that
//! has clearly fewer. It costs some microseconds, and is rare among many short connections.
//!
//! If there is one socket for several workers, as from systemd, one worker accepts for all of them
//! in this way.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc::Sender;

/// How many connections more than another worker one may have at least, so that a connection which
/// is as good in one place as in the other stays where it is.
const MORE_MIN: usize = 2;
/// Beyond so many connections a worker may have this part more than another. A hash spreads a
/// thousand evenly enough.
const MORE_PART: usize = 8;

/// The workers that one address is served by, as one of them sees it.
#[derive(Clone, Debug)]
pub struct Balance {
    own: Share,
    workers: Vec<Sender<Passed>>,
}

/// One worker's share of the connections of an address.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// How many each worker has.
    counts: Arc<[AtomicUsize]>,
    worker: usize,
}

/// A connection that another worker has accepted.
#[derive(Debug)]
pub struct Passed {
    pub(super) tcp: TcpStream,
    pub(super) peer: SocketAddr,
    /// It counts already, so that a worker that hangs gets no more than its share.
    pub(super) counted: Counted,
}

/// A connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Counted(Share);

impl Balance {
    /// Of each worker, if these are the ways to them.
    pub(super) fn of_all(workers: &[Sender<Passed>]) -> impl Iterator<Item = Self> {
        let counts: Arc<[_]> = workers.iter().map(|_| AtomicUsize::new(0)).collect();
        let share = move |worker| Share { counts: Arc::clone(&counts), worker };
        (0..workers.len()).map(move |own| Self { own: share(own), workers: workers.to_vec() })
    }

    /// What counts the connections of this worker.
    pub(super) fn share(&self) -> &Share {
        &self.own
    }

    /// Which other worker a new connection is better off with.
    pub(super) fn lighter(&self) -> Option<usize> {
        let Share { counts, worker } = &self.own;
        // Relaxed: the counts order nothing, and one that is outdated by a connection is as good.
        let count = |worker: usize| counts[worker].load(Ordering::Relaxed);
        let lightest = (0..counts.len()).min_by_key(|it| count(*it))?;
        let least = count(lightest);
        (count(*worker) >= least + MORE_MIN.max(least / MORE_PART)).then_some(lightest)
    }

    /// Passes a connection to another worker.
    ///
    /// # Errors
    /// That takes no more.
    pub(super) fn pass(
        &self,
        worker: usize,
        tcp: TcpStream,
        peer: SocketAddr,
    ) -> Result<(), TcpStream> {
        let share = Share { counts: Arc::clone(&self.own.counts), worker };
        share.enter();
        let passed = Passed { tcp, peer, counted: Counted(share) };
        self.workers[worker].try_send(passed).map_err(|error| error.into_inner().tcp)
    }
}

impl Share {
    /// Counts a connection.
    pub(super) fn enter(&self) {
        self.counts[self.worker].fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub(super) fn leave(&self) {
        self.counts[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{Receiver, channel};

    fn workers(count: usize) -> (Vec<Balance>, Vec<Receiver<Passed>>) {
        let (senders, receivers): (Vec<_>, _) = (0..count).map(|_| channel(1)).unzip();
        (Balance::of_all(&senders).collect(), receivers)
    }

    #[test]
    fn no_worker_has_three_of_few_connections_more_than_another_wherever_they_are_accepted() {
        for workers_count in [2, 3, 8] {
            let (all, _receivers) = workers(workers_count);
            for number in 0..20_usize {
                // All by the first one, which is the worst that a hash can do.
                let worker = all[0].lighter().unwrap_or(0);
                all[worker].own.enter();
                let counts = all[0].own.counts.iter().map(|it| it.load(Ordering::Relaxed));
                let (least, most) = (counts.clone().min().unwrap(), counts.max().unwrap());
                assert!(most - least <= MORE_MIN, "{number}: {least} and {most}");
            }
        }
    }

    #[test]
    fn a_thousand_connections_as_a_hash_spreads_them_stay_where_they_are() {
        let (all, _receivers) = workers(2);
        (0..1050).for_each(|number| all[usize::from(number >= 550)].own.enter());
        assert_eq!(all[0].lighter(), None, "550 and 500");
        (0..100).for_each(|_| all[0].own.enter());
        assert_eq!(all[0].lighter(), Some(1));
    }

    #[test]
    fn a_connection_counts_on_its_way_and_until_it_ends() {
        let (all, mut receivers) = workers(2);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let connect = || TcpStream::connect(address).unwrap();
        (0..3).for_each(|_| all[0].own.enter());
        all[0].pass(1, connect(), address).unwrap();
        let load = |worker: usize| all[0].own.counts[worker].load(Ordering::Relaxed);
        assert_eq!((load(0), load(1)), (3, 1));
        assert!(all[0].pass(1, connect(), address).is_err(), "it has no room");
        assert_eq!(load(1), 1, "what was not passed does not count");
        let Passed { counted, .. } = receivers[1].try_recv().unwrap();
        assert_eq!(load(1), 1);
        drop(counted);
        assert_eq!(load(1), 0);
        receivers.clear();
        assert!(all[0].pass(1, connect(), address).is_err(), "it has ended");
    }
}
