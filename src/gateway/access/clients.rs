//! The clients, found by the digests of their tokens.

use crate::gateway::client_limits::{ClientLimits, ClientUse};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

/// The SHA-256 digest of a token.
pub type Digest = [u8; 32];

/// Someone who may use routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The operator's word for it, in the log and the metrics.
    pub name: Arc<str>,
    /// The paths of the routes that it may use; `None`: all.
    pub routes: Option<Box<[Box<[u8]>]>>,
    /// The second from which its tokens are no longer accepted, since 1970-01-01 (UTC).
    pub expires: Option<u64>,
    /// How much it may ask for.
    pub limits: ClientLimits,
    /// What of that it uses, in all workers.
    pub used: Arc<ClientUse>,
}

/// All clients. A lookup is one digest and a bisection.
///
/// Only digests are kept: who reads the configuration or our memory cannot use the relay with it.
/// A plain digest suffices, because a token is 32 random bytes and cannot be guessed, and a slow
/// one on every request would be a way to stop the relay.
pub struct Clients {
    hash: fn(&[u8]) -> Digest,
    /// In the order of the digests. A client with several tokens has several entries.
    by_digest: Box<[(Digest, Arc<Client>)]>,
}

impl Client {
    /// A client that may use every route for ever, without a limit.
    pub fn new(name: &str) -> Self {
        let (limits, used) = Default::default();
        Self { name: name.into(), routes: None, expires: None, limits, used }
    }

    /// Whether it may use the route with this path.
    pub fn may_use(&self, path: &[u8]) -> bool {
        self.routes.as_ref().is_none_or(|routes| routes.iter().any(|route| **route == *path))
    }

    /// Whether its time is over at `now`, in seconds since 1970-01-01 (UTC).
    pub fn has_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

impl Clients {
    /// The clients, each with the digest of a token, in any order; `hash` is SHA-256. No two may
    /// have the same digest; the configuration refuses that.
    pub fn new(
        clients: impl IntoIterator<Item = (Digest, Arc<Client>)>,
        hash: fn(&[u8]) -> Digest,
    ) -> Self {
        let mut by_digest: Box<[_]> = clients.into_iter().collect();
        by_digest.sort_unstable_by_key(|(digest, _)| *digest);
        Self { hash, by_digest }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    /// The client with this token.
    pub fn with_token(&self, token: &[u8]) -> Option<&Arc<Client>> {
        if self.is_empty() { None } else { self.find(&(self.hash)(token)) }
    }

    /// The client with a token of this digest.
    ///
    /// The bisection compares the beginnings of digests, and the time that takes says nothing about
    /// a token. Whole digests are compared in constant time.
    pub fn find(&self, digest: &Digest) -> Option<&Arc<Client>> {
        let wanted = beginning(digest);
        let first = self.by_digest.partition_point(|(other, _)| beginning(other) < wanted);
        let group = self.by_digest[first..].iter();
        let mut group = group.take_while(|(other, _)| beginning(other) == wanted);
        group.find(|(other, _)| are_equal(other, digest)).map(|(_, client)| client)
    }

    /// The clients, each as often as it has tokens.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.by_digest.iter().map(|(_, client)| client)
    }
}

/// None.
impl Default for Clients {
    fn default() -> Self {
        Self { hash: |_| [0; 32], by_digest: Box::default() }
    }
}

/// The same tokens of the same clients. The function that hashes is SHA-256 in both.
impl PartialEq for Clients {
    fn eq(&self, other: &Self) -> bool {
        self.by_digest == other.by_digest
    }
}

impl Eq for Clients {}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|client| &client.name)).finish()
    }
}

fn beginning(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// In a time that does not depend on where they differ.
fn are_equal(one: &Digest, other: &Digest) -> bool {
    one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    #[test]
    fn a_client_is_found_by_each_of_its_tokens_and_by_no_other() {
        let names = ["a", "b", "c", "d", "e"];
        let entries = names.iter().flat_map(|name| {
            let client = Arc::new(Client::new(name));
            ["one", "two"].map(|which| (hash(format!("{name}-{which}").as_bytes()), client.clone()))
        });
        let clients = Clients::new(entries, hash);
        for name in names {
            for which in ["one", "two"] {
                let token = format!("{name}-{which}");
                let found = clients.with_token(token.as_bytes()).map(|it| &*it.name);
                assert_eq!(found, Some(name), "{token}");
                for other in [&token[1..], &token[..token.len() - 1], &format!("{token} ")] {
                    assert!(clients.with_token(other.as_bytes()).is_none(), "{other}");
                }
            }
        }
        assert!(clients.with_token(b"").is_none());
        assert!(!clients.is_empty() && clients.iter().count() == 10);
    }

    #[test]
    fn digests_that_begin_alike_are_compared_to_their_ends() {
        let digest = |end: u8| {
            let mut digest = [7; 32];
            digest[31] = end;
            digest
        };
        let client = |end| (digest(end), Arc::new(Client::new(&end.to_string())));
        let clients = Clients::new([9, 1, 5].map(client), hash);
        for end in 0..=u8::MAX {
            let want = [1, 5, 9].contains(&end).then(|| end.to_string());
            assert_eq!(clients.find(&digest(end)).map(|it| it.name.to_string()), want);
        }
    }

    #[test]
    fn without_clients_nothing_is_a_token() {
        let none = Clients::default();
        assert!(none.is_empty() && none.with_token(b"").is_none());
        assert!(none.find(&[0; 32]).is_none());
    }

    #[test]
    fn a_client_is_bound_to_its_routes_and_its_time() {
        let mut client = Client::new("alice");
        assert!(client.may_use(b"/gpt/") && !client.has_expired(u64::MAX));
        client.routes = Some([b"/gpt/"[..].into(), b"/a/"[..].into()].into());
        client.expires = Some(100);
        let may_use = |path: &[u8]| client.may_use(path);
        assert!(may_use(b"/gpt/") && may_use(b"/a/") && !may_use(b"/") && !may_use(b"/gpt/v1/"));
        assert_eq!([99, 100, 101].map(|now| client.has_expired(now)), [false, true, true]);
    }

    #[test]
    fn a_client_takes_less_than_200_bytes() {
        const REFERENCE_COUNTS: usize = 2 * size_of::<usize>();
        const NAME_BYTES: usize = 16;
        let entry = size_of::<(Digest, Arc<Client>)>();
        let used = size_of::<ClientUse>() + REFERENCE_COUNTS;
        let client = size_of::<Client>() + used + REFERENCE_COUNTS;
        let name = NAME_BYTES + REFERENCE_COUNTS;
        assert!(entry + client + name < 200, "{entry} {client} {name}");
    }

    /// No digest, but as good as one here.
    fn hash(bytes: &[u8]) -> Digest {
        let mut digest = [0; 32];
        for (at, byte) in bytes.iter().enumerate() {
            digest[at % 32] = byte.wrapping_mul(31).wrapping_add(digest[at % 32]).rotate_left(3);
        }
        digest
    }
}
