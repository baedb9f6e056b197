//! In which order addresses are tried, and how long a dial waits for the resolver.

use super::*;
use crate::error::LookupFault;
use crate::limits::{NAME_REFRESH, NAME_STALE};
use crate::upstream::resolver::{Lookup, System};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn check(found: &[&str], family: Family, want: &[&str]) {
    let parse = |texts: &[&str]| -> Vec<SocketAddr> {
        texts.iter().map(|text| format!("{text}:443").parse().unwrap()).collect()
    };
    assert_eq!(interleave(&parse(found), 443, family), parse(want));
}

#[test]
fn families_take_turns_beginning_with_the_resolvers_first_choice() {
    let found = ["[::1]", "[::2]", "[::3]", "10.0.0.1", "10.0.0.2"];
    check(&found, Family::Auto, &["[::1]", "10.0.0.1", "[::2]", "10.0.0.2", "[::3]"]);
    check(&["10.0.0.1", "[::1]"], Family::Auto, &["10.0.0.1", "[::1]"]);
}

#[test]
fn only_the_wanted_family_is_tried() {
    let found = ["[::1]", "10.0.0.1", "[::2]"];
    check(&found, Family::V4, &["10.0.0.1"]);
    check(&found, Family::V6, &["[::1]", "[::2]"]);
    check(&["[::1]"], Family::V4, &[]);
}

#[test]
fn no_more_addresses_are_tried_than_the_limit() {
    let found: Vec<_> = (0..ADDRESSES_MAX + 3).map(|last| format!("10.0.0.{last}")).collect();
    let found: Vec<_> = found.iter().map(String::as_str).collect();
    check(&found, Family::Auto, &found[..ADDRESSES_MAX]);
}

/// A resolver whose lookups end when the test wants them to.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Vec<Lookup>>>);

impl System for Fake {
    fn look_up(&self, lookup: Lookup) {
        self.0.lock().unwrap().push(lookup);
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
        let found = if addresses.is_empty() { Err(LookupFault::Failed) } else { Ok(&*addresses) };
        self.0.lock().unwrap().remove(0).end(found);
    }
}

fn names(resolver: &Arc<Resolver>, endpoint: &str, family: Family) -> AddressSource {
    let endpoint: Endpoint = endpoint.parse().unwrap();
    AddressSource::new(&endpoint, family, Arc::new(Timeouts::default()), resolver)
}

/// The addresses of a name whose lookup takes `lasts`, and how long a dial waited for them.
async fn ask(
    fake: &Fake,
    names: &AddressSource,
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
    let (answer, took) = ask(&fake, &names, late, &["10.0.0.1:0"]).await;
    assert_eq!((answer, took), (addresses(&["10.0.0.1:443"]), late));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_its_request_has_given_up_is_kept() {
    let fake = Fake::default();
    let names = names(&fake.resolver(), "a.example:443", Family::Auto);
    let (answer, took) = ask(&fake, &names, 15 * SECOND, &["10.0.0.1:0"]).await;
    assert_eq!((answer, took), (Err(EXPIRED), 10 * SECOND));
    assert_eq!(names.addresses().await, addresses(&["10.0.0.1:443"]));
    assert!(fake.running().is_empty(), "without another lookup");
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_is_the_only_one_of_its_name_and_others_are_answered() {
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
async fn addresses_that_one_worker_has_looked_up_are_known_to_the_others() {
    let fake = Fake::default();
    let resolver = fake.resolver();
    let [one, other] = [(); 2].map(|()| names(&resolver, "a.example:443", Family::Auto));
    let (answer, _) = ask(&fake, &one, SECOND, &["10.0.0.1:0", "[2001:db8::1]:0"]).await;
    assert_eq!(answer, addresses(&["10.0.0.1:443", "[2001:db8::1]:443"]));
    assert_eq!(other.addresses().await, answer);
    let another_port = names(&resolver, "a.example:80", Family::Auto);
    assert_eq!(another_port.addresses().await.unwrap()[0].port(), 80);
    assert!(fake.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn addresses_are_refreshed_in_the_background_and_old_ones_serve_when_that_fails() {
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
    // Too old to be relied on: now a dial waits for the lookup.
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
    let (answer, _) = ask(&fake, &names, SECOND, &["10.0.0.1:0"]).await;
    assert!(answer.is_ok());
    // A lookup that could not begin has failed, too.
    fake.0.lock().unwrap().clear();
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_says_why() {
    let fake = Fake::default();
    let names = names(&fake.resolver(), "a.example:443", Family::Auto);
    for fault in [LookupFault::Unavailable, LookupFault::Unknown, LookupFault::NoAddress] {
        let failed = async { fake.0.lock().unwrap().remove(0).end(Err(fault)) };
        let (answer, ()) = tokio::join!(names.addresses(), failed);
        assert_eq!(answer, Err(ExchangeError::upstream(Cause::NameNotResolved(fault))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_is_dropped_has_failed() {
    let fake = Fake::default();
    let names = names(&fake.resolver(), "a.example:443", Family::Auto);
    let none = ExchangeError::upstream(Cause::NameNotResolved(LookupFault::Failed));
    let dropped = async { fake.0.lock().unwrap().clear() };
    let (answer, ()) = tokio::join!(names.addresses(), dropped);
    assert_eq!(answer, Err(none));
}
