//! One side of a TLS connection, without I/O: [`Records`]. Bytes that arrived in, content out, and
//! the reverse.
//!
//! The handshake is rustls's (`handshake`), by its unbuffered API: the caller lends the memory for
//! one call. When it is complete, rustls hands over the keys, as it does for TLS in the kernel, and
//! from then on records are opened and sealed here (`traffic`, `protection`), from the caller's
//! memory into the caller's memory. rustls would allocate each of them, copy it twice, and hold a
//! KB more for each connection. What a peer may say besides content is decided in
//! `post_handshake`. rustls still makes the next keys, and keeps the tickets.
//!
//! What arrived and is not consumed has to be passed again, with more after it: rustls may have
//! decrypted a part of it in place.

mod content;
mod fault;
mod handshake;
mod header;
mod pieces;
mod post_handshake;
mod protection;
mod side;
mod traffic;

pub use content::Content;
pub use side::Side;

use crate::net::buffer::Buffer;
use handshake::Handshake;
use pieces::Pieces;
use std::io::IoSlice;
use tokio_rustls::rustls::{Error, HandshakeKind, ProtocolVersion};
use traffic::Traffic;

/// One side of a TLS connection.
#[expect(missing_debug_implementations, reason = "rustls's types have none")]
pub struct Records<S: Side> {
    stage: Stage<S>,
    is_resumed: bool,
    version: Option<ProtocolVersion>,
    peer_certificate: Option<Box<[u8]>>,
}

enum Stage<S: Side> {
    Handshake(Box<Handshake<S>>),
    Traffic(Traffic<S>),
    Failed,
}

impl<S: Side> Records<S> {
    /// Before the handshake, whose configuration has to allow that the keys are taken out.
    pub fn new(side: S) -> Self {
        let stage = Stage::Handshake(Box::new(Handshake::new(side)));
        Self { stage, is_resumed: false, version: None, peer_certificate: None }
    }

    /// Whether the handshake is still to be completed.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::Handshake(_))
    }

    /// Whether the peer has sent close_notify. What follows it is ignored.
    pub fn is_closed(&self) -> bool {
        matches!(&self.stage, Stage::Traffic(traffic) if traffic.is_closed())
    }

    /// Whether the handshake has resumed a session.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The version, after the handshake.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// The certificate that a client has shown.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificate.as_deref()
    }

    /// Takes in what has arrived, gives out its content, and appends what has to be sent in turn to
    /// `due`, such as messages of the handshake, and the alert before an error. Returns how many
    /// bytes were consumed.
    ///
    /// # Errors
    /// What is wrong with the bytes. Content that precedes it was given out. The connection has
    /// failed, and must not be used any more.
    pub fn open(
        &mut self,
        incoming: &mut [u8],
        content: &mut Content<'_>,
        due: &mut Buffer,
    ) -> (usize, Result<(), Error>) {
        let mut consumed = 0;
        if let Stage::Handshake(handshake) = &mut self.stage {
            let (len, advanced) = handshake.advance(incoming, due);
            consumed = len;
            if advanced.is_err() || !handshake.is_complete() {
                return (consumed, advanced);
            }
            if let Err(error) = self.begin_traffic() {
                return (consumed, Err(error));
            }
        }
        let Stage::Traffic(traffic) = &mut self.stage else {
            return (consumed, Err(Error::HandshakeNotComplete));
        };
        let (len, opened) = traffic.open(&mut incoming[consumed..], content, due);
        (consumed + len, opened)
    }

    /// Seals as much of `pieces` as there is space for, after a KeyUpdate that has to precede it.
    /// Returns how many bytes of content that is, and the records.
    ///
    /// # Errors
    /// The handshake is not complete, the keys are used up, or our direction has ended before.
    pub fn seal<'s>(
        &mut self,
        pieces: &[IoSlice<'_>],
        space: &'s mut [u8],
    ) -> Result<(usize, &'s [u8]), Error> {
        let (taken, len) = self.traffic()?.seal(Pieces::new(pieces), space)?;
        Ok((taken, &space[..len]))
    }

    /// Ends our direction with a close_notify, which is appended to `due`. After an end, or an
    /// error, there is nothing to say.
    ///
    /// # Errors
    /// The handshake is not complete.
    pub fn close(&mut self, due: &mut Buffer) -> Result<(), Error> {
        self.traffic()?.close(due)
    }

    fn traffic(&mut self) -> Result<&mut Traffic<S>, Error> {
        match &mut self.stage {
            Stage::Traffic(traffic) => Ok(traffic),
            Stage::Handshake(_) | Stage::Failed => Err(Error::HandshakeNotComplete),
        }
    }

    /// Takes the keys from rustls, and keeps what others ask for.
    fn begin_traffic(&mut self) -> Result<(), Error> {
        let Stage::Handshake(handshake) = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return Ok(());
        };
        let side = handshake.side;
        self.is_resumed = side.handshake_kind() == Some(HandshakeKind::Resumed);
        self.version = side.protocol_version();
        let chain = side.peer_certificates().filter(|_| S::IS_WITH_CLIENT);
        self.peer_certificate = chain.and_then(<[_]>::first).map(|it| it.as_ref().into());
        let (secrets, schedule) = side.into_keys()?;
        self.stage = Stage::Traffic(Traffic::new(secrets, schedule)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
