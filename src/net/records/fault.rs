//! What ends a connection, and what the peer is told of it: [`Fault`].

use tokio_rustls::rustls::{
    AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved,
};

/// Why a connection has failed.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) error: Error,
    /// What the peer is told. Nothing, if it said itself that the connection has failed.
    pub(super) alert: Option<AlertDescription>,
}

impl Fault {
    /// The peer is told `alert`.
    pub(super) fn new(error: impl Into<Error>, alert: AlertDescription) -> Self {
        Self { error: error.into(), alert: Some(alert) }
    }

    /// The peer has sent an alert itself.
    pub(super) fn received(alert: AlertDescription) -> Self {
        Self { error: Error::AlertReceived(alert), alert: None }
    }

    /// We cannot go on.
    pub(super) fn internal(error: Error) -> Self {
        Self::new(error, AlertDescription::InternalError)
    }

    /// The peer has sent what it must not, or more of it than is sensible.
    pub(super) fn misbehaved(how: PeerMisbehaved) -> Self {
        Self::new(how, AlertDescription::UnexpectedMessage)
    }

    /// A type of record that must not come now.
    pub(super) fn unexpected(got_type: ContentType) -> Self {
        let expect_types = vec![ContentType::ApplicationData, ContentType::Handshake];
        let error = Error::InappropriateMessage { expect_types, got_type };
        Self::new(error, AlertDescription::UnexpectedMessage)
    }

    /// A message of the handshake that must not come now.
    pub(super) fn unexpected_handshake(got_type: HandshakeType) -> Self {
        let expect_types = vec![HandshakeType::KeyUpdate];
        let error = Error::InappropriateHandshakeMessage { expect_types, got_type };
        Self::new(error, AlertDescription::UnexpectedMessage)
    }
}

/// What cannot be parsed (RFC 8446, sections 5.1, 5.2 and 6.2).
impl From<InvalidMessage> for Fault {
    fn from(error: InvalidMessage) -> Self {
        let alert = match error {
            InvalidMessage::InvalidContentType => AlertDescription::UnexpectedMessage,
            InvalidMessage::MessageTooLarge => AlertDescription::RecordOverflow,
            _ => AlertDescription::from(error),
        };
        Self::new(error, alert)
    }
}
