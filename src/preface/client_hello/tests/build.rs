//! What hellos are made with: by hand, or by rustls.

use super::{CLIENT_HELLO, HOST_NAME, SERVER_NAME};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// The type of extension of RFC 7301, section 3.1.
pub(super) const ALPN: u16 = 16;
pub(super) const KEY_SHARE: u16 = 51;
pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;

/// Version, random, no session id, one suite, one method.
pub(super) const FIXED: &[u8] = b"\x03\x03tttttttttttttttttttttttttttttttt\0\0\x02\x13\x01\x01\0";

/// A client of these versions, whose hellos are rustls's own.
pub(super) fn client(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let config = ClientConfig::builder_with_protocol_versions(versions);
    config.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// A message of these bytes in records of at most `size`.
pub(super) fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1], &list16(part)[..]].concat();
    message.chunks(size).flat_map(record).collect()
}

/// A hello with these extensions, and with the one that rustls insists on.
pub(super) fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let insisted_on = (SIGNATURE_ALGORITHMS, b"\0\x02\x04\x03".to_vec());
    let extensions = extensions.iter().chain([&insisted_on]);
    let block: Vec<u8> = extensions
        .flat_map(|(kind, data)| [&kind.to_be_bytes(), &list16(data)[..]].concat())
        .collect();
    message(&[FIXED, &list16(&block)].concat())
}

pub(super) fn message(body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[CLIENT_HELLO], &length[..], body].concat()
}

pub(super) fn named(name: &str) -> (u16, Vec<u8>) {
    (SERVER_NAME, list16(&entry(name.as_bytes())))
}

pub(super) fn entry(name: &[u8]) -> Vec<u8> {
    [&[HOST_NAME], &list16(name)[..]].concat()
}

pub(super) fn offered<T: AsRef<[u8]>>(names: &[T]) -> (u16, Vec<u8>) {
    let length = |name: &T| u8::try_from(name.as_ref().len()).unwrap();
    let list: Vec<u8> =
        names.iter().flat_map(|name| [&[length(name)], name.as_ref()].concat()).collect();
    (ALPN, list16(&list))
}

pub(super) fn list16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
