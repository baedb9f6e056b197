//! The addresses of names, looked up once for all workers and routes: [`Resolver`].
//!
//! There is one lookup at a time for each [`Question`]. It begins when a dial asks and the last one
//! ended more than [`NAME_REFRESH`] ago, or no address is known:
//!
//! - Addresses that are younger than [`NAME_STALE`] are used at once, and the lookup refreshes them
//!   in the background.
//! - Older ones wait for that lookup, once, and are used if it fails or hangs.
//! - Without any, a dial waits.
//!
//! A lookup that hangs keeps one thread, and holds up no other name. Its late answer is kept, also
//! when the dial that caused it has given up.
//!
//! Not here: how long a dial waits, and in which order it tries the addresses (`dial::addresses`).

mod system;
mod threads;

use crate::config::url::Host;
use crate::config::value::Family;
use crate::error::LookupFault;
use crate::limits::{NAME_REFRESH, NAME_STALE, RESOLVER_THREADS_MAX};
use crate::upstream::resolver::threads::Threads;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;
use tokio::time::Instant;

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// A name, or an address with a zone, which only the system can resolve.
    pub name: Arc<str>,
    /// Only addresses of this family are asked for.
    pub family: Family,
}

impl Question {
    /// What has to be looked up to reach `host`.
    ///
    /// # Errors
    /// Nothing: it is this address.
    pub fn about(host: &Host, family: Family) -> Result<Self, IpAddr> {
        match host.address() {
            Ok(address) => Err(address),
            Err(name) => Ok(Self { name: name.into(), family }),
        }
    }
}

/// Addresses in the system's order, without a port.
pub type Addresses = Arc<[SocketAddr]>;

/// What is known of a name at once.
#[derive(Debug)]
pub enum KnownAddresses {
    /// Its addresses.
    Addresses(Addresses),
    /// Nothing to rely on before a lookup has ended.
    Pending {
        /// The addresses when the lookup has ended; none if it failed.
        ended: watch::Receiver<Option<Addresses>>,
        /// When the lookup began.
        since: Instant,
        /// Addresses to use if it fails or takes too long.
        stale: Option<Addresses>,
    },
}

/// What is known of all names.
pub struct Resolver {
    system: Box<dyn System>,
    entries: Mutex<HashMap<Question, NameEntry>>,
}

/// A way to look names up.
pub trait System: Send + Sync {
    /// Begins a lookup. [`Lookup::end`] ends it; one that is dropped has failed.
    fn look_up(&self, lookup: Lookup);
}

#[derive(Debug, Default)]
struct NameEntry {
    found: Option<Resolved>,
    running: Option<Running>,
    /// When the last lookup ended, successfully or not.
    looked_up: Option<Instant>,
    /// Why the last lookup failed, if it did.
    fault: Option<LookupFault>,
}

#[derive(Debug)]
struct Resolved {
    addresses: Addresses,
    at: Instant,
}

#[derive(Debug)]
struct Running {
    since: Instant,
    ended: watch::Receiver<Option<Addresses>>,
}

impl Resolver {
    /// Knows nothing yet, and asks `system`.
    pub fn new(system: Box<dyn System>) -> Self {
        Self { system, entries: Mutex::default() }
    }

    /// The addresses of a name, or what to wait for. Begins a lookup if one is due.
    pub fn ask(self: &Arc<Self>, question: &Question) -> KnownAddresses {
        let mut entries = self.entries();
        let entry = entries.entry(question.clone()).or_default();
        let is_fresh = entry.looked_up.is_some_and(|at| at.elapsed() < NAME_REFRESH);
        let mut begun = None;
        if entry.running.is_none() && !(is_fresh && entry.found.is_some()) {
            let (ending, ended) = watch::channel(None);
            entry.running = Some(Running { since: Instant::now(), ended });
            let (resolver, question) = (Arc::downgrade(self), question.clone());
            begun = Some(Lookup { resolver, question, ending });
        }
        let known = entry.known(is_fresh);
        drop(entries);
        if let Some(lookup) = begun {
            self.system.look_up(lookup);
        }
        known
    }

    /// Forgets all names that `is_used` does not want. A dial that has begun goes on.
    pub fn keep(&self, is_used: impl Fn(&Question) -> bool) {
        self.entries().retain(|question, _| is_used(question));
    }

    /// Why the last lookup found nothing.
    pub fn fault(&self, question: &Question) -> LookupFault {
        let entries = self.entries();
        entries.get(question).and_then(|it| it.fault).unwrap_or(LookupFault::Failed)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Question, NameEntry>> {
        // Nothing in here panics between two states.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Resolver {
    /// Asks the system's resolver, on threads.
    fn default() -> Self {
        let look_up = |it: &Question| system::look_up(&it.name, it.family);
        Self::new(Box::new(Blocking::new(look_up, RESOLVER_THREADS_MAX)))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl NameEntry {
    fn known(&self, is_fresh: bool) -> KnownAddresses {
        let addresses = self.found.as_ref().map(|found| Arc::clone(&found.addresses));
        let is_stale = self.found.as_ref().is_none_or(|found| found.at.elapsed() >= NAME_STALE);
        match (addresses, &self.running) {
            (Some(addresses), None) => KnownAddresses::Addresses(addresses),
            (Some(addresses), Some(_)) if !is_stale || is_fresh => {
                KnownAddresses::Addresses(addresses)
            }
            (stale, Some(Running { since, ended })) => {
                KnownAddresses::Pending { ended: ended.clone(), since: *since, stale }
            }
            // If nothing is known, a lookup has just begun.
            (None, None) => KnownAddresses::Addresses(Arc::new([])),
        }
    }
}

/// A lookup that has begun.
pub struct Lookup {
    resolver: Weak<Resolver>,
    question: Question,
    ending: watch::Sender<Option<Addresses>>,
}

impl Lookup {
    /// What is looked up.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Ends the lookup.
    pub fn end(self, found: Result<&[SocketAddr], LookupFault>) {
        self.note(found);
    }

    fn note(&self, found: Result<&[SocketAddr], LookupFault>) {
        let addresses: Addresses = found.unwrap_or_default().into();
        if let Some(resolver) = self.resolver.upgrade() {
            let mut entries = resolver.entries();
            if let Some(entry) = entries.get_mut(&self.question) {
                let now = Instant::now();
                (entry.running, entry.looked_up) = (None, Some(now));
                entry.fault = found.err();
                // The last good answer stays when a lookup fails.
                if !addresses.is_empty() {
                    entry.found = Some(Resolved { addresses: Arc::clone(&addresses), at: now });
                }
            }
        }
        self.ending.send_replace(Some(addresses));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if self.ending.borrow().is_none() {
            self.note(Err(LookupFault::Failed));
        }
    }
}

/// Looks names up by a function that blocks, each on a thread of its own.
struct Blocking<F> {
    look_up: Arc<F>,
    threads: Threads,
}

impl<F> Blocking<F> {
    fn new(look_up: F, threads_max: usize) -> Self {
        Self { look_up: Arc::new(look_up), threads: Threads::new(threads_max) }
    }
}

impl<F> System for Blocking<F>
where
    F: Fn(&Question) -> Result<Vec<SocketAddr>, LookupFault> + Send + Sync + 'static,
{
    fn look_up(&self, lookup: Lookup) {
        let look_up = Arc::clone(&self.look_up);
        // A lookup that panics, or that no thread can be started for, is dropped: it has failed.
        self.threads.run(Box::new(move || {
            let found = look_up(lookup.question());
            lookup.end(found.as_deref().map_err(|fault| *fault));
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;
    use tokio::time::timeout;

    impl<S: System> System for Arc<S> {
        fn look_up(&self, lookup: Lookup) {
            S::look_up(self, lookup);
        }
    }

    #[tokio::test]
    async fn threads_are_bounded_and_lookups_that_wait_for_one_run_in_the_end() {
        const THREADS_MAX: usize = 2;
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let (begin, ended) = (Mutex::new(begin), Mutex::new(ended));
        let look_up = move |_: &Question| {
            begin.lock().unwrap().send(()).unwrap();
            ended.lock().unwrap().recv().unwrap();
            Ok(vec!["10.0.0.1:0".parse().unwrap()])
        };
        let system = Arc::new(Blocking::new(look_up, THREADS_MAX));
        let resolver = Arc::new(Resolver::new(Box::new(Arc::clone(&system))));
        let mut waits: Vec<_> = (0..3 * THREADS_MAX)
            .map(|number| {
                let question = Question { name: number.to_string().into(), family: Family::Auto };
                let KnownAddresses::Pending { ended, .. } = resolver.ask(&question) else {
                    unreachable!()
                };
                ended
            })
            .collect();
        for _ in 0..THREADS_MAX {
            begun.recv().unwrap();
        }
        assert_eq!(begun.try_recv(), Err(mpsc::TryRecvError::Empty));
        assert_eq!(system.threads.count(), THREADS_MAX);
        for _ in 0..3 * THREADS_MAX {
            end.send(()).unwrap();
        }
        for ended in &mut waits {
            assert_eq!(ended.wait_for(Option::is_some).await.unwrap().as_ref().unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_name_that_is_no_longer_used_is_forgotten_and_its_lookup_ends_for_who_waits() {
        let begun = Arc::new(Begun::default());
        let resolver = Arc::new(Resolver::new(Box::new(Arc::clone(&begun))));
        let [kept, gone] = ["kept", "gone"].map(|name| {
            let question = Question { name: name.into(), family: Family::Auto };
            let KnownAddresses::Pending { ended, .. } = resolver.ask(&question) else {
                unreachable!()
            };
            (question, ended)
        });
        resolver.keep(|question| *question == kept.0);
        let address: SocketAddr = "10.0.0.1:0".parse().unwrap();
        for lookup in begun.0.lock().unwrap().drain(..) {
            lookup.end(Ok(&[address]));
        }
        for (question, mut ended) in [kept, gone] {
            let found = ended.wait_for(Option::is_some).await.unwrap().clone();
            assert_eq!(found.as_deref(), Some(&[address][..]), "{question:?}");
        }
        let known = resolver.entries().keys().map(|it| it.name.to_string()).collect::<Vec<_>>();
        assert_eq!(known, ["kept"]);
    }

    /// Lookups that have begun.
    #[derive(Default)]
    struct Begun(Mutex<Vec<Lookup>>);

    impl System for Begun {
        fn look_up(&self, lookup: Lookup) {
            self.0.lock().unwrap().push(lookup);
        }
    }

    #[tokio::test]
    async fn a_lookup_that_panics_has_failed_and_those_that_wait_for_its_thread_run() {
        let (begin, begun) = mpsc::channel();
        let begun = Mutex::new(begun);
        let look_up = move |question: &Question| {
            begun.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap();
            assert_eq!(&*question.name, "good", "a panic that the test wants");
            Ok(vec!["10.0.0.1:0".parse().unwrap()])
        };
        let resolver = Resolver::new(Box::new(Blocking::new(look_up, 1)));
        let resolver = Arc::new(resolver);
        let [bad, good] = ["bad", "good"].map(|name| {
            let question = Question { name: name.into(), family: Family::Auto };
            let KnownAddresses::Pending { ended, .. } = resolver.ask(&question) else {
                unreachable!()
            };
            ended
        });
        for (mut ended, addresses) in [(bad, 0), (good, 1)] {
            begin.send(()).unwrap();
            let ended =
                timeout(Duration::from_secs(10), ended.wait_for(Option::is_some)).await.unwrap();
            assert_eq!(ended.unwrap().as_ref().unwrap().len(), addresses);
        }
    }
}
