//! Where a worker's connections come from.
//!
//! Usually a worker has a socket of its own for each address, and the kernel spreads the clients.
//! A socket that is passed to this process, by systemd or by a predecessor with fewer workers, may
//! have to serve several. If all of them accepted from it, the one that is awake would take a burst
//! of clients alone. So one worker accepts, and passes the connections on to all in turn.

use crate::limits::LISTEN_BACKLOG;
use std::iter;
use std::net::{SocketAddr, TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// One source of connections of a worker.
#[derive(Debug)]
pub enum Incoming {
    /// A socket that this worker accepts from, for itself.
    Own(TcpListener),
    /// A socket that this worker accepts from, for all workers in turn.
    Shared(TcpListener, Turns),
    /// The connections that it gets in turn.
    Passed(Receiver<Passed>),
}

/// A connection that another worker has accepted, with its peer.
pub type Passed = (TcpStream, SocketAddr);

/// The workers that get connections in turn.
#[derive(Clone, Debug)]
pub struct Turns {
    workers: Vec<Sender<Passed>>,
    next: usize,
}

/// Deals `sockets` of one address to so many workers, so that each gets the same share of the
/// clients. The kernel gives each socket the same share.
pub fn deal(sockets: Vec<TcpListener>, workers: usize) -> Vec<Vec<Incoming>> {
    let mut hands: Vec<Vec<Incoming>> = iter::repeat_with(Vec::new).take(workers).collect();
    let turns = if sockets.len().is_multiple_of(workers) {
        None
    } else {
        // As many as the accept queue holds. A worker that leaves more unserved hangs.
        let channels = (0..workers).map(|_| channel(LISTEN_BACKLOG.unsigned_abs() as usize));
        let (workers, receivers): (_, Vec<_>) = channels.unzip();
        for (hand, receiver) in hands.iter_mut().zip(receivers) {
            hand.push(Incoming::Passed(receiver));
        }
        Some(Turns { workers, next: 0 })
    };
    for (number, socket) in sockets.into_iter().enumerate() {
        hands[number % workers].push(match &turns {
            None => Incoming::Own(socket),
            Some(turns) => Incoming::Shared(socket, turns.clone()),
        });
    }
    hands
}

impl Turns {
    /// Passes a connection to the worker whose turn it is; if that takes none, to the next one that
    /// does. If none does, the connection is closed.
    pub(super) fn pass(&mut self, mut connection: Passed) {
        for _ in 0..self.workers.len() {
            let worker = &self.workers[self.next];
            self.next = (self.next + 1) % self.workers.len();
            match worker.try_send(connection) {
                Ok(()) => return,
                Err(TrySendError::Full(back) | TrySendError::Closed(back)) => connection = back,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(count: usize) -> Vec<TcpListener> {
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect()
    }

    /// Of each worker: own sockets, shared ones, and channels.
    fn dealt(sockets_count: usize, workers: usize) -> Vec<(usize, usize, usize)> {
        let count = |hand: &Vec<Incoming>| {
            hand.iter().fold((0, 0, 0), |(own, shared, passed), it| match it {
                Incoming::Own(_) => (own + 1, shared, passed),
                Incoming::Shared(..) => (own, shared + 1, passed),
                Incoming::Passed(_) => (own, shared, passed + 1),
            })
        };
        deal(sockets(sockets_count), workers).iter().map(count).collect()
    }

    #[test]
    fn each_socket_is_accepted_from_and_each_worker_gets_the_same_share() {
        assert_eq!(dealt(2, 2), [(1, 0, 0), (1, 0, 0)]);
        assert_eq!(dealt(4, 2), [(2, 0, 0), (2, 0, 0)]);
        assert_eq!(dealt(0, 2), [(0, 0, 0), (0, 0, 0)]);
        assert_eq!(dealt(1, 3), [(0, 1, 1), (0, 0, 1), (0, 0, 1)]);
        assert_eq!(dealt(3, 2), [(0, 2, 1), (0, 1, 1)]);
    }

    #[test]
    fn workers_get_their_turns_whatever_comes_and_one_that_has_ended_is_left_out() {
        let mut hands = deal(sockets(1), 3);
        let mut receivers: Vec<_> = hands
            .iter_mut()
            .map(|hand| match hand.remove(0) {
                Incoming::Passed(receiver) => receiver,
                other => panic!("{other:?}"),
            })
            .collect();
        let Incoming::Shared(socket, mut turns) = hands[0].remove(0) else { panic!() };
        let address = socket.local_addr().unwrap();
        let mut pass = |count: usize| {
            for _ in 0..count {
                turns.pass((TcpStream::connect(address).unwrap(), address));
            }
        };
        pass(9);
        assert!(receivers.iter().all(|it| it.len() == 3));
        receivers.remove(1);
        pass(6);
        assert_eq!(receivers.iter().map(Receiver::len).sum::<usize>(), 6 + 6);
        assert!(receivers.iter().all(|it| it.len() > 4));
    }
}
