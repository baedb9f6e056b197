//! One side of a TLS connection, without I/O: [`Records`]. Bytes that arrived in, content out, and
//! the reverse.
//!
//! This is the only place that uses rustls's unbuffered API. rustls's other API keeps what it reads
//! and what is to be sent in buffers of each connection, of which the empty one for reading alone
//! has 4 KiB. Here the caller lends the memory for one call, so that a silent connection holds only
//! its keys.
//!
//! What arrived and is not consumed has to be passed again, with more after it: rustls may have
//! decrypted a part of it in place. It is passed to a write, too, because that is how rustls is
//! asked for anything. Everything complete has been consumed by then, so that a write finds nothing
//! to read.

use crate::limits::{RECORD_CONTENT_BYTES_MAX, RECORD_FRAME_BYTES_MAX};
use crate::net::buffer::Buffer;
use std::io::IoSlice;
use std::ops::DerefMut;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use tokio_rustls::rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use tokio_rustls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, ReadTraffic, UnbufferedConnectionCommon,
    UnbufferedStatus, WriteTraffic,
};

/// What the server's and the client's side of rustls have in common.
pub trait Side: DerefMut<Target = UnbufferedConnectionCommon<Self::Data>> + 'static {
    /// What only this side has.
    type Data;

    /// Whether the peer is the client of the handshake.
    const IS_WITH_CLIENT: bool;

    /// Advances by one step, with what has arrived.
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

/// One side of a TLS connection.
#[expect(missing_debug_implementations, reason = "rustls's types have none")]
pub struct Records<S> {
    side: S,
    is_closed: bool,
}

impl<S: Side> Records<S> {
    /// Before the handshake.
    pub fn new(side: S) -> Self {
        Self { side, is_closed: false }
    }

    /// What rustls knows of the connection.
    pub fn side(&self) -> &S {
        &self.side
    }

    /// Whether the handshake is still to be completed.
    pub fn is_handshaking(&self) -> bool {
        self.side.is_handshaking()
    }

    /// Whether the peer has sent close_notify. What follows it is ignored.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The certificate that the peer has shown.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.side.peer_certificates()?.first().map(AsRef::as_ref)
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
        due: &mut Buffer,
        mut content: impl FnMut(&[u8]),
    ) -> (usize, Result<(), Error>) {
        let mut consumed = 0;
        // Whether rustls knows that all it had to send is on its way, or would ask again.
        let mut is_told = true;
        loop {
            let UnbufferedStatus { discard, state } = self.side.process(&mut incoming[consumed..]);
            let step = match state {
                Ok(ConnectionState::ReadTraffic(traffic)) => read(traffic, &mut content),
                Ok(ConnectionState::PeerClosed) => {
                    self.is_closed = true;
                    Ok(Step::Closed)
                }
                Ok(state) => prepare(state, due),
                Err(error) => Err(error),
            };
            consumed += discard;
            match step {
                // Nothing can follow, so that a common read costs rustls one step.
                Ok(Step::Read)
                    if consumed == incoming.len() && is_told && !self.side.wants_write() =>
                {
                    return (consumed, Ok(()));
                }
                Ok(Step::Encoded) => is_told = false,
                Ok(Step::Transmitted) => is_told = true,
                Ok(Step::Read | Step::Closed) => {}
                Ok(Step::Waiting) => return (consumed, Ok(())),
                Err(error) => {
                    self.prepare_alert(due);
                    return (consumed, Err(error));
                }
            }
        }
    }

    /// Seals as much of `pieces` as there is space for, after what rustls has to send. Returns how
    /// many bytes of content that is, and the records. `incoming` is what has arrived and is not
    /// consumed.
    ///
    /// # Errors
    /// The connection has failed, or has used up its keys.
    pub fn seal<'s>(
        &mut self,
        incoming: &mut [u8],
        pieces: &[IoSlice<'_>],
        space: &'s mut [u8],
    ) -> Result<(usize, &'s [u8]), Error> {
        let (gathered, records) = space.split_at_mut(RECORD_CONTENT_BYTES_MAX);
        let mut pieces = Pieces { pieces, offset: 0 };
        let (mut taken, mut len) = (0, 0);
        let mut traffic = self.traffic(incoming)?;
        loop {
            let space = &mut records[len..];
            let most = space.len().saturating_sub(RECORD_FRAME_BYTES_MAX);
            let content = pieces.next(gathered, most);
            if !content.is_empty() {
                len += traffic.encrypt(content, space).map_err(|_| Error::EncryptError)?;
                taken += content.len();
            }
            if content.is_empty() || pieces.pieces.is_empty() {
                return Ok((taken, &records[..len]));
            }
        }
    }

    /// Appends close_notify to `due`. `incoming` is what has arrived and is not consumed.
    ///
    /// # Errors
    /// The connection has failed.
    pub fn close(&mut self, incoming: &mut [u8], due: &mut Buffer) -> Result<(), Error> {
        // A key update may have to precede it.
        let mut records = [0; 2 * RECORD_FRAME_BYTES_MAX];
        let len = self
            .traffic(incoming)?
            .queue_close_notify(&mut records)
            .map_err(|_| Error::EncryptError)?;
        due.to_append().extend_from_slice(&records[..len]);
        Ok(())
    }

    /// What seals content.
    fn traffic(&mut self, incoming: &mut [u8]) -> Result<WriteTraffic<'_, S::Data>, Error> {
        match self.side.process(incoming).state? {
            ConnectionState::WriteTraffic(traffic) => Ok(traffic),
            // Before the handshake has ended, or after the connection has.
            _ => Err(Error::HandshakeNotComplete),
        }
    }

    /// Appends the alert that says what went wrong, if there is one.
    fn prepare_alert(&mut self, due: &mut Buffer) {
        while self.side.wants_write() {
            // What has arrived is not passed again, or rustls would find the error again.
            if self.side.process(&mut []).state.and_then(|state| prepare(state, due)).is_err() {
                return;
            }
        }
    }
}

/// What a step of rustls was.
enum Step {
    /// It gave out content.
    Read,
    /// It wrote something to be sent.
    Encoded,
    /// It was told that all of it is on its way.
    Transmitted,
    /// It found the peer's close_notify.
    Closed,
    /// It needs more bytes.
    Waiting,
}

fn read<Data>(
    mut traffic: ReadTraffic<'_, '_, Data>,
    content: &mut impl FnMut(&[u8]),
) -> Result<Step, Error> {
    // All of a record has been consumed when it is given out: `discard` is 0.
    while let Some(record) = traffic.next_record() {
        content(record?.payload);
    }
    Ok(Step::Read)
}

/// Appends to `due` what rustls wants to send.
fn prepare<Data>(state: ConnectionState<'_, '_, Data>, due: &mut Buffer) -> Result<Step, Error> {
    match state {
        ConnectionState::EncodeTlsData(message) => encode(message, due),
        ConnectionState::TransmitTlsData(transmitted) => {
            transmitted.done();
            Ok(Step::Transmitted)
        }
        ConnectionState::WriteTraffic(_)
        | ConnectionState::BlockedHandshake
        | ConnectionState::Closed => Ok(Step::Waiting),
        // Early data, which no configuration of ours accepts.
        _ => Err(Error::General("an unexpected state of TLS".into())),
    }
}

fn encode<Data>(mut message: EncodeTlsData<'_, Data>, due: &mut Buffer) -> Result<Step, Error> {
    if let Err(EncodeError::InsufficientSize(needed)) = message.encode(&mut []) {
        let due = due.to_append();
        let before = due.len();
        due.resize(before + needed.required_size, 0);
        message.encode(&mut due[before..]).map_err(|_| Error::EncryptError)?;
    }
    Ok(Step::Encoded)
}

/// What is left of the pieces of a write.
struct Pieces<'p> {
    pieces: &'p [IoSlice<'p>],
    /// How much of the first one has been taken.
    offset: usize,
}

impl<'p> Pieces<'p> {
    /// Takes the content of the next record, at most `most` bytes. It is collected in `gathered`
    /// if it is in several pieces.
    fn next<'g>(&mut self, gathered: &'g mut [u8], most: usize) -> &'g [u8]
    where
        'p: 'g,
    {
        let most = most.min(gathered.len());
        let first = self.first();
        if first.len() >= most || self.pieces.len() <= 1 {
            let len = first.len().min(most);
            self.advance(len);
            return &first[..len];
        }
        let mut len = 0;
        while len < most && !self.pieces.is_empty() {
            let first = self.first();
            let part = first.len().min(most - len);
            gathered[len..len + part].copy_from_slice(&first[..part]);
            len += part;
            self.advance(part);
        }
        &gathered[..len]
    }

    fn first(&self) -> &'p [u8] {
        self.pieces.first().map_or(&[], |first| &first[self.offset..])
    }

    /// Skips `len` bytes, no more than the first piece has left.
    fn advance(&mut self, len: usize) {
        self.offset += len;
        while self.pieces.first().is_some_and(|first| first.len() == self.offset) {
            (self.pieces, self.offset) = (&self.pieces[1..], 0);
        }
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    const IS_WITH_CLIENT: bool = true;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    const IS_WITH_CLIENT: bool = false;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

#[cfg(test)]
mod tests;
