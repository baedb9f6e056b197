//! The addresses of an upstream, in the order in which a dial tries them: [`AddressSource`].
//!
//! The order is the resolver's (RFC 6724), with the two families taking turns (RFC 8305, section
//! 4). A dial waits for a lookup as long as the limit `lookup` allows; the lookup itself goes on.

use crate::clock::Deadline;
use crate::config::url::Endpoint;
use crate::config::value::Family;
use crate::error::{Cause, ExchangeError};
use crate::limits::ADDRESSES_MAX;
use crate::timeouts::{Timeouts, Timer};
use crate::upstream::resolver::{KnownAddresses, Question, Resolver};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::timeout_at;

/// Where the addresses of one endpoint come from.
#[derive(Debug)]
pub(super) struct AddressSource {
    port: u16,
    source: Source,
    timeouts: Arc<Timeouts>,
}

#[derive(Debug)]
enum Source {
    /// The endpoint is an address.
    Address(SocketAddr),
    /// The endpoint is a name.
    Resolver(Arc<Resolver>, Question),
}

impl AddressSource {
    /// The addresses of `endpoint`; if it is a name, only those of `family`.
    pub(super) fn new(
        endpoint: &Endpoint,
        family: Family,
        timeouts: Arc<Timeouts>,
        resolver: &Arc<Resolver>,
    ) -> Self {
        let port = endpoint.port;
        let source = match Question::about(&endpoint.host, family) {
            Ok(question) => Source::Resolver(Arc::clone(resolver), question),
            Err(address) => Source::Address(SocketAddr::new(address, port)),
        };
        Self { port, source, timeouts }
    }

    /// Whether there is a name to look up.
    pub(super) fn has_name(&self) -> bool {
        match self.source {
            Source::Address(_) => false,
            Source::Resolver(..) => true,
        }
    }

    /// The addresses to try, in order; at least one. Waits for the resolver only if nothing is
    /// known, or nothing that is fresh enough to rely on.
    ///
    /// # Errors
    /// The name has no address of the wanted family, or the resolver takes too long and has never
    /// answered.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, ExchangeError> {
        let (resolver, question) = match &self.source {
            Source::Address(address) => return Ok(vec![*address]),
            Source::Resolver(resolver, question) => (resolver, question),
        };
        let found = match resolver.ask(question) {
            KnownAddresses::Addresses(addresses) => addresses,
            KnownAddresses::Pending { mut ended, since, stale } => {
                let deadline = Deadline::start(Timer::Lookup, &self.timeouts);
                // If there are addresses, a lookup that hangs is waited for once.
                let at = if stale.is_some() { since + self.timeouts.lookup } else { deadline.at };
                let ended = async { Some(ended.wait_for(Option::is_some).await.ok()?.clone()) };
                match timeout_at(at, ended).await {
                    Ok(answer) => answer.flatten().filter(|it| !it.is_empty()).or(stale),
                    Err(_elapsed) => Some(stale.ok_or(ExchangeError::expired(Timer::Lookup))?),
                }
                .unwrap_or_default()
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

/// The addresses of the wanted family. If both are wanted they take turns, beginning with the
/// family that the resolver put first.
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

/// Keeps the scope of an IPv6 address.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

#[cfg(test)]
mod tests;
