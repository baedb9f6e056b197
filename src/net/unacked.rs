//! How much of what was sent on a connection its peer has not acknowledged, as the kernel's table
//! of connections tells (`/proc/net/tcp`, column `tx_queue`: written less acknowledged).
//!
//! The table is read as a whole, which takes some time on a busy machine. It is asked once for a
//! request that got no answer on a reused connection: rare, and worth more than a second payment.
//! `TCP_INFO` would say the same with one call, which no safe wrapper makes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};

/// Bytes sent from `local` to `peer` that are not acknowledged; `None` when nobody can tell.
pub fn unacknowledged(local: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let name = if local.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let rows = BufReader::new(File::open(name).ok()?).lines().skip(1);
    let (local, peer) = (encode(local), encode(peer));
    rows.map_while(Result::ok).find_map(|row| tx_queue(&row, &local, &peer))
}

/// The queue of one row, if it is the row of this connection:
/// `sl: local remote st tx_queue:rx_queue …`, all hexadecimal.
fn tx_queue(row: &str, local: &str, peer: &str) -> Option<u64> {
    let mut columns = row.split_ascii_whitespace().skip(1);
    if columns.next()? != local || columns.next()? != peer {
        return None;
    }
    let (tx_queue, _) = columns.nth(1)?.split_once(':')?;
    u64::from_str_radix(tx_queue, 16).ok()
}

/// An address as the table writes it: words of 32 bits as they stand in memory.
fn encode(address: SocketAddr) -> String {
    let words = |octets: &[u8]| -> String {
        octets
            .chunks_exact(4)
            .map(|word| format!("{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
            .collect()
    };
    let host = match address.ip() {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    };
    format!("{host}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_row_gives_its_queue_when_both_addresses_match() {
        let row = "   3: 0100007F:1F90 0100007F:C350 08 0000002A:00000001 02:00000000 0 0 0 77";
        assert_eq!(tx_queue(row, "0100007F:1F90", "0100007F:C350"), Some(42));
        assert_eq!(tx_queue(row, "0100007F:1F90", "0100007F:C351"), None);
        assert_eq!(tx_queue("", "a", "b"), None);
    }

    #[test]
    fn acknowledged_bytes_leave_the_count_and_an_unknown_connection_has_none() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.write_all(b"hello").unwrap();
        far.peek(&mut [0; 5]).unwrap();
        let (local, peer) = (near.local_addr().unwrap(), near.peer_addr().unwrap());
        assert_eq!(unacknowledged(local, peer), Some(0));
        assert_eq!(unacknowledged(peer, SocketAddr::from(([127, 0, 0, 1], 1))), None);
    }
}
