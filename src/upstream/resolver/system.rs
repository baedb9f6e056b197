//! The system's resolver, getaddrinfo(3), so that `/etc/hosts`, search domains and local resolvers
//! work as for every other program. It blocks, and nothing can stop it.

use crate::config::value::Family;
use crate::error::LookupFault;
use dns_lookup::{AddrFamily, AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};
use std::net::SocketAddr;

/// The name has addresses, but none of this family (glibc).
const EAI_ADDRFAMILY: i32 = -9;

/// Looks `name` up, and blocks. Only records of `family` are asked for, and waited for.
pub(super) fn look_up(name: &str, family: Family) -> Result<Vec<SocketAddr>, LookupFault> {
    let address = match family {
        Family::Auto => 0,
        Family::V4 => AddrFamily::Inet.into(),
        Family::V6 => AddrFamily::Inet6.into(),
    };
    let socktype = SockType::Stream.into();
    let hints = AddrInfoHints { address, socktype, ..AddrInfoHints::default() };
    match getaddrinfo(Some(name), None, Some(hints)) {
        Ok(found) => Ok(found.filter_map(|it| Some(it.ok()?.sockaddr)).collect()),
        Err(error) => Err(match (error.kind(), error.error_num()) {
            (LookupErrorKind::NoName, _) => LookupFault::Unknown,
            (LookupErrorKind::NoData, _) | (_, EAI_ADDRFAMILY) => LookupFault::NoAddress,
            (LookupErrorKind::Again, _) => LookupFault::Unavailable,
            _ => LookupFault::Failed,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::ToSocketAddrs;

    #[test]
    fn the_system_knows_names_and_interfaces_and_is_asked_for_one_family() {
        // A label that is too long, so that no nameserver is asked.
        assert!(look_up(&"a".repeat(64), Family::Auto).is_err());
        let want: Vec<_> = ("localhost", 0).to_socket_addrs().unwrap().collect();
        assert_eq!(look_up("localhost", Family::Auto), Ok(want));
        assert_eq!(look_up("127.0.0.1", Family::V4), Ok(vec!["127.0.0.1:0".parse().unwrap()]));
        assert!(matches!(
            look_up("127.0.0.1", Family::V6),
            Err(LookupFault::NoAddress | LookupFault::Unknown)
        ));
        let zoned = look_up("fe80::1%lo", Family::Auto).unwrap();
        assert!(matches!(zoned[..], [SocketAddr::V6(it)] if it.scope_id() == 1), "{zoned:?}");
    }
}
