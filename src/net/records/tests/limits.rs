//! How many records one key seals (RFC 8446, section 5.5).

use super::*;
use crate::tls::testing::few_records::{of_few_records, with_suite};

/// The server's ticket is the first of three.
#[test]
fn a_key_is_changed_before_it_has_sealed_too_many_records() {
    let (server, client) = configs(&TLS13);
    let suite = of_few_records(client.crypto_provider().cipher_suites[0], 3);
    let server = with_suite(&server, suite);
    let mut pair = server_of((server, client), usize::MAX);
    pair.settle().unwrap();
    for number in 0..20_u8 {
        pair.write(&[&[number]]);
        // The peer's own KeyUpdate, which was asked for, comes with what it sends next.
        pair.peer.writer().write_all(&[number]).unwrap();
        pair.settle().unwrap();
    }
    assert_eq!(pair.peer_got(), (0..20).collect::<Vec<_>>());
    assert_eq!(pair.got, (0..20).collect::<Vec<_>>());
    // Each KeyUpdate takes the place of a third record.
    let records: usize = pair.sealed.iter().map(|it| it.len()).sum();
    assert_eq!(records, 20 * (1 + 22) + 10 * (5 + 22));
}

#[test]
fn a_key_of_tls12_that_is_used_up_ends_the_connection_without_close_notify() {
    let (server, client) = configs(&TLS12);
    let suite = of_few_records(client.crypto_provider().cipher_suites[0], 3);
    let server = with_suite(&server, suite);
    let mut pair = server_of((server, client), usize::MAX);
    pair.settle().unwrap();
    // The first of the three was Finished.
    let content = vec![b'x'; 3 * RECORD_CONTENT_BYTES_MAX];
    let mut space = vec![0; TLS_SCRATCH_BYTES];
    let sealed = pair.ours.seal(&[IoSlice::new(&content)], &mut space);
    let (taken, records) = sealed.map(|(taken, records)| (taken, records.to_vec())).unwrap();
    assert_eq!(taken, 2 * RECORD_CONTENT_BYTES_MAX);
    let half = records.len() / 2;
    let mut got = 0;
    for record in [&records[..half], &records[half..]] {
        pair.give(record);
        got += pair.peer_got().len();
    }
    assert_eq!(got, taken);
    let refused = pair.ours.seal(&[IoSlice::new(b"c")], &mut [0; 1000]).map(|_| ());
    assert_eq!(refused, Err(Error::EncryptError));
    pair.close();
    assert!(pair.due.is_empty());
}
