//! Prefaces of a connection: a TLS `ClientHello`, and a PROXY header.

use super::arrival::arrivals;
use crate::limits::{CLIENT_HELLO_BYTES_MAX, PROXY_HEADER_BYTES_MAX};
use crate::preface::client_hello::{FoundHello, HelloError, HelloReader};
use crate::preface::proxy_header::{Header, ProxyVersion, encode, read};
use bytes::BytesMut;
use tokio_rustls::rustls::server::Acceptor;

/// Reading a `ClientHello` never panics, is bounded, and does not depend on how the bytes arrive.
/// Whenever rustls accepts the bytes, we find the same name in them, or none if it finds none.
pub fn client_hello(data: &[u8]) {
    let [whole, bytewise, pieces] = arrivals(data).map(|positions| {
        let mut reader = HelloReader::default();
        let looks = positions.into_iter().map(|end| (end, reader.find(&data[..end])));
        looks.into_iter().find(|(_, look)| *look != Ok(FoundHello::NeedMore))
    });
    assert_eq!(whole.as_ref().map(|(_, look)| look), bytewise.as_ref().map(|(_, look)| look));
    assert_eq!(whole.as_ref().map(|(_, look)| look), pieces.as_ref().map(|(_, look)| look));
    match &bytewise {
        Some((end, _)) => assert!(*end <= CLIENT_HELLO_BYTES_MAX),
        None => assert!(data.len() < CLIENT_HELLO_BYTES_MAX),
    }
    if let Some((_, Err(error))) = &whole {
        assert_eq!(error.alert().record()[0], 21);
    }
    let Some(name) = name_that_rustls_accepts(data) else { return };
    match whole {
        Some((_, Ok(FoundHello::Hello(hello)))) => {
            let name = name.as_deref().map(|name| name.strip_suffix('.').unwrap_or(name));
            assert_eq!(hello.server_name.as_deref(), name);
        }
        // It accepts the versions of SSL 2.0 and DTLS in a record, which no client sends.
        Some((_, Ok(FoundHello::NotTls) | Err(HelloError::BadRecordVersion))) if !is_3_x(data) => {}
        // Its limits are wider.
        Some((_, Err(HelloError::HelloTooLong | HelloError::RecordTooLong))) => {}
        other => panic!("rustls accepts what gives {other:?}"),
    }
}

/// Whether all records are of version 3.x.
fn is_3_x(mut records: &[u8]) -> bool {
    while let [_, major, _, high, low, rest @ ..] = records {
        if *major != 3 {
            return false;
        }
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        records = rest.get(len..).unwrap_or(&[]);
    }
    true
}

/// None if rustls refuses the bytes, or waits for more.
pub(crate) fn name_that_rustls_accepts(mut input: &[u8]) -> Option<Option<String>> {
    let mut acceptor = Acceptor::default();
    while !input.is_empty() {
        acceptor.read_tls(&mut input).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            return Some(accepted.client_hello().server_name().map(str::to_owned));
        }
    }
    None
}

/// Reading a PROXY header never panics, is bounded, does not depend on how the bytes arrive, and
/// ends where the header does. Two addresses, written in either version, are read back as they
/// were.
pub fn proxy_protocol(data: &[u8]) {
    let whole = read(data);
    let looks = (0..=data.len()).map(|end| (end, read(&data[..end])));
    match looks.into_iter().find(|(_, look)| *look != Ok(None)) {
        Some((end, verdict)) => {
            assert_eq!(verdict, whole, "arrival changed the meaning");
            assert!(end <= PROXY_HEADER_BYTES_MAX);
            assert!(whole.is_err() || whole.is_ok_and(|it| it.is_some_and(|it| it.len == end)));
        }
        None => assert!(whole == Ok(None) && data.len() < PROXY_HEADER_BYTES_MAX),
    }
    let Ok(Some(Header { source, destination, .. })) = whole else { return };
    assert_eq!(source.is_some(), destination.is_some());
    let (Some(source), Some(destination)) = (source, destination) else { return };
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut written = BytesMut::new();
        encode(version, source, destination, &mut written);
        let len = written.len();
        let again = Header { len, source: Some(source), destination: Some(destination) };
        written.extend_from_slice(b"\r\n");
        assert_eq!(read(&written), Ok(Some(again)), "{version:?}");
    }
}
