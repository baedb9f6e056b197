//! Messages of the handshake after it, in TLS 1.2: peers that want another one.

use super::*;
use crate::fuzzing::records::raw_peer::client_hello;

use std::io::IoSlice;
use std::task::{Context, Poll, Waker};

const NO_RENEGOTIATION: [u8; 2] = [1, 100];

#[test]
fn the_first_request_to_renegotiate_is_declined_and_a_second_one_an_error() {
    // HelloRequest to a client, whose content is not read; ClientHello to a server.
    for (sides, message) in
        [(SERVER, vec![0, 0, 0, 0]), (SERVER, vec![0, 0, 0, 2, 1, 7]), (CLIENT, client_hello())]
    {
        let asked = |count: usize| {
            let message = message.clone();
            move |peer: &mut RawPeer| {
                let mut records = Vec::new();
                for _ in 0..count {
                    records.extend(peer.seal(HANDSHAKE, &message));
                    records.extend(peer.seal(APPLICATION_DATA, b"x"));
                }
                records
            }
        };
        let answers = vec![(ALERT, NO_RENEGOTIATION.to_vec())];
        let declined = Outcome { answers: answers.clone(), ..arrived(b"x") };
        check(tls12(), sides, asked(1), declined);
        let answers = [answers, vec![alert_of(AlertDescription::UnexpectedMessage)]].concat();
        let refused = Outcome { answers, ..unexpected(b"x") };
        check_alerted(tls12(), sides, asked(2), refused);
    }
}

/// A client may wait for the answer, and we for its request. OpenSSL's server ends the connection
/// when it is declined, and is in the middle of a response.
#[test]
fn a_client_that_asks_to_renegotiate_is_declined_at_once_and_a_server_with_the_next_write() {
    for (with_client, message) in [(true, client_hello()), (false, vec![0, 0, 0, 0])] {
        let (subject, mut peer) = Subject::ours(tls12()[0], with_client);
        let Subject::Ours(mut near, mut far) = subject else { unreachable!("it is ours") };
        let cx = &mut Context::from_waker(Waker::noop());
        let mut into = [0; 100];
        let request = peer.seal(HANDSHAKE, &message);
        assert!(far.poll_write(cx, &[IoSlice::new(&request)]).is_ready());
        assert!(near.poll_read(cx, &mut into).is_pending());
        if !with_client {
            assert!(far.poll_read(cx, &mut into).is_pending());
            assert!(near.poll_write(cx, &[IoSlice::new(b"")]).is_ready());
        }
        let Poll::Ready(Ok(len)) = far.poll_read(cx, &mut into) else { panic!("nothing came") };
        assert_eq!(peer.open(&into[..len]), [(ALERT, NO_RENEGOTIATION.to_vec())]);
    }
}

#[test]
fn a_request_to_renegotiate_may_come_in_pieces() {
    let message = client_hello();
    let in_pieces = |peer: &mut RawPeer| {
        let mut records = Vec::new();
        for piece in message.chunks(20) {
            records.extend(peer.seal(HANDSHAKE, piece));
        }
        records
    };
    let answers = vec![(ALERT, NO_RENEGOTIATION.to_vec())];
    check(tls12(), CLIENT, in_pieces, Outcome { answers, ..arrived(b"") });
}

#[test]
fn requests_of_the_other_side_and_other_messages_are_unexpected() {
    let want = failed(b"ok", Some(AlertDescription::UnexpectedMessage));
    let sealed = |message: Vec<u8>| {
        move |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(HANDSHAKE, &message))
    };
    check(tls12(), SERVER, sealed(client_hello()), want.clone());
    check(tls12(), CLIENT, sealed(vec![0, 0, 0, 0]), want.clone());
    // ServerHelloDone; Finished.
    for message in [vec![14, 0, 0, 0], [&[20, 0, 0, 12][..], &[7; 12]].concat()] {
        check(tls12(), BOTH, sealed(message), want.clone());
    }
    // A ticket belongs to the handshake in TLS 1.2 (RFC 5077, section 3.3).
    let ticket = [&[4, 0, 0, 10][..], &[0, 0, 0, 9], &[0, 4], b"tick"].concat();
    check(tls12(), BOTH, sealed(ticket), want);
}
