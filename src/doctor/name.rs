//! What the system's resolver says about a name, for each family: [`look_up`] and [`verdict`].

use super::finding::Finding;
use crate::config::snapshot::count;
use crate::config::url::Host;
use crate::config::value::Family;
use crate::error::LookupFault;
use crate::upstream::resolver::{KnownAddresses, Question, Resolver};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const STEP: &str = "name";

/// Longer than the system waits for two nameservers that are dead.
const LOOKUP_MAX: Duration = Duration::from_secs(11);
/// A lookup that takes longer makes users wait.
const SLOW: Duration = Duration::from_secs(1);

/// The addresses of one family; several at least.
pub(super) type Found = Result<Vec<IpAddr>, Missing>;

/// Why there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The family is not used.
    Unwanted,
    /// The resolver said so.
    Fault(LookupFault),
    /// The resolver said nothing.
    Late,
}

/// The addresses of `host` of this family, if it is wanted.
pub(super) async fn look_up(
    host: &Host,
    family: Family,
    wanted: Family,
    resolver: &Arc<Resolver>,
) -> Found {
    if wanted != Family::Auto && wanted != family {
        return Err(Missing::Unwanted);
    }
    let is_of_family = |it: &IpAddr| it.is_ipv4() == (family == Family::V4);
    let question = match Question::about(host, family) {
        Ok(question) => question,
        Err(address) if is_of_family(&address) => return Ok(vec![address]),
        Err(_) => return Err(Missing::Unwanted),
    };
    let found = match resolver.ask(&question) {
        KnownAddresses::Addresses(found) => Some(found),
        KnownAddresses::Pending { mut ended, .. } => {
            let ended = ended.wait_for(Option::is_some);
            match timeout(LOOKUP_MAX, ended).await {
                Ok(found) => found.ok().and_then(|it| it.clone()),
                Err(_elapsed) => return Err(Missing::Late),
            }
        }
    };
    let found = found.iter().flat_map(|it| it.iter()).map(SocketAddr::ip);
    let mut found: Vec<_> = found.filter(is_of_family).collect();
    found.dedup();
    match found.is_empty() {
        true => Err(Missing::Fault(resolver.fault(&question))),
        false => Ok(found),
    }
}

/// Judges both families of the name `host`, which leads to a relay of ours or to an upstream.
pub(super) fn verdict(
    host: &Host,
    is_ours: bool,
    four: &Found,
    six: &Found,
    took: Duration,
) -> Finding {
    let about = host.to_string();
    let found: Vec<_> = [four, six].into_iter().flatten().flatten().copied().collect();
    if found.is_empty() {
        return missing(&about, is_ours, four, six);
    }
    let is_here = |it: &IpAddr| it.is_loopback() || it.is_unspecified();
    if found.iter().all(is_here) && about != "localhost" {
        let what = format!("leads to this machine ({})", found[0]);
        let remedy = "if that is not meant, correct /etc/hosts, or use a nameserver that does not \
                      filter";
        return Finding::warning(STEP, &about, what, remedy);
    }
    if found.iter().any(is_fake) {
        let remedy = "it is one that a proxy program on this machine or in the router makes up \
                      (Clash, sing-box: fake-ip): all traffic passes through that, which has to \
                      let streams through";
        return Finding::warning(STEP, &about, format!("has the address {}", found[0]), remedy);
    }
    let number = |it: &Found| it.as_ref().map_or(0, Vec::len);
    let (four, six) = (number(four), number(six));
    let what =
        format!("{four} IPv4 and {}", count(six, "IPv6 address").replace("addresss", "addresses"));
    if took > SLOW {
        let remedy = "new connections wait for it: remove nameservers that do not answer from \
                      /etc/resolv.conf, or run a cache such as systemd-resolved";
        return Finding::warning(STEP, &about, format!("{what}, after a slow lookup"), remedy);
    }
    Finding::ok(STEP, &about, what)
}

fn missing(about: &str, is_ours: bool, four: &Found, six: &Found) -> Finding {
    let faults: Vec<_> = [four, six].into_iter().filter_map(|it| it.as_ref().err()).collect();
    let has = |wanted: &[Missing]| faults.iter().any(|it| wanted.contains(it));
    if has(&[Missing::Late, Missing::Fault(LookupFault::Unavailable)]) {
        let remedy = "see the step nameserver; `resolvectl status` or /etc/resolv.conf says which \
                      ones the system asks";
        return Finding::failure(STEP, about, "no nameserver answers for it", remedy);
    }
    if has(&[Missing::Unwanted]) && has(&[Missing::Fault(LookupFault::NoAddress)]) {
        let remedy = "remove `family` from the route";
        return Finding::failure(STEP, about, "has no address of the family of the route", remedy);
    }
    let remedy = match is_ours {
        true => {
            "add a record for it (A for IPv4, AAAA for IPv6) at whoever manages the domain, with \
             the public address of this machine; or correct --url"
        }
        false => {
            "check how the name is written in the URL of the upstream; if it is right, the name \
             has no record in the DNS, or the nameserver hides it"
        }
    };
    Finding::failure(STEP, about, "does not exist, or has no address", remedy)
}

/// 198.18.0.0/15, which no one has (RFC 2544).
fn is_fake(address: &IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    u32::from(*address) >> 17 == u32::from(Ipv4Addr::new(198, 18, 0, 0)) >> 17
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    const NO_ADDRESS: Found = Err(Missing::Fault(LookupFault::NoAddress));
    const UNKNOWN: Found = Err(Missing::Fault(LookupFault::Unknown));

    fn four(address: &str) -> Found {
        Ok(vec![address.parse().unwrap()])
    }

    fn check(four: &Found, six: &Found) -> Finding {
        verdict(&"api.example".parse().unwrap(), false, four, six, Duration::ZERO)
    }

    #[test]
    fn a_name_with_addresses_is_well_and_a_slow_one_a_warning() {
        let good = check(&four("1.2.3.4"), &NO_ADDRESS);
        assert_eq!((good.verdict, &*good.what), (Verdict::Ok, "1 IPv4 and 0 IPv6 addresses"));
        let host = "api.example".parse().unwrap();
        let slow = verdict(&host, true, &four("1.2.3.4"), &NO_ADDRESS, Duration::from_secs(5));
        assert_eq!(slow.verdict, Verdict::Warning);
    }

    #[test]
    fn a_name_without_addresses_says_whose_fault_it_is() {
        let unknown = check(&UNKNOWN, &UNKNOWN);
        assert!(unknown.remedy.unwrap().contains("how the name is written"));
        let host = "relay.example".parse().unwrap();
        let ours = verdict(&host, true, &UNKNOWN, &UNKNOWN, Duration::ZERO);
        assert!(ours.remedy.unwrap().starts_with("add a record"));
        let silent = check(&Err(Missing::Late), &Err(Missing::Late));
        assert!(silent.remedy.unwrap().contains("step nameserver"));
        let other = check(&Err(Missing::Unwanted), &NO_ADDRESS);
        assert!(other.remedy.unwrap().contains("family"));
    }

    #[test]
    fn addresses_that_lead_nowhere_are_recognized() {
        assert!(check(&four("0.0.0.0"), &NO_ADDRESS).remedy.unwrap().contains("/etc/hosts"));
        assert!(check(&four("198.19.0.7"), &NO_ADDRESS).remedy.unwrap().contains("fake-ip"));
        assert_eq!(check(&four("198.20.0.7"), &NO_ADDRESS).verdict, Verdict::Ok);
    }
}
