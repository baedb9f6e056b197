//! TLS after the handshake: records of any kind, from peers of each cipher suite.

mod compare;
mod flow;
mod protection;
mod raw_peer;
mod script;
mod subject;
mod suites;

use suites::suites;

/// Both directions of a connection after its handshake. The first byte chooses the cipher suite,
/// the side of the relay, and the peer; see [`flow`] and [`compare`] for the others.
///
/// With a peer of rustls's, whose records are cut anywhere, and damaged on the way:
///
/// - Every byte arrives once, in order, in both directions, also across key updates.
/// - The peer's close_notify is the end, and there is no other one in order.
/// - A record that was changed, lost, repeated or invented is an error, and never content.
///
/// With a peer that seals any record:
///
/// - The relay's TLS does what rustls's buffered API does with the same configuration: the same
///   content arrives, the connection ends in the same way, and the same comes back.
pub fn records(data: &[u8]) {
    let Some((first, script)) = data.split_first() else { return };
    let choice = usize::from(*first);
    let (suite, with_client) = (suites()[choice % 6], choice / 6 % 2 == 0);
    match choice / 12 % 2 {
        0 => flow::check(suite, with_client, script),
        _ => compare::check(suite, with_client, script),
    }
}

#[cfg(test)]
mod tests;
