//! The addresses of an upstream's name: looked up off the data path, refreshed while in use, and
//! kept when the resolver fails.
//!
//! The lookup is the system's (getaddrinfo on a thread of its own), so `/etc/hosts`, search
//! domains and local resolvers work as everywhere. Its order is kept (RFC 6724), with the two
//! families taking turns (RFC 8305, section 4).

use crate::config::url::{Endpoint, Host};
use crate::config::value::Family;
use crate::deadline::{Deadline, Timeouts, Timer};
use crate::error::{Cause, ExchangeError};
use crate::limits::{ADDRESSES_MAX, NAME_REFRESH, NAME_STALE};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

/// The addresses of one endpoint, as one worker knows them.
#[derive(Debug)]
pub struct Names {
    endpoint: Endpoint,
    family: Family,
    timeouts: Arc<Timeouts>,
    known: RefCell<Option<Known>>,
    /// A lookup is under way; there is never a second one.
    looking: Cell<bool>,
    looked: Notify,
    /// When the last lookup ended, well or not.
    last_look: Cell<Option<Instant>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Rc<[SocketAddr]>,
    at: Instant,
}

impl Names {
    /// Knows nothing yet.
    pub fn new(endpoint: Endpoint, family: Family, timeouts: Arc<Timeouts>) -> Self {
        let (known, looking, last_look) = Default::default();
        Self { endpoint, family, timeouts, known, looking, looked: Notify::new(), last_look }
    }

    /// The addresses to try, in order; at least one. Waits for the resolver only when nothing is
    /// known, or nothing that is fresh enough to rely on.
    ///
    /// # Errors
    /// The name has no address of the wanted family, or the resolver takes too long, and there
    /// has never been an answer.
    pub async fn addresses(self: &Rc<Self>) -> Result<Rc<[SocketAddr]>, ExchangeError> {
        if let Host::Ip(address) = self.endpoint.host {
            return Ok([SocketAddr::new(address, self.endpoint.port)].into());
        }
        let known = self.known.borrow().clone();
        let looked_lately =
            self.last_look.get().is_some_and(|looked| looked.elapsed() < NAME_REFRESH);
        match known {
            Some(known) if known.at.elapsed() < NAME_STALE || looked_lately => {
                if !looked_lately {
                    self.refresh_behind();
                }
                Ok(known.addresses)
            }
            // Old addresses are better than none.
            Some(known) => Ok(self.refresh().await.unwrap_or(known.addresses)),
            None => self.refresh().await,
        }
    }

    fn refresh_behind(self: &Rc<Self>) {
        let names = Rc::clone(self);
        spawn_local(async move {
            // The last good answer stays when this fails.
            let _ = names.refresh().await;
        });
    }

    /// Looks the name up, or waits for a lookup that is under way.
    async fn refresh(&self) -> Result<Rc<[SocketAddr]>, ExchangeError> {
        if self.looking.replace(true) {
            self.looked.notified().await;
            let known = self.known.borrow();
            return match &*known {
                Some(known) => Ok(Rc::clone(&known.addresses)),
                None => Err(ExchangeError::upstream(Cause::NameNotResolved)),
            };
        }
        let _looking = Looking(self);
        let deadline = Deadline::start(Timer::Connect, &self.timeouts);
        let found = match timeout_at(deadline.at, self.look_up()).await {
            Ok(Ok(found)) => interleave(found, self.family),
            Ok(Err(_)) => Vec::new(),
            Err(_elapsed) => return Err(ExchangeError::expired(Timer::Connect)),
        };
        if found.is_empty() {
            return Err(ExchangeError::upstream(Cause::NameNotResolved));
        }
        let addresses: Rc<[SocketAddr]> = found.into();
        let known = Known { addresses: Rc::clone(&addresses), at: Instant::now() };
        self.known.replace(Some(known));
        Ok(addresses)
    }

    async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let host = self.endpoint.host.to_string();
        Ok(lookup_host((host.as_str(), self.endpoint.port)).await?.collect())
    }
}

/// The end of a lookup, however it comes.
struct Looking<'n>(&'n Names);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.looking.set(false);
        self.0.last_look.set(Some(Instant::now()));
        self.0.looked.notify_waiters();
    }
}

/// The addresses of the wanted family; of both, they take turns, beginning with the resolver's
/// first choice.
fn interleave(found: Vec<SocketAddr>, family: Family) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let wanted = found.into_iter().filter(|address| family.includes(*address));
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        wanted.partition(|address| address.is_ipv6() == first_is_v6);
    one.dedup();
    other.dedup();
    let turns = one.len().max(other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    (0..turns).flat_map(|_| [one.next(), other.next()]).flatten().take(ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: &[&str], family: Family, want: &[&str]) {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| format!("{text}:443").parse().unwrap()).collect()
        };
        assert_eq!(interleave(parse(found), family), parse(want));
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
}
