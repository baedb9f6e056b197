//! The addresses to dial for an upstream, in the order in which they are tried.
//!
//! The resolver's order is kept (RFC 6724), with the two families taking turns (RFC 8305, section
//! 4). Whoever waits for a lookup gives up after `lookup`; the lookup goes on without it.

use crate::clock::Deadline;
use crate::config::url::Endpoint;
use crate::config::value::Family;
use crate::error::{Cause, ExchangeError};
use crate::limits::ADDRESSES_MAX;
use crate::timeouts::{Timeouts, Timer};
use crate::upstream::resolver::{Addresses, Question, Resolver, Told};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::timeout_at;

/// Where the addresses of one endpoint come from.
#[derive(Debug)]
pub struct Names {
    port: u16,
    source: Source,
    timeouts: Arc<Timeouts>,
}

#[derive(Debug)]
enum Source {
    /// It is an address.
    Address(SocketAddr),
    /// It has to be looked up.
    Resolver(Arc<Resolver>, Question),
}

impl Names {
    /// The addresses of `endpoint`, those of `family` where it is a name.
    pub fn new(
        endpoint: &Endpoint,
        family: Family,
        timeouts: Arc<Timeouts>,
        resolver: &Arc<Resolver>,
    ) -> Self {
        let port = endpoint.port;
        let source = match endpoint.host.address() {
            Ok(address) => Source::Address(SocketAddr::new(address, port)),
            Err(name) => {
                let question = Question { name: name.into(), family };
                Source::Resolver(Arc::clone(resolver), question)
            }
        };
        Self { port, source, timeouts }
    }

    /// The addresses to try, in order; at least one. Waits for the resolver only when nothing is
    /// known, or nothing that is fresh enough to rely on.
    ///
    /// # Errors
    /// The name has no address of the wanted family, or the resolver takes too long, and there
    /// has never been an answer.
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, ExchangeError> {
        let (resolver, question) = match &self.source {
            Source::Address(address) => return Ok(vec![*address]),
            Source::Resolver(resolver, question) => (resolver, question),
        };
        let found = match resolver.ask(question) {
            Told::Known(addresses) => addresses,
            Told::Wait { mut ended, since, old } => {
                let deadline = Deadline::start(Timer::Lookup, &self.timeouts);
                // Where there are addresses, a lookup that hangs is waited for once.
                let at = if old.is_some() { since + self.timeouts.lookup } else { deadline.at };
                let ended = async { Some(ended.wait_for(Option::is_some).await.ok()?.clone()) };
                match timeout_at(at, ended).await {
                    Ok(answer) => answer.flatten().filter(|it| !it.is_empty()).or(old),
                    Err(_elapsed) => Some(old.ok_or(ExchangeError::expired(Timer::Lookup))?),
                }
                .unwrap_or_else(|| Addresses::from([]))
            }
        };
        let addresses = interleave(&found, self.port, question.family);
        if addresses.is_empty() {
            let fault = resolver.fault(question);
            return Err(ExchangeError::upstream(Cause::NameNotResolved(fault)));
        }
        Ok(addresses)
    }
}

/// The addresses of the wanted family; of both, they take turns, beginning with the resolver's
/// first choice.
fn interleave(found: &[SocketAddr], port: u16, family: Family) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let wanted = found.iter().copied().filter(|address| family.includes(*address));
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        wanted.partition(|address| address.is_ipv6() == first_is_v6);
    one.dedup();
    other.dedup();
    let turns = one.len().max(other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let in_turns = (0..turns).flat_map(|_| [one.next(), other.next()]).flatten();
    in_turns.take(ADDRESSES_MAX).map(|it| with_port(it, port)).collect()
}

/// With the scope of an IPv6 address.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
