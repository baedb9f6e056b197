//! New ids for exchanges: unique in practice across threads and restarts, and not to be guessed, so
//! that no one can ask an operator about an exchange that is not their own.

use crate::gateway::request_id::RequestId;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    /// A key that the system chose at random, and how many ids it has made.
    static IDS: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

/// The next id: its number, hashed under that key.
pub(super) fn new_request_id() -> RequestId {
    let next = |(key, count): &(RandomState, Cell<u64>)| {
        count.set(count.get().wrapping_add(1));
        RequestId::new(key.hash_one(count.get()))
    };
    // The thread may be ending: another key then.
    IDS.try_with(next).unwrap_or_else(|_| next(&(RandomState::new(), Cell::new(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread;

    #[test]
    fn no_two_exchanges_have_the_same_id_on_whichever_threads() {
        let made = || (0..1000).map(|_| new_request_id().digits()).collect::<Vec<_>>();
        let threads = [(); 4].map(|()| thread::spawn(made));
        let all: Vec<_> = threads.into_iter().flat_map(|it| it.join().unwrap()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }
}
