//! The limit of open files. A client connection needs one descriptor, and one more for its
//! upstream.

use crate::limits::DESCRIPTORS_RESERVED;
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

/// How many client connections the limit of open files allows. Each may need a second descriptor
/// for its upstream, and some are reserved for the rest of the process.
pub(super) fn connections_with_room() -> usize {
    room_in(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// Raises the limit, and logs if it allows fewer than `connections`. The workers warn again when
/// they come near it.
pub(super) fn check_descriptors(connections: usize) {
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!(target: SERVER, %error, "cannot raise the limit of open files");
    }
    let room = connections_with_room();
    if room < connections {
        tracing::info!(
            target: SERVER,
            connections = room,
            "the limit of open files has room for fewer connections than limits.connections = \
             {connections}; raise it (LimitNOFILE of systemd) if more are to be expected"
        );
    }
}

/// For how many client connections so many descriptors are enough.
pub(crate) fn room_in(available: u64) -> usize {
    usize::try_from(available.saturating_sub(DESCRIPTORS_RESERVED) / 2).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_two_descriptors_of_those_that_are_not_reserved() {
        for (available, room) in [(0, 0), (DESCRIPTORS_RESERVED + 1, 0), (1024, 480)] {
            assert_eq!(room_in(available), room, "{available}");
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
