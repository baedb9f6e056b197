//! TLS after the handshake: records of any kind, from peers of each cipher suite.

pub(crate) mod protection;
pub(crate) mod raw_peer;
pub(crate) mod subject;
pub(crate) mod suites;

#[cfg(test)]
mod tests;
