//! The server name that a TLS `ClientHello` asks for (RFC 8446, section 4.1.2), for a proxy that
//! passes the bytes on as they came.
//!
//! [`HelloReader`] is shown all bytes since the first one, again each time that there are more. It
//! keeps positions and the four bytes of the message's head, and scans each byte once, so a hello
//! that trickles in costs no more than one that arrives at once.
//!
//! # Answers
//!
//! | [`find`](HelloReader::find) gives | which means |
//! |---|---|
//! | `Ok(NeedMore)` | this may still become a hello: append bytes and ask again |
//! | `Ok(NotTls)` | the first two bytes do not begin a handshake record; decided for good |
//! | `Ok(Hello(hello))` | the whole hello is here |
//! | `Err(error)` | this can never be a sound hello: send [its alert](HelloError::alert) |
//!
//! # States
//!
//! A handshake message may be spread over several records, and a record over several TCP segments.
//! The reader is always at one position of the input, `at`, which is one of these places:
//!
//! | place | condition | next |
//! |---|---|---|
//! | before a record | `at == record_end` | its header of 5 bytes is checked; into the record |
//! | in the message's head | `seen < 4` | byte by byte: type and length |
//! | in the message's body | `seen < 4 + length` | as many bytes as the record has |
//! | at the message's end | `seen == 4 + length` | the fields are parsed, in one go |
//!
//! How the hello is spread does not change the answer. A hello that announces more than
//! [`CLIENT_HELLO_BYTES_MAX`] is refused at once, and not after it has arrived.
//!
//! # Strictness
//!
//! It is strict where two readers might see two names: lengths must agree to the last byte, and
//! neither the extension nor the name in it may come twice. It does not judge versions, suites,
//! keys or application protocols, which is for the server that terminates TLS. Of an encrypted
//! hello (ECH) it reads the outer one. Unknown extensions, those of RFC 8701 (GREASE) among them,
//! are skipped.
//!
//! Not here: what follows from a name (`gateway::route`) and from an error (the drivers).

use super::alert::Alert;
use super::host_name::host_name;
use crate::limits::CLIENT_HELLO_BYTES_MAX;
// Only the parser of addresses: `core` has no sockets.
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What the bytes are that have arrived so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundHello {
    /// The beginning of a hello. Never the answer to [`CLIENT_HELLO_BYTES_MAX`] bytes or more.
    NeedMore,
    /// Not the beginning of a TLS handshake record. A hello in the format of SSL 2.0 is not one
    /// either.
    NotTls,
    /// A whole hello, perhaps with bytes after it.
    Hello(ClientHello),
}

/// What a client asks for before anything is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host the client wants to talk to (RFC 6066, section 3): see [`host_name`] for its form.
    ///
    /// None without the extension, and also where the extension has an IP address. Section 3 does
    /// not permit that; some clients send it all the same, and mean a server without a name.
    pub server_name: Option<Box<str>>,
    /// The client is an authority that verifies a name: the protocol that it offers is that of a
    /// challenge, `acme-tls/1`, and no other (RFC 8737, section 3).
    pub is_challenge: bool,
}

/// Why the first bytes of a TLS connection are refused. Sections are RFC 8446's, unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HelloError {
    /// A record of another type before the hello is complete (section 5.1: handshake messages
    /// "MUST NOT be interleaved with other record types").
    InterleavedRecord,
    /// A record whose version does not begin with 3, before the hello is complete. Section 5.1 has
    /// receivers ignore the version; but no client sends another one, and TLS stacks refuse it.
    BadRecordVersion,
    /// An empty handshake record (section 5.1).
    EmptyRecord,
    /// A record of more than 2^14 bytes (section 5.1).
    RecordTooLong,
    /// The first handshake message is not a hello (section 4.1.2).
    NotClientHello,
    /// The hello cannot be complete within [`CLIENT_HELLO_BYTES_MAX`].
    HelloTooLong,
    /// A length leads beyond the end of its container, or leaves bytes over (section 3.4).
    BadLength,
    /// A session id of more than 32 bytes (section 4.1.2).
    BadSessionId,
    /// No cipher suite, or half of one (section 4.1.2).
    BadCipherSuites,
    /// No compression method, not even "null" (section 4.1.2).
    NoCompressionMethod,
    /// The extension with the name comes twice (section 4.2).
    RepeatedExtension,
    /// A list of server names that is empty or does not begin with a `host_name`. No other type is
    /// defined, so the length of such a name is unknown (RFC 6066, section 3).
    NoHostName,
    /// A second `host_name` (RFC 6066, section 3).
    RepeatedHostName,
    /// A `host_name` that is neither a DNS name nor an IP address: see [`host_name`].
    BadHostName,
}

impl HelloError {
    /// The alert for the client (section 6.2).
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

/// Reads one hello while it arrives. See the [module](self) for its states.
#[derive(Clone, Debug, Default)]
pub struct HelloReader {
    /// Everything before this position has been scanned.
    at: usize,
    /// Where the current record ends: at `at` or after it.
    record_end: usize,
    /// Type and length of the message, as far as they have arrived.
    head: [u8; MESSAGE_HEAD_BYTES],
    /// Bytes of the message that were scanned, head included.
    seen: usize,
}

impl HelloReader {
    /// Reads the hello at the front of `input`, which holds all bytes since the first.
    ///
    /// `input` may grow between calls and must not change otherwise.
    ///
    /// # Errors
    /// The bytes cannot be the beginning of a sound hello, whatever follows.
    pub fn find(&mut self, input: &[u8]) -> Result<FoundHello, HelloError> {
        debug_assert!(input.len() >= self.at, "the input has lost bytes that were scanned");
        if !begins_like_tls(input) {
            return Ok(FoundHello::NotTls);
        }
        loop {
            // The message is complete, perhaps with the input not used up.
            if let Some(bytes) = self.message_bytes()
                && bytes == self.seen
            {
                return parse(&gather(input, bytes)).map(FoundHello::Hello);
            }
            if self.at == self.record_end && !self.enter_record(input)? {
                return Ok(FoundHello::NeedMore);
            }
            let arrived = input.get(self.at..self.record_end.min(input.len())).unwrap_or(&[]);
            let Some(&first) = arrived.first() else { return Ok(FoundHello::NeedMore) };
            match self.message_bytes() {
                // Its head may itself be spread over records.
                None => self.enter_message(first)?,
                Some(bytes) => self.advance(arrived.len().min(bytes - self.seen)),
            }
        }
    }

    /// Length of the message with its head, once the head is here.
    fn message_bytes(&self) -> Option<usize> {
        let [_, high, middle, low] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        (self.seen >= MESSAGE_HEAD_BYTES).then_some(MESSAGE_HEAD_BYTES + length)
    }

    /// Steps over the header of the next record, if all of it is here.
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

    /// Refuses a hello whose missing bytes, and `extra` before them, exceed the limit.
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
/// The type of extension of RFC 7301, section 3.1.
const PROTOCOLS: u16 = 16;
/// The content of that extension: a list of one protocol, each with its length.
const CHALLENGE_ALONE: &[u8] = b"\x00\x0b\x0aacme-tls/1";

/// Whether these bytes, or none, begin a handshake record.
fn begins_like_tls(input: &[u8]) -> bool {
    matches!(input, [] | [HANDSHAKE] | [HANDSHAKE, VERSION_MAJOR, ..])
}

/// The first `bytes` bytes of the handshake, joined if they are in several records.
fn gather(input: &[u8], bytes: usize) -> Cow<'_, [u8]> {
    let mut records = HelloFields(input);
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

/// Parses a whole message: its head, then the fields of section 4.1.2 in their order.
fn parse(message: &[u8]) -> Result<ClientHello, HelloError> {
    let mut fields = HelloFields(message);
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
    let extensions = HelloFields(fields.vector16()?);
    fields.end()?;
    parse_extensions(extensions)
}

fn parse_extensions(mut extensions: HelloFields<'_>) -> Result<ClientHello, HelloError> {
    let (mut server_name, mut is_challenge) = (None, false);
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let data = extensions.vector16()?;
        is_challenge |= kind == PROTOCOLS && data == CHALLENGE_ALONE;
        let data = HelloFields(data);
        if kind == SERVER_NAME && server_name.replace(parse_server_name(data)?).is_some() {
            return Err(HelloError::RepeatedExtension);
        }
    }
    Ok(ClientHello { server_name: server_name.flatten(), is_challenge })
}

/// `ServerNameList` (RFC 6066, section 3); `None` for an IP address.
fn parse_server_name(mut data: HelloFields<'_>) -> Result<Option<Box<str>>, HelloError> {
    let mut list = HelloFields(data.vector16()?);
    data.end()?;
    let mut found = None;
    // What follows a name of another type cannot be read.
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

/// What is left to read of something with a known end (section 3).
struct HelloFields<'a>(&'a [u8]);

impl<'a> HelloFields<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails if anything is left.
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

    /// A vector whose length has 8 bits.
    fn vector8(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// A vector whose length has 16 bits.
    fn vector16(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests;
