//! What a [`RawPeer`] talks to: the relay's TLS, or rustls's buffered one with the same
//! configuration, which is to do the same.

use super::raw_peer::RawPeer;
use super::suites::peer;
use crate::fuzzing::far_end::{FarEnd, name, our_client, our_server};
use crate::net::memory::{End, MemoryStream};
use crate::net::transport::Transport;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::task::{Context, Poll, Waker};
use tokio_rustls::rustls::{ClientConnection, Connection, ServerConnection, SupportedCipherSuite};
#[cfg(test)]
use {std::sync::Arc, tokio_rustls::rustls::ClientConfig};

/// Room in the pipe, more than a test writes at once.
const CAPACITY: usize = 1 << 20;

/// One end of a connection, after the handshake.
pub(super) enum Subject {
    /// The relay's end, and the pipe to it.
    Ours(Transport, MemoryStream),
    Rustls(Box<Connection>),
}

/// What came of what the peer sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Content, in order.
    pub(super) content: Vec<u8>,
    /// How the peer's direction ended, if it did.
    pub(super) end: Option<Ending>,
    /// The type and content of each record that came back.
    pub(super) answers: Vec<(u8, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By close_notify.
    Closed,
    /// Without one.
    Truncated,
    /// By an error of TLS.
    Failed,
}

impl Subject {
    /// The relay's end of a connection, and its peer.
    pub(super) fn ours(suite: SupportedCipherSuite, with_client: bool) -> (Self, RawPeer) {
        let (near, far) = MemoryStream::pair(CAPACITY);
        Self::with_keys(suite, FarEnd::tls(near, far, peer(suite, with_client)))
    }

    /// The same with a client of the relay's that has this configuration.
    #[cfg(test)]
    pub(super) fn our_client_with(
        config: Arc<ClientConfig>,
        suite: SupportedCipherSuite,
    ) -> (Self, RawPeer) {
        let (near, far) = MemoryStream::pair(CAPACITY);
        Self::with_keys(suite, FarEnd::tls_of(config, near, far, peer(suite, false)))
    }

    fn with_keys(
        suite: SupportedCipherSuite,
        (near, mut far): (Transport, FarEnd),
    ) -> (Self, RawPeer) {
        far.take_in();
        let (far, session) = far.into_parts();
        (Self::Ours(near, far), RawPeer::take_over(suite, session.expect("it has TLS")))
    }

    /// The same with rustls's buffered API.
    pub(super) fn rustls(suite: SupportedCipherSuite, with_client: bool) -> (Self, RawPeer) {
        let mut session: Connection = match with_client {
            true => ServerConnection::new(our_server()).expect("a server").into(),
            false => ClientConnection::new(our_client(), name()).expect("a client").into(),
        };
        let mut peer = peer(suite, with_client);
        while session.wants_write() || peer.wants_write() {
            pass(&mut peer, &mut session);
            pass(&mut session, &mut peer);
        }
        (Self::Rustls(Box::new(session)), RawPeer::take_over(suite, peer))
    }

    /// Lets bytes of the peer arrive, and adds to `outcome` what comes of them.
    pub(super) fn give(&mut self, bytes: &[u8], peer: &mut RawPeer, outcome: &mut Outcome) {
        match self {
            Self::Ours(near, far) => {
                let cx = &mut Context::from_waker(Waker::noop());
                // The relay may be gone.
                let _ = far.poll_write(cx, &[IoSlice::new(bytes)]);
                read(near, outcome);
            }
            Self::Rustls(session) => take_in(session, bytes, outcome),
        }
        self.collect(peer, outcome);
    }

    /// Writes `content`, all of which fits.
    pub(super) fn write(&mut self, content: &[u8], peer: &mut RawPeer, outcome: &mut Outcome) {
        match self {
            Self::Ours(near, _) => {
                let cx = &mut Context::from_waker(Waker::noop());
                let mut left = content;
                while let Poll::Ready(Ok(len @ 1..)) = near.poll_write(cx, &[IoSlice::new(left)]) {
                    left = &left[len..];
                }
            }
            Self::Rustls(session) if outcome.end != Some(Ending::Failed) => {
                session.set_buffer_limit(None);
                session.writer().write_all(content).expect("memory");
            }
            Self::Rustls(_) => {}
        }
        self.collect(peer, outcome);
    }

    /// Ends the subject's direction.
    pub(super) fn close(&mut self, peer: &mut RawPeer, outcome: &mut Outcome) {
        match self {
            Self::Ours(near, _) => {
                let _ = near.poll_shutdown(&mut Context::from_waker(Waker::noop()));
            }
            Self::Rustls(session) if outcome.end != Some(Ending::Failed) => {
                session.send_close_notify();
            }
            Self::Rustls(_) => {}
        }
        self.collect(peer, outcome);
    }

    /// Ends the peer's direction, without a close_notify of its own.
    pub(super) fn end(&mut self, outcome: &mut Outcome) {
        match self {
            Self::Ours(near, far) => {
                far.end(End::Clean);
                read(near, outcome);
            }
            Self::Rustls(_) => {
                outcome.end.get_or_insert(Ending::Truncated);
            }
        }
    }

    /// Reads what the subject has sent.
    fn collect(&mut self, peer: &mut RawPeer, outcome: &mut Outcome) {
        let mut bytes = Vec::new();
        match self {
            Self::Ours(near, far) => {
                let cx = &mut Context::from_waker(Waker::noop());
                let _ = near.poll_flush(cx);
                let mut into = [0; 4096];
                while let Poll::Ready(Ok(len @ 1..)) = far.poll_read(cx, &mut into) {
                    bytes.extend_from_slice(&into[..len]);
                }
            }
            Self::Rustls(session) => drain(session, &mut bytes),
        }
        outcome.answers.extend(peer.open(&bytes));
    }
}

/// Reads all there is.
fn read(near: &mut Transport, outcome: &mut Outcome) {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut into = vec![0; 64 * 1024];
    while outcome.end.is_none() {
        match near.poll_read(cx, &mut into) {
            Poll::Pending => return,
            Poll::Ready(Ok(0)) => outcome.end = Some(Ending::Closed),
            Poll::Ready(Ok(len)) => outcome.content.extend_from_slice(&into[..len]),
            Poll::Ready(Err(error)) => outcome.end = Some(ending_of(&error)),
        }
    }
}

fn ending_of(error: &io::Error) -> Ending {
    match error.kind() {
        ErrorKind::InvalidData => Ending::Failed,
        ErrorKind::UnexpectedEof => Ending::Truncated,
        kind => panic!("an error of another kind: {kind:?}"),
    }
}

/// The same for rustls.
fn take_in(session: &mut Connection, mut bytes: &[u8], outcome: &mut Outcome) {
    while !bytes.is_empty() && outcome.end.is_none() {
        let taken = session.read_tls(&mut bytes);
        let processed = taken.map(|_| session.process_new_packets());
        loop {
            let mut into = [0; 4096];
            match session.reader().read(&mut into) {
                Ok(0) => outcome.end = Some(Ending::Closed),
                Ok(len) => {
                    outcome.content.extend_from_slice(&into[..len]);
                    continue;
                }
                Err(_) => {}
            }
            break;
        }
        if !matches!(processed, Ok(Ok(_))) {
            outcome.end = Some(Ending::Failed);
        }
    }
}

fn pass(from: &mut Connection, to: &mut Connection) {
    let mut bytes = Vec::new();
    drain(from, &mut bytes);
    let mut left = &bytes[..];
    while !left.is_empty() {
        to.read_tls(&mut left).expect("memory");
        to.process_new_packets().expect("a handshake");
    }
}

fn drain(from: &mut Connection, into: &mut Vec<u8>) {
    while from.wants_write() {
        from.write_tls(into).expect("memory");
    }
}
