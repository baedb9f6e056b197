//! The sockets that are listened on: for each address one for each worker, so that the kernel
//! spreads the connections (SO_REUSEPORT).

use crate::config::snapshot::{Listener, Snapshot, cores};
use crate::control::error::{RunError, advice};
use crate::net::activation::Inherited;
use crate::net::listen::{client_user_timeout, listen, listen_beside, overlap};
use crate::telemetry::targets::SERVER;
use crate::timeouts::Timeouts;
use crate::worker::{Incoming, Socket, SocketId, deal};
use socket2::SockRef;
use std::collections::HashSet;
use std::io;
use std::iter;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// An address that is listened on, and what is served there.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    /// What is served there.
    pub(super) listener: Arc<Listener>,
    sockets: Arc<Sockets>,
}

/// The main thread's handles of the sockets of one address. The workers have their own, so what is
/// set on one of these holds for them, and a socket is closed when both are.
#[derive(Debug)]
struct Sockets {
    id: SocketId,
    /// With the port that the kernel chose.
    address: SocketAddr,
    /// One for each worker; as many as there were, if they were inherited.
    opened: Vec<TcpListener>,
}

impl Listening {
    /// The address, with the port that the kernel chose.
    pub(super) fn address(&self) -> SocketAddr {
        self.sockets.address
    }

    /// The address, with what is spoken there.
    pub(super) fn url(&self) -> String {
        self.listener.url(self.address())
    }

    /// The main thread's handles of the sockets.
    pub(super) fn sockets(&self) -> &[TcpListener] {
        &self.sockets.opened
    }

    /// Lets the sockets, and connections that are accepted from now on, have these limits of time.
    pub(super) fn follow(&self, timeouts: &Timeouts) {
        for socket in &self.sockets.opened {
            let set =
                SockRef::from(socket).set_tcp_user_timeout(Some(client_user_timeout(timeouts)));
            if let Err(error) = set {
                tracing::warn!(target: SERVER, %error, "cannot change the options of a listener");
            }
        }
    }
}

/// Opens the sockets of `snapshot` for so many workers. Of those that are open `before`, the ones
/// whose address stays go on, whatever is served there. Inherited ones are taken as they are.
/// Optional ones that cannot be opened are left out, with a warning.
///
/// # Errors
/// Another address cannot be listened on.
pub(super) fn open_listeners(
    snapshot: &Snapshot,
    workers: usize,
    before: &[Listening],
    inherited: &mut Inherited,
) -> Result<Vec<Listening>, RunError> {
    let mut free: Vec<_> = before.iter().collect();
    let (mut all, mut missing): (Vec<Listening>, _) = (Vec::new(), None);
    for listener in snapshot.sockets() {
        let wanted = listener.address;
        // Port 0 is another port each time, so a socket is for one listener only.
        let as_configured = free.iter().position(|it| it.listener.address == wanted);
        let stays = as_configured.or_else(|| free.iter().position(|it| it.address() == wanted));
        let sockets = match stays {
            Some(stays) => Arc::clone(&free.remove(stays).sockets),
            None => {
                // One port for both families, if the kernel's choice for the first is free.
                let first_family = all.last().filter(|_| listener.is_second_family);
                let chosen = first_family.filter(|_| wanted.port() == 0);
                let port = chosen.map_or(wanted.port(), |first| first.address().port());
                let open = |port| {
                    let address = SocketAddr::new(wanted.ip(), port);
                    open(address, workers, &snapshot.timeouts, before)
                };
                let or_any = |error| if wanted.port() == 0 { open(0) } else { Err(error) };
                let taken = take(listener, &snapshot.timeouts, inherited);
                let opened = taken.and_then(|taken| match taken {
                    Some(taken) => Ok(taken),
                    None => open(port).or_else(or_any),
                });
                match opened {
                    Ok(opened) => Arc::new(opened),
                    Err(error) if listener.is_optional => {
                        // Once for both families.
                        if missing.replace(&listener.name) != Some(&listener.name) {
                            warn_of_missing(listener, &error);
                        }
                        continue;
                    }
                    Err(error) => return Err(RunError::Listen(wanted, error)),
                }
            }
        };
        all.push(Listening { listener: Arc::clone(listener), sockets });
    }
    Ok(all)
}

/// For each of so many workers what it is told of `listening`, with new handles of the sockets that
/// are not among those `before`.
///
/// # Errors
/// There is no descriptor for a handle.
pub(super) fn sockets_for_workers(
    listening: &[Listening],
    workers: usize,
    before: &[Listening],
) -> io::Result<Vec<Vec<Socket>>> {
    let known: HashSet<_> = before.iter().map(|it| it.sockets.id).collect();
    let mut of_workers: Vec<Vec<Socket>> = iter::repeat_with(Vec::new).take(workers).collect();
    for Listening { listener, sockets } in listening {
        let mut dealt = Vec::new();
        if !known.contains(&sockets.id) {
            let handles = sockets.opened.iter().map(TcpListener::try_clone);
            let serving = serving(workers, sockets.opened.len(), cores());
            dealt = deal(handles.collect::<io::Result<_>>()?, serving);
        }
        dealt.resize_with(workers, Incoming::default);
        for (of_worker, opened) in of_workers.iter_mut().zip(dealt) {
            let (id, address) = (sockets.id, sockets.address);
            of_worker.push(Socket { id, address, listener: Arc::clone(listener), opened });
        }
    }
    Ok(of_workers)
}

/// How many of so many workers get the connections of an address: no more than there are cores. One
/// more would add nothing but switches between threads, which take a request up to half as much
/// time again. But two on a single core, so that what keeps one of them busy does not hold up all
/// clients. Fewer sockets than that are passed by someone, for all workers.
fn serving(workers: usize, sockets: usize, cores: usize) -> usize {
    let enough = workers.min(cores.max(2));
    if sockets < enough { workers } else { enough }
}

/// The sockets that a new process uses, by the numbers of those that it does not use. The numbers
/// begin with `first`.
pub(super) fn sockets_in_use(
    listening: &[Listening],
    first: usize,
    unused: &[usize],
) -> HashSet<SocketId> {
    let mut numbers = first..;
    let is_used = |it: &&Listening| {
        let mut own = numbers.by_ref().take(it.sockets().len());
        // A new process uses all sockets of an address, or none.
        own.by_ref().filter(|number| unused.contains(number)).count() == 0
    };
    listening.iter().filter(is_used).map(|it| it.sockets.id).collect()
}

/// Logs which sockets of two sets are new, and which are gone.
pub(super) fn log_difference(before: &[Listening], after: &[Listening]) {
    let is_in = |all: &[Listening], it: &Listening| {
        all.iter().any(|other| other.sockets.id == it.sockets.id)
    };
    for opened in after.iter().filter(|it| !is_in(before, it)) {
        tracing::info!(target: SERVER, address = opened.url(), "listening");
    }
    for closed in before.iter().filter(|it| !is_in(after, it)) {
        tracing::info!(
            target: SERVER,
            address = closed.url(),
            "no longer listening; running exchanges may end"
        );
    }
}

fn warn_of_missing(listener: &Listener, error: &io::Error) {
    tracing::warn!(
        target: SERVER,
        address = &*listener.name,
        error = format!("{error}{}", advice(listener.address.port(), error)),
        "cannot listen here; requests by http:// are not led to https://, and no challenge is \
         answered by HTTP-01"
    );
}

/// The inherited sockets of a listener, if there are any.
fn take(
    listener: &Listener,
    timeouts: &Timeouts,
    inherited: &mut Inherited,
) -> io::Result<Option<Sockets>> {
    let wanted = listener.address;
    let Some(opened) = inherited.take(wanted, client_user_timeout(timeouts))? else {
        return Ok(None);
    };
    if opened.is_empty() && !listener.is_second_family {
        let what = "the socket for both families that was passed belongs to another listener";
        return Err(io::Error::other(what));
    }
    let address = opened.first().and_then(|it| it.local_addr().ok()).unwrap_or(wanted);
    Ok(Some(Sockets { id: SocketId::unique(), address, opened }))
}

fn open(
    address: SocketAddr,
    workers: usize,
    timeouts: &Timeouts,
    others: &[Listening],
) -> io::Result<Sockets> {
    // A change from one address to all of them, or back, is an overlap until the old one drains.
    let overlaps_ours = others.iter().any(|it| overlap(it.address(), address));
    let listen = if overlaps_ours { listen_beside } else { listen };
    let opened = listen(address, workers, client_user_timeout(timeouts))?;
    let address = opened.first().and_then(|it| it.local_addr().ok()).unwrap_or(address);
    Ok(Sockets { id: SocketId::unique(), address, opened })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::listen::port_of_no_one;
    use crate::net::listen::{assert_tuned, has_ip};
    use crate::telemetry::{LogFormat, logged};
    use std::io::ErrorKind;
    use std::net::{IpAddr, Ipv6Addr, TcpStream};
    use std::path::Path;
    use std::time::Duration;
    use tracing::Level;

    #[test]
    fn no_more_workers_serve_clients_than_there_are_cores_but_two_on_one() {
        for (workers, on_one, on_two, on_eight) in [(1, 1, 1, 1), (2, 2, 2, 2), (8, 2, 2, 8)] {
            let serving = [1, 2, 8].map(|cores| serving(workers, workers, cores));
            assert_eq!(serving, [on_one, on_two, on_eight], "{workers}");
        }
        assert_eq!(serving(4, 1, 2), 4, "of one socket, as from systemd");
    }

    #[test]
    fn a_wildcard_has_one_port_for_all_families_that_the_machine_has() {
        let toml = "workers = 2\n[[listener]]\naddress = [\":0\", \"localhost:0\"]\n\
                    [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n";
        let config = Config::parse("narrows.toml", Path::new("."), toml).unwrap();
        let snapshot = Snapshot::load(config).unwrap();
        let opened = open_listeners(&snapshot, 2, &[], &mut Inherited::default()).unwrap();
        let addresses: Vec<_> = opened.iter().map(Listening::address).collect();
        let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
        let families = |four: [u8; 4], six: Ipv6Addr| {
            [IpAddr::from(four), IpAddr::from(six)].into_iter().filter(|it| has_ip(*it))
        };
        let any: Vec<_> = families([0, 0, 0, 0], Ipv6Addr::UNSPECIFIED).collect();
        let all: Vec<_> =
            any.iter().copied().chain(families([127, 0, 0, 1], Ipv6Addr::LOCALHOST)).collect();
        assert_eq!(ips, all);
        let (any, localhost) = addresses.split_at(any.len());
        for pair in [any, localhost] {
            // Another program may have the second family's port: then it gets a port of its own.
            assert!(pair.iter().all(|it| it.port() != 0), "{pair:?}");
        }
        let names: Vec<_> = snapshot.sockets().map(|it| &*it.name).collect();
        assert!(names.iter().all(|name| *name == ":0, localhost:0"), "{names:?}");
    }

    #[test]
    fn the_kernel_waits_for_a_client_no_less_than_its_own_limit_says() {
        let listening =
            open_listeners(&snapshot(&["127.0.0.1:0"], "10s"), 1, &[], &mut Inherited::default())
                .unwrap();
        let listener = listening[0].sockets.opened[0].try_clone().unwrap();
        // A reload changes the limits of a listener that stays.
        for (write, limit) in [("1s", 30), ("45s", 45), ("61s", 60)] {
            listening[0].follow(&snapshot(&["127.0.0.1:0"], write).timeouts);
            let _far = TcpStream::connect(listening[0].address()).unwrap();
            let accepted = loop {
                match listener.accept() {
                    Ok((accepted, _)) => break accepted,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            };
            assert_tuned(&accepted, Duration::from_secs(limit));
        }
    }

    #[test]
    fn an_address_that_stays_keeps_its_sockets_and_a_worker_gets_only_new_ones() {
        let two = ["127.0.0.1:0", "127.0.0.1:0"];
        let before =
            open_listeners(&snapshot(&two, "1s"), 2, &[], &mut Inherited::default()).unwrap();
        let ids = |listening: &[Listening]| -> Vec<_> {
            listening.iter().map(|it| it.sockets.id).collect()
        };
        let told = sockets_for_workers(&before, 2, &[]).unwrap();
        assert!(told.iter().flatten().all(|it| !it.opened.sockets.is_empty()));
        let (one, other) = (before[0].address(), before[1].address());
        for (addresses, want) in [
            (vec!["127.0.0.1:0".to_owned()], vec![Some(0)]),
            (two.map(str::to_owned).to_vec(), vec![Some(0), Some(1)]),
            (vec![other.to_string()], vec![Some(1)]),
            (vec![other.to_string(), one.to_string()], vec![Some(1), Some(0)]),
            (vec!["127.0.0.2:0".to_owned(), one.to_string()], vec![None, Some(0)]),
        ] {
            let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
            let after =
                open_listeners(&snapshot(&addresses, "1s"), 2, &before, &mut Inherited::default())
                    .unwrap();
            for (id, want) in ids(&after).iter().zip(&want) {
                assert_eq!(ids(&before).iter().position(|it| it == id), *want, "{addresses:?}");
            }
            for told in sockets_for_workers(&after, 2, &before).unwrap() {
                let opened: Vec<_> = told.iter().map(|it| !it.opened.sockets.is_empty()).collect();
                let want: Vec<_> = want.iter().map(Option::is_none).collect();
                assert_eq!(opened, want, "{addresses:?}");
            }
        }
    }

    #[test]
    fn an_address_that_another_program_has_is_an_error_and_one_that_widens_ours_is_not() {
        let open = |address: &str, before: &[Listening]| {
            let snapshot = snapshot(&[address], "1s");
            open_listeners(&snapshot, 2, before, &mut Inherited::default())
        };
        // Another program may take a port before we do; not eight in a row.
        let (before, after) = iter::repeat_with(port_of_no_one)
            .take(8)
            .find_map(|port| {
                let before = open(&format!("127.0.0.1:{port}"), &[]).ok()?;
                let after = open(&format!("0.0.0.0:{port}"), &before).ok()?;
                Some((before, after))
            })
            .unwrap();
        assert!(after[0].address().ip().is_unspecified());
        drop(after);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        let error = open(&taken, &before).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen on {taken}: ")), "{error}");
    }

    #[test]
    fn an_optional_address_that_another_program_has_is_left_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        let mut snapshot = snapshot(&[&taken, "127.0.0.1:0"], "1s");
        let open = |snapshot: &Snapshot| {
            open_listeners(snapshot, 2, &[], &mut Inherited::default()).map(|all| all.len())
        };
        assert!(open(&snapshot).is_err());
        Arc::make_mut(&mut snapshot.listeners[0]).is_optional = true;
        // As if it was the other family of the first.
        let mut second = snapshot.listeners[0].clone();
        Arc::make_mut(&mut second).is_second_family = true;
        snapshot.listeners.insert(1, second);
        let log = logged(LogFormat::Text, Level::INFO, || {
            assert_eq!(open(&snapshot).unwrap(), 1);
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        let port = taken.rsplit(':').next().unwrap();
        assert!(log.contains("cannot listen here; requests by http:// are not led"), "{log}");
        assert!(log.contains(&format!("`ss -ltnp sport = :{port}` shows which")), "{log}");
    }

    fn snapshot(addresses: &[&str], write: &str) -> Snapshot {
        let listeners = addresses.iter().map(|it| format!("[[listener]]\naddress = \"{it}\"\n"));
        let toml = format!(
            "{}[[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n\
             [timeouts]\nto_client = {{ write = \"{write}\" }}\n",
            listeners.collect::<String>()
        );
        Snapshot::load(Config::parse("narrows.toml", Path::new("."), &toml).unwrap()).unwrap()
    }
}
