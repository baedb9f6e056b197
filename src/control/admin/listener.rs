//! The socket of the admin listener, and the connections that it accepts.

use crate::config::admin_address::AdminAddress;
use crate::control::admin::connection::{Connection, Context, Stream};
use crate::control::admin::page::Pages;
use crate::limits::{ACCEPT_BACKOFF, ADMIN_CONNECTIONS_MAX, TCP_USER_TIMEOUT};
use crate::net::listen::listen;
use crate::net::unix::{SocketFile, listen_unix};
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep};

/// A socket that is listened on.
#[derive(Debug)]
pub(in crate::control) struct AdminListener {
    address: AdminAddress,
    // Before its socket: see `SocketFile`.
    _file: Option<SocketFile>,
    socket: AdminSocket,
}

#[derive(Debug)]
enum AdminSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AdminListener {
    /// Listens at `address`. Must be called in a runtime.
    ///
    /// # Errors
    /// Those of the socket: above all, another process listens there.
    pub(in crate::control) fn open(address: &AdminAddress) -> io::Result<Self> {
        let (socket, file) = match address {
            AdminAddress::Tcp(address) => {
                let opened = listen(*address, 1, TCP_USER_TIMEOUT)?.pop();
                let opened = opened.ok_or(io::ErrorKind::NotConnected)?;
                (AdminSocket::Tcp(TcpListener::from_std(opened)?), None)
            }
            AdminAddress::Unix(path) => {
                let (opened, file) = listen_unix(path)?;
                (AdminSocket::Unix(UnixListener::from_std(opened)?), Some(file))
            }
        };
        Ok(Self { address: address.clone(), _file: file, socket })
    }

    /// Where it listens, with the port that the kernel chose.
    pub(in crate::control) fn local_address(&self) -> AdminAddress {
        match &self.socket {
            AdminSocket::Tcp(socket) => {
                socket.local_addr().map_or_else(|_| self.address.clone(), AdminAddress::Tcp)
            }
            AdminSocket::Unix(_) => self.address.clone(),
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.socket {
            AdminSocket::Tcp(socket) => Box::new(socket.accept().await?.0),
            AdminSocket::Unix(socket) => Box::new(socket.accept().await?.0),
        })
    }
}

/// Accepts connections for as long as it is polled. Those that are open by then go on.
pub(super) async fn accept<P: Pages + 'static>(
    listener: AdminListener,
    context: Rc<Context<P>>,
) -> Infallible {
    let mut connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok(stream) => connections.serve(stream, &context),
            // Of that connection, or there are no descriptors. A pause is right for both: the next
            // probe can wait for so long.
            Err(_) => sleep(ACCEPT_BACKOFF).await,
        }
    }
}

/// The open connections: at most [`ADMIN_CONNECTIONS_MAX`].
///
/// If there are as many, a new one takes the place of the one that has made no progress for the
/// longest time. So neither idle nor slow clients keep a probe or a scraper away.
#[derive(Default)]
struct Connections(Vec<Open>);

struct Open {
    progress: Rc<Cell<Instant>>,
    task: AbortHandle,
}

impl Connections {
    fn serve<P: Pages + 'static>(&mut self, stream: Box<dyn Stream>, context: &Rc<Context<P>>) {
        self.0.retain(|open| !open.task.is_finished());
        if self.0.len() >= ADMIN_CONNECTIONS_MAX {
            let slowest = (0..self.0.len()).min_by_key(|at| self.0[*at].progress.get());
            if let Some(slowest) = slowest {
                self.0.swap_remove(slowest).task.abort();
            }
        }
        let progress = Rc::new(Cell::new(Instant::now()));
        let connection = Connection::new(stream, Rc::clone(&progress));
        let context = Rc::clone(context);
        let task = spawn_local(async move { connection.run(&context).await });
        self.0.push(Open { progress, task: task.abort_handle() });
    }
}
