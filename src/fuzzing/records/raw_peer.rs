//! A peer that sends any record it likes: [`RawPeer`]. rustls shakes hands for it.

use super::protection::{HANDSHAKE, Protection, Record};
use super::suites::last_secrets;
use tokio_rustls::rustls::{Connection, ProtocolVersion, SupportedCipherSuite};

/// A key update that asks for one in turn, and one that does not (RFC 8446, section 4.6.3).
pub(super) const KEY_UPDATE_REQUESTED: &[u8] = &[24, 0, 0, 1, 1];
pub(super) const KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 0];

/// The peer after its handshake.
pub(super) struct RawPeer {
    is_tls13: bool,
    sends: Protection,
    receives: Protection,
    arrived: Vec<u8>,
}

impl RawPeer {
    /// Takes over from rustls.
    pub(super) fn take_over(suite: SupportedCipherSuite, session: Connection) -> Self {
        let is_client = matches!(session, Connection::Client(_));
        let secrets = session.dangerous_extract_secrets().expect("secrets");
        let (client, server) = last_secrets();
        let (own, other) = if is_client { (client, server) } else { (server, client) };
        Self {
            is_tls13: suite.version().version == ProtocolVersion::TLSv1_3,
            sends: Protection::new(suite, secrets.tx, own),
            receives: Protection::new(suite, secrets.rx, other),
            arrived: Vec::new(),
        }
    }

    pub(super) fn is_tls13(&self) -> bool {
        self.is_tls13
    }

    /// One record as any peer sends it.
    pub(super) fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        self.sends.seal(&Record::of(kind, content))
    }

    /// One record.
    pub(super) fn seal_record(&mut self, record: &Record<'_>) -> Vec<u8> {
        self.sends.seal(record)
    }

    /// A key update, and the new keys from the next record on.
    pub(super) fn update_keys(&mut self, message: &[u8]) -> Vec<u8> {
        let record = self.seal(HANDSHAKE, message);
        self.sends.update();
        record
    }

    /// The type and content of each record in `bytes`, which may end within one.
    pub(super) fn open(&mut self, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        self.arrived.extend_from_slice(bytes);
        let mut records = Vec::new();
        while let [_, _, _, high, low, ..] = *self.arrived {
            let end = 5 + usize::from(u16::from_be_bytes([high, low]));
            if self.arrived.len() < end {
                break;
            }
            let (kind, content) = self.receives.open(&self.arrived[..end]);
            self.arrived.drain(..end);
            if self.is_tls13 && kind == HANDSHAKE && content.starts_with(&KEY_UPDATE[..4]) {
                self.receives.update();
            }
            records.push((kind, content));
        }
        records
    }
}

/// A `ClientHello` of TLS 1.2 (RFC 5246, section 7.4.1.2): a version, a random, no session, one
/// suite, no compression.
pub(super) fn client_hello() -> Vec<u8> {
    let body = [&[3, 3][..], &[5; 32], &[0], &[0, 2, 0xc0, 0x2b], &[1, 0]].concat();
    let len = u8::try_from(body.len()).expect("a short one");
    [&[1, 0, 0, len][..], &body].concat()
}
