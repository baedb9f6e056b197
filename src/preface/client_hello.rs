//! The server name that a client hello of TLS asks for (RFC 8446, section 4.1.2), for whoever
//! passes the bytes on as they came.
//!
//! [`HelloReader`] looks at the first bytes of a connection, from where it stopped the last time,
//! so a hello that trickles in costs no more than one that comes at once. It keeps nothing of
//! them. How the hello is spread over TCP segments and TLS records does not change the answer. It
//! reads the outer hello alone where there is an encrypted one (ECH), and skips every extension
//! that it does not know, those of RFC 8701 (GREASE) among them.
//!
//! It is strict where two readers might see two names: lengths have to agree to the last byte, and
//! neither the extension nor the name in it may come twice. It is no judge of versions, suites,
//! keys or application protocols: whoever ends the TLS is.
//!
//! Not here: what follows from a name (`gateway::route`) and from an error (the drivers).

use super::alert::Alert;
use super::host_name::host_name;
use crate::limits::CLIENT_HELLO_BYTES_MAX;
// The address parser alone; nothing here can open a socket.
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The beginning of a hello. Never the answer to [`CLIENT_HELLO_BYTES_MAX`] bytes or more.
    NeedMore,
    /// Nothing that begins with a handshake record of TLS; a hello in SSL 2.0's format is such a
    /// thing, too. Decided by the first two bytes.
    NotTls,
    /// The whole hello has come, perhaps with bytes behind it.
    Hello(ClientHello),
}

/// What a client asks for before anything is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host the client wants to talk to (RFC 6066, section 3): see [`host_name`] for its form.
    ///
    /// None without the extension, and also where an IP address stands in it: section 3 does not
    /// permit one, some clients send one all the same, and what they mean is a server without a
    /// name.
    pub server_name: Option<Box<str>>,
}

/// Why the first bytes of a TLS connection are refused. Sections are RFC 8446's, unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HelloError {
    /// A record of another type before the hello is complete (section 5.1: handshake messages
    /// "MUST NOT be interleaved with other record types").
    InterleavedRecord,
    /// A record whose version does not begin with 3, before the hello is complete. Section 5.1
    /// would have the version ignored; no client has ever sent another, and stacks refuse it.
    BadRecordVersion,
    /// A handshake record without a byte in it (section 5.1).
    EmptyRecord,
    /// A record of more than 2^14 bytes (section 5.1).
    RecordTooLong,
    /// The first handshake message is another one (section 4.1.2).
    NotClientHello,
    /// The hello cannot be complete within [`CLIENT_HELLO_BYTES_MAX`].
    HelloTooLong,
    /// A length runs beyond the end of what it is a part of, or does not reach that end
    /// (section 3.4).
    BadLength,
    /// A session id of more than 32 bytes (section 4.1.2).
    BadSessionId,
    /// No cipher suite, or half of one (section 4.1.2).
    BadCipherSuites,
    /// Not even the compression method "null" (section 4.1.2).
    NoCompressionMethod,
    /// The extension with the name comes twice (section 4.2).
    RepeatedExtension,
    /// A list of server names that does not begin with a `host_name`, an empty one included: there
    /// is no other type, and so no telling how long a name of another type is (RFC 6066,
    /// section 3).
    NoHostName,
    /// A second `host_name` (RFC 6066, section 3).
    RepeatedHostName,
    /// A `host_name` that is neither a name of DNS nor an IP address: see [`host_name`].
    BadHostName,
}

impl HelloError {
    /// The alert that tells the client (section 6.2).
    pub const fn alert(self) -> Alert {
        match self {
            Self::InterleavedRecord | Self::NotClientHello => Alert::UnexpectedMessage,
            Self::BadRecordVersion => Alert::ProtocolVersion,
            Self::RecordTooLong => Alert::RecordOverflow,
            Self::HelloTooLong
            | Self::RepeatedExtension
            | Self::NoHostName
            | Self::RepeatedHostName
            | Self::BadHostName => Alert::IllegalParameter,
            Self::EmptyRecord
            | Self::BadLength
            | Self::BadSessionId
            | Self::BadCipherSuites
            | Self::NoCompressionMethod => Alert::DecodeError,
        }
    }
}

/// Looks for a hello, and remembers how far it has looked.
#[derive(Clone, Debug, Default)]
pub struct HelloReader {
    /// Everything before this position has been looked at.
    at: usize,
    /// Where the record ends that holds `at`, or that ends there.
    record_end: usize,
    /// Type and length of the message, as far as they have come.
    head: [u8; MESSAGE_HEAD_BYTES],
    /// Bytes of the message that have come, head included.
    seen: usize,
}

impl HelloReader {
    /// Reads the hello at the front of `input`, which is all that came since the first byte.
    ///
    /// `input` may grow between calls and must not change otherwise.
    ///
    /// # Errors
    /// What came cannot be the beginning of a sound hello. There is no use in asking again.
    pub fn find(&mut self, input: &[u8]) -> Result<Look, HelloError> {
        if !begins_like_tls(input) {
            return Ok(Look::NotTls);
        }
        loop {
            if let Some(bytes) = self.message_bytes()
                && bytes == self.seen
            {
                return parse(&gather(input, bytes)).map(Look::Hello);
            }
            if self.at == self.record_end && !self.enter_record(input)? {
                return Ok(Look::NeedMore);
            }
            let arrived = input.get(self.at..self.record_end.min(input.len())).unwrap_or(&[]);
            let Some(&first) = arrived.first() else { return Ok(Look::NeedMore) };
            match self.message_bytes() {
                None => self.enter_message(first)?,
                Some(bytes) => self.advance(arrived.len().min(bytes - self.seen)),
            }
        }
    }

    /// Length of the message with its head, once that has come.
    fn message_bytes(&self) -> Option<usize> {
        let [_, high, middle, low] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        (self.seen >= MESSAGE_HEAD_BYTES).then_some(MESSAGE_HEAD_BYTES + length)
    }

    /// Steps over the header of the next record, when the whole of it has come.
    fn enter_record(&mut self, input: &[u8]) -> Result<bool, HelloError> {
        self.check_fits(RECORD_HEADER_BYTES)?;
        let header = input.get(self.at..).unwrap_or(&[]);
        match header {
            [kind, ..] if *kind != HANDSHAKE => return Err(HelloError::InterleavedRecord),
            [_, major, ..] if *major != VERSION_MAJOR => return Err(HelloError::BadRecordVersion),
            _ => {}
        }
        let Some(&[_, _, _, high, low]) = header.first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(false);
        };
        match usize::from(u16::from_be_bytes([high, low])) {
            0 => Err(HelloError::EmptyRecord),
            length if length > RECORD_BYTES_MAX => Err(HelloError::RecordTooLong),
            length => {
                self.at += RECORD_HEADER_BYTES;
                self.record_end = self.at + length;
                Ok(true)
            }
        }
    }

    /// Takes the next byte of the message's head.
    fn enter_message(&mut self, byte: u8) -> Result<(), HelloError> {
        if self.seen == 0 && byte != CLIENT_HELLO {
            return Err(HelloError::NotClientHello);
        }
        self.head[self.seen] = byte;
        self.advance(1);
        self.check_fits(0)
    }

    /// Refuses a hello whose missing bytes, with `extra` in front, do not fit any more.
    fn check_fits(&self, extra: usize) -> Result<(), HelloError> {
        let missing = self.message_bytes().map_or(0, |bytes| bytes - self.seen);
        let fits = self.at + extra + missing <= CLIENT_HELLO_BYTES_MAX;
        fits.then_some(()).ok_or(HelloError::HelloTooLong)
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        self.seen += bytes;
    }
}

const HANDSHAKE: u8 = 22;
const VERSION_MAJOR: u8 = 3;
const RECORD_HEADER_BYTES: usize = 5;
/// Section 5.1.
const RECORD_BYTES_MAX: usize = 1 << 14;
const CLIENT_HELLO: u8 = 1;
/// Type and 24 bits of length.
const MESSAGE_HEAD_BYTES: usize = 4;
const RANDOM_BYTES: usize = 32;
const SESSION_ID_BYTES_MAX: usize = 32;
/// The type of extension of RFC 6066, section 3.
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Whether these bytes, or none, begin a handshake record.
fn begins_like_tls(input: &[u8]) -> bool {
    matches!(input, [] | [HANDSHAKE] | [HANDSHAKE, VERSION_MAJOR, ..])
}

/// The first `bytes` bytes of the handshake, taken out of their records when there are several.
fn gather(input: &[u8], bytes: usize) -> Cow<'_, [u8]> {
    let mut records = Fields(input);
    let mut message = Vec::new();
    while let Ok([_, _, _, high, low]) = records.array::<RECORD_HEADER_BYTES>() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(bytes - message.len());
        let Ok(part) = records.take(length) else { break };
        if part.len() == bytes {
            return Cow::Borrowed(part);
        }
        message.reserve_exact(bytes - message.len());
        message.extend_from_slice(part);
        if message.len() == bytes {
            break;
        }
    }
    Cow::Owned(message)
}

/// Reads a whole message: its head, then section 4.1.2's fields in their order.
fn parse(message: &[u8]) -> Result<ClientHello, HelloError> {
    let mut fields = Fields(message);
    fields.take(MESSAGE_HEAD_BYTES)?;
    let _legacy_version = fields.u16()?;
    fields.take(RANDOM_BYTES)?;
    if fields.vector8()?.len() > SESSION_ID_BYTES_MAX {
        return Err(HelloError::BadSessionId);
    }
    let cipher_suites = fields.vector16()?;
    if cipher_suites.is_empty() || !cipher_suites.len().is_multiple_of(2) {
        return Err(HelloError::BadCipherSuites);
    }
    if fields.vector8()?.is_empty() {
        return Err(HelloError::NoCompressionMethod);
    }
    if fields.is_empty() {
        // RFC 5246, section 7.4.1.2: before TLS 1.3, a hello may have no extensions.
        return Ok(ClientHello::default());
    }
    let extensions = Fields(fields.vector16()?);
    fields.end()?;
    parse_extensions(extensions)
}

fn parse_extensions(mut extensions: Fields<'_>) -> Result<ClientHello, HelloError> {
    let mut server_name = None;
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let data = Fields(extensions.vector16()?);
        if kind == SERVER_NAME && server_name.replace(parse_server_name(data)?).is_some() {
            return Err(HelloError::RepeatedExtension);
        }
    }
    Ok(ClientHello { server_name: server_name.flatten() })
}

/// `ServerNameList` (RFC 6066, section 3), or none for an IP address.
fn parse_server_name(mut data: Fields<'_>) -> Result<Option<Box<str>>, HelloError> {
    let mut list = Fields(data.vector16()?);
    data.end()?;
    let mut found = None;
    // A name of another type ends what can be read.
    while !list.is_empty() && list.u8()? == HOST_NAME {
        if found.replace(list.vector16()?).is_some() {
            return Err(HelloError::RepeatedHostName);
        }
    }
    let name = found.ok_or(HelloError::NoHostName)?;
    match host_name(name) {
        Some(name) => Ok(Some(name)),
        None if is_ip_address(name) => Ok(None),
        None => Err(HelloError::BadHostName),
    }
}

fn is_ip_address(name: &[u8]) -> bool {
    str::from_utf8(name).is_ok_and(|name| name.parse::<IpAddr>().is_ok())
}

/// The bytes that are still to be read of something with a known end (section 3).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may be left.
    fn end(self) -> Result<(), HelloError> {
        if self.is_empty() { Ok(()) } else { Err(HelloError::BadLength) }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], HelloError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(HelloError::BadLength)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], HelloError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(HelloError::BadLength)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, HelloError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, HelloError> {
        self.array().map(u16::from_be_bytes)
    }

    /// What stands behind its length in 8 bits.
    fn vector8(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// What stands behind its length in 16 bits.
    fn vector16(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests;
