//! The socket of the admin listener, and the connections that it accepts.

use crate::config::admin_address::AdminAddress;
use crate::config::listen_address::ListenAddress;
use crate::control::admin::connection::{Connection, Context, Stream};
use crate::control::admin::page::Pages;
use crate::control::admin::request::Names;
use crate::limits::{ACCEPT_BACKOFF, ADMIN_CONNECTIONS_MAX, LISTEN_BACKLOG, TCP_USER_TIMEOUT};
use crate::net::activation::Inherited;
use crate::net::listen::{has_ip, listen, listen_beside, overlap};
use crate::net::unix::{SocketFile, listen_unix};
use crate::task::spawn;
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::Poll;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// The sockets of an address: one, or one of each family.
#[derive(Debug)]
pub(in crate::control) struct AdminListener {
    address: AdminAddress,
    // Before its socket: see `SocketFile`.
    file: RefCell<Option<SocketFile>>,
    sockets: Sockets,
    /// Whether another process has it as well, and may still answer there.
    pub(in crate::control) is_inherited: bool,
}

#[derive(Debug)]
enum Sockets {
    Tcp(Vec<TcpListener>),
    Unix(UnixListener),
}

impl AdminListener {
    /// Takes the inherited sockets of `address`, or opens them, beside those `before` that it takes
    /// the place of. Must be called in a runtime.
    ///
    /// # Errors
    /// Those of a socket: above all, another process listens there.
    pub(in crate::control) fn open(
        address: &AdminAddress,
        inherited: &mut Inherited,
        before: &[SocketAddr],
    ) -> io::Result<Self> {
        let passed = inherited.count();
        let (sockets, file) = match address {
            AdminAddress::Tcp(address) => {
                (Sockets::Tcp(open_tcp(*address, inherited, before)?), None)
            }
            AdminAddress::Unix(path) => {
                let (socket, file) = match inherited.take_unix(path)? {
                    Some((socket, file)) => (socket, file),
                    None => listen_unix(path).map(|(socket, file)| (socket, Some(file)))?,
                };
                (Sockets::Unix(UnixListener::from_std(socket)?), file)
            }
        };
        let (file, is_inherited) = (RefCell::new(file), inherited.count() < passed);
        Ok(Self { address: address.clone(), file, sockets, is_inherited })
    }

    /// Further handles of the sockets.
    ///
    /// # Errors
    /// There is no descriptor for one.
    pub(super) fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        let handle = |socket: BorrowedFd<'_>| socket.try_clone_to_owned();
        match &self.sockets {
            Sockets::Tcp(sockets) => sockets.iter().map(|it| handle(it.as_fd())).collect(),
            Sockets::Unix(socket) => Ok(vec![handle(socket.as_fd())?]),
        }
    }

    /// How many sockets there are.
    pub(super) fn count(&self) -> usize {
        match &self.sockets {
            Sockets::Tcp(sockets) => sockets.len(),
            Sockets::Unix(_) => 1,
        }
    }

    /// Where it listens by TCP, with the ports that the kernel chose.
    pub(super) fn tcp_addresses(&self) -> Vec<SocketAddr> {
        match &self.sockets {
            Sockets::Tcp(sockets) => sockets.iter().filter_map(|it| it.local_addr().ok()).collect(),
            Sockets::Unix(_) => Vec::new(),
        }
    }

    /// Leaves the file of the socket, if it has one, to another process.
    pub(super) fn leave_file(&self) {
        if let Some(file) = &mut *self.file.borrow_mut() {
            file.leave();
        }
    }

    /// The names that its pages are served by.
    pub(super) fn names(&self) -> Names {
        Names::of(&self.address)
    }

    /// Where it listens, with the ports that the kernel chose.
    pub(in crate::control) fn addresses(&self) -> Vec<String> {
        match &self.sockets {
            Sockets::Tcp(_) => self.tcp_addresses().iter().map(SocketAddr::to_string).collect(),
            Sockets::Unix(_) => vec![self.address.to_string()],
        }
    }

    /// The next connection that waits to be accepted. The runtime only knows what its last round
    /// brought, so the kernel is asked.
    fn accept_queued(&self) -> Option<Box<dyn Stream>> {
        let accept = |socket: SockRef<'_>| {
            let (accepted, _) = socket.accept().ok()?;
            accepted.set_nonblocking(true).ok()?;
            Some(accepted)
        };
        match &self.sockets {
            Sockets::Tcp(sockets) => {
                let accepted = sockets.iter().find_map(|it| accept(SockRef::from(it)))?;
                Some(Box::new(TcpStream::from_std(accepted.into()).ok()?))
            }
            Sockets::Unix(socket) => {
                let accepted = accept(SockRef::from(socket))?;
                Some(Box::new(UnixStream::from_std(accepted.into()).ok()?))
            }
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.sockets {
            Sockets::Tcp(sockets) => {
                let accepted = poll_fn(|cx| {
                    let mut polled = sockets.iter().map(|it| it.poll_accept(cx));
                    polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
                });
                Ok(Box::new(accepted.await?.0))
            }
            Sockets::Unix(socket) => Ok(Box::new(socket.accept().await?.0)),
        }
    }
}

/// A socket of each family. With port 0 the second has the port of the first.
fn open_tcp(
    address: ListenAddress,
    inherited: &mut Inherited,
    before: &[SocketAddr],
) -> io::Result<Vec<TcpListener>> {
    let mut opened: Vec<TcpListener> = Vec::new();
    for mut address in address.sockets_here(has_ip) {
        if let Some(first) = opened.first() {
            address.set_port(first.local_addr()?.port());
        }
        let is_ours = before.iter().any(|it| *it == address || overlap(*it, address));
        let listen = if is_ours { listen_beside } else { listen };
        let sockets = match inherited.take(address, TCP_USER_TIMEOUT)? {
            Some(sockets) => sockets,
            None => listen(address, 1, TCP_USER_TIMEOUT)?,
        };
        for socket in sockets {
            opened.push(TcpListener::from_std(socket)?);
        }
    }
    Ok(opened)
}

/// Accepts connections until the drain begins, and then those that wait. Those that are open go on.
pub(super) async fn accept<P: Pages + 'static>(
    listener: Rc<AdminListener>,
    context: Rc<Context<P>>,
) {
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => connections.serve(stream, &context),
                // Of that connection, or there are no descriptors. A pause is right for both: the
                // next probe can wait for so long.
                Err(_) => sleep(ACCEPT_BACKOFF).await,
            },
            () = context.drain.begun() => break,
        }
    }
    for _ in 0..LISTEN_BACKLOG {
        match listener.accept_queued() {
            Some(stream) => connections.serve(stream, &context),
            None => return,
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
        let task = spawn(async move { connection.run(&context).await });
        self.0.push(Open { progress, task });
    }
}
