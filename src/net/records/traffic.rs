//! Records after the handshake: [`Traffic`].

use crate::limits::{CLIENT_MESSAGE_BYTES_MAX, RECORD_CONTENT_BYTES_MAX, RECORD_FRAME_BYTES_MAX};
use crate::net::buffer::Buffer;
use crate::net::records::content::Content;
use crate::net::records::fault::Fault;
use crate::net::records::header::{HEADER_BYTES, Header};
use crate::net::records::pieces::Pieces;
use crate::net::records::post_handshake::{Alert, AlertLevel, Message, Tolerance, key_update};
use crate::net::records::protection::{OpeningKey, SealingKey};
use crate::net::records::side::Side;
use tokio_rustls::rustls::kernel::KernelConnection;
use tokio_rustls::rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, InvalidMessage, PeerMisbehaved,
    SupportedCipherSuite,
};

/// A connection after its handshake.
pub(super) struct Traffic<S: Side> {
    opening: OpeningKey,
    sealing: SealingKey,
    /// What TLS 1.3 makes the next keys of, and keeps tickets with. TLS 1.2 has no use for it.
    schedule: Option<Box<KernelConnection<S::Data>>>,
    /// An incomplete message of the handshake protocol.
    message: Buffer,
    tolerance: Tolerance,
    /// Whether the peer has asked for a new key, which comes before our next content.
    is_update_due: bool,
    is_closed: bool,
    /// Whether our direction has ended: by close_notify, by an error, or because keys are used up.
    is_finished: bool,
}

impl<S: Side> Traffic<S> {
    /// One that continues where the handshake has ended.
    ///
    /// # Errors
    /// The cipher suite is none that we know.
    pub(super) fn new(
        secrets: ExtractedSecrets,
        schedule: KernelConnection<S::Data>,
    ) -> Result<Self, Error> {
        let (is_tls13, records_max) = limits(schedule.negotiated_cipher_suite());
        Ok(Self {
            opening: OpeningKey::new(is_tls13, secrets.rx)?,
            sealing: SealingKey::new(is_tls13, secrets.tx, records_max)?,
            schedule: is_tls13.then(|| Box::new(schedule)),
            message: Buffer::default(),
            tolerance: Tolerance::new(),
            is_update_due: false,
            is_closed: false,
            is_finished: false,
        })
    }

    /// Whether the peer has sent close_notify. What follows it is ignored.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Opens the records that have arrived. Returns how many bytes were consumed.
    ///
    /// # Errors
    /// What is wrong with the bytes. An alert that says so was appended to `due`, unless our
    /// direction had ended before. Now it has.
    pub(super) fn open(
        &mut self,
        incoming: &mut [u8],
        content: &mut Content<'_>,
        due: &mut Buffer,
    ) -> (usize, Result<(), Error>) {
        let mut consumed = 0;
        while !self.is_closed {
            match self.open_next(&mut incoming[consumed..], content, due) {
                Ok(0) => break,
                Ok(len) => consumed += len,
                Err(fault) => {
                    // What is wrong matters more than an alert that cannot be sealed.
                    let alert = fault.alert;
                    let _ = alert.map(|alert| self.send_alert(AlertLevel::Fatal, alert, due));
                    self.is_finished = true;
                    return (consumed, Err(fault.error));
                }
            }
        }
        (consumed, Ok(()))
    }

    /// Seals as much of `pieces` as there is space for. Returns how many bytes of content that is,
    /// and how many the records have.
    ///
    /// # Errors
    /// The keys are used up, which ends our direction without a close_notify: that would make half
    /// a message look complete. Or it had ended before.
    pub(super) fn seal(
        &mut self,
        pieces: Pieces<'_>,
        space: &mut [u8],
    ) -> Result<(usize, usize), Error> {
        if self.is_finished {
            return Err(Error::EncryptError);
        }
        let sealed = self.seal_records(pieces, space);
        self.is_finished = sealed.is_err();
        sealed
    }

    /// Ends our direction with a close_notify, which is appended to `due`, unless it has ended.
    ///
    /// # Errors
    /// No sequence number is left.
    pub(super) fn close(&mut self, due: &mut Buffer) -> Result<(), Error> {
        let closed = self.send_alert(AlertLevel::Warning, AlertDescription::CloseNotify, due);
        self.is_finished = true;
        closed
    }

    fn seal_records(
        &mut self,
        mut pieces: Pieces<'_>,
        space: &mut [u8],
    ) -> Result<(usize, usize), Error> {
        let (mut taken, mut len) = (0, 0);
        while !pieces.is_empty() {
            let most = (space.len() - len).saturating_sub(RECORD_FRAME_BYTES_MAX);
            let most = most.min(RECORD_CONTENT_BYTES_MAX);
            if most == 0 {
                break;
            }
            match self.prepare_key(&mut space[len..]) {
                Ok(update) => len += update,
                // What is sealed has its sequence numbers, so it is sent.
                Err(_) if taken > 0 => break,
                Err(error) => return Err(error),
            }
            let space = &mut space[len..];
            let (content, sealed) = match pieces.next_whole(most) {
                Some(whole) => {
                    let sealed = self.sealing.seal(ContentType::ApplicationData, whole, space)?;
                    (whole.len(), sealed)
                }
                None => {
                    let start = self.sealing.content_start();
                    let content = pieces.gather(&mut space[start..start + most]);
                    let kind = ContentType::ApplicationData;
                    (content, self.sealing.seal_in_place(kind, content, space)?)
                }
            };
            taken += content;
            len += sealed;
        }
        Ok((taken, len))
    }

    /// Opens the record at the front of `incoming`, and returns its length; 0 if it is incomplete.
    fn open_next(
        &mut self,
        incoming: &mut [u8],
        content: &mut Content<'_>,
        due: &mut Buffer,
    ) -> Result<usize, Fault> {
        let Some(header) = Header::parse(incoming)? else { return Ok(0) };
        let end = HEADER_BYTES + header.len;
        let Some(protected) = incoming.get_mut(HEADER_BYTES..end) else { return Ok(0) };
        self.opening.check(&header)?;
        if let Some(room) = content.room(self.opening.most(header.len)) {
            let opened = self.opening.open_into(&header, protected, room)?;
            if opened.content_type == ContentType::ApplicationData {
                self.take_content(opened.len)?;
                content.fill(opened.len);
            } else {
                self.take_other(opened.content_type, &room[..opened.len], due)?;
            }
        } else {
            let (opened, plain) = self.opening.open_in_place(&header, protected)?;
            if opened.content_type == ContentType::ApplicationData {
                self.take_content(opened.len)?;
                content.append(plain);
            } else {
                self.take_other(opened.content_type, plain, due)?;
            }
        }
        Ok(end)
    }

    /// Counts a record of application data.
    fn take_content(&mut self, len: usize) -> Result<(), Fault> {
        self.check_alignment()?;
        self.tolerance.content(len)
    }

    /// Takes in a record that holds no application data.
    #[cold]
    fn take_other(
        &mut self,
        content_type: ContentType,
        plain: &[u8],
        due: &mut Buffer,
    ) -> Result<(), Fault> {
        match content_type {
            // RFC 8446, section 5.4.
            ContentType::Handshake if self.is_tls13() && plain.is_empty() => {
                Err(Fault::unexpected(content_type))
            }
            ContentType::Handshake => {
                self.tolerance.record(plain.len())?;
                self.take_handshake(plain, due)
            }
            ContentType::Alert => {
                self.check_alignment()?;
                self.tolerance.record(plain.len())?;
                let alert = self.tolerance.alert(self.is_tls13(), plain)?;
                self.is_closed = alert == Alert::Closed;
                Ok(())
            }
            _ => Err(Fault::unexpected(content_type)),
        }
    }

    /// A message of the handshake protocol is not interrupted (RFC 8446, section 5.1).
    fn check_alignment(&self) -> Result<(), Fault> {
        if self.message.is_empty() {
            return Ok(());
        }
        Err(Fault::misbehaved(PeerMisbehaved::MessageInterleavedWithHandshakeMessage))
    }

    /// Takes in messages of the handshake protocol, or parts of them.
    fn take_handshake(&mut self, bytes: &[u8], due: &mut Buffer) -> Result<(), Fault> {
        let mut messages = std::mem::take(&mut self.message);
        if !bytes.is_empty() {
            messages.to_append().extend_from_slice(bytes);
        }
        while let Some((message, len)) =
            self.tolerance.message(self.is_tls13(), S::IS_WITH_CLIENT, &messages)?
        {
            self.act_on(message, due)?;
            messages.consume(len);
        }
        if S::IS_WITH_CLIENT && messages.len() > CLIENT_MESSAGE_BYTES_MAX {
            return Err(InvalidMessage::HandshakePayloadTooLarge.into());
        }
        self.message = messages;
        Ok(())
    }

    fn act_on(&mut self, message: Message<'_>, due: &mut Buffer) -> Result<(), Fault> {
        match (message, &mut self.schedule) {
            (Message::KeyUpdate { is_requested }, Some(schedule)) => {
                let secrets = schedule.update_rx_secret().map_err(Fault::internal)?;
                self.opening = OpeningKey::new(true, secrets).map_err(Fault::internal)?;
                self.is_update_due |= is_requested;
                Ok(())
            }
            (Message::NewSessionTicket(body), Some(schedule)) => {
                match S::store_ticket(schedule, body) {
                    Ok(()) => Ok(()),
                    Err(Error::InvalidMessage(error)) => Err(error.into()),
                    Err(error) => Err(Fault::internal(error)),
                }
            }
            _ => {
                let alert = AlertDescription::NoRenegotiation;
                self.send_alert(AlertLevel::Warning, alert, due).map_err(Fault::internal)
            }
        }
    }

    /// Changes the key that seals if it is nearly used up (RFC 8446, section 5.5), or the peer has
    /// asked for it. Writes the KeyUpdate to the front of `space`, and returns its length.
    fn prepare_key(&mut self, space: &mut [u8]) -> Result<usize, Error> {
        let left = self.sealing.records_left();
        if self.is_update_due {
            self.update_key(false, space)
        } else if left > 1 {
            Ok(0)
        } else if self.is_tls13() && self.sealing.is_used() {
            // It is the last record of the old key.
            self.update_key(true, space)
        } else if left > 0 {
            Ok(0)
        } else {
            Err(Error::EncryptError)
        }
    }

    /// Writes a KeyUpdate, which may ask the peer for the same, and changes the key that seals.
    #[cold]
    fn update_key(&mut self, is_requested: bool, space: &mut [u8]) -> Result<usize, Error> {
        let Some(schedule) = &mut self.schedule else { return Ok(0) };
        let len = self.sealing.seal(ContentType::Handshake, &key_update(is_requested), space)?;
        let (is_tls13, records_max) = limits(schedule.negotiated_cipher_suite());
        self.sealing = SealingKey::new(is_tls13, schedule.update_tx_secret()?, records_max)?;
        self.is_update_due = false;
        Ok(len)
    }

    /// Appends an alert to `due`, after a KeyUpdate that is due, unless our direction has ended.
    /// The limit of a key does not hold for alerts.
    fn send_alert(
        &mut self,
        level: AlertLevel,
        alert: AlertDescription,
        due: &mut Buffer,
    ) -> Result<(), Error> {
        if self.is_finished {
            return Ok(());
        }
        let mut records = [0; 2 * RECORD_FRAME_BYTES_MAX];
        let mut len = 0;
        if self.is_update_due {
            len = self.update_key(false, &mut records)?;
        }
        let alert = [level as u8, alert.into()];
        len += self.sealing.seal(ContentType::Alert, &alert, &mut records[len..])?;
        due.to_append().extend_from_slice(&records[..len]);
        Ok(())
    }

    fn is_tls13(&self) -> bool {
        self.schedule.is_some()
    }
}

/// Whether a cipher suite is one of TLS 1.3, and how many records one of its keys may seal.
fn limits(suite: SupportedCipherSuite) -> (bool, u64) {
    match suite {
        SupportedCipherSuite::Tls12(suite) => (false, suite.common.confidentiality_limit),
        SupportedCipherSuite::Tls13(suite) => (true, suite.common.confidentiality_limit),
    }
}
