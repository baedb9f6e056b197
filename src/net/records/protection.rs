//! The protection of records after the handshake: TLS 1.3 (RFC 8446, section 5.2 to 5.4), and TLS
//! 1.2 with AES-GCM (RFC 5288) and with ChaCha20-Poly1305 (RFC 7905).
//!
//! The keys are those that rustls has negotiated; nonce, additional data and padding are ours. A
//! nonce is never used twice: it is made of the sequence number, which only counts up, and its key
//! belongs to one direction of one connection.

use crate::limits::RECORD_CONTENT_BYTES_MAX;
use crate::net::records::fault::Fault;
use crate::net::records::header::{HEADER_BYTES, Header};
use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use tokio_rustls::rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, PeerMisbehaved,
};

/// What every one of the algorithms appends.
const TAG_BYTES: usize = 16;
/// Most bytes of a record of TLS 1.3 after its header (RFC 8446, section 5.2).
const TLS13_PROTECTED_BYTES_MAX: usize = RECORD_CONTENT_BYTES_MAX + 256;
/// The part of the nonce that is sent (RFC 5288, section 3).
const EXPLICIT_NONCE_BYTES: usize = 8;
/// The version in all protected records that are sent: TLS 1.2's, in TLS 1.3, too.
const VERSION: [u8; 2] = [3, 3];

/// How records are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Tls13,
    Tls12AesGcm,
    Tls12ChaCha20,
}

/// The key of one direction, and its next sequence number.
struct Key {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence_number: u64,
    scheme: Scheme,
}

/// What opens the peer's records.
pub(super) struct OpeningKey(Key);

/// What seals our records.
pub(super) struct SealingKey {
    key: Key,
    /// How many records it may seal (RFC 8446, section 5.5). Alerts do not count.
    records_max: u64,
}

/// What a record was opened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) content_type: ContentType,
    /// The length of its content.
    pub(super) len: usize,
}

impl Scheme {
    /// How many bytes precede what is encrypted.
    fn prefix(self) -> usize {
        match self {
            Self::Tls12AesGcm => EXPLICIT_NONCE_BYTES,
            Self::Tls13 | Self::Tls12ChaCha20 => 0,
        }
    }

    /// How many bytes follow the content before the tag: its type (RFC 8446, section 5.2).
    fn suffix(self) -> usize {
        match self {
            Self::Tls13 => 1,
            Self::Tls12AesGcm | Self::Tls12ChaCha20 => 0,
        }
    }
}

impl Key {
    fn new(
        is_tls13: bool,
        (sequence_number, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
        let (algorithm, of_tls12, key, iv) = match secrets {
            Aes128Gcm { key, iv } => (&AES_128_GCM, Scheme::Tls12AesGcm, key, iv),
            Aes256Gcm { key, iv } => (&AES_256_GCM, Scheme::Tls12AesGcm, key, iv),
            Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, Scheme::Tls12ChaCha20, key, iv),
            _ => return Err(unusable()),
        };
        let aead = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| unusable())?;
        let iv = iv.as_ref().try_into().map_err(|_| unusable())?;
        let scheme = if is_tls13 { Scheme::Tls13 } else { of_tls12 };
        Ok(Self { aead: LessSafeKey::new(aead), iv, sequence_number, scheme })
    }

    /// Goes on to the next record.
    ///
    /// # Errors
    /// There is no sequence number for it, as they must not wrap (RFC 8446, section 5.3).
    fn advance(&mut self) -> Result<(), Error> {
        let next = self.sequence_number.checked_add(1);
        self.sequence_number = next.ok_or(Error::EncryptError)?;
        Ok(())
    }

    /// The nonce of the next record: RFC 8446, section 5.3, and RFC 7905, section 2. For what we
    /// send with AES-GCM in TLS 1.2, too, where any that is not repeated will do.
    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        let counter = nonce[NONCE_LEN - 8..].iter_mut();
        counter.zip(self.sequence_number.to_be_bytes()).for_each(|(byte, it)| *byte ^= it);
        nonce
    }

    /// The additional data of the next record, which has `len` bytes after its header, and how many
    /// bytes of it there are.
    fn additional_data(&self, header: &Header) -> AdditionalData {
        let mut bytes = [0; 13];
        let len = match self.scheme {
            // The header (RFC 8446, section 5.2).
            Scheme::Tls13 => {
                bytes[..HEADER_BYTES].copy_from_slice(&header.bytes());
                HEADER_BYTES
            }
            // The sequence number, and the header without the protection (RFC 5246, 6.2.3.3).
            Scheme::Tls12AesGcm | Scheme::Tls12ChaCha20 => {
                let content = header.len - self.scheme.prefix() - TAG_BYTES;
                bytes[..8].copy_from_slice(&self.sequence_number.to_be_bytes());
                bytes[8] = header.content_type.into();
                bytes[9..11].copy_from_slice(&header.version);
                bytes[11..].copy_from_slice(&(content as u16).to_be_bytes());
                13
            }
        };
        Aad::from(AdditionalBytes { bytes, len })
    }
}

type AdditionalData = Aad<AdditionalBytes>;

struct AdditionalBytes {
    bytes: [u8; 13],
    len: usize,
}

impl AsRef<[u8]> for AdditionalBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl OpeningKey {
    /// One that begins with a sequence number.
    ///
    /// # Errors
    /// The key is none that we know.
    pub(super) fn new(
        is_tls13: bool,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        Key::new(is_tls13, secrets).map(Self)
    }

    /// Checks the header of a whole record. In TLS 1.3 all of them show the same type, and are
    /// shorter (RFC 8446, section 5.2).
    ///
    /// # Errors
    /// No record may have it.
    pub(super) fn check(&self, header: &Header) -> Result<(), Fault> {
        let is_expected = match self.0.scheme {
            Scheme::Tls13 => header.content_type == ContentType::ApplicationData,
            Scheme::Tls12AesGcm | Scheme::Tls12ChaCha20 => {
                header.content_type != ContentType::ChangeCipherSpec
            }
        };
        if !is_expected {
            return Err(Fault::unexpected(header.content_type));
        }
        if self.0.scheme == Scheme::Tls13 && header.len > TLS13_PROTECTED_BYTES_MAX {
            return Err(too_large());
        }
        Ok(())
    }

    /// How much a record of `len` bytes can have of content, its type and padding.
    pub(super) fn most(&self, len: usize) -> usize {
        len.saturating_sub(self.0.scheme.prefix() + TAG_BYTES)
    }

    /// Opens a record into `room`, which has [`most`](Self::most) bytes.
    ///
    /// # Errors
    /// The record is not authentic, or holds what it must not.
    pub(super) fn open_into(
        &mut self,
        header: &Header,
        protected: &[u8],
        room: &mut [u8],
    ) -> Result<Opened, Fault> {
        let start = self.0.scheme.prefix();
        let (nonce, data) = self.parameters(header, protected)?;
        let (encrypted, tag) = protected[start..].split_at(room.len());
        let opened = self.0.aead.open_separate_gather(nonce, data, encrypted, tag, room);
        opened.map_err(|_| not_authentic())?;
        self.opened(header, room)
    }

    /// Opens a record where it is, and returns its content.
    ///
    /// # Errors
    /// As for [`open_into`](Self::open_into).
    pub(super) fn open_in_place<'p>(
        &mut self,
        header: &Header,
        protected: &'p mut [u8],
    ) -> Result<(Opened, &'p [u8]), Fault> {
        let start = self.0.scheme.prefix();
        let (nonce, data) = self.parameters(header, protected)?;
        let content = &mut protected[start..];
        let content = self.0.aead.open_in_place(nonce, data, content);
        let content = content.map_err(|_| not_authentic())?;
        let opened = self.opened(header, content)?;
        Ok((opened, &content[..opened.len]))
    }

    /// Nonce and additional data.
    fn parameters(
        &self,
        header: &Header,
        protected: &[u8],
    ) -> Result<(Nonce, AdditionalData), Fault> {
        let key = &self.0;
        if protected.len() < key.scheme.prefix() + TAG_BYTES {
            return Err(not_authentic());
        }
        let mut nonce = key.nonce();
        if key.scheme == Scheme::Tls12AesGcm {
            nonce = key.iv;
            nonce[NONCE_LEN - EXPLICIT_NONCE_BYTES..]
                .copy_from_slice(&protected[..EXPLICIT_NONCE_BYTES]);
        }
        Ok((Nonce::assume_unique_for_key(nonce), key.additional_data(header)))
    }

    /// What an authentic record holds.
    fn opened(&mut self, header: &Header, plain: &[u8]) -> Result<Opened, Fault> {
        self.0.advance().map_err(Fault::internal)?;
        let suffix = self.0.scheme.suffix();
        if plain.len() > RECORD_CONTENT_BYTES_MAX + suffix {
            return Err(too_large());
        }
        if suffix == 0 {
            return Ok(Opened { content_type: header.content_type, len: plain.len() });
        }
        // Zeros pad it (RFC 8446, section 5.4).
        let Some(len) = plain.iter().rposition(|byte| *byte != 0) else {
            return Err(Fault::misbehaved(PeerMisbehaved::IllegalTlsInnerPlaintext));
        };
        Ok(Opened { content_type: plain[len].into(), len })
    }
}

impl SealingKey {
    /// One that begins with a sequence number, and seals no more than `records_max` records.
    ///
    /// # Errors
    /// The key is none that we know.
    pub(super) fn new(
        is_tls13: bool,
        secrets: (u64, ConnectionTrafficSecrets),
        records_max: u64,
    ) -> Result<Self, Error> {
        Key::new(is_tls13, secrets).map(|key| Self { key, records_max })
    }

    /// How many records it may still seal.
    pub(super) fn records_left(&self) -> u64 {
        self.records_max.saturating_sub(self.key.sequence_number)
    }

    /// Whether it has sealed any record.
    pub(super) fn is_used(&self) -> bool {
        self.key.sequence_number > 0
    }

    /// Where content that is to be sealed in place begins in a record.
    pub(super) fn content_start(&self) -> usize {
        HEADER_BYTES + self.key.scheme.prefix()
    }

    /// Seals `content` into a record at the front of `space`, and returns the record's length.
    ///
    /// # Errors
    /// There is too little space, or no sequence number is left.
    pub(super) fn seal(
        &mut self,
        content_type: ContentType,
        content: &[u8],
        space: &mut [u8],
    ) -> Result<usize, Error> {
        let (record, nonce, data) = self.begin(content_type, content.len(), space)?;
        let (encrypted, tag) = record.split_at_mut(content.len());
        let inner_type = [content_type.into()];
        let extra = &inner_type[..self.key.scheme.suffix()];
        let sealed =
            self.key.aead.seal_out_of_place_scatter(nonce, data, content, encrypted, extra, tag);
        sealed.map_err(|_| Error::EncryptError)?;
        Ok(self.content_start() + record.len())
    }

    /// Seals the `len` bytes of content that are in `space` already, from
    /// [`content_start`](Self::content_start).
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub(super) fn seal_in_place(
        &mut self,
        content_type: ContentType,
        len: usize,
        space: &mut [u8],
    ) -> Result<usize, Error> {
        let (record, nonce, data) = self.begin(content_type, len, space)?;
        let (content, tag) = record.split_at_mut(len);
        let inner_type = [content_type.into()];
        let extra = &inner_type[..self.key.scheme.suffix()];
        let sealed = self.key.aead.seal_in_place_scatter(nonce, data, content, extra, tag);
        sealed.map_err(|_| Error::EncryptError)?;
        Ok(self.content_start() + record.len())
    }

    /// Writes what precedes the content, and returns where that and what follows it belong, the
    /// nonce, and the additional data. The sequence number is used up.
    fn begin<'s>(
        &mut self,
        content_type: ContentType,
        len: usize,
        space: &'s mut [u8],
    ) -> Result<(&'s mut [u8], Nonce, AdditionalData), Error> {
        let scheme = self.key.scheme;
        let content_type = match scheme {
            Scheme::Tls13 => ContentType::ApplicationData,
            Scheme::Tls12AesGcm | Scheme::Tls12ChaCha20 => content_type,
        };
        let sealed = len + scheme.suffix() + TAG_BYTES;
        let header = Header { content_type, version: VERSION, len: scheme.prefix() + sealed };
        let start = self.content_start();
        let record = space.get_mut(..start + sealed).ok_or(Error::EncryptError)?;
        let (before, record) = record.split_at_mut(start);
        before[..HEADER_BYTES].copy_from_slice(&header.bytes());
        let nonce = self.key.nonce();
        before[HEADER_BYTES..].copy_from_slice(&nonce[NONCE_LEN - scheme.prefix()..]);
        let data = self.key.additional_data(&header);
        self.key.advance()?;
        Ok((record, Nonce::assume_unique_for_key(nonce), data))
    }
}

fn unusable() -> Error {
    Error::General("a cipher suite that is not known".into())
}

fn not_authentic() -> Fault {
    Fault::new(Error::DecryptError, AlertDescription::BadRecordMac)
}

fn too_large() -> Fault {
    Fault::new(Error::PeerSentOversizedRecord, AlertDescription::RecordOverflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_rustls::rustls::crypto::cipher::{AeadKey, Iv};

    #[test]
    fn sequence_numbers_do_not_wrap() {
        let at = |number| (number, secrets());
        let mut sealing = SealingKey::new(true, at(u64::MAX - 1), u64::MAX).unwrap();
        let mut opening = OpeningKey::new(true, at(u64::MAX - 1)).unwrap();
        let mut space = [0; 64];
        let mut seal =
            |space: &mut [u8]| sealing.seal(ContentType::ApplicationData, b"last", space);
        let len = seal(&mut space).unwrap();
        let mut open = |record: &mut [u8]| {
            let header = Header::parse(record).unwrap().unwrap();
            opening.open_in_place(&header, &mut record[HEADER_BYTES..]).map(|it| it.1.to_vec())
        };
        assert_eq!(open(&mut space[..len]), Ok(b"last".to_vec()));
        assert_eq!(seal(&mut space), Err(Error::EncryptError));
        let fault = open(&mut record_of(&Key::new(true, at(u64::MAX)).unwrap())).unwrap_err();
        assert_eq!(fault.alert, Some(AlertDescription::InternalError));
    }

    /// One byte, sealed with the number that is the last of all.
    fn record_of(key: &Key) -> Vec<u8> {
        let content_type = ContentType::ApplicationData;
        let header = Header { content_type, version: VERSION, len: 1 + 1 + TAG_BYTES };
        let mut sealed = vec![b'x', content_type.into()];
        let nonce = Nonce::assume_unique_for_key(key.nonce());
        let data = key.additional_data(&header);
        key.aead.seal_in_place_append_tag(nonce, data, &mut sealed).unwrap();
        [&header.bytes()[..], &sealed].concat()
    }

    fn secrets() -> ConnectionTrafficSecrets {
        let (key, iv) = (AeadKey::from([7; 32]), Iv::from([9; NONCE_LEN]));
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }
    }
}
