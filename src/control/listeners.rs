//! The sockets that are listened on: for each address one for each worker, so that the kernel
//! spreads the connections (SO_REUSEPORT).

use crate::config::snapshot::{Listener, Snapshot};
use crate::control::error::RunError;
use crate::limits::TCP_USER_TIMEOUT;
use crate::net::listen::listen;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// An address that is listened on.
///
/// These are the main thread's handles of the sockets. The workers have their own, so what is set
/// on one of these holds for them, and a socket is closed when both are.
#[derive(Debug)]
pub(super) struct Listening {
    /// What is served there.
    pub(super) listener: Arc<Listener>,
    /// Its address, with the port that the kernel chose.
    pub(super) address: SocketAddr,
    /// One for each worker.
    sockets: Vec<TcpListener>,
}

impl Listening {
    /// Opens a socket for each worker. `before` is the one before it in the order of the snapshot.
    fn open(
        listener: &Arc<Listener>,
        snapshot: &Snapshot,
        before: Option<&Self>,
    ) -> io::Result<Self> {
        let configured = listener.address;
        // A client that takes nothing is given up by our own limit first, by the kernel's second.
        let user_timeout = snapshot.timeouts.to_client_write.max(TCP_USER_TIMEOUT);
        let at = |port| {
            let address = SocketAddr::new(configured.ip(), port);
            listen(address, snapshot.workers, user_timeout)
        };
        // One port for both families, if the kernel's choice for the first is free for the second.
        let first_family = before.filter(|_| listener.is_second_family);
        let port = first_family.map_or(configured.port(), |first| first.address.port());
        let sockets =
            at(port).or_else(|error| if configured.port() == 0 { at(0) } else { Err(error) })?;
        let address = sockets.first().and_then(|it| it.local_addr().ok()).unwrap_or(configured);
        Ok(Self { listener: Arc::clone(listener), address, sockets })
    }

    /// Another handle of the socket of the worker with this number.
    ///
    /// # Errors
    /// There is no descriptor for it.
    pub(super) fn socket_for(&self, worker: usize) -> io::Result<TcpListener> {
        self.sockets[worker].try_clone()
    }

    /// The address, with what is spoken there.
    pub(super) fn url(&self) -> String {
        self.listener.url(self.address)
    }
}

/// Opens all sockets.
pub(super) fn open_listeners(snapshot: &Snapshot) -> Result<Vec<Listening>, RunError> {
    let mut opened: Vec<Listening> = Vec::new();
    for listener in snapshot.sockets() {
        let listening = Listening::open(listener, snapshot, opened.last())
            .map_err(|error| RunError::Listen(listener.address, error))?;
        opened.push(listening);
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::listen::{assert_tuned, has_ip};
    use std::io::ErrorKind;
    use std::net::{IpAddr, Ipv6Addr, TcpStream};
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn a_wildcard_has_one_port_for_all_families_that_the_machine_has() {
        let toml = "workers = 2\n[[listener]]\naddress = [\":0\", \"localhost:0\"]\n\
                    [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n";
        let config = Config::parse("narrows.toml", Path::new("."), toml).unwrap();
        let snapshot = Snapshot::load(config).unwrap();
        let opened = open_listeners(&snapshot).unwrap();
        let addresses: Vec<_> = opened.iter().map(|it| it.address).collect();
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
        for (write, limit) in [("1s", TCP_USER_TIMEOUT), ("61s", Duration::from_secs(61))] {
            let toml = format!(
                "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                 [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n\
                 [timeouts]\nto_client = {{ write = \"{write}\" }}\n"
            );
            let config = Config::parse("narrows.toml", Path::new("."), &toml).unwrap();
            let listeners = open_listeners(&Snapshot::load(config).unwrap()).unwrap();
            let listener = listeners[0].socket_for(0).unwrap();
            let _far = TcpStream::connect(listeners[0].address).unwrap();
            let accepted = loop {
                match listener.accept() {
                    Ok((accepted, _)) => break accepted,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            };
            assert_tuned(&accepted, limit);
        }
    }
}
