//! Record protection in one direction (RFC 8446, section 5.2; RFC 5246, section 6.2.3.3; RFC 5288;
//! RFC 7905), written down a second time: [`Protection`]. It seals what no rustls would.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::hkdf::{HKDF_SHA256, HKDF_SHA384, KeyType, Prk};
use tokio_rustls::rustls::{ConnectionTrafficSecrets, ProtocolVersion, SupportedCipherSuite};

pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

const TAG: usize = 16;
const EXPLICIT_NONCE: usize = 8;

/// A record to be sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'c> {
    /// The type of what it holds.
    pub(super) kind: u8,
    pub(super) content: &'c [u8],
    /// The type in its header, if not the one that is due.
    pub(super) outer: Option<u8>,
    pub(super) version: u16,
    /// Zeros after the content, in TLS 1.3.
    pub(super) padding: usize,
    /// In TLS 1.2 with AES, if not the number of the record.
    pub(super) explicit_nonce: Option<[u8; EXPLICIT_NONCE]>,
}

impl<'c> Record<'c> {
    /// As any peer sends it.
    pub(super) fn of(kind: u8, content: &'c [u8]) -> Self {
        Self { kind, content, outer: None, version: 0x0303, padding: 0, explicit_nonce: None }
    }
}

/// The keys of one direction.
pub(super) struct Protection {
    is_tls13: bool,
    has_explicit_nonce: bool,
    key: LessSafeKey,
    iv: [u8; 12],
    number: u64,
    /// That of TLS 1.3.
    traffic_secret: Vec<u8>,
}

impl Protection {
    pub(super) fn new(
        suite: SupportedCipherSuite,
        (number, secrets): (u64, ConnectionTrafficSecrets),
        traffic_secret: Vec<u8>,
    ) -> Self {
        let (key, iv, is_gcm) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (key, iv, true),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv, false),
            _ => unreachable!("no other suite is offered"),
        };
        let is_tls13 = suite.version().version == ProtocolVersion::TLSv1_3;
        Self {
            is_tls13,
            has_explicit_nonce: is_gcm && !is_tls13,
            key: key_of(is_gcm, key.as_ref()),
            iv: iv.as_ref().try_into().expect("12 bytes"),
            number,
            traffic_secret,
        }
    }

    /// Seals one record.
    pub(super) fn seal(&mut self, record: &Record<'_>) -> Vec<u8> {
        let mut inner = record.content.to_vec();
        if self.is_tls13 {
            inner.push(record.kind);
            inner.resize(inner.len() + record.padding, 0);
        }
        let explicit = match self.has_explicit_nonce {
            true => record.explicit_nonce.unwrap_or(self.number.to_be_bytes()).to_vec(),
            false => Vec::new(),
        };
        let due = if self.is_tls13 { APPLICATION_DATA } else { record.kind };
        let header =
            header(record.outer.unwrap_or(due), record.version, explicit.len() + inner.len() + TAG);
        let additional = self.additional_data(header, inner.len());
        let nonce = self.nonce(&explicit);
        self.key.seal_in_place_append_tag(nonce, Aad::from(additional), &mut inner).expect("short");
        self.number += 1;
        [&header, &*explicit, &inner].concat()
    }

    /// Opens one record, and returns its type and content.
    pub(super) fn open(&mut self, record: &[u8]) -> (u8, Vec<u8>) {
        let (header, payload) = record.split_first_chunk::<5>().expect("a header");
        let (explicit, payload) =
            payload.split_at(if self.has_explicit_nonce { EXPLICIT_NONCE } else { 0 });
        let mut inner = payload.to_vec();
        let additional = self.additional_data(*header, inner.len() - TAG);
        let nonce = self.nonce(explicit);
        let opened = self.key.open_in_place(nonce, Aad::from(additional), &mut inner);
        let mut content = opened.expect("a record of the relay's can be opened").to_vec();
        self.number += 1;
        if !self.is_tls13 {
            return (header[0], content);
        }
        assert_eq!(header[0], APPLICATION_DATA, "TLS 1.3 shows no other type");
        let len = content.iter().rposition(|byte| *byte != 0).expect("a type");
        let kind = content[len];
        content.truncate(len);
        (kind, content)
    }

    /// Goes on with the next keys (RFC 8446, section 7.2).
    pub(super) fn update(&mut self) {
        let secret = &self.traffic_secret;
        let next = self.expand(b"traffic upd", secret.len());
        self.traffic_secret = next;
        let len = self.key.algorithm().key_len();
        let is_gcm = self.key.algorithm() != &CHACHA20_POLY1305;
        self.key = key_of(is_gcm, &self.expand(b"key", len));
        self.iv = self.expand(b"iv", 12).try_into().expect("12 bytes");
        self.number = 0;
    }

    fn nonce(&self, explicit: &[u8]) -> Nonce {
        let mut nonce = self.iv;
        match explicit {
            [] => {
                for (byte, of_number) in nonce[4..].iter_mut().zip(self.number.to_be_bytes()) {
                    *byte ^= of_number;
                }
            }
            explicit => nonce[4..].copy_from_slice(explicit),
        }
        Nonce::assume_unique_for_key(nonce)
    }

    fn additional_data(&self, header: [u8; 5], plain_len: usize) -> Vec<u8> {
        if self.is_tls13 {
            return header.to_vec();
        }
        let len = u16::try_from(plain_len).expect("a short record").to_be_bytes();
        [&self.number.to_be_bytes()[..], &header[..3], &len].concat()
    }

    /// HKDF-Expand-Label without a context (RFC 8446, section 7.1).
    fn expand(&self, label: &[u8], len: usize) -> Vec<u8> {
        let hash = if self.traffic_secret.len() == 32 { HKDF_SHA256 } else { HKDF_SHA384 };
        let [high, low] = u16::try_from(len).expect("short").to_be_bytes();
        let label_len = u8::try_from(6 + label.len()).expect("short");
        let info = [&[high, low, label_len][..], b"tls13 ", label, &[0]];
        let mut key = vec![0; len];
        let prk = Prk::new_less_safe(hash, &self.traffic_secret);
        prk.expand(&info, Len(len)).and_then(|it| it.fill(&mut key)).expect("a short key");
        key
    }
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn key_of(is_gcm: bool, key: &[u8]) -> LessSafeKey {
    let algorithm = match (is_gcm, key.len()) {
        (false, _) => &CHACHA20_POLY1305,
        (true, 16) => &AES_128_GCM,
        (true, _) => &AES_256_GCM,
    };
    LessSafeKey::new(UnboundKey::new(algorithm, key).expect("a key of this length"))
}

/// A header of a record.
pub(super) fn header(kind: u8, version: u16, len: usize) -> [u8; 5] {
    let [high, low] = version.to_be_bytes();
    let [more, less] = u16::try_from(len).expect("the length of a record").to_be_bytes();
    [kind, high, low, more, less]
}
