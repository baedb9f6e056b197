//! Where a worker's connections come from.
//!
//! Usually a worker has a socket of its own for each address. A socket that is passed to this
//! process, by systemd or by a predecessor with fewer workers, may have to serve several. If all of
//! them accepted from it, the one that is awake would take a burst of clients alone, so one worker
//! accepts. In both cases [`Balance`] spreads the connections.

use crate::limits::LISTEN_BACKLOG;
use crate::worker::balance::{Balance, Passed};
use std::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};

/// A worker's part of one address.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The sockets that it accepts from.
    pub sockets: Vec<TcpListener>,
    /// The other workers, if there are any, and the connections that come from them.
    pub others: Option<(Balance, Receiver<Passed>)>,
}

/// Deals `sockets` of one address to so many workers.
pub fn deal(sockets: Vec<TcpListener>, workers: usize) -> Vec<Incoming> {
    // As many as the accept queue holds. A worker that leaves more unserved hangs.
    let channels = (0..workers).map(|_| channel(LISTEN_BACKLOG.unsigned_abs() as usize));
    let (senders, receivers): (Vec<_>, Vec<_>) = channels.unzip();
    let others = Balance::of_all(&senders).zip(receivers);
    let alone = workers == 1;
    let hand = |others| Incoming { sockets: Vec::new(), others: (!alone).then_some(others) };
    let mut hands: Vec<_> = others.map(hand).collect();
    for (number, socket) in sockets.into_iter().enumerate() {
        hands[number % workers].sockets.push(socket);
    }
    hands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_is_accepted_from_and_workers_know_each_other() {
        let sockets =
            |count| (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let dealt = |count, workers| {
            let hands = deal(sockets(count), workers);
            let hands = hands.iter().map(|it| (it.sockets.len(), it.others.is_some()));
            hands.collect::<Vec<_>>()
        };
        assert_eq!(dealt(1, 1), [(1, false)]);
        assert_eq!(dealt(2, 2), [(1, true), (1, true)]);
        assert_eq!(dealt(1, 3), [(1, true), (0, true), (0, true)]);
        assert_eq!(dealt(3, 2), [(2, true), (1, true)]);
    }
}
