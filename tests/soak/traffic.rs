//! Connections of the relay's clients, and content that both ends check.

use crate::content::content;
use narrows_kit::certificates::client_config;
use narrows_kit::connection::{Connection, connect_from};
use narrows_kit::http::{Framing, Received, chunk};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig};

/// One for all clients: it keeps sessions, so that most handshakes are resumptions, as with real
/// clients.
static TLS: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| client_config(ALL_VERSIONS));

/// Connects from one of this machine's many addresses.
pub async fn connect(source: [u8; 4], to: SocketAddr, tls: bool) -> io::Result<Connection> {
    let tcp = connect_from(source, to).await?;
    if tls { Connection::over_tls(tcp, &TLS).await } else { Ok(Connection::new(tcp)) }
}

/// Reads the content called `seed` to the end of the message; gives its length.
///
/// An end before that end is an error; content that is not what it should be is a panic.
pub async fn check_body(
    connection: &mut Connection,
    framing: Framing,
    seed: u64,
) -> io::Result<usize> {
    let mut at = 0;
    match framing {
        Framing::Length(len) => {
            while at < len {
                let take = |received: &mut Received| received.take_up_to(len - at);
                check(&connection.read_until(take).await?, seed, &mut at);
            }
        }
        Framing::Chunked => loop {
            let chunk = connection.read_chunk().await?;
            if chunk.is_empty() {
                assert_eq!(connection.received.trailers(), "", "no trailers were sent");
                break;
            }
            check(&chunk, seed, &mut at);
        },
        Framing::UntilClose => loop {
            check(&connection.received.take_all(), seed, &mut at);
            if connection.read().await? == 0 {
                break;
            }
        },
    }
    Ok(at)
}

/// Content in chunks of many sizes, with the last chunk.
pub fn in_chunks(seed: u64, len: usize) -> Vec<u8> {
    let (mut chunks, mut at) = (Vec::new(), 0);
    while at < len {
        let size = (len - at).min(1 + (seed as usize + at) % 5000);
        chunks.extend(chunk(&content(seed, at, size)));
        at += size;
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}

/// The client's address, as the relay's log has it.
pub fn name(connection: &Connection) -> String {
    let address = connection.wire.tcp().local_addr();
    address.map_or_else(|_| "a lost socket".to_owned(), |it| it.to_string())
}

fn check(bytes: &[u8], seed: u64, at: &mut usize) {
    let end = *at + bytes.len();
    let is_same = bytes == content(seed, *at, bytes.len());
    assert!(is_same, "bytes {at} to {end} are not what was sent");
    *at = end;
}
