//! The addresses to listen on: free, or who has them.

use super::finding::{Finding, Text};
use super::holders::{Holder, holders};
use crate::config::Config;
use crate::config::admin_address::AdminAddress;
use crate::limits::TCP_USER_TIMEOUT;
use crate::net::listen::{has_ip, try_out};
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;

const STEP: &str = "port";

/// What was seen of one address.
struct Seen {
    address: SocketAddr,
    /// A port that narrows does without.
    is_optional: bool,
    /// Whether it can be bound, and why not.
    bound: Result<(), Errno>,
    holders: Vec<Holder>,
}

/// The ports, and the narrows that has one of them.
pub(super) fn examine(config: &Config) -> (Vec<Finding>, Option<u32>) {
    let seen: Vec<_> = addresses(config).into_iter().map(see).collect();
    let running = seen.iter().flat_map(|it| &it.holders).find(|it| it.is_narrows);
    (seen.iter().map(verdict).collect(), running.map(|it| it.pid))
}

/// All addresses of this machine that the configuration names, each with whether it is optional.
fn addresses(config: &Config) -> Vec<(SocketAddr, bool)> {
    let mut all: Vec<(SocketAddr, bool)> = Vec::new();
    let listeners = config.listeners.iter().flat_map(|listener| {
        let here = listener.addresses.iter().flat_map(|it| it.sockets_here(has_ip));
        here.map(|it| (it, listener.is_optional))
    });
    let admin = config.admin.iter().filter_map(|it| match &it.address {
        AdminAddress::Tcp(address) => Some(address.sockets_here(has_ip)),
        AdminAddress::Unix(_) => None,
    });
    for address in listeners.chain(admin.flatten().map(|it| (it, false))) {
        // Several listeners may share one, by the names that clients ask for.
        if !all.iter().any(|(known, _)| *known == address.0) {
            all.push(address);
        }
    }
    all
}

fn see((address, is_optional): (SocketAddr, bool)) -> Seen {
    let bound = try_out(address, TCP_USER_TIMEOUT);
    let bound = bound.map_err(|it| Errno::from_io_error(&it).unwrap_or(Errno::IO));
    // For the narrows that runs, its address is of interest, too.
    let holders = if bound.is_err() { holders(address) } else { Vec::new() };
    Seen { address, is_optional, bound, holders }
}

fn verdict(seen: &Seen) -> Finding {
    let about = seen.address.to_string();
    let bad = |what: Text, remedy: Text| match seen.is_optional {
        true => Finding::warning(STEP, &about, what, remedy),
        false => Finding::failure(STEP, &about, what, remedy),
    };
    match seen.bound {
        Ok(()) => Finding::ok(STEP, &about, "free"),
        Err(Errno::ADDRINUSE) => taken(&about, &seen.holders, bad),
        Err(Errno::ACCESS) => bad(
            "only root may listen below port 1024".into(),
            "start narrows by its systemd unit, which may; or `setcap cap_net_bind_service=+ep` on \
             the program file; or choose a port from 1024 up"
                .into(),
        ),
        Err(Errno::ADDRNOTAVAIL) => bad(
            "this machine does not have the address".into(),
            "write an address that `ip address` shows, or \":PORT\" for all of them; behind NAT \
             the public address belongs to the router"
                .into(),
        ),
        Err(error) => bad(
            format!("cannot be bound: {}", io::Error::from(error)).into(),
            "choose another address".into(),
        ),
    }
}

fn taken(about: &str, holders: &[Holder], bad: impl Fn(Text, Text) -> Finding) -> Finding {
    const INIT: u32 = 1;
    if let Some(narrows) = holders.iter().find(|it| it.is_narrows) {
        return Finding::ok(STEP, about, format!("{} listens here", narrows.text()));
    }
    if holders.iter().any(|it| it.pid == INIT && it.name == "systemd") {
        return Finding::ok(STEP, about, "systemd listens here, for a socket unit");
    }
    match holders.first() {
        Some(holder) => bad(
            format!("{} listens here", holder.text()).into(),
            format!(
                "stop {0}, or listen on another port; to work behind {0}, listen on 127.0.0.1:8080 \
                 and let {0} forward to it",
                holder.name
            )
            .into(),
        ),
        None => bad(
            "another program listens here".into(),
            "find it with `sudo ss -ltnp` and stop it, or listen on another port".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    fn check(bound: Result<(), Errno>, holders: &[(u32, &str)]) -> Finding {
        let holder = |&(pid, name): &(u32, &str)| {
            let is_narrows = name == "narrows" || name == "relay";
            Holder { pid, name: name.to_owned(), is_narrows }
        };
        let holders = holders.iter().map(holder);
        let address = "127.0.0.1:80".parse().unwrap();
        verdict(&Seen { address, is_optional: false, bound, holders: holders.collect() })
    }

    #[test]
    fn a_port_is_free_or_has_a_holder_with_a_name() {
        assert_eq!(check(Ok(()), &[]).verdict, Verdict::Ok);
        let nginx = check(Err(Errno::ADDRINUSE), &[(812, "nginx")]);
        assert_eq!(
            (nginx.verdict, &*nginx.what),
            (Verdict::Failure, "nginx (pid 812) listens here")
        );
        assert!(nginx.remedy.unwrap().starts_with("stop nginx, or"));
        let hidden = check(Err(Errno::ADDRINUSE), &[]);
        assert!(hidden.remedy.unwrap().contains("ss -ltnp"));
    }

    #[test]
    fn our_own_relay_and_a_socket_of_systemd_are_as_they_should_be() {
        let own = check(Err(Errno::ADDRINUSE), &[(7, "narrows")]);
        assert_eq!((own.verdict, &*own.what), (Verdict::Ok, "narrows (pid 7) listens here"));
        let renamed = check(Err(Errno::ADDRINUSE), &[(7, "relay")]);
        assert_eq!(renamed.verdict, Verdict::Ok);
        assert_eq!(&*renamed.what, "narrows (pid 7, called relay) listens here");
        assert_eq!(check(Err(Errno::ADDRINUSE), &[(1, "systemd")]).verdict, Verdict::Ok);
        assert_eq!(check(Err(Errno::ADDRINUSE), &[(1, "nginx")]).verdict, Verdict::Failure);
    }

    #[test]
    fn ports_of_root_and_addresses_of_others_have_remedies() {
        let remedy = |errno| check(Err(errno), &[]).remedy.unwrap();
        assert!(remedy(Errno::ACCESS).contains("setcap"));
        assert!(remedy(Errno::ADDRNOTAVAIL).contains("ip address"));
    }
}
