//! The PROXY protocol, versions 1 and 2: a header by which a proxy says where a connection comes
//! from (HAProxy's proxy-protocol.txt; its sections are cited).
//!
//! [`read`] is shown all bytes since the first one, and [`encode`] writes a header. Both are plain
//! functions. A header is short, so `read` keeps no state and starts anew when it is asked again
//! with more.
//!
//! | [`read`] gives | which means |
//! |---|---|
//! | `Ok(None)` | this may still become a header: append bytes and ask again |
//! | `Ok(Some(header))` | a whole header; the client's own bytes begin at [`len`](Header::len) |
//! | `Err(error)` | no further byte can make this a header: abort the connection |
//!
//! # Version 1, a line of text
//!
//! `PROXY TCP4 source destination source-port destination-port CRLF`, or `TCP6`, or `UNKNOWN` and
//! anything. A byte that cannot be part of the line is refused when it arrives. Addresses and ports
//! are parsed when the line is complete, as section 2.1 demands.
//!
//! # Version 2, binary
//!
//! Signature (12 bytes), version and command, family and protocol, length (2 bytes); then so many
//! bytes of addresses and type-length-value vectors (TLVs). The fixed part is checked byte by byte
//! as it arrives, the rest when it is complete. The TLVs are checked for their lengths and their
//! checksum, and not used.
//!
//! # Strictness
//!
//! What is not exactly a header is not one, as section 2 demands. An IPv4-mapped IPv6 address means
//! the IPv4 address in it, when it is read and when it is written.
//!
//! Not here: which peers are trusted to send one (`config`), how long one is waited for (the
//! drivers).

mod crc32c;

use crate::limits::PROXY_HEADER_BYTES_MAX;
use alloc::format;
use bytes::BytesMut;
use memchr::memchr2;
// Only addresses: `core` has no sockets.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use crc32c::crc32c;

/// A header at the front of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the header. What the client sent begins after it.
    pub len: usize,
    /// The client. None if the proxy speaks for itself (`LOCAL`, a health check), or of something
    /// other than a TCP connection (`UNKNOWN`, unspecified, UDP, Unix). Then the connection's own
    /// addresses count.
    pub source: Option<SocketAddr>,
    /// Where the client connected to. None if `source` is.
    pub destination: Option<SocketAddr>,
}

/// Which of the two formats to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text (section 2.1).
    V1,
    /// Binary (section 2.2).
    V2,
}

/// Why the first bytes of a connection are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// The beginning of neither version (section 2.2, "identifying the protocol version"). Perhaps
    /// the peer is not a proxy.
    NotProxyProtocol,
    /// Version 1 with a word other than `TCP4`, `TCP6` and `UNKNOWN` (section 2.1).
    BadProtocolWord,
    /// In version 1, not an address of the announced family, or not followed by one space
    /// (section 2.1).
    BadAddress,
    /// In version 1, not a decimal port without leading zeros, or not followed by one space or CRLF
    /// (section 2.1).
    BadPort,
    /// A bare CR or LF in a line of version 1 (section 2.1).
    BadLineEnd,
    /// A line of more than 107 bytes (section 2.1).
    LineTooLong,
    /// The binary format in a version other than 2 (section 2.2).
    BadVersion,
    /// An unassigned command (section 2.2).
    BadCommand,
    /// An unassigned address family or transport protocol (section 2.2).
    BadFamily,
    /// The length of version 2 leaves no room for the addresses (section 2.2).
    TooShort,
    /// A header of more than [`PROXY_HEADER_BYTES_MAX`].
    TooLong,
    /// The TLVs do not end where the header does, or there are several checksums among them, or one
    /// that is not 32 bits long (section 2.2).
    BadTlv,
    /// The checksum is wrong (section 2.2.3).
    BadChecksum,
}

/// Reads the header at the front of `input`, which holds all bytes since the first.
///
/// `None` while it is sound and incomplete, which is never so for [`PROXY_HEADER_BYTES_MAX`] bytes
/// or more.
///
/// # Errors
/// This is not a header, whatever follows. Section 2 demands that the connection is aborted.
pub fn read(input: &[u8]) -> Result<Option<Header>, ProxyHeaderError> {
    if agrees(input, SIGNATURE_V2) {
        read_v2(input)
    } else if let Some(line) = input.strip_prefix(SIGNATURE_V1) {
        let read = read_v1(line)?;
        Ok(read.map(|header| Header { len: SIGNATURE_V1.len() + header.len, ..header }))
    } else if agrees(input, SIGNATURE_V1) {
        Ok(None)
    } else {
        Err(ProxyHeaderError::NotProxyProtocol)
    }
}

/// Appends a header for a TCP connection from `source` to `destination`: at most 104 bytes.
///
/// If one of them is IPv4 and the other IPv6, both are written as IPv6, with the IPv4 one mapped.
/// Scopes and flow labels are dropped.
pub fn encode(
    version: ProxyVersion,
    source: SocketAddr,
    destination: SocketAddr,
    out: &mut BytesMut,
) {
    let ports = [source.port(), destination.port()];
    let addresses = [source, destination].map(|end| end.ip().to_canonical());
    match (version, addresses) {
        (ProxyVersion::V1, [IpAddr::V4(source), IpAddr::V4(destination)]) => {
            encode_v1("TCP4", [&source, &destination], ports, out);
        }
        (ProxyVersion::V1, addresses) => {
            let [source, destination] = addresses.map(to_ipv6);
            encode_v1("TCP6", [&source, &destination], ports, out);
        }
        (ProxyVersion::V2, [IpAddr::V4(source), IpAddr::V4(destination)]) => {
            encode_v2(TCP_OVER_IPV4, [&source.octets(), &destination.octets()], ports, out);
        }
        (ProxyVersion::V2, addresses) => {
            let [source, destination] = addresses.map(|address| to_ipv6(address).octets());
            encode_v2(TCP_OVER_IPV6, [&source, &destination], ports, out);
        }
    }
}

const SIGNATURE_V1: &[u8] = b"PROXY ";
/// Longest line without the signature.
const LINE_REST_BYTES_MAX: usize = 107 - SIGNATURE_V1.len();
const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;
const VERSION: u8 = 2;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const TCP_OVER_IPV4: u8 = 0x11;
const UDP_OVER_IPV4: u8 = 0x12;
const TCP_OVER_IPV6: u8 = 0x21;
const UDP_OVER_IPV6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;
/// `AF_UNIX` and `DGRAM`, the last that are assigned.
const FAMILY_MAX: u8 = 3;
const TRANSPORT_MAX: u8 = 2;
/// The type of TLV of section 2.2.3.
const CRC32C: u8 = 3;

/// Whether `input` begins with `start`, as far as both go.
fn agrees(input: &[u8], start: &[u8]) -> bool {
    input.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// Reads a line after its signature.
fn read_v1(line: &[u8]) -> Result<Option<Header>, ProxyHeaderError> {
    const WORDS: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];
    if let Some(fields) = line.strip_prefix(WORDS[0]) {
        let parse = |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        read_addresses(fields, "255.255.255.255".len(), parse)
    } else if let Some(fields) = line.strip_prefix(WORDS[1]) {
        let parse = |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
        read_addresses(fields, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".len(), parse)
    } else if let Some(rest) = line.strip_prefix(WORDS[2]) {
        match rest {
            [] | [b' ' | b'\r' | b'\n', ..] => read_unknown(line),
            [..] => Err(ProxyHeaderError::BadProtocolWord),
        }
    } else if WORDS.iter().any(|word| agrees(line, word)) {
        Ok(None)
    } else {
        Err(ProxyHeaderError::BadProtocolWord)
    }
}

/// Reads `address SP address SP port SP port CRLF`, which follows a word of five bytes.
///
/// Nothing is parsed before the line is complete, as section 2.1 demands, but a byte that cannot be
/// part of it is refused at once.
fn read_addresses(
    line: &[u8],
    address_bytes_max: usize,
    parse: impl Fn(&str) -> Option<IpAddr>,
) -> Result<Option<Header>, ProxyHeaderError> {
    let is_address_byte = |byte: u8| byte.is_ascii_hexdigit() || b".:".contains(&byte);
    let mut rest = line;
    let mut addresses = [""; 2];
    let mut ports = [""; 2];
    for field in &mut addresses {
        match read_field(&mut rest, is_address_byte, address_bytes_max, b' ') {
            Some(Ok(text)) => *field = text,
            Some(Err(())) => return Err(ProxyHeaderError::BadAddress),
            None => return Ok(None),
        }
    }
    for (field, end) in ports.iter_mut().zip(*b" \r") {
        match read_field(&mut rest, |byte| byte.is_ascii_digit(), "65535".len(), end) {
            Some(Ok(text)) => *field = text,
            Some(Err(())) => return Err(ProxyHeaderError::BadPort),
            None => return Ok(None),
        }
    }
    match rest {
        [] => return Ok(None),
        [b'\n', ..] => {}
        [..] => return Err(ProxyHeaderError::BadLineEnd),
    }
    let len = "TCPx ".len() + line.len() - rest.len() + "\n".len();
    let [source, destination] = addresses.map(|text| parse(text).map(|ip| ip.to_canonical()));
    let [source_port, destination_port] = ports.map(parse_port);
    let source = source.ok_or(ProxyHeaderError::BadAddress)?;
    let destination = destination.ok_or(ProxyHeaderError::BadAddress)?;
    let source = SocketAddr::new(source, source_port?);
    let destination = SocketAddr::new(destination, destination_port?);
    Ok(Some(Header { len, source: Some(source), destination: Some(destination) }))
}

/// Takes a field and the byte `end` that must follow it; `None` while it is incomplete.
fn read_field<'a>(
    rest: &mut &'a [u8],
    is_part: impl Fn(u8) -> bool,
    bytes_max: usize,
    end: u8,
) -> Option<Result<&'a str, ()>> {
    let length = rest.iter().take_while(|byte| is_part(**byte)).count();
    let (field, after) = rest.split_at(length);
    if length > bytes_max {
        return Some(Err(()));
    }
    let (found, after) = after.split_first()?;
    if length == 0 || *found != end {
        return Some(Err(()));
    }
    *rest = after;
    Some(str::from_utf8(field).map_err(|_| ()))
}

fn parse_port(digits: &str) -> Result<u16, ProxyHeaderError> {
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0');
    // There are only digits here, and no sign.
    let port = digits.parse().ok().filter(|_| !has_leading_zero);
    port.ok_or(ProxyHeaderError::BadPort)
}

/// Finds the end of a line that begins with `UNKNOWN`.
fn read_unknown(line: &[u8]) -> Result<Option<Header>, ProxyHeaderError> {
    let window = line.get(..LINE_REST_BYTES_MAX).unwrap_or(line);
    let end = memchr2(b'\r', b'\n', window).unwrap_or(window.len());
    match window.get(end..).unwrap_or(&[]) {
        [b'\r', b'\n', ..] => {
            Ok(Some(Header { len: end + "\r\n".len(), source: None, destination: None }))
        }
        [] | [b'\r'] if window.len() == LINE_REST_BYTES_MAX => Err(ProxyHeaderError::LineTooLong),
        [] | [b'\r'] => Ok(None),
        [..] => Err(ProxyHeaderError::BadLineEnd),
    }
}

/// Reads the binary format. The signature agrees, as far as it is here.
fn read_v2(input: &[u8]) -> Result<Option<Header>, ProxyHeaderError> {
    let mut fixed = input.iter().copied().skip(SIGNATURE_V2.len());
    let Some(version_and_command) = fixed.next() else { return Ok(None) };
    let command = version_and_command & 0xf;
    if version_and_command >> 4 != VERSION {
        return Err(ProxyHeaderError::BadVersion);
    }
    if command != LOCAL && command != PROXY {
        return Err(ProxyHeaderError::BadCommand);
    }
    let Some(family) = fixed.next() else { return Ok(None) };
    // For LOCAL, everything else is to be ignored.
    if command == PROXY && (family >> 4 > FAMILY_MAX || family & 0xf > TRANSPORT_MAX) {
        return Err(ProxyHeaderError::BadFamily);
    }
    let (Some(high), Some(low)) = (fixed.next(), fixed.next()) else { return Ok(None) };
    let len = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyHeaderError::TooLong);
    }
    let tlvs_at = match (command, family) {
        (PROXY, TCP_OVER_IPV4 | UDP_OVER_IPV4) => FIXED_BYTES + 12,
        (PROXY, TCP_OVER_IPV6 | UDP_OVER_IPV6) => FIXED_BYTES + 36,
        (PROXY, UNIX_STREAM | UNIX_DATAGRAM) => FIXED_BYTES + 216,
        // The length of the addresses, and so the place of the TLVs, is unknown.
        _ => len,
    };
    if len < tlvs_at {
        return Err(ProxyHeaderError::TooShort);
    }
    let Some(header) = input.get(..len) else { return Ok(None) };
    check_tlvs(header, tlvs_at)?;
    let addresses = header.get(FIXED_BYTES..tlvs_at).unwrap_or(&[]);
    let ends = match (command, family) {
        (PROXY, TCP_OVER_IPV4) => read_ends::<4>(addresses),
        (PROXY, TCP_OVER_IPV6) => read_ends::<16>(addresses),
        _ => None,
    };
    let (source, destination) = ends.unzip();
    Ok(Some(Header { len, source, destination }))
}

/// Two addresses, then two ports.
fn read_ends<const ADDRESS_BYTES: usize>(block: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; ADDRESS_BYTES]>,
{
    let (source, rest) = block.split_first_chunk::<ADDRESS_BYTES>()?;
    let (destination, rest) = rest.split_first_chunk::<ADDRESS_BYTES>()?;
    let &[source_high, source_low, destination_high, destination_low] = rest.first_chunk()?;
    let end = |address: &[u8; ADDRESS_BYTES], port| {
        SocketAddr::new(IpAddr::from(*address).to_canonical(), u16::from_be_bytes(port))
    };
    let source = end(source, [source_high, source_low]);
    Some((source, end(destination, [destination_high, destination_low])))
}

/// Checks the TLVs of a whole header, which begin at `at`.
fn check_tlvs(header: &[u8], mut at: usize) -> Result<(), ProxyHeaderError> {
    let mut checksum_at = None;
    while let Some(tlv) = header.get(at..).filter(|rest| !rest.is_empty()) {
        let [kind, high, low, ..] = *tlv else { return Err(ProxyHeaderError::BadTlv) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind == CRC32C && (length != 4 || checksum_at.replace(at + 3).is_some()) {
            return Err(ProxyHeaderError::BadTlv);
        }
        at += 3 + length;
    }
    if at != header.len() {
        return Err(ProxyHeaderError::BadTlv);
    }
    let Some(checksum_at) = checksum_at else { return Ok(()) };
    let (before, rest) = header.split_at(checksum_at);
    let Some((found, after)) = rest.split_first_chunk() else {
        return Err(ProxyHeaderError::BadTlv);
    };
    let computed = crc32c([before, &[0; 4], after]);
    if u32::from_be_bytes(*found) == computed { Ok(()) } else { Err(ProxyHeaderError::BadChecksum) }
}

fn to_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn encode_v1(
    word: &str,
    [source, destination]: [&dyn core::fmt::Display; 2],
    [source_port, destination_port]: [u16; 2],
    out: &mut BytesMut,
) {
    let line = format!("PROXY {word} {source} {destination} {source_port} {destination_port}\r\n");
    out.extend_from_slice(line.as_bytes());
}

fn encode_v2(family: u8, [source, destination]: [&[u8]; 2], ports: [u16; 2], out: &mut BytesMut) {
    let [source_port, destination_port] = ports.map(u16::to_be_bytes);
    // 12 or 36.
    let length = source.len() + destination.len() + source_port.len() + destination_port.len();
    out.extend_from_slice(SIGNATURE_V2);
    out.extend_from_slice(&[VERSION << 4 | PROXY, family, 0, length as u8]);
    for part in [source, destination, &source_port, &destination_port] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
