//! Listening sockets that this process was started with: by systemd (`LISTEN_FDS`,
//! `sd_listen_fds(3)`), or by a process that hands over to this one.
//!
//! A socket is found by its address. One that is in use here already need not be bound again, so
//! no client is refused while one process takes the place of another: those that wait in its
//! accept queue stay there.
//!
//! Not here: which of the sockets a configuration needs, and who accepts from them (`control`).

use crate::net::listen::tune;
use crate::net::unix::SocketFile;
use listenfd::ListenFd;
use rustix::fd::OwnedFd;
use socket2::{SockRef, Socket, Type};
use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

/// The number of the first descriptor that systemd passes (`sd_listen_fds(3)`).
const FIRST_PASSED: u32 = 3;
/// What is known of each descriptor (proc(5)).
const DESCRIPTORS: &str = "/proc/self/fdinfo";

/// Sockets that this process was started with, and that no one has taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Option<Inheritance>>,
    /// Whether they come from systemd, which keeps them as well.
    is_systemds: bool,
    /// Ports of which a socket for both families was taken.
    dual_ports: Vec<u16>,
    /// What was passed and is not a listening socket.
    pub refused: Vec<String>,
}

/// One socket.
#[derive(Debug)]
enum Inheritance {
    Tcp { address: SocketAddr, is_dual: bool, socket: TcpListener },
    Unix { path: PathBuf, socket: UnixListener },
}

impl Inherited {
    /// The sockets that systemd passes. Removes its variables from the environment, so it has to be
    /// called before there is a second thread.
    ///
    /// # Errors
    /// There are fewer than the variables say. What has the other numbers is ours.
    pub fn from_systemd() -> io::Result<Self> {
        check_count()?;
        let mut passed = ListenFd::from_env();
        let mut inherited = Self { is_systemds: true, ..Self::default() };
        for number in 0..passed.len() {
            // Either call checks the kind of the socket, and leaves one of another kind alone.
            let socket = match passed.take_tcp_listener(number) {
                Ok(Some(socket)) => Ok(Socket::from(socket)),
                Ok(None) => continue,
                Err(error) => match passed.take_unix_listener(number) {
                    Ok(Some(socket)) => Ok(Socket::from(socket)),
                    Ok(None) | Err(_) => Err(error),
                },
            };
            match socket {
                Ok(socket) => inherited.add(socket),
                Err(error) => inherited.refused.push(error.to_string()),
            }
        }
        Ok(inherited)
    }

    /// These sockets, in this order.
    pub fn new(descriptors: Vec<OwnedFd>) -> Self {
        let mut inherited = Self::default();
        for descriptor in descriptors {
            inherited.add(Socket::from(descriptor));
        }
        inherited
    }

    fn add(&mut self, socket: Socket) {
        match Inheritance::new(socket) {
            Ok(socket) => self.sockets.push(Some(socket)),
            Err(what) => {
                self.sockets.push(None);
                self.refused.push(what);
            }
        }
    }

    /// Takes the sockets that listen on `address`, with `user_timeout` for their connections.
    /// `None`: there is none, so one has to be opened. An empty list: the socket of an earlier
    /// address serves this one as well.
    ///
    /// Port 0 stands for any port, and takes the first that is left.
    ///
    /// # Errors
    /// The kernel refuses an option.
    pub fn take(
        &mut self,
        address: SocketAddr,
        user_timeout: Duration,
    ) -> io::Result<Option<Vec<TcpListener>>> {
        let Some(found) = self.find(address) else {
            let is_served =
                address.ip().is_unspecified() && self.dual_ports.contains(&address.port());
            return Ok(is_served.then(Vec::new));
        };
        let mut taken = Vec::new();
        for slot in &mut self.sockets {
            match slot.take() {
                Some(Inheritance::Tcp { address, is_dual, socket }) if address == found => {
                    tune(SockRef::from(&socket), user_timeout)?;
                    taken.push(socket);
                    if is_dual && address.ip().is_unspecified() {
                        self.dual_ports.push(address.port());
                    }
                }
                other => *slot = other,
            }
        }
        Ok(Some(taken))
    }

    /// The address of the sockets that serve `wanted`.
    fn find(&self, wanted: SocketAddr) -> Option<SocketAddr> {
        let mut left = self.sockets.iter().flatten().filter_map(|it| match it {
            Inheritance::Tcp { address, is_dual, .. } => Some((*address, *is_dual)),
            Inheritance::Unix { .. } => None,
        });
        let (mut dual, mut of_any_port) = (None, None);
        // systemd's `ListenStream=443` is one socket for both families.
        let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, wanted.port()));
        let exact = left.find(|(address, is_dual)| {
            if *is_dual && *address == six && wanted.ip() == Ipv4Addr::UNSPECIFIED {
                dual = Some(*address);
            }
            if wanted.port() == 0 && address.ip() == wanted.ip() {
                of_any_port = of_any_port.or(Some(*address));
            }
            *address == wanted
        });
        exact.map(|(address, _)| address).or(dual).or(of_any_port)
    }

    /// Takes the Unix socket that listens at `path`, with its file if that is to be removed with
    /// it: that of systemd is not.
    ///
    /// # Errors
    /// The file is not there any more.
    pub fn take_unix(
        &mut self,
        path: &Path,
    ) -> io::Result<Option<(UnixListener, Option<SocketFile>)>> {
        let is_wanted = |it: &Inheritance| match it {
            Inheritance::Unix { path: found, .. } => found == path,
            Inheritance::Tcp { .. } => false,
        };
        let slot = self.sockets.iter_mut().find(|it| it.as_ref().is_some_and(is_wanted));
        match slot.and_then(Option::take) {
            Some(Inheritance::Unix { socket, .. }) => {
                let file = if self.is_systemds { None } else { Some(SocketFile::adopt(path)?) };
                Ok(Some((socket, file)))
            }
            Some(Inheritance::Tcp { .. }) | None => Ok(None),
        }
    }

    /// How many are left.
    pub fn count(&self) -> usize {
        self.sockets.iter().flatten().count()
    }

    /// What no one has taken: its number in the order of arrival, and its address. Dropping it
    /// closes it.
    pub fn rest(self) -> impl Iterator<Item = (usize, impl fmt::Display)> {
        let numbered = self.sockets.into_iter().enumerate();
        numbered.filter_map(|(number, socket)| Some((number, socket?)))
    }
}

impl Inheritance {
    /// A listening socket that does not wait.
    fn new(socket: Socket) -> Result<Self, String> {
        let failed = |error: io::Error| error.to_string();
        if socket.r#type().map_err(failed)? != Type::STREAM
            || !socket.is_listener().map_err(failed)?
        {
            return Err("a descriptor that is not a listening stream socket".to_owned());
        }
        socket.set_nonblocking(true).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        if let Some(address) = address.as_socket() {
            let is_dual = address.is_ipv6() && !socket.only_v6().map_err(failed)?;
            return Ok(Self::Tcp { address, is_dual, socket: socket.into() });
        }
        let path = address.as_pathname().map(Path::to_owned);
        let path = path.ok_or_else(|| "a Unix socket without a path".to_owned())?;
        Ok(Self::Unix { path, socket: socket.into() })
    }
}

impl fmt::Display for Inheritance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, .. } => write!(out, "{address}"),
            Self::Unix { path, .. } => write!(out, "{}", path.display()),
        }
    }
}

/// Whether as many descriptors were passed as `LISTEN_FDS` says.
fn check_count() -> io::Result<()> {
    let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
    let is_ours = number("LISTEN_PID").is_none_or(|it| it == process::id());
    let count = number("LISTEN_FDS").filter(|it| is_ours && *it > 0).unwrap_or(0);
    let first = number("LISTEN_FDS_FIRST_FD").unwrap_or(FIRST_PASSED);
    let found = (0..count).take_while(|at| is_passed(first.saturating_add(*at))).count();
    if found < count as usize && Path::new(DESCRIPTORS).exists() {
        let what =
            format!("LISTEN_FDS says that {count} sockets are passed, and there are {found}");
        return Err(io::Error::other(format!("{what}; unset it, or let systemd set it")));
    }
    Ok(())
}

/// Whether the program that started this one has left it a descriptor with this number. What this
/// process opens itself is closed at the start of another program.
fn is_passed(descriptor: u32) -> bool {
    const CLOSED_ON_EXEC: u32 = 0o200_0000;
    let info = fs::read_to_string(format!("{DESCRIPTORS}/{descriptor}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|it| u32::from_str_radix(it.trim(), 8).ok());
    flags.is_some_and(|it| it & CLOSED_ON_EXEC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listen::{assert_tuned, listen};
    use std::net::{TcpStream, UdpSocket};
    use std::thread;

    const TIMEOUT: Duration = Duration::from_secs(77);

    fn listeners(address: &str, count: usize) -> Vec<TcpListener> {
        listen(address.parse().unwrap(), count, Duration::from_secs(60)).unwrap()
    }

    fn inherit(sockets: impl IntoIterator<Item = TcpListener>) -> Inherited {
        Inherited::new(sockets.into_iter().map(OwnedFd::from).collect())
    }

    fn take(inherited: &mut Inherited, address: SocketAddr) -> Option<Vec<TcpListener>> {
        inherited.take(address, TIMEOUT).unwrap()
    }

    fn addresses(sockets: &[TcpListener]) -> Vec<SocketAddr> {
        sockets.iter().map(|it| it.local_addr().unwrap()).collect()
    }

    #[test]
    fn an_address_gets_all_of_its_sockets_and_no_others() {
        let (two, one) = (listeners("127.0.0.1:0", 2), listeners("127.0.0.1:0", 1));
        let (first, second) = (addresses(&two)[0], addresses(&one)[0]);
        let mut inherited = inherit(two.into_iter().chain(one));
        assert_eq!(addresses(&take(&mut inherited, first).unwrap()), [first, first]);
        assert!(take(&mut inherited, first).is_none());
        let rest: Vec<_> = inherited.rest().map(|(number, it)| format!("{number} {it}")).collect();
        assert_eq!(rest, [format!("2 {second}")]);
    }

    #[test]
    fn port_zero_takes_the_ports_that_are_there_in_their_order() {
        let sockets: Vec<_> = (0..2).flat_map(|_| listeners("127.0.0.1:0", 2)).collect();
        let addresses_were = addresses(&sockets);
        let mut inherited = inherit(sockets);
        let any = "127.0.0.1:0".parse().unwrap();
        for want in addresses_were.chunks(2) {
            assert_eq!(addresses(&take(&mut inherited, any).unwrap()), want);
        }
        assert!(take(&mut inherited, any).is_none());
    }

    #[test]
    fn a_socket_for_both_families_serves_the_addresses_of_both() {
        let Some((port, socket)) = dual() else { return };
        let (four, six) =
            ((Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into());
        for (first, second) in [(four, six), (six, four)] {
            let mut inherited = inherit([socket.try_clone().unwrap()]);
            assert_eq!(take(&mut inherited, first).unwrap().len(), 1);
            assert_eq!(take(&mut inherited, second).unwrap().len(), 0);
            assert_eq!(inherited.rest().count(), 0);
        }
        let mut inherited = inherit([socket]);
        let one_address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert!(take(&mut inherited, one_address).is_none());
    }

    /// Its port, and the socket; `None` on a machine without IPv6.
    fn dual() -> Option<(u16, TcpListener)> {
        let socket = Socket::new(socket2::Domain::IPV6, Type::STREAM, None).ok()?;
        socket.set_only_v6(false).unwrap();
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).ok()?;
        socket.listen(1).unwrap();
        let socket = TcpListener::from(socket);
        Some((socket.local_addr().unwrap().port(), socket))
    }

    #[test]
    fn an_inherited_socket_has_the_options_of_one_that_we_open() {
        let plain = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = plain.local_addr().unwrap();
        let taken = take(&mut inherit([plain]), address).unwrap().remove(0);
        let _client = TcpStream::connect(address).unwrap();
        let accepted = loop {
            // It does not wait, though it did.
            match taken.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                accepted => break accepted.unwrap().0,
            }
        };
        assert_tuned(&accepted, TIMEOUT);
    }

    #[test]
    fn what_does_not_listen_is_refused_and_keeps_its_number() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = TcpStream::connect(address).unwrap();
        let inherited = Inherited::new(vec![udp.into(), connected.into(), listener.into()]);
        assert_eq!(inherited.refused, ["a descriptor that is not a listening stream socket"; 2]);
        let rest: Vec<_> = inherited.rest().map(|(number, it)| format!("{number} {it}")).collect();
        assert_eq!(rest, [format!("2 {address}")]);
    }
}
