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
    /// Opens a socket for each of so many workers.
    fn open(listener: &Arc<Listener>, snapshot: &Snapshot) -> io::Result<Self> {
        let configured = listener.address;
        // A client that takes nothing is given up by our own limit first, by the kernel's second.
        let user_timeout = snapshot.timeouts.to_client_write.max(TCP_USER_TIMEOUT);
        let sockets = listen(configured, snapshot.workers, user_timeout)?;
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
    let open = |listener: &Arc<Listener>| {
        Listening::open(listener, snapshot)
            .map_err(|error| RunError::Listen(listener.address, error))
    };
    snapshot.sockets().map(open).collect()
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
