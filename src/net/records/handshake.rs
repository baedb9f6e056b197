//! The handshake, which is rustls's: [`Handshake`].
//!
//! rustls is shown one record at a time, and the next one only when it asks for more. So what
//! follows the last record of the handshake is still as it arrived.

use crate::net::buffer::Buffer;
use crate::net::records::header::{HEADER_BYTES, Header};
use crate::net::records::side::Side;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus,
};

/// A connection until its handshake is complete.
pub(super) struct Handshake<S> {
    pub(super) side: S,
    /// How much of what has arrived was shown to rustls, and is not consumed: parts of a message,
    /// which it has decrypted in place.
    shown: usize,
}

/// What rustls has done.
#[derive(PartialEq)]
enum Step {
    /// It had something to send, or was told that it was sent.
    Sent,
    /// It needs more bytes.
    Waiting,
}

impl<S: Side> Handshake<S> {
    /// At its beginning.
    pub(super) fn new(side: S) -> Self {
        Self { side, shown: 0 }
    }

    /// Whether both sides have finished, and all that had to be sent was given out.
    pub(super) fn is_complete(&self) -> bool {
        !self.side.is_handshaking() && !self.side.wants_write() && self.shown == 0
    }

    /// Takes in what has arrived, and appends what has to be sent to `due`, the alert before an
    /// error, too. Returns how many bytes were consumed: none of those after the handshake.
    ///
    /// # Errors
    /// What is wrong with the handshake, which has failed.
    pub(super) fn advance(
        &mut self,
        incoming: &mut [u8],
        due: &mut Buffer,
    ) -> (usize, Result<(), Error>) {
        let mut consumed = 0;
        loop {
            let end = consumed + self.shown;
            let UnbufferedStatus { discard, state } =
                self.side.process(&mut incoming[consumed..end]);
            let step = state.and_then(|state| prepare(state, due));
            consumed += discard;
            self.shown -= discard;
            match step {
                Ok(_) if self.is_complete() => return (consumed, Ok(())),
                Ok(Step::Sent) => {}
                Ok(Step::Waiting) => match next_record(&incoming[end..]) {
                    0 => return (consumed, Ok(())),
                    len => self.shown += len,
                },
                Err(error) => {
                    self.prepare_alert(due);
                    return (consumed, Err(error));
                }
            }
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

/// The length of the record at the front of `bytes`; 0 if it is incomplete. rustls will say what is
/// wrong with bytes that are none.
fn next_record(bytes: &[u8]) -> usize {
    match Header::parse(bytes) {
        Ok(Some(header)) if HEADER_BYTES + header.len <= bytes.len() => HEADER_BYTES + header.len,
        Ok(_) => 0,
        Err(_) => bytes.len(),
    }
}

/// Appends to `due` what rustls wants to send.
fn prepare<Data>(state: ConnectionState<'_, '_, Data>, due: &mut Buffer) -> Result<Step, Error> {
    match state {
        ConnectionState::EncodeTlsData(message) => encode(message, due).map(|()| Step::Sent),
        ConnectionState::TransmitTlsData(transmitted) => {
            transmitted.done();
            Ok(Step::Sent)
        }
        ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake => Ok(Step::Waiting),
        // Early data, which no configuration of ours accepts, or what comes after the handshake.
        _ => Err(Error::General("an unexpected state of TLS".into())),
    }
}

fn encode<Data>(mut message: EncodeTlsData<'_, Data>, due: &mut Buffer) -> Result<(), Error> {
    if let Err(EncodeError::InsufficientSize(needed)) = message.encode(&mut []) {
        let due = due.to_append();
        let before = due.len();
        due.resize(before + needed.required_size, 0);
        message.encode(&mut due[before..]).map_err(|_| Error::EncryptError)?;
    }
    Ok(())
}
