//! The clients, found by the digests of their tokens.
//!
//! There may be many thousands of them, most with a name and a token alone, so each takes little:
//! its entry, its name, and eight bytes to find it.

use crate::gateway::client_limits::{ClientLimits, ClientUse};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// The SHA-256 digest of a token.
pub type Digest = [u8; 32];

/// Someone who may use routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The operator's word for it, in the log and the metrics.
    pub name: Arc<str>,
    /// Its token; `None`: it has those of a file.
    pub token: Option<Digest>,
    /// What it may do; `None`: it may use every route for ever, without a limit.
    pub rules: Option<Box<ClientRules>>,
}

/// What a client may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRules {
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
    /// In any order.
    all: Arc<[Client]>,
    /// The beginnings of their tokens, in order, and whose they are.
    by_token: Box<[(u32, u32)]>,
    /// The tokens of files, in order, and whose they are.
    of_files: Box<[(Digest, u32)]>,
}

impl Client {
    /// A client that may use every route for ever, without a limit.
    pub fn new(name: &str, token: Option<Digest>) -> Self {
        Self { name: name.into(), token, rules: None }
    }

    /// Whether it may use the route with this path.
    pub fn may_use(&self, path: &[u8]) -> bool {
        let routes = self.rules.as_ref().and_then(|it| it.routes.as_ref());
        routes.is_none_or(|routes| routes.iter().any(|route| **route == *path))
    }

    /// The second from which its tokens are no longer accepted, since 1970-01-01 (UTC).
    pub fn expires(&self) -> Option<u64> {
        self.rules.as_ref()?.expires
    }

    /// Whether its time is over at `now`, in seconds since 1970-01-01 (UTC).
    pub fn has_expired(&self, now: u64) -> bool {
        self.expires().is_some_and(|expires| now >= expires)
    }
}

impl Clients {
    /// These clients; `of_files` are the tokens of files and the places of their clients among
    /// `all`; `hash` is SHA-256. No two clients may have the same token; the configuration refuses
    /// that.
    pub fn new(
        all: Arc<[Client]>,
        mut of_files: Vec<(Digest, u32)>,
        hash: fn(&[u8]) -> Digest,
    ) -> Self {
        let mut by_token = Vec::with_capacity(all.len());
        let tokens = (0..).zip(all.iter()).filter_map(|(at, it)| Some((beginning(&it.token?), at)));
        by_token.extend(tokens);
        by_token.sort_unstable();
        of_files.sort_unstable();
        Self { hash, all, by_token: by_token.into(), of_files: of_files.into() }
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.by_token.is_empty() && self.of_files.is_empty()
    }

    /// The client with this token.
    pub fn with_token(&self, token: &[u8]) -> Option<&Client> {
        if self.is_empty() { None } else { self.find(&(self.hash)(token)) }
    }

    /// The client with a token of this digest.
    ///
    /// The bisection compares the beginnings of digests, and the time that takes says nothing about
    /// a token. Whole digests are compared in constant time.
    pub fn find(&self, digest: &Digest) -> Option<&Client> {
        let wanted = beginning(digest);
        let first = self.by_token.partition_point(|(other, _)| *other < wanted);
        let group = self.by_token[first..].iter().take_while(|(other, _)| *other == wanted);
        let mut group = group.map(|(_, at)| &self.all[*at as usize]);
        let found = group.find(|it| it.token.as_ref().is_some_and(|it| are_equal(it, digest)));
        found.or_else(|| self.find_of_files(digest))
    }

    fn find_of_files(&self, digest: &Digest) -> Option<&Client> {
        let wanted = beginning(digest);
        let first = self.of_files.partition_point(|(other, _)| beginning(other) < wanted);
        let group = self.of_files[first..].iter();
        let mut group = group.take_while(|(other, _)| beginning(other) == wanted);
        let (_, at) = group.find(|(other, _)| are_equal(other, digest))?;
        Some(&self.all[*at as usize])
    }

    /// The clients.
    pub fn all(&self) -> &Arc<[Client]> {
        &self.all
    }

    /// How many tokens of files the client at this place has.
    pub fn count_of_files(&self, place: usize) -> usize {
        self.of_files.iter().filter(|(_, at)| *at as usize == place).count()
    }
}

/// None.
impl Default for Clients {
    fn default() -> Self {
        Self::new(Arc::default(), Vec::new(), |_| [0; 32])
    }
}

/// The same tokens of the same clients. The function that hashes is SHA-256 in both.
impl PartialEq for Clients {
    fn eq(&self, other: &Self) -> bool {
        let are_same = Arc::ptr_eq(&self.all, &other.all) || self.all == other.all;
        are_same && self.of_files == other.of_files
    }
}

impl Eq for Clients {}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|client| &client.name)).finish()
    }
}

fn beginning(digest: &Digest) -> u32 {
    let [a, b, c, d, ..] = *digest;
    u32::from_be_bytes([a, b, c, d])
}

/// In a time that does not depend on where they differ.
fn are_equal(one: &Digest, other: &Digest) -> bool {
    one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_found_by_each_of_its_tokens_and_by_no_other() {
        let names = ["a", "b", "c", "d", "e"];
        let token = |name: &str, which: &str| hash(format!("{name}-{which}").as_bytes());
        let all = names.map(|name| Client::new(name, Some(token(name, "one"))));
        let of_files = (0..).zip(names).map(|(at, name)| (token(name, "two"), at)).collect();
        let clients = Clients::new(all.into(), of_files, hash);
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
        assert!(!clients.is_empty() && clients.count_of_files(0) == 1);
    }

    #[test]
    fn digests_that_begin_alike_are_compared_to_their_ends() {
        let digest = |end: u8| {
            let mut digest = [7; 32];
            digest[31] = end;
            digest
        };
        let client = |end: u8| Client::new(&end.to_string(), Some(digest(end)));
        let all = [client(9), client(1), client(5), Client::new("7 and 8", None)];
        let clients = Clients::new(all.into(), [(digest(8), 3), (digest(7), 3)].into(), hash);
        for end in 0..=u8::MAX {
            let want = match end {
                1 | 5 | 9 => Some(end.to_string()),
                7 | 8 => Some("7 and 8".to_owned()),
                _ => None,
            };
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
        let mut client = Client::new("alice", None);
        assert!(client.may_use(b"/gpt/") && !client.has_expired(u64::MAX));
        let routes = Some([b"/gpt/"[..].into(), b"/a/"[..].into()].into());
        let rules = ClientRules { routes, expires: Some(100), ..ClientRules::default() };
        client.rules = Some(Box::new(rules));
        let may_use = |path: &[u8]| client.may_use(path);
        assert!(may_use(b"/gpt/") && may_use(b"/a/") && !may_use(b"/") && !may_use(b"/gpt/v1/"));
        assert_eq!([99, 100, 101].map(|now| client.has_expired(now)), [false, true, true]);
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
