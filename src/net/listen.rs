//! Listening sockets: one per worker on the same address (SO_REUSEPORT), so that the kernel
//! spreads connections and no two workers share an accept queue.

use crate::limits::{
    CLIENT_USER_TIMEOUT_MAX, LISTEN_BACKLOG, TCP_KEEPALIVE, TCP_KEEPALIVE_PROBES, TCP_USER_TIMEOUT,
};
use crate::timeouts::Timeouts;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
#[cfg(test)]
use std::os::fd::AsFd;
use std::time::Duration;

/// How long a client may leave what it was sent unacknowledged, or keep its window shut, before the
/// kernel ends its connection.
pub fn client_user_timeout(timeouts: &Timeouts) -> Duration {
    timeouts.to_client_write.clamp(TCP_USER_TIMEOUT, CLIENT_USER_TIMEOUT_MAX)
}

/// Opens `count` listeners on `address`. For port 0 the kernel chooses one port for all of them.
///
/// Accepted connections inherit TCP_NODELAY, keepalive and `user_timeout` from the listener, which
/// saves four system calls for each.
///
/// # Errors
/// Those of the sockets. An address that another program listens on is `AddrInUse`, even when
/// that program is a second narrows: two that share a port by accident are hard to notice.
pub fn listen(
    address: SocketAddr,
    count: usize,
    user_timeout: Duration,
) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // With SO_REUSEPORT alone we would share the port with any program of the same user that
        // has set it, too.
        try_out(address, user_timeout)?;
    }
    listen_beside(address, count, user_timeout)
}

/// The same for an address that this process listens on already, as part of a wildcard address or
/// with one as its part. The more specific address gets the connections that are for both.
///
/// # Errors
/// Those of the sockets. Another program that shares its port is not noticed.
pub fn listen_beside(
    address: SocketAddr,
    count: usize,
    user_timeout: Duration,
) -> io::Result<Vec<TcpListener>> {
    let first = bound(address, user_timeout)?;
    let chosen = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bound(chosen, user_timeout)?);
    }
    sockets
        .into_iter()
        .map(|socket| {
            socket.listen(LISTEN_BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

/// Binds `address` for a moment, alone and without listening: no client meets it.
///
/// # Errors
/// As for [`listen`].
pub fn try_out(address: SocketAddr, user_timeout: Duration) -> io::Result<()> {
    socket(address, user_timeout)?.bind(&address.into())
}

/// Whether one of two addresses is part of the other.
pub fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one != other
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Whether this machine has `ip`, which may be a wildcard. Without IPv6 it has neither `::` nor
/// `::1`; with IPv6 switched off, it may have the first alone.
pub fn has_ip(ip: IpAddr) -> bool {
    let address = SocketAddr::new(ip, 0);
    let kind = Type::STREAM.cloexec();
    let opened = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP));
    let bound = opened.and_then(|socket| socket.bind(&address.into()));
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    // To listen on an address that is there fails with the reason, whatever that is.
    !bound.is_err_and(|error| Errno::from_io_error(&error).is_some_and(|it| missing.contains(&it)))
}

fn bound(address: SocketAddr, user_timeout: Duration) -> io::Result<Socket> {
    let socket = socket(address, user_timeout)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn socket(address: SocketAddr, user_timeout: Duration) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Whatever the system's default, `[::]` leaves IPv4 to a listener on `0.0.0.0`, which could
        // not have the same port otherwise.
        socket.set_only_v6(true)?;
    }
    // Connections of a previous process in TIME_WAIT must not block the address.
    socket.set_reuse_address(true)?;
    tune(SockRef::from(&socket), user_timeout)?;
    Ok(socket)
}

/// Sets the options that connections inherit from their listener.
///
/// # Errors
/// The kernel refuses one.
pub(super) fn tune(listener: SockRef<'_>, user_timeout: Duration) -> io::Result<()> {
    listener.set_tcp_nodelay(true)?;
    listener.set_tcp_keepalive(&keepalive())?;
    listener.set_tcp_user_timeout(Some(user_timeout))
}

/// The keepalive probes of every socket. They keep NAT entries alive while a model thinks, and
/// detect peers that have vanished.
pub fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(TCP_KEEPALIVE)
        .with_interval(TCP_KEEPALIVE)
        .with_retries(TCP_KEEPALIVE_PROBES)
}

/// A port that no socket has, of any address and either family, nor a connection in TIME-WAIT: for
/// tests that listen on a wildcard beside something else. Another program may take it meanwhile.
#[cfg(test)]
pub(crate) fn port_of_no_one() -> u16 {
    let has_six = has_ip(std::net::Ipv6Addr::UNSPECIFIED.into());
    let any = if has_six { "[::]:0" } else { "0.0.0.0:0" };
    TcpListener::bind(any).unwrap().local_addr().unwrap().port()
}

/// Asserts that `socket` has all options of a connection, and `limit` as its user timeout.
#[cfg(test)]
pub(crate) fn assert_tuned(socket: &impl AsFd, limit: Duration) {
    let socket = SockRef::from(socket);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(limit));
    assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), TCP_KEEPALIVE);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), TCP_KEEPALIVE);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), TCP_KEEPALIVE_PROBES);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
    use std::thread;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn port_zero_gives_all_listeners_one_real_port() {
        let listeners = listen(loopback(), 3, Duration::from_secs(60)).unwrap();
        let ports: Vec<_> = listeners.iter().map(|one| one.local_addr().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn an_address_in_use_is_an_error_even_when_its_user_shares_ports() {
        let first = listen(loopback(), 1, Duration::from_secs(60)).unwrap();
        let address = first[0].local_addr().unwrap();
        let error = listen(address, 1, Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn a_machine_has_loopback_and_not_the_address_of_a_document() {
        assert!(has_ip(Ipv4Addr::LOCALHOST.into()) && has_ip(Ipv4Addr::UNSPECIFIED.into()));
        assert!(!has_ip(Ipv4Addr::new(192, 0, 2, 1).into()));
        assert!(!has_ip("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn an_address_can_be_part_of_a_wildcard_that_we_listen_on() {
        let timeout = Duration::from_secs(60);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let wide = listen(any, 2, timeout).unwrap();
        let narrow = SocketAddr::new(loopback().ip(), wide[0].local_addr().unwrap().port());
        assert_eq!(listen(narrow, 2, timeout).unwrap_err().kind(), ErrorKind::AddrInUse);
        let opened = listen_beside(narrow, 2, timeout).unwrap();
        let _client = TcpStream::connect(narrow).unwrap();
        // One of the two gets it, and none of the wildcard's.
        while opened.iter().all(|it| it.accept().is_err()) {
            thread::yield_now();
        }
        drop(wide);
        listen_beside(SocketAddr::new(any.ip(), narrow.port()), 2, timeout).unwrap();
    }

    #[test]
    fn accepted_connections_have_the_options_of_their_listener() {
        let user_timeout = Duration::from_secs(77);
        let listener = listen(loopback(), 1, user_timeout).unwrap().remove(0);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = loop {
            // The listener does not wait.
            match listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                accepted => break accepted.unwrap().0,
            }
        };
        assert_tuned(&accepted, user_timeout);
    }

    #[test]
    fn the_same_port_can_be_listened_on_for_ipv4_and_for_ipv6() {
        let timeout = Duration::from_secs(60);
        let any = |address: IpAddr, port| listen(SocketAddr::new(address, port), 1, timeout);
        if !has_ip(Ipv6Addr::UNSPECIFIED.into()) {
            return; // There is no port to share.
        }
        // Another program may take a port before we do; not eight in a row.
        for attempt in 0..8 {
            let port = port_of_no_one();
            let six = any(Ipv6Addr::UNSPECIFIED.into(), port);
            match six.and_then(|six| Ok((six, any(Ipv4Addr::UNSPECIFIED.into(), port)?))) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && attempt < 7 => {}
                both => return drop(both.unwrap()),
            }
        }
    }
}
