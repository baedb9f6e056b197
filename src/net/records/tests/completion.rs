//! The end of the handshake, from where the records are ours.

use super::*;
use tokio_rustls::rustls::client::Resumption;

/// A peer may send content, and even its end, with the last message of its handshake.
#[test]
fn what_comes_with_the_end_of_the_handshake_is_not_lost_wherever_it_is_cut() {
    for version in [&TLS12, &TLS13] {
        let ends = configs(version);
        let anew = (Arc::clone(&ends.0), without_resumption(&ends.1));
        converse(client_of(ends.clone(), usize::MAX));
        for ends in [ends, anew] {
            cut_everywhere(|| server_of(ends.clone(), usize::MAX));
            cut_everywhere(|| client_of(ends.clone(), usize::MAX));
        }
    }
}

fn cut_everywhere<S: Side>(pair: impl Fn() -> Pair<S>) {
    let mut cut = 0;
    loop {
        let mut pair = pair();
        let flight = flight_with_the_end(&mut pair);
        let (before, after) = flight.split_at(cut.min(flight.len()));
        pair.take_in(before).unwrap();
        pair.take_in(after).unwrap();
        assert!(!pair.ours.is_handshaking() && pair.ours.is_closed(), "{cut}");
        assert_eq!(pair.got, b"question");
        let due = std::mem::take(&mut pair.due);
        pair.give(&due);
        pair.write(&[b"answer"]);
        assert_eq!(pair.peer_got(), b"answer");
        if cut > flight.len() {
            return;
        }
        cut += 1;
    }
}

/// The flight that ends the peer's part of the handshake, with all that it has to say.
fn flight_with_the_end<S: Side>(pair: &mut Pair<S>) -> Vec<u8> {
    loop {
        let due = std::mem::take(&mut pair.due);
        pair.give(&due);
        let mut flight = pair.peers_bytes();
        if !pair.peer.is_handshaking() {
            pair.peer.writer().write_all(b"question").unwrap();
            pair.peer.send_close_notify();
            flight.extend(pair.peers_bytes());
            return flight;
        }
        pair.take_in(&flight).unwrap();
    }
}

fn without_resumption(client: &ClientConfig) -> Arc<ClientConfig> {
    let mut client = client.clone();
    client.resumption = Resumption::disabled();
    Arc::new(client)
}

#[test]
fn a_configuration_that_keeps_its_keys_makes_no_connection() {
    let (server, client) = configs(&TLS13);
    let mut client = ClientConfig::clone(&client);
    client.enable_secret_extraction = false;
    let mut pair = client_of((server, client.into()), usize::MAX);
    assert!(matches!(pair.settle(), Err(Error::General(_))));
    assert_eq!(pair.ours.seal(&[], &mut []).unwrap_err(), Error::HandshakeNotComplete);
}
