//! The accept loop, one for each socket of a worker.

use crate::limits::{ACCEPT_BACKOFF, LISTEN_BACKLOG};
use crate::net::descriptors::is_spare;
use crate::telemetry::targets::WORKER;
use crate::worker::admit::Admitter;
use crate::worker::balance::{Balance, Passed};
use crate::worker::listening::Listening;
use crate::worker::warnings::is_news;
use rustix::io::Errno;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::sleep;

/// Accepts connections from `socket` until a drain begins, and then what is in the queue: to close
/// the socket would reset those. If another process accepts from it, they are left to that one.
/// With `balance`, another worker may get them.
pub(super) async fn accept(
    admitter: Rc<Admitter>,
    socket: TcpListener,
    balance: Option<Balance>,
    at: Rc<Listening>,
) {
    let _accepting = at.accepting.enter();
    let mut drained = pin!(at.context.drain.begun());
    let acceptor = Acceptor { admitter: &admitter, balance, at: &at };
    loop {
        let accepted = poll_fn(|cx| match socket.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => drained.as_mut().poll(cx).map(|()| None),
        });
        match accepted.await {
            Some(Ok((tcp, peer))) => acceptor.take(tcp, peer),
            Some(Err(error)) => failed(&admitter, &error).await,
            None => break,
        }
    }
    if at.is_handed_over() {
        return;
    }
    // The runtime only knows what its last round brought; connections may have come since. No more
    // of them than the queue holds: a flood of others would go on for ever.
    let Ok(socket) = socket.into_std() else { return };
    for _ in 0..=LISTEN_BACKLOG {
        match socket.accept() {
            Ok((tcp, peer)) => {
                if let Ok(()) = tcp.set_nonblocking(true)
                    && let Ok(tcp) = TcpStream::from_std(tcp)
                {
                    acceptor.take(tcp, peer);
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(_none_left) => return,
        }
    }
}

/// Takes the connections that other workers pass to this one, until all of them drain.
pub(super) async fn take_passed(
    admitter: Rc<Admitter>,
    mut passed: Receiver<Passed>,
    at: Rc<Listening>,
) {
    let _accepting = at.accepting.enter();
    let acceptor = Acceptor { admitter: &admitter, balance: None, at: &at };
    while let Some(Passed { tcp, peer, counted }) = passed.recv().await {
        if let Ok(tcp) = TcpStream::from_std(tcp) {
            acceptor.take(tcp, peer);
        }
        drop(counted);
    }
}

struct Acceptor<'a> {
    admitter: &'a Rc<Admitter>,
    balance: Option<Balance>,
    at: &'a Rc<Listening>,
}

impl Acceptor<'_> {
    fn take(&self, tcp: TcpStream, peer: SocketAddr) {
        if is_spare(&tcp) {
            return self.admitter.drop_unanswered(tcp, peer, self.at);
        }
        let lighter = self.balance.as_ref().and_then(|it| Some((it, it.lighter()?)));
        match lighter {
            None => self.admit(tcp, peer),
            Some((balance, worker)) => {
                let Ok(tcp) = tcp.into_std() else { return };
                if let Err(tcp) = balance.pass(worker, tcp, peer)
                    && let Ok(tcp) = TcpStream::from_std(tcp)
                {
                    self.admit(tcp, peer);
                }
            }
        }
    }

    fn admit(&self, tcp: TcpStream, peer: SocketAddr) {
        // A socket for both families shows IPv4 in the form of IPv6.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        self.admitter.admit(tcp.into(), peer, self.at);
    }
}

/// Pauses if there are no descriptors or no memory for another connection. Retrying at once would
/// only spin.
async fn failed(admitter: &Admitter, error: &io::Error) {
    if is_about_one_connection(error) {
        return;
    }
    if is_news(&admitter.warnings.descriptors) {
        tracing::error!(target: WORKER, %error, "cannot accept connections; trying on");
    }
    sleep(ACCEPT_BACKOFF).await;
}

/// Errors of accept(2) that belong to the connection, not to us; the next one may be fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    const ABOUT_ONE: [Errno; 14] = [
        Errno::ACCESS,
        Errno::CONNABORTED,
        Errno::CONNREFUSED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::NONET,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::PROTO,
    ];
    Errno::from_io_error(error).is_some_and(|errno| ABOUT_ONE.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accept_that_fails_for_its_connection_is_no_reason_to_pause() {
        for (errno, is_about_it) in [
            (Errno::CONNABORTED, true),
            (Errno::CONNRESET, true),
            (Errno::PERM, true),
            (Errno::NETUNREACH, true),
            (Errno::HOSTUNREACH, true),
            (Errno::NETDOWN, true),
            (Errno::PROTO, true),
            (Errno::NOPROTOOPT, true),
            (Errno::HOSTDOWN, true),
            (Errno::NONET, true),
            (Errno::OPNOTSUPP, true),
            (Errno::INTR, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
        ] {
            assert_eq!(is_about_one_connection(&errno.into()), is_about_it, "{errno:?}");
        }
    }
}
