//! A long way to the origin: a relay of TCP bytes that holds each back by half a round trip.
//!
//! The first bytes of a connection are held back by a whole round trip more, which is what its SYN
//! would have taken. Threads that sleep, and no runtime, because a runtime's timers tick in
//! milliseconds and a thread's sleep is ten times as exact.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Reads under way in one direction.
const UNDER_WAY_MAX: usize = 1024;
const READ_BYTES: usize = 16 * 1024;

/// Starts a link to `to` on threads of its own, which live as long as the process.
pub(crate) fn start(to: SocketAddr, round_trip: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            // A failure shows at the client: its connection is closed.
            let _ = connect(near, to, round_trip);
        }
    });
    Ok(address)
}

fn connect(near: TcpStream, to: SocketAddr, round_trip: Duration) -> io::Result<()> {
    let open_at = Instant::now() + round_trip;
    let far = TcpStream::connect(to)?;
    for tcp in [&near, &far] {
        tcp.set_nodelay(true)?;
    }
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
        thread::spawn(move || read(from, &sender, open_at, round_trip / 2));
        thread::spawn(move || write(to, &receiver));
    }
    Ok(())
}

/// When it is due, and what was read; the end is empty.
type Late = (Instant, Vec<u8>);

fn read(mut from: TcpStream, sender: &SyncSender<Late>, open_at: Instant, delay: Duration) {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        // An error counts as an end: the bench measures only the time to the first byte.
        let len = from.read(&mut bytes).unwrap_or(0);
        let due = Instant::now().max(open_at) + delay;
        if sender.send((due, bytes[..len].to_vec())).is_err() || len == 0 {
            return;
        }
    }
}

fn write(mut to: TcpStream, receiver: &Receiver<Late>) {
    for (due, bytes) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
