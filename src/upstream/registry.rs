//! What all workers share about all upstreams: [`Registry`]. An exchange that finds its connection
//! in the pool needs none of it.

use crate::config::reach::Reach;
use crate::config::snapshot::UpstreamConfig;
use crate::upstream::health::Health;
use crate::upstream::resolver::{Question, Resolver};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One resolver, and the health of each upstream.
#[derive(Debug)]
pub struct Registry {
    /// The addresses of all names.
    pub resolver: Arc<Resolver>,
    workers: usize,
    /// Of each upstream that a worker has, and of some that none has any more.
    healths: Mutex<HashMap<Identity, Weak<Health>>>,
}

impl Registry {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        let (resolver, healths) = Default::default();
        Self { resolver, workers, healths }
    }

    /// The health of this upstream, as long as a worker has it.
    pub fn health(&self, upstream: &Identity) -> Arc<Health> {
        // Nothing in here panics between two states.
        let mut healths = self.healths.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = healths.get(upstream).and_then(Weak::upgrade) {
            // An exchange may still use what an earlier configuration had.
            health.keep_warm(upstream.0.warm);
            return health;
        }
        if healths.len() == healths.capacity() {
            // Before the table grows, which is rare: a search each time would make the work for
            // all upstreams grow with the square of their number.
            healths.retain(|_, health| health.strong_count() > 0);
        }
        let UpstreamConfig { label, warm, .. } = &*upstream.0;
        let health = Arc::new(Health::new(label, *warm, self.workers));
        healths.insert(upstream.clone(), Arc::downgrade(&health));
        health
    }

    /// Forgets the addresses of names that are no longer in a configuration with these `upstreams`.
    pub fn keep_names<'u>(&self, upstreams: impl IntoIterator<Item = &'u UpstreamConfig>) {
        let name = |it: &UpstreamConfig| {
            let Reach { connect, family, .. } = &it.reach;
            Question::about(&connect.host, *family).ok()
        };
        let names: HashSet<_> = upstreams.into_iter().filter_map(name).collect();
        self.resolver.keep(|question| names.contains(question));
    }
}

/// An upstream, the same in one snapshot and the next if connections to it are interchangeable: it
/// is reached in the same way, and verified against the same roots. How many connections are kept,
/// and for how long, may differ.
#[derive(Clone, Debug)]
pub struct Identity(Arc<UpstreamConfig>);

impl From<&Arc<UpstreamConfig>> for Identity {
    fn from(upstream: &Arc<UpstreamConfig>) -> Self {
        Self(Arc::clone(upstream))
    }
}

impl Identity {
    /// Whether nothing at all has changed about it. A snapshot shares what is unchanged with the
    /// one before.
    pub fn is_unchanged(&self, upstream: &Arc<UpstreamConfig>) -> bool {
        Arc::ptr_eq(&self.0, upstream)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        let [one, other] = [self, other].map(|it| &it.0);
        Arc::ptr_eq(one, other) || way(&one.reach) == way(&other.reach) && one.tls == other.tls
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without the roots: they are large, and rarely the only difference.
        way(&self.0.reach).hash(state);
    }
}

/// All of `reach` but the name of the file of roots.
fn way(reach: &Reach) -> impl Eq + Hash {
    let Reach { is_tls, endpoint, tls_name, connect, ca: _, client, .. } = reach;
    let Reach { key_exchange, family, proxy_protocol, .. } = reach;
    (is_tls, endpoint, tls_name, connect, client, key_exchange, family, proxy_protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::snapshot::Snapshot;
    use crate::tls::testing::pem::{CERTIFICATE, Folder};
    use std::path::Path;

    #[test]
    fn an_upstream_is_the_same_if_it_is_reached_in_the_same_way_and_trusts_the_same_roots() {
        let folder = Folder::new();
        for name in ["ca.pem", "same.pem"] {
            folder.write(name, CERTIFICATE);
        }
        let of = |keys: &str| {
            let text = format!(
                "[[listener]]\naddress = \"127.0.0.1:1\"\n\
                 [[route]]\npath = \"/\"\nupstream = \"https://a.example/\"\n{keys}\n"
            );
            let config = Config::read(&folder.write("narrows.toml", text)).unwrap();
            Identity::from(&Snapshot::load(config).unwrap().routes[0].upstream)
        };
        let registry = Registry::new(1);
        let (one, roots) = (of(""), of("ca = \"ca.pem\""));
        let health = registry.health(&one);
        let of_roots = registry.health(&roots);
        assert!(!Arc::ptr_eq(&health, &of_roots));
        for same in ["warm = 3", "connection_age = \"5m\"", "[timeouts]\nconnect = \"1s\""] {
            assert!(Arc::ptr_eq(&registry.health(&of(same)), &health), "{same}");
        }
        assert!(Arc::ptr_eq(&registry.health(&of("ca = \"same.pem\"")), &of_roots));
        for other in ["connect = \"b.example:443\"", "tls_name = \"b.example\"", "family = \"4\""] {
            assert!(!Arc::ptr_eq(&registry.health(&of(other)), &health), "{other}");
        }
    }

    #[test]
    fn an_upstream_that_returns_while_an_exchange_uses_it_keeps_as_many_warm_as_it_says_now() {
        let registry = Registry::new(1);
        let of_an_exchange = registry.health(&upstream("http://a.example/", 2));
        let returned = registry.health(&upstream("http://a.example/", 5));
        assert!(Arc::ptr_eq(&of_an_exchange, &returned));
        assert_eq!(returned.warm(), 5);
    }

    #[test]
    fn upstreams_that_no_worker_has_are_forgotten() {
        let registry = Registry::new(1);
        for number in 0..1000 {
            drop(registry.health(&upstream(&format!("http://{number}.example/"), 1)));
        }
        assert!(registry.healths.lock().unwrap().len() < 10);
    }

    fn upstream(url: &str, warm: usize) -> Identity {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:1\"\n\
             [[route]]\npath = \"/\"\nupstream = \"{url}\"\nwarm = {warm}\n"
        );
        let config = Config::parse("narrows.toml", Path::new("."), &text).unwrap();
        Identity::from(&Snapshot::load(config).unwrap().routes[0].upstream)
    }
}
