//! The sockets that are listened on: for each worker one for each address, so that the kernel
//! spreads the connections (SO_REUSEPORT).

use crate::config::snapshot::Snapshot;
use crate::control::error::RunError;
use crate::limits::TCP_USER_TIMEOUT;
use crate::net::listen::listen;
use std::net::{SocketAddr, TcpListener};

/// For each worker its sockets, in the order of `Snapshot::sockets`.
pub(super) type Listeners = Vec<Vec<TcpListener>>;

/// Opens all sockets.
pub(super) fn open_listeners(snapshot: &Snapshot) -> Result<Listeners, RunError> {
    let mut workers: Listeners = (0..snapshot.workers).map(|_| Vec::new()).collect();
    // A client that takes nothing is given up by our own limit first, by the kernel's second.
    let user_timeout = snapshot.timeouts.to_client_write.max(TCP_USER_TIMEOUT);
    for listener in snapshot.sockets() {
        let opened = listen(listener.address, snapshot.workers, user_timeout)
            .map_err(|error| RunError::Listen(listener.address, error))?;
        for (worker, socket) in workers.iter_mut().zip(opened) {
            worker.push(socket);
        }
    }
    Ok(workers)
}

/// The addresses of the sockets, with the ports that the kernel chose.
pub(super) fn addresses(snapshot: &Snapshot, listeners: &Listeners) -> Vec<SocketAddr> {
    let opened = listeners.first().into_iter().flatten();
    let addresses = snapshot
        .sockets()
        .zip(opened)
        .map(|(configured, opened)| opened.local_addr().unwrap_or(configured.address));
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::listen::assert_tuned;
    use std::io::ErrorKind;
    use std::net::TcpStream;
    use std::path::Path;
    use std::time::Duration;

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
            let listener = &listeners[0][0];
            let _far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
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
