//! How much of what was sent on a connection its peer has not acknowledged: [`send_queue`] asks the
//! kernel (`sock_diag(7)`).
//!
//! That is one message and its reply, and the kernel looks the connection up by its addresses: some
//! 10 us, however many connections there are. `TCP_INFO` and `SIOCOUTQ` would say the same, but no
//! safe wrapper makes those calls. If netlink is forbidden, or its module is missing, the answer is
//! unknown.

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use std::net::{IpAddr, SocketAddr};

/// Sizes and offsets of `linux/netlink.h` and `linux/inet_diag.h`, which are an interface of the
/// kernel's and do not change.
const HEADER_BYTES: usize = 16;
const SOCKET_ID_BYTES: usize = 48;
const REQUEST_BYTES: usize = HEADER_BYTES + 8 + SOCKET_ID_BYTES;
/// Which timer is running, and how many retransmissions or probes there were.
const TIMER_AT: usize = HEADER_BYTES + 2;
const TIMER_RETRANSMIT: u8 = 1;
/// Probes of a shut window, or of a peer that cannot be reached at all.
const TIMER_PROBE: u8 = 4;
const ID_AT: usize = HEADER_BYTES + 4;
const WRITE_QUEUE_AT: usize = ID_AT + SOCKET_ID_BYTES + 8;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
/// Ports and addresses of a socket's id; an interface and a cookie follow.
const ENDS_BYTES: usize = 2 + 2 + 16 + 16;

/// What a connection has sent, or is about to send, and its peer has not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendQueue {
    /// So many bytes.
    pub bytes: u64,
    /// The first of them are being retransmitted, because no acknowledgement came in time. If the
    /// peer keeps its window shut: it answers no probe.
    pub is_retransmitted: bool,
}

impl SendQueue {
    /// Nothing is in flight.
    pub const EMPTY: Self = Self { bytes: 0, is_retransmitted: false };
}

/// What is in flight from `local` to `peer`; `None` if that is unknown.
pub fn send_queue(local: SocketAddr, peer: SocketAddr) -> Option<SendQueue> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kernel =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)).ok()?;
    let id = socket_id(local, peer);
    sendto(&kernel, &request(local, &id), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
        .ok()?;
    let mut reply = [0; 1024];
    // The kernel has answered within the send.
    let (len, _) = recv(&kernel, &mut reply, RecvFlags::empty()).ok()?;
    read_reply(reply.get(..len)?, &id)
}

/// Asks for the one connection with `id`, whatever its state.
fn request(local: SocketAddr, id: &[u8; SOCKET_ID_BYTES]) -> Vec<u8> {
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    // The family has 8 bits here.
    let family = family.as_raw().to_ne_bytes();
    let family = if cfg!(target_endian = "big") { family[1] } else { family[0] };
    let mut out = Vec::with_capacity(REQUEST_BYTES);
    out.extend((REQUEST_BYTES as u32).to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and port: unused, because there is one request.
    out.extend([0; 8]);
    out.extend([family, IPPROTO_TCP, 0, 0]);
    out.extend(u32::MAX.to_ne_bytes());
    out.extend(id);
    out
}

/// The name of a connection, `struct inet_diag_sockid`.
fn socket_id(local: SocketAddr, peer: SocketAddr) -> [u8; SOCKET_ID_BYTES] {
    let mut id = [0; SOCKET_ID_BYTES];
    id[0..2].copy_from_slice(&local.port().to_be_bytes());
    id[2..4].copy_from_slice(&peer.port().to_be_bytes());
    for (at, address) in [(4, local), (20, peer)] {
        match address.ip() {
            IpAddr::V4(ip) => id[at..at + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => id[at..at + 16].copy_from_slice(&ip.octets()),
        }
    }
    if let SocketAddr::V6(local) = local {
        // A link-local address belongs to an interface.
        id[36..40].copy_from_slice(&local.scope_id().to_ne_bytes());
    }
    // No cookie.
    id[40..48].fill(0xff);
    id
}

/// What the kernel says of the connection with `id`. If it does not know the connection, it sends
/// an error, or the listener with that address.
fn read_reply(reply: &[u8], id: &[u8; SOCKET_ID_BYTES]) -> Option<SendQueue> {
    let kind = reply.get(4..6)?;
    let ends = reply.get(ID_AT..ID_AT + ENDS_BYTES)?;
    if kind != SOCK_DIAG_BY_FAMILY.to_ne_bytes() || ends != &id[..ENDS_BYTES] {
        return None;
    }
    let queue = reply.get(WRITE_QUEUE_AT..WRITE_QUEUE_AT + 4)?;
    let bytes = u32::from_ne_bytes(queue.try_into().ok()?).into();
    let [timer, times] = *reply.get(TIMER_AT..TIMER_AT + 2)? else { return None };
    let is_retransmitted = match timer {
        TIMER_RETRANSMIT => times > 0,
        // One may just be in flight.
        TIMER_PROBE => times > 1,
        _ => false,
    };
    Some(SendQueue { bytes, is_retransmitted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

    /// Linux's number for an address that no interface has.
    const EADDRNOTAVAIL: i32 = 99;
    /// Linux's number for an address family that the kernel does not have.
    const EAFNOSUPPORT: i32 = 97;

    #[test]
    fn bytes_are_counted_until_the_peers_kernel_has_acknowledged_them() {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let listener = match TcpListener::bind((address, 0)) {
                // A machine without IPv6.
                Err(error)
                    if [EADDRNOTAVAIL, EAFNOSUPPORT].map(Some).contains(&error.raw_os_error()) =>
                {
                    assert!(address.is_ipv6());
                    continue;
                }
                bound => bound.unwrap(),
            };
            let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut far, _) = listener.accept().unwrap();
            let ends = (near.local_addr().unwrap(), near.peer_addr().unwrap());
            near.write_all(b"hello").unwrap();
            far.read_exact(&mut [0; 5]).unwrap();
            assert_eq!(left(ends), Some(0), "{address}");
            let sent = fill(&mut near);
            let queued = left(ends).unwrap();
            assert!((1..=sent).contains(&queued), "{address}: {queued} of {sent}");
            far.set_nonblocking(true).unwrap();
            let (mut got, mut into) = (0, vec![0; 1 << 16]);
            while left(ends) != Some(0) {
                got += far.read(&mut into).unwrap_or(0) as u64;
            }
            assert!(got <= sent);
        }
    }

    fn left((local, peer): (SocketAddr, SocketAddr)) -> Option<u64> {
        send_queue(local, peer).map(|queue| queue.bytes)
    }

    /// Writes until the socket accepts no more.
    fn fill(near: &mut TcpStream) -> u64 {
        near.set_nonblocking(true).unwrap();
        let mut sent = 0;
        loop {
            match near.write(&[0; 1 << 16]) {
                Ok(len) => sent += len as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_connection_that_does_not_exist_is_unknown_and_its_listener_is_not_taken_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let no_one = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(send_queue(local, no_one), None);
        drop(listener);
        assert_eq!(send_queue(local, no_one), None);
    }

    #[test]
    fn a_reply_that_is_cut_off_or_an_error_says_nothing() {
        let ends: [SocketAddr; 2] =
            ["127.0.0.1:8080", "127.0.0.1:40000"].map(|it| it.parse().unwrap());
        let id = socket_id(ends[0], ends[1]);
        let mut reply = vec![0; WRITE_QUEUE_AT + 4];
        reply[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        reply[ID_AT..ID_AT + SOCKET_ID_BYTES].copy_from_slice(&id);
        reply[WRITE_QUEUE_AT..].copy_from_slice(&42_u32.to_ne_bytes());
        for (timer, times, is_retransmitted) in [
            (0, 0, false),
            (2, 3, false),
            (TIMER_RETRANSMIT, 0, false),
            (TIMER_RETRANSMIT, 1, true),
            (TIMER_PROBE, 0, false),
            (TIMER_PROBE, 1, false),
            (TIMER_PROBE, 2, true),
        ] {
            reply[TIMER_AT..TIMER_AT + 2].copy_from_slice(&[timer, times]);
            let queue = SendQueue { bytes: 42, is_retransmitted };
            assert_eq!(read_reply(&reply, &id), Some(queue), "{timer}, {times}");
        }
        for len in 0..reply.len() {
            assert_eq!(read_reply(&reply[..len], &id), None, "{len} bytes");
        }
        // NLMSG_ERROR.
        reply[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        assert_eq!(read_reply(&reply, &id), None);
    }
}
