//! The certificates of one listener, and which of them a client gets: [`Certificates`].
//!
//! By the name that the client asks for (RFC 6066, section 3): a certificate that has exactly this
//! name, or else one that has it by a wildcard, which stands for one label (RFC 9525, section 6.3),
//! or else the first. A client that asks for no name has connected to an address: it gets the
//! certificate that has this address, or else the first one that has any address, because behind a
//! NAT the address that the client knows is not ours, or else the first.
//!
//! Of several certificates for one name, the client gets the first whose signature it can verify.
//! Those with an ECDSA key come first: a signature costs a tenth of one with RSA, and a client that
//! offers both accepts either.
//!
//! A name whose certificate is awaited has none: its clients are refused by an alert. So are all
//! clients of a listener that has no certificate yet.

use crate::tls::identity::Identity;
use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio_rustls::rustls::SignatureAlgorithm;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The certificates of one listener. A look-up takes as long with a thousand names as with one, and
/// allocates nothing if one certificate has the name.
#[derive(Debug, Default)]
pub struct Certificates {
    /// All of them, in the operator's order.
    listed: Vec<Arc<CertifiedKey>>,
    /// The names that wait for one.
    awaited: Vec<String>,
    by_name: Names,
    /// For all other names.
    first: Candidates,
    /// An address of the first certificate that has one.
    first_address: Option<IpAddr>,
}

/// The certificates for one name, the best first; none if it is awaited.
type Candidates = Vec<Arc<CertifiedKey>>;

impl Certificates {
    /// Those of `identities`, the first of which is the default. `awaited` are names that will have
    /// one, and have none yet.
    pub fn new(identities: &[Rc<Identity>], awaited: &[String]) -> Self {
        let listed: Vec<_> = identities.iter().map(|it| Arc::clone(&it.certified)).collect();
        let named: Vec<_> = identities.iter().map(|it| (&it.certified, it.every_name())).collect();
        let mut by_name = Names::default();
        for (certified, names) in &named {
            names.iter().for_each(|name| by_name.add(name, certified));
        }
        by_name.await_all(awaited);
        let first = named.first().map(|&(first, ref names)| {
            // Those beside it follow, for clients that cannot verify its signature.
            let beside = names.first().and_then(|name| by_name.get(name));
            let beside = beside.into_iter().flatten().filter(|it| !Arc::ptr_eq(it, first));
            [first].into_iter().chain(beside).map(Arc::clone).collect()
        });
        let first_address =
            named.iter().flat_map(|(_, names)| names).find_map(|it| it.parse().ok());
        let awaited = awaited.to_vec();
        Self { first: first.unwrap_or_default(), first_address, by_name, awaited, listed }
    }

    /// Whether clients get the same from both.
    pub fn is_same(&self, other: &Self) -> bool {
        // The key belongs to the first certificate of a chain, so it is the same where that is.
        let shown = |it: &Self| it.listed.iter().map(|it| it.cert.clone()).collect::<Vec<_>>();
        self.awaited == other.awaited && shown(self) == shown(other)
    }

    /// Those for a client that asks for `name`, which is in lower case.
    fn named(&self, name: &str) -> &Candidates {
        self.by_name.find(name).unwrap_or(&self.first)
    }

    /// Those for a client that asks for no name, and has connected to `address`.
    fn at(&self, address: Option<IpAddr>) -> &Candidates {
        let of = |address: Option<IpAddr>| self.by_name.addresses.get(&address?.to_canonical());
        of(address).or_else(|| of(self.first_address)).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = match hello.server_name() {
            Some(name) => self.named(name),
            None => self.at(LOCAL_ADDRESS.get()),
        };
        let schemes = hello.signature_schemes();
        let suits = |it: &&Arc<CertifiedKey>| it.key.choose_scheme(schemes).is_some();
        let chosen = match &**candidates {
            // A key is asked at the cost of an allocation, and rustls does it again.
            [] | [_] => None,
            several => several.iter().find(suits),
        };
        // If none suits, rustls tells the client so.
        chosen.or(candidates.first()).cloned()
    }
}

thread_local! {
    /// Where the client has connected to whose handshake is polled. rustls calls the resolver
    /// within that poll, and has no other way to pass this on.
    static LOCAL_ADDRESS: Cell<Option<IpAddr>> = const { Cell::new(None) };
}

/// Notes the address that a client has connected to, for the poll of its handshake that follows.
pub(super) fn connected_to(address: Option<IpAddr>) {
    LOCAL_ADDRESS.set(address);
}

/// The certificates for each name and address.
#[derive(Debug, Default)]
struct Names {
    /// In lower case, without a dot at the end. A wildcard is without its asterisk: `.example.com`.
    hosts: HashMap<Box<str>, Candidates>,
    addresses: HashMap<IpAddr, Candidates>,
}

impl Names {
    fn add(&mut self, name: &str, certified: &Arc<CertifiedKey>) {
        let candidates = self.entry(name);
        // A certificate may have a name twice.
        if !candidates.iter().any(|it| Arc::ptr_eq(it, certified)) {
            let worse = candidates.iter().position(|it| rank(it) > rank(certified));
            candidates.insert(worse.unwrap_or(candidates.len()), Arc::clone(certified));
        }
    }

    /// Notes that these names are to have a certificate. Until then, one with a wildcard serves.
    fn await_all(&mut self, names: &[String]) {
        for name in names {
            if self.find(name).is_none() {
                self.entry(name);
            }
        }
    }

    fn entry(&mut self, name: &str) -> &mut Candidates {
        match name.parse() {
            Ok(address) => self.addresses.entry(address).or_default(),
            Err(_) => self.hosts.entry(host(name)).or_default(),
        }
    }

    /// What has exactly this name, as a certificate has it.
    fn get(&self, name: &str) -> Option<&Candidates> {
        match name.parse() {
            Ok(address) => self.addresses.get(&address),
            Err(_) => self.hosts.get(&host(name)),
        }
    }

    /// What has this host name, in lower case, or a wildcard for it.
    fn find(&self, name: &str) -> Option<&Candidates> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let parent = || name.find('.').and_then(|dot| self.hosts.get(&name[dot..]));
        self.hosts.get(name).or_else(parent)
    }
}

fn host(name: &str) -> Box<str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let name = name.strip_prefix('*').filter(|it| it.starts_with('.')).unwrap_or(name);
    name.to_ascii_lowercase().into()
}

/// The smaller, the better for a client that can choose. Few know Ed25519, and only those offer it.
fn rank(certified: &CertifiedKey) -> u8 {
    match certified.key.algorithm() {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
