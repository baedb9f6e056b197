//! Who listens on a port, as far as `/proc` shows it: [`holders`].

use super::finding::shown;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What our program file is called, if nobody has renamed it.
const NARROWS: &str = "narrows";

/// A program that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its process.
    pub(super) pid: u32,
    /// What the kernel calls it.
    pub(super) name: String,
    /// Whether it is narrows, whatever its program file is called.
    pub(super) is_narrows: bool,
}

impl Holder {
    /// `nginx (pid 812)`; `narrows (pid 7, called relay)`.
    pub(super) fn text(&self) -> String {
        match self.name.as_str() {
            name if self.is_narrows && name != NARROWS => {
                format!("{NARROWS} (pid {}, called {name})", self.pid)
            }
            name => format!("{name} (pid {})", self.pid),
        }
    }
}

/// The programs that listen on `address`, or on a wildcard or a part of it. Those of other users
/// are seen by root only.
pub(super) fn holders(address: SocketAddr) -> Vec<Holder> {
    let mut links = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(file).unwrap_or_default();
        let listening = listening(&table).filter(|(at, _)| meet(*at, address));
        links.extend(listening.map(|(_, inode)| format!("socket:[{inode}]")));
    }
    if links.is_empty() { Vec::new() } else { processes_with(&links) }
}

/// Whether one port cannot be listened on at both addresses, or only if one of them is for IPv6
/// alone.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = |it: SocketAddr| it.ip().is_unspecified();
    let (of_one, of_other) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && (of_one == of_other
            || is_any(one) && (one.is_ipv6() || other.is_ipv4())
            || is_any(other) && (other.is_ipv6() || one.is_ipv4()))
}

/// The listening sockets in `/proc/net/tcp` or `tcp6`: the address, and the inode of each.
fn listening(text: &str) -> impl Iterator<Item = (SocketAddr, &str)> {
    const LISTEN: &str = "0A";
    text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (address, state) = (words.nth(1)?, words.nth(1)?);
        let inode = words.nth(5)?;
        (state == LISTEN).then_some((socket_address(address)?, inode))
    })
}

/// `0100007F:1F90`: words of 32 bits in the byte order of the machine.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(8 * at..8 * at + 8)?, 16).ok();
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?.to_ne_bytes()).into(),
        32 => {
            let mut octets = [0; 16];
            for (at, four) in octets.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?.to_ne_bytes());
            }
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn processes_with(links: &[String]) -> Vec<Holder> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let mut holders: Vec<Holder> = Vec::new();
    for pid in pids.filter(|&pid| has_one_of(pid, links)) {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let name = shown(name.trim_end());
        holders.push(Holder { pid, is_narrows: name == NARROWS || has_workers(pid), name });
    }
    holders.sort_by_cached_key(|it| it.pid);
    holders
}

/// Whether it has a thread that is called as our workers are.
fn has_workers(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut names = threads.filter_map(|it| fs::read_to_string(it.path().join("comm")).ok());
    names.any(|it| is_worker(it.trim_end()))
}

fn is_worker(thread: &str) -> bool {
    let number = thread.strip_prefix(NARROWS).and_then(|it| it.strip_prefix('-'));
    number.is_some_and(|it| it.parse::<u16>().is_ok())
}

fn has_one_of(pid: u32, links: &[String]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = descriptors.filter_map(|it| fs::read_link(it.path()).ok());
    targets.any(|it| it.to_str().is_some_and(|it| links.iter().any(|link| link == it)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process;

    #[test]
    fn a_listening_socket_leads_to_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = holders(address);
        assert!(found.iter().any(|it| it.pid == process::id()), "{found:?}");
        drop(listener);
        assert_eq!(holders(address), []);
    }

    #[test]
    fn our_workers_have_a_name_and_a_number() {
        assert!(is_worker("narrows-0") && is_worker("narrows-255"));
        assert!(!["narrows", "narrows-", "narrows-load", "nginx-0"].iter().any(|it| is_worker(it)));
    }

    #[test]
    fn the_kernels_table_is_read_and_connections_in_it_are_not_listeners() {
        let table = "  sl  local_address rem_address   st tx:rx tr:when retrnsmt uid timeout\n\
                     0: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 1000 0 4711 1\n\
                     1: 0100007F:1F91 0100007F:0050 01 0:0 00:0 0 1000 0 4712 1\n\
                     2: damaged\n";
        let want = ("127.0.0.1:8080".parse().unwrap(), "4711");
        assert_eq!(listening(table).collect::<Vec<_>>(), [want]);
        let six = "00000000000000000000000001000000:01BB";
        assert_eq!(socket_address(six), Some("[::1]:443".parse().unwrap()));
        for bad in ["", ":", "0100007F", "0100007F:X", "01:50", "0100007é:0050"] {
            assert_eq!(socket_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn wildcards_meet_the_addresses_that_they_include() {
        let check = |one: &str, other: &str| meet(one.parse().unwrap(), other.parse().unwrap());
        assert!(check("0.0.0.0:80", "127.0.0.1:80") && check("127.0.0.1:80", "0.0.0.0:80"));
        assert!(check("[::]:80", "0.0.0.0:80") && check("[::]:80", "[::1]:80"));
        assert!(!check("0.0.0.0:80", "[::1]:80") && !check("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!check("127.0.0.1:80", "127.0.0.1:81"));
    }
}
