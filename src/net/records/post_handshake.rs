//! What a peer says after the handshake besides content: alerts (RFC 8446, section 6, and RFC 5246,
//! section 7.2), and messages of the handshake protocol (RFC 8446, section 4.6, and RFC 5246,
//! section 7.4.1.1). Decisions only.

use crate::net::records::fault::Fault;
use tokio_rustls::rustls::{
    AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved,
};

/// Longest message that is waited for.
const MESSAGE_BYTES_MAX: usize = 0xffff;
/// The type of a message, and its length.
const MESSAGE_HEADER_BYTES: usize = 4;

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlertLevel {
    Warning = 1,
    Fatal = 2,
}

/// What an alert means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alert {
    /// The peer will send nothing more.
    Closed,
    /// Nothing.
    Ignored,
}

/// A message of the handshake protocol that may come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'m> {
    /// The peer has changed its key, and perhaps asks for the same.
    KeyUpdate { is_requested: bool },
    /// The body of a NewSessionTicket.
    NewSessionTicket(&'m [u8]),
    /// HelloRequest or ClientHello of TLS 1.2, which is refused.
    Renegotiation,
}

/// What a peer may do that has no use for us, and how often: rustls's numbers, most of which are
/// BoringSSL's. One at a time would cost us as much as content, but without an end: so a record
/// without content does not count as such between key updates, as it does in rustls.
#[derive(Debug)]
pub(super) struct Tolerance {
    warnings: u8,
    renegotiations: u8,
    /// Without content between them.
    key_updates: u8,
    /// Records without content, in a row.
    empty_records: u8,
}

impl AlertLevel {
    fn of(level: u8) -> Option<Self> {
        [Self::Warning, Self::Fatal].into_iter().find(|it| *it as u8 == level)
    }
}

/// A KeyUpdate (RFC 8446, section 4.6.3), which may ask the peer for one.
pub(super) fn key_update(is_requested: bool) -> [u8; 5] {
    [HandshakeType::KeyUpdate.into(), 0, 0, 1, is_requested.into()]
}

impl Tolerance {
    const KEY_UPDATES: u8 = 32;
    const EMPTY_RECORDS: u8 = 32;

    pub(super) fn new() -> Self {
        Self {
            warnings: 4,
            renegotiations: 1,
            key_updates: Self::KEY_UPDATES,
            empty_records: Self::EMPTY_RECORDS,
        }
    }

    /// A record with so many bytes.
    pub(super) fn record(&mut self, len: usize) -> Result<(), Fault> {
        if len > 0 {
            self.empty_records = Self::EMPTY_RECORDS;
            return Ok(());
        }
        spend(&mut self.empty_records, PeerMisbehaved::TooManyEmptyFragments)
    }

    /// A record of application data with so many bytes.
    pub(super) fn content(&mut self, len: usize) -> Result<(), Fault> {
        if len > 0 {
            self.key_updates = Self::KEY_UPDATES;
        }
        self.record(len)
    }

    /// What the alert in `body` means.
    pub(super) fn alert(&mut self, is_tls13: bool, body: &[u8]) -> Result<Alert, Fault> {
        let (level, alert) = match *body {
            [level, alert] => (AlertLevel::of(level), AlertDescription::from(alert)),
            [] | [_] => return Err(InvalidMessage::MissingData("Alert").into()),
            [..] => return Err(InvalidMessage::TrailingData("Alert").into()),
        };
        let error = Error::AlertReceived(alert);
        match level {
            Some(_) if alert == AlertDescription::CloseNotify => Ok(Alert::Closed),
            Some(AlertLevel::Warning) => {
                spend(&mut self.warnings, PeerMisbehaved::TooManyWarningAlertsReceived)?;
                // TLS 1.3 has no other warning (section 6.1).
                if is_tls13 && alert != AlertDescription::UserCanceled {
                    return Err(Fault::new(error, AlertDescription::DecodeError));
                }
                Ok(Alert::Ignored)
            }
            Some(AlertLevel::Fatal) => Err(Fault::received(alert)),
            None => Err(Fault::new(error, AlertDescription::IllegalParameter)),
        }
    }

    /// The message at the front of `bytes`, and how many of them it takes. There is none while it
    /// is incomplete.
    pub(super) fn message<'m>(
        &mut self,
        is_tls13: bool,
        is_with_client: bool,
        bytes: &'m [u8],
    ) -> Result<Option<(Message<'m>, usize)>, Fault> {
        let Some(&[kind, high, middle, low]) = bytes.first_chunk::<MESSAGE_HEADER_BYTES>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([0, high, middle, low]) as usize;
        if len > MESSAGE_BYTES_MAX {
            return Err(InvalidMessage::HandshakePayloadTooLarge.into());
        }
        let end = MESSAGE_HEADER_BYTES + len;
        let Some(body) = bytes.get(MESSAGE_HEADER_BYTES..end) else { return Ok(None) };
        let message = match (is_tls13, HandshakeType::from(kind)) {
            (true, HandshakeType::KeyUpdate) => self.key_update(body, end == bytes.len())?,
            (true, HandshakeType::NewSessionTicket) if !is_with_client => {
                Message::NewSessionTicket(body)
            }
            (false, kind) if kind == renegotiates(is_with_client) => {
                let too_many = PeerMisbehaved::TooManyRenegotiationRequests;
                spend(&mut self.renegotiations, too_many)?;
                Message::Renegotiation
            }
            (true, kind) => return Err(Fault::unexpected_handshake(kind)),
            (false, _) => return Err(Fault::unexpected(ContentType::Handshake)),
        };
        Ok(Some((message, end)))
    }

    /// A KeyUpdate (RFC 8446, section 4.6.3), which must be the last message in its record.
    fn key_update(&mut self, body: &[u8], is_last: bool) -> Result<Message<'static>, Fault> {
        let is_requested = match *body {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => {
                let error = InvalidMessage::InvalidKeyUpdate;
                Err(Fault::new(error, AlertDescription::IllegalParameter))
            }
            [] => return Err(InvalidMessage::MissingData("KeyUpdate").into()),
            [..] => return Err(InvalidMessage::TrailingData("KeyUpdate").into()),
        };
        if !is_last {
            return Err(Fault::misbehaved(PeerMisbehaved::KeyEpochWithPendingFragment));
        }
        spend(&mut self.key_updates, PeerMisbehaved::TooManyKeyUpdateRequests)?;
        Ok(Message::KeyUpdate { is_requested: is_requested? })
    }
}

/// What begins another handshake, in TLS 1.2.
fn renegotiates(is_with_client: bool) -> HandshakeType {
    if is_with_client { HandshakeType::ClientHello } else { HandshakeType::HelloRequest }
}

fn spend(left: &mut u8, or: PeerMisbehaved) -> Result<(), Fault> {
    *left = left.checked_sub(1).ok_or_else(|| Fault::misbehaved(or))?;
    Ok(())
}
