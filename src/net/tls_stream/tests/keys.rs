//! Keys that are used up, in both versions.

use super::*;
use crate::tls::testing::few_records::{of_few_records, with_suite};
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// The server asks for a new key with each of its own, and all of it is cut at every byte.
#[tokio::test]
async fn keys_change_both_ways_while_writes_wait() {
    for capacity in [1, 30, 1000] {
        let (mut near, mut far) = pair_of_few_records(&TLS13, capacity).await;
        let sent: Vec<u8> = (0..20_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
        let (mut up, mut down) = (Transfer::new(&sent), Transfer::new(&sent));
        while !up.is_done() || !down.is_done() {
            up.advance(&mut *near, &mut *far);
            down.advance(&mut *far, &mut *near);
        }
    }
}

/// What was sent so far may be half of a message that ends with the connection.
#[tokio::test]
async fn keys_of_tls12_that_are_used_up_are_a_cut_and_no_end() {
    // The first of three is Finished.
    let (mut near, mut far) = pair_of_few_records(&TLS12, 64 * 1024).await;
    let mut write = async |bytes: &[u8]| {
        poll_fn(|cx| far.poll_write(cx, &[IoSlice::new(bytes)])).await.map_err(|it| it.kind())
    };
    assert_eq!(write(b"a").await, Ok(1));
    assert_eq!(write(b"b").await, Ok(1));
    assert_eq!(write(b"c").await, Err(ErrorKind::InvalidData));
    poll_fn(|cx| far.poll_shutdown(cx)).await.unwrap();
    let mut into = [0; 64];
    for _ in 0..2 {
        assert_eq!(read_some(&mut near, &mut into).await.unwrap(), 1);
    }
    let cut = read_some(&mut near, &mut into).await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
}

/// A server each of whose keys seals three records.
async fn pair_of_few_records(
    version: &'static SupportedProtocolVersion,
    capacity: usize,
) -> (InMemory<Client>, InMemory<Server>) {
    let (server, client) = sides();
    let suites = &server.crypto_provider().cipher_suites;
    let suite = suites.iter().find(|suite| suite.version() == version).unwrap();
    let server = with_suite(&server, of_few_records(*suite, 3));
    pair_of((server, client), capacity).await
}
