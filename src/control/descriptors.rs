//! The limit of open files. A client connection needs one descriptor, and one more for its
//! upstream, which it has to get whenever a request comes. So no more are admitted than there are
//! pairs of descriptors, less those that the process needs for itself.

use crate::config::snapshot::Snapshot;
use crate::control::error::RunError;
use crate::limits::{
    DESCRIPTORS_OF_REFUSALS, DESCRIPTORS_OWN, DESCRIPTORS_PER_SOCKET, DESCRIPTORS_PER_WORKER,
    DESCRIPTORS_RESERVED, DESCRIPTORS_SPARE,
};
use crate::net::descriptors::spare_from;
use crate::telemetry::targets::SERVER;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Raises the soft limit of open files to the hard one, and returns the new soft limit; `u64::MAX`
/// means that there is none.
///
/// On most systems the soft limit is 1024 because of programs that use `select(2)`. We do not.
///
/// # Errors
/// The kernel refuses, because the hard limit is above `fs.nr_open`. The old limit stays.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}

/// What a process has to keep descriptors for, besides its clients and upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    workers: usize,
    /// Listening sockets, at most.
    sockets: usize,
}

impl Needs {
    /// Those of so many workers that listen on so many addresses.
    pub(crate) fn new(workers: usize, addresses: usize) -> Self {
        Self { workers, sockets: workers * addresses }
    }

    /// Those of `workers`, which may be another number than the snapshot wants.
    fn of(snapshot: &Snapshot, workers: usize) -> Self {
        Self::new(workers, snapshot.listeners.len())
    }

    /// How many there are in all.
    pub(crate) fn reserved(self) -> u64 {
        let [workers, sockets] = [self.workers, self.sockets].map(|it| it as u64);
        let needed = DESCRIPTORS_OWN
            + DESCRIPTORS_SPARE
            + DESCRIPTORS_OF_REFUSALS as u64
            + DESCRIPTORS_PER_WORKER * workers
            + DESCRIPTORS_PER_SOCKET * sockets;
        needed.max(DESCRIPTORS_RESERVED)
    }

    /// For how many client connections so many descriptors are enough.
    pub(crate) fn room_in(self, available: u64) -> usize {
        usize::try_from(available.saturating_sub(self.reserved()) / 2).unwrap_or(usize::MAX)
    }

    /// The lowest number of those that come and go. One for each socket is for a hand-over.
    fn spare_from(self, available: u64) -> u64 {
        available.saturating_sub(DESCRIPTORS_SPARE + self.sockets as u64)
    }
}

/// Raises the limit, reserves what the process needs, and returns how many client connections there
/// is room for. Logs if that is fewer than `connections`. The workers warn again when they come
/// near it.
fn check_descriptors(needs: Needs, connections: usize) -> usize {
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!(target: SERVER, %error, "cannot raise the limit of open files");
    }
    let available = open_files();
    spare_from(needs.spare_from(available));
    let room = needs.room_in(available);
    if room < connections {
        tracing::info!(
            target: SERVER,
            connections = room,
            "the limit of open files has room for fewer connections than limits.connections = \
             {connections}; raise it (LimitNOFILE of systemd) if more are to be expected"
        );
    }
    room
}

/// The same at the start.
///
/// # Errors
/// There is no room for any.
pub(super) fn room_at_start(snapshot: &Snapshot) -> Result<usize, RunError> {
    let needs = Needs::of(snapshot, snapshot.workers);
    match check_descriptors(needs, snapshot.limits.connections) {
        0 => Err(RunError::OpenFiles(open_files(), needs.reserved() + 2)),
        room => Ok(room),
    }
}

/// The same at a reload with so many workers, if `after` may make a difference.
pub(super) fn room_after(before: &Snapshot, after: &Snapshot, workers: usize) -> Option<usize> {
    let what = |it: &Snapshot| (it.limits.connections, it.listeners.len());
    let is_other = what(before) != what(after);
    is_other.then(|| check_descriptors(Needs::of(after, workers), after.limits.connections))
}

/// The limit as it is now.
fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_two_descriptors_of_those_that_are_not_reserved() {
        for (available, room) in [(0, 0), (DESCRIPTORS_RESERVED + 1, 0), (1024, 476)] {
            assert_eq!(Needs::new(2, 2).room_in(available), room, "{available}");
        }
    }

    #[test]
    fn many_workers_and_listeners_reserve_more_and_keep_handles_for_a_hand_over() {
        let needs = Needs::new(32, 4);
        assert_eq!(needs.reserved(), 16 + 24 + 12 + 4 * 32 + 3 * 4 * 32);
        assert_eq!(needs.room_in(1024), 230);
        assert_eq!(needs.spare_from(1024), 1024 - 24 - 4 * 32);
        for available in [needs.reserved() + 1, 1024, 65_536] {
            let own = DESCRIPTORS_OWN + DESCRIPTORS_OF_REFUSALS as u64 + 4 * 32 + 2 * 4 * 32;
            let used = own + 2 * needs.room_in(available) as u64;
            assert!(used <= needs.spare_from(available), "{available}: what is spare stays free");
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_descriptor_limit().unwrap();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(raised, now.current.unwrap_or(u64::MAX));
    }
}
