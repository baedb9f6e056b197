//! The addresses of names, looked up once for all workers and routes.
//!
//! The lookup is the system's (getaddrinfo), so `/etc/hosts`, search domains and local resolvers
//! work as everywhere. It blocks, and nothing can stop it: each is a thread of its own, which runs
//! on when whoever wanted it has given up, and whose late answer is kept. There is one at a time
//! for each [`Question`], so that a name whose lookup hangs keeps one thread, and the others go on.
//!
//! Not here: how long anybody waits, and in which order addresses are tried (`resolve`).

use crate::config::value::Family;
use crate::error::LookupFault;
use crate::limits::{NAME_REFRESH, NAME_STALE, RESOLVER_THREADS_MAX};
use dns_lookup::{AddrFamily, AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use tokio::sync::watch;
use tokio::time::Instant;

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// A name, or an address with a zone, which is a name of the system's.
    pub name: Arc<str>,
    /// Only addresses of this family are asked for.
    pub family: Family,
}

/// What is known of all names.
pub struct Resolver {
    system: Box<dyn System>,
    entries: Mutex<HashMap<Question, Entry>>,
}

/// A way to look names up.
pub trait System: Send + Sync {
    /// Begins a lookup, whose end is told by [`Pending::end`]; one that is dropped has failed.
    fn look_up(&self, pending: Pending);
}

#[derive(Debug, Default)]
struct Entry {
    known: Option<Known>,
    /// A lookup is under way.
    running: Option<Running>,
    /// When the last lookup ended, well or not.
    looked: Option<Instant>,
    /// Why the last lookup found nothing, if it did not.
    fault: Option<LookupFault>,
}

#[derive(Debug)]
struct Known {
    addresses: Addresses,
    at: Instant,
}

#[derive(Debug)]
struct Running {
    since: Instant,
    ended: watch::Receiver<Option<Addresses>>,
}

/// Addresses in the system's order, without a port.
pub type Addresses = Arc<[SocketAddr]>;

/// What there is to say about a name at once.
#[derive(Debug)]
pub enum Told {
    /// These are its addresses.
    Known(Addresses),
    /// A lookup is under way that has to be waited for; these are old.
    Wait {
        /// Says the addresses when the lookup has ended: none when it failed.
        ended: watch::Receiver<Option<Addresses>>,
        /// When the lookup began.
        since: Instant,
        /// Addresses that are too old to be relied on before it has.
        old: Option<Addresses>,
    },
}

impl Resolver {
    /// Knows nothing yet, and asks `system`.
    pub fn new(system: Box<dyn System>) -> Self {
        Self { system, entries: Mutex::default() }
    }

    /// The addresses of a name, or what to wait for. Begins a lookup when it is time for one.
    pub fn ask(self: &Arc<Self>, question: &Question) -> Told {
        let mut entries = self.entries();
        let entry = entries.entry(question.clone()).or_default();
        let looked_lately = entry.looked.is_some_and(|looked| looked.elapsed() < NAME_REFRESH);
        let mut begun = None;
        if entry.running.is_none() && !(looked_lately && entry.known.is_some()) {
            let (ending, ended) = watch::channel(None);
            entry.running = Some(Running { since: Instant::now(), ended });
            let (resolver, question) = (Arc::downgrade(self), question.clone());
            begun = Some(Pending { resolver, question, ending });
        }
        let told = entry.told(looked_lately);
        drop(entries);
        if let Some(pending) = begun {
            self.system.look_up(pending);
        }
        told
    }

    /// Why the last lookup found nothing.
    pub fn fault(&self, question: &Question) -> LookupFault {
        let entries = self.entries();
        entries.get(question).and_then(|it| it.fault).unwrap_or(LookupFault::Failed)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Question, Entry>> {
        // Nothing in here panics between two states.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(Box::new(Threads::new(Arc::new(system_lookup), RESOLVER_THREADS_MAX)))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Entry {
    fn told(&self, looked_lately: bool) -> Told {
        let known = self.known.as_ref().map(|known| Arc::clone(&known.addresses));
        let is_stale = self.known.as_ref().is_none_or(|known| known.at.elapsed() >= NAME_STALE);
        match (known, &self.running) {
            (Some(known), None) => Told::Known(known),
            (Some(known), Some(_)) if !is_stale || looked_lately => Told::Known(known),
            (old, Some(Running { since, ended })) => {
                Told::Wait { ended: ended.clone(), since: *since, old }
            }
            // Where nothing is known, a lookup has just begun.
            (None, None) => Told::Known(Arc::new([])),
        }
    }
}

/// A lookup under way.
pub struct Pending {
    resolver: Weak<Resolver>,
    question: Question,
    ending: watch::Sender<Option<Addresses>>,
}

impl Pending {
    /// What is looked up.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// The lookup has ended.
    pub fn end(self, found: Result<&[SocketAddr], LookupFault>) {
        self.note(found);
    }

    fn note(&self, found: Result<&[SocketAddr], LookupFault>) {
        let addresses: Addresses = found.unwrap_or_default().into();
        if let Some(resolver) = self.resolver.upgrade() {
            let mut entries = resolver.entries();
            if let Some(entry) = entries.get_mut(&self.question) {
                let now = Instant::now();
                (entry.running, entry.looked) = (None, Some(now));
                entry.fault = found.err();
                // The last good answer stays when a lookup fails.
                if !addresses.is_empty() {
                    entry.known = Some(Known { addresses: Arc::clone(&addresses), at: now });
                }
            }
        }
        self.ending.send_replace(Some(addresses));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.ending.borrow().is_none() {
            self.note(Err(LookupFault::Failed));
        }
    }
}

/// Lookups that block, on threads that end with them. Beyond `threads_max` they wait for one that
/// ends; there are no more of them than names in the configuration.
struct Threads {
    look_up: Arc<Blocking>,
    threads_max: usize,
    work: Arc<Mutex<Work>>,
}

type Blocking = dyn Fn(&Question) -> Result<Vec<SocketAddr>, LookupFault> + Send + Sync;

#[derive(Default)]
struct Work {
    threads: usize,
    waiting: VecDeque<Pending>,
}

impl Threads {
    fn new(look_up: Arc<Blocking>, threads_max: usize) -> Self {
        Self { look_up, threads_max, work: Arc::default() }
    }
}

impl System for Threads {
    fn look_up(&self, pending: Pending) {
        let mut work = lock(&self.work);
        if work.threads >= self.threads_max {
            work.waiting.push_back(pending);
            return;
        }
        work.threads += 1;
        drop(work);
        let mut seat = Seat { work: Arc::clone(&self.work), is_counted: true };
        let look_up = Arc::clone(&self.look_up);
        let body = move || {
            let mut next = Some(pending);
            while let Some(pending) = next {
                // A panic must not leave those without a thread that wait for this one.
                let found = catch_unwind(AssertUnwindSafe(|| look_up(pending.question())));
                let found = found.unwrap_or(Err(LookupFault::Failed));
                pending.end(found.as_deref().map_err(|fault| *fault));
                next = seat.next();
            }
        };
        // Without a thread the lookup has failed: it was moved into the closure, and is dropped.
        let _ = thread::Builder::new().name("narrows-names".to_owned()).spawn(body);
    }
}

/// A thread for lookups, counted until nothing waits for it, or it could not be had.
struct Seat {
    work: Arc<Mutex<Work>>,
    is_counted: bool,
}

impl Seat {
    /// What waits for a thread. Without any this one is counted no more, in the same moment: what
    /// comes after that has to begin one of its own.
    fn next(&mut self) -> Option<Pending> {
        let mut work = lock(&self.work);
        let next = work.waiting.pop_front();
        if next.is_none() {
            work.threads -= 1;
            self.is_counted = false;
        }
        next
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_counted {
            lock(&self.work).threads -= 1;
        }
    }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blocks. Of one family alone, no record of the other is asked for, or waited for.
fn system_lookup(question: &Question) -> Result<Vec<SocketAddr>, LookupFault> {
    let address = match question.family {
        Family::Auto => 0,
        Family::V4 => AddrFamily::Inet.into(),
        Family::V6 => AddrFamily::Inet6.into(),
    };
    let socktype = SockType::Stream.into();
    let hints = AddrInfoHints { address, socktype, ..AddrInfoHints::default() };
    match getaddrinfo(Some(&question.name), None, Some(hints)) {
        Ok(found) => Ok(found.filter_map(|it| Some(it.ok()?.sockaddr)).collect()),
        Err(error) => Err(match (error.kind(), error.error_num()) {
            (LookupErrorKind::NoName, _) => LookupFault::Unknown,
            (LookupErrorKind::NoData, _) | (_, EAI_ADDRFAMILY) => LookupFault::NoAddress,
            (LookupErrorKind::Again, _) => LookupFault::Unavailable,
            _ => LookupFault::Failed,
        }),
    }
}

/// The name has addresses, and none of this family (glibc).
const EAI_ADDRFAMILY: i32 = -9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::url::Endpoint;
    use crate::error::{Cause, ExchangeError};
    use crate::timeouts::{Timeouts, Timer};
    use crate::upstream::dial::resolve::Names;
    use std::net::ToSocketAddrs;
    use std::sync::mpsc;
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    /// A resolver whose lookups end when the test wants them to.
    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<Vec<Pending>>>);

    impl System for Fake {
        fn look_up(&self, pending: Pending) {
            self.0.lock().unwrap().push(pending);
        }
    }

    impl Fake {
        fn resolver(&self) -> Arc<Resolver> {
            Arc::new(Resolver::new(Box::new(self.clone())))
        }

        /// The names whose lookups are under way.
        fn running(&self) -> Vec<String> {
            self.0.lock().unwrap().iter().map(|it| it.question().name.to_string()).collect()
        }

        fn end(&self, addresses: &[&str]) {
            let addresses: Vec<_> = addresses.iter().map(|it| it.parse().unwrap()).collect();
            let found =
                if addresses.is_empty() { Err(LookupFault::Failed) } else { Ok(&*addresses) };
            self.0.lock().unwrap().remove(0).end(found);
        }
    }

    fn names(resolver: &Arc<Resolver>, endpoint: &str, family: Family) -> Names {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        Names::new(&endpoint, family, Arc::new(Timeouts::default()), resolver)
    }

    /// What is said of a name that is looked up for so long, and how long that took.
    async fn ask(
        fake: &Fake,
        names: &Names,
        lasts: Duration,
        found: &[&str],
    ) -> (Result<Vec<SocketAddr>, ExchangeError>, Duration) {
        let begun = Instant::now();
        let asked = async { (names.addresses().await, begun.elapsed()) };
        let ended = async {
            sleep(lasts).await;
            fake.end(found);
        };
        tokio::join!(asked, ended).0
    }

    fn addresses(texts: &[&str]) -> Result<Vec<SocketAddr>, ExchangeError> {
        Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    const SECOND: Duration = Duration::from_secs(1);
    const EXPIRED: ExchangeError = ExchangeError::upstream(Cause::Timeout(Timer::Lookup));

    #[tokio::test(start_paused = true)]
    async fn a_second_nameserver_has_the_time_to_answer() {
        let fake = Fake::default();
        let names = names(&fake.resolver(), "a.example:443", Family::Auto);
        let late = Duration::from_millis(5010);
        let (told, took) = ask(&fake, &names, late, &["10.0.0.1:0"]).await;
        assert_eq!((told, took), (addresses(&["10.0.0.1:443"]), late));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_after_its_request_has_given_up_is_kept() {
        let fake = Fake::default();
        let names = names(&fake.resolver(), "a.example:443", Family::Auto);
        let (told, took) = ask(&fake, &names, 15 * SECOND, &["10.0.0.1:0"]).await;
        assert_eq!((told, took), (Err(EXPIRED), 10 * SECOND));
        assert_eq!(names.addresses().await, addresses(&["10.0.0.1:443"]));
        assert!(fake.running().is_empty(), "without another lookup");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_hangs_is_the_only_one_of_its_name_and_others_go_on() {
        let fake = Fake::default();
        let resolver = fake.resolver();
        // Each worker and route has its own.
        let hanging = [(); 20].map(|()| names(&resolver, "hangs.example:443", Family::Auto));
        for names in &hanging {
            assert_eq!(names.addresses().await, Err(EXPIRED));
        }
        assert_eq!(fake.running(), ["hangs.example"]);
        let other = names(&resolver, "other.example:80", Family::Auto);
        tokio::join!(
            async { assert_eq!(other.addresses().await, addresses(&["10.0.0.2:80"])) },
            async {
                sleep(SECOND).await;
                let other = fake.0.lock().unwrap().pop().unwrap();
                other.end(Ok(&["10.0.0.2:0".parse().unwrap()]));
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_worker_has_learned_the_others_know() {
        let fake = Fake::default();
        let resolver = fake.resolver();
        let [one, other] = [(); 2].map(|()| names(&resolver, "a.example:443", Family::Auto));
        let (told, _) = ask(&fake, &one, SECOND, &["10.0.0.1:0", "[2001:db8::1]:0"]).await;
        assert_eq!(told, addresses(&["10.0.0.1:443", "[2001:db8::1]:443"]));
        assert_eq!(other.addresses().await, told);
        let another_port = names(&resolver, "a.example:80", Family::Auto);
        assert_eq!(another_port.addresses().await.unwrap()[0].port(), 80);
        assert!(fake.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_refreshed_behind_requests_and_old_ones_serve_when_that_fails() {
        let fake = Fake::default();
        let names = names(&fake.resolver(), "a.example:443", Family::Auto);
        ask(&fake, &names, SECOND, &["10.0.0.1:0"]).await.0.unwrap();
        sleep(NAME_REFRESH).await;
        let begun = Instant::now();
        let old = addresses(&["10.0.0.1:443"]);
        for _ in 0..3 {
            assert_eq!(names.addresses().await, old);
        }
        assert_eq!((begun.elapsed(), fake.running().len()), (Duration::ZERO, 1));
        fake.end(&[]);
        assert_eq!(names.addresses().await, old, "a failure is no answer");
        assert!(fake.running().is_empty(), "nor is it followed by another at once");
        // Too old to be relied on: now the lookup is waited for, and its answer taken.
        sleep(NAME_STALE).await;
        assert_eq!(ask(&fake, &names, SECOND, &[]).await, (old.clone(), SECOND));
        sleep(NAME_STALE).await;
        let new = addresses(&["10.0.0.9:443"]);
        assert_eq!(ask(&fake, &names, SECOND, &["10.0.0.9:0"]).await, (new.clone(), SECOND));
        // One that hangs is waited for once.
        sleep(NAME_STALE).await;
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(names.addresses().await, new);
            assert_eq!(begun.elapsed(), 10 * SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_addresses_is_asked_for_again_at_once() {
        let fake = Fake::default();
        let names = names(&fake.resolver(), "a.example:443", Family::Auto);
        let none = ExchangeError::upstream(Cause::NameNotResolved(LookupFault::Failed));
        assert_eq!(ask(&fake, &names, SECOND, &[]).await, (Err(none), SECOND));
        let (told, _) = ask(&fake, &names, SECOND, &["10.0.0.1:0"]).await;
        assert!(told.is_ok());
        // A lookup that nobody could begin has failed, too.
        fake.0.lock().unwrap().clear();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_fails_says_why() {
        let fake = Fake::default();
        let names = names(&fake.resolver(), "a.example:443", Family::Auto);
        for fault in [LookupFault::Unavailable, LookupFault::Unknown, LookupFault::NoAddress] {
            let failed = async { fake.0.lock().unwrap().remove(0).end(Err(fault)) };
            let (told, ()) = tokio::join!(names.addresses(), failed);
            assert_eq!(told, Err(ExchangeError::upstream(Cause::NameNotResolved(fault))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_is_dropped_has_failed() {
        let fake = Fake::default();
        let names = names(&fake.resolver(), "a.example:443", Family::Auto);
        let none = ExchangeError::upstream(Cause::NameNotResolved(LookupFault::Failed));
        let dropped = async { fake.0.lock().unwrap().clear() };
        let (told, ()) = tokio::join!(names.addresses(), dropped);
        assert_eq!(told, Err(none));
    }

    #[test]
    fn the_system_knows_names_and_interfaces_and_is_asked_for_one_family() {
        let ask = |name: &str, family| {
            let question = Question { name: name.into(), family };
            system_lookup(&question)
        };
        // A label that is too long, so that no nameserver is asked.
        assert!(ask(&"a".repeat(64), Family::Auto).is_err());
        let want: Vec<_> = ("localhost", 0).to_socket_addrs().unwrap().collect();
        assert_eq!(ask("localhost", Family::Auto), Ok(want));
        assert_eq!(ask("127.0.0.1", Family::V4), Ok(addresses(&["127.0.0.1:0"]).unwrap()));
        assert!(matches!(
            ask("127.0.0.1", Family::V6),
            Err(LookupFault::NoAddress | LookupFault::Unknown)
        ));
        let zoned = ask("fe80::1%lo", Family::Auto).unwrap();
        assert!(matches!(zoned[..], [SocketAddr::V6(it)] if it.scope_id() == 1), "{zoned:?}");
    }

    #[tokio::test]
    async fn threads_are_bounded_and_what_waits_for_one_is_looked_up_in_the_end() {
        const THREADS_MAX: usize = 2;
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let (begin, ended) = (Mutex::new(begin), Mutex::new(ended));
        let look_up = move |_: &Question| {
            begin.lock().unwrap().send(()).unwrap();
            ended.lock().unwrap().recv().unwrap();
            Ok(vec!["10.0.0.1:0".parse().unwrap()])
        };
        let threads = Threads::new(Arc::new(look_up), THREADS_MAX);
        let work = Arc::clone(&threads.work);
        let resolver = Arc::new(Resolver::new(Box::new(threads)));
        let mut waits: Vec<_> = (0..3 * THREADS_MAX)
            .map(|number| {
                let question = Question { name: number.to_string().into(), family: Family::Auto };
                let Told::Wait { ended, .. } = resolver.ask(&question) else { unreachable!() };
                ended
            })
            .collect();
        for _ in 0..THREADS_MAX {
            begun.recv().unwrap();
        }
        assert_eq!(begun.try_recv(), Err(mpsc::TryRecvError::Empty));
        assert_eq!(lock(&work).threads, THREADS_MAX);
        for _ in 0..3 * THREADS_MAX {
            end.send(()).unwrap();
        }
        for ended in &mut waits {
            assert_eq!(ended.wait_for(Option::is_some).await.unwrap().as_ref().unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_lookup_that_panics_has_failed_and_what_waits_for_its_thread_goes_on() {
        let (begin, begun) = mpsc::channel();
        let begun = Mutex::new(begun);
        let look_up = move |question: &Question| {
            begun.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap();
            assert_eq!(&*question.name, "good", "a panic that the test wants");
            Ok(vec!["10.0.0.1:0".parse().unwrap()])
        };
        let resolver = Resolver::new(Box::new(Threads::new(Arc::new(look_up), 1)));
        let resolver = Arc::new(resolver);
        let [bad, good] = ["bad", "good"].map(|name| {
            let question = Question { name: name.into(), family: Family::Auto };
            let Told::Wait { ended, .. } = resolver.ask(&question) else { unreachable!() };
            ended
        });
        for (mut ended, addresses) in [(bad, 0), (good, 1)] {
            begin.send(()).unwrap();
            let ended = timeout(10 * SECOND, ended.wait_for(Option::is_some)).await.unwrap();
            assert_eq!(ended.unwrap().as_ref().unwrap().len(), addresses);
        }
    }
}
