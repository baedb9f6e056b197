//! A configuration with its files loaded: [`Snapshot`], immutable from then on.
//!
//! Loading is where certificates and keys are read, checked against each other and turned into
//! rustls configurations, so a problem with them is found before anything listens. Files named
//! twice are loaded once, and what is equal is shared: routes to the same upstream share one
//! [`UpstreamConfig`] and so its connections, upstreams with the same roots share one
//! `ClientConfig` and so its sessions.

use super::problem::{Origin, Problems};
use super::url::{Endpoint, Scheme};
use super::value::Family;
use super::{Config, CredentialFiles, Limits, NamedFile, RouteConfig, WORKERS_RANGE};
use crate::deadline::Timeouts;
use crate::route::{Route, RouteTable};
use crate::tls::credentials::{Chain, CredentialError, Key, client_config, server_config};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// All that workers need to know.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Worker threads, 1 to 256.
    pub workers: usize,
    /// Where to listen; at least one.
    pub listeners: Vec<Listener>,
    /// Path to route.
    pub routes: RouteTable,
    /// What `Route::upstream` is an index into.
    pub upstreams: Vec<UpstreamConfig>,
    /// What may take how long.
    pub timeouts: Timeouts,
    /// What may grow how large.
    pub limits: Limits,
}

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Address and port to bind; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// With it: HTTPS. Without: plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
}

/// One upstream: connections to it are interchangeable.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// What to dial.
    pub address: Endpoint,
    /// Which of its addresses are used.
    pub family: Family,
    /// Connections that each worker keeps ready; 0: none is opened before a request needs it.
    pub warm: usize,
    /// With it: TLS, verified. Without: plain TCP.
    pub tls: Option<UpstreamTls>,
    /// `host:port` of the URL, for log lines.
    pub label: Box<str>,
}

/// How to be sure of an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// Roots, ALPN, remembered sessions.
    pub config: Arc<ClientConfig>,
    /// Name to verify, and to send as SNI unless it is an address.
    pub server_name: ServerName<'static>,
}

impl Snapshot {
    /// Loads every file that `config` names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with those files, told where they are named.
    pub fn load(config: &Config) -> Result<Self, Problems> {
        let mut loader = Loader::default();
        let listeners = config.listeners.iter().map(|listener| Listener {
            address: listener.address,
            tls: listener.credentials.as_ref().and_then(|files| loader.server(files)),
        });
        let listeners = listeners.collect();
        let routes = config.routes.iter().map(|route| Route {
            path: route.path.as_str().as_bytes().into(),
            replacement: route.upstream.path.as_bytes().into(),
            host: route.host.as_str().as_bytes().into(),
            upstream: loader.upstream(route),
            name: route.path.as_str().into(),
        });
        let routes = RouteTable::new(routes.collect());
        let Loader { upstreams, problems, .. } = loader;
        problems.or(Self {
            workers: config.workers.map_or_else(cores, NonZeroUsize::get),
            listeners,
            routes,
            upstreams: upstreams.into_iter().map(|(_, upstream)| upstream).collect(),
            timeouts: config.timeouts.clone(),
            limits: config.limits.clone(),
        })
    }

    /// One line about what this is: listeners by name, routes by number.
    pub fn summary(&self) -> String {
        let listeners = self.listeners.iter().map(|Listener { address, tls }| {
            let scheme = if tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{address}")
        });
        let listeners: Vec<_> = listeners.collect();
        let routes = self.routes.iter().len();
        let plural = if routes == 1 { "" } else { "s" };
        format!("listening on {}; {routes} route{plural}", listeners.join(", "))
    }
}

/// What was loaded so far. A file that failed is remembered as `None`: it is told once.
#[derive(Default)]
struct Loader<'c> {
    servers: HashMap<(PathBuf, PathBuf), Option<Arc<ServerConfig>>>,
    clients: HashMap<Option<PathBuf>, Option<Arc<ClientConfig>>>,
    /// Each with the first route that named it.
    upstreams: Vec<(&'c RouteConfig, UpstreamConfig)>,
    problems: Problems,
}

impl<'c> Loader<'c> {
    /// `None` stands for a problem that was noted.
    fn server(&mut self, files: &CredentialFiles) -> Option<Arc<ServerConfig>> {
        let names = (files.certificate.path.clone(), files.key.path.clone());
        let problems = &mut self.problems;
        let load = || load_server(files, problems);
        self.servers.entry(names).or_insert_with(load).clone()
    }

    /// `None` stands for a problem that was noted.
    fn client(&mut self, ca: Option<&NamedFile>) -> Option<Arc<ClientConfig>> {
        let path = ca.map(|ca| ca.path.as_path());
        let problems = &mut self.problems;
        let load = || match client_config(path) {
            Ok(config) => Some(config),
            Err(error) => {
                let origin = ca.map_or(&Origin::Argument("TLS"), |ca| &ca.origin);
                problems.add(origin, error.to_string());
                None
            }
        };
        self.clients.entry(path.map(PathBuf::from)).or_insert_with(load).clone()
    }

    /// Index of the upstream that `route` names, which may be new.
    fn upstream(&mut self, route: &'c RouteConfig) -> usize {
        let known = self.upstreams.iter().position(|(first, _)| same_upstream(first, route));
        if let Some(index) = known {
            let (_, upstream) = &mut self.upstreams[index];
            upstream.warm = upstream.warm.max(route.warm);
            return index;
        }
        let tls = match route.upstream.scheme {
            Scheme::Http => None,
            Scheme::Https => self
                .client(route.ca.as_ref())
                .map(|config| UpstreamTls { config, server_name: route.tls_name.server_name() }),
        };
        let address = route.connect.clone();
        let label = route.upstream.endpoint.to_string().into();
        let (family, warm) = (route.family, route.warm);
        self.upstreams.push((route, UpstreamConfig { address, family, warm, tls, label }));
        self.upstreams.len() - 1
    }
}

/// Whether a connection for one route serves the other just as well.
fn same_upstream(a: &RouteConfig, b: &RouteConfig) -> bool {
    a.upstream.scheme == b.upstream.scheme
        && a.upstream.endpoint == b.upstream.endpoint
        && a.connect == b.connect
        && a.family == b.family
        && a.tls_name == b.tls_name
        && a.ca.as_ref().map(|ca| &ca.path) == b.ca.as_ref().map(|ca| &ca.path)
}

fn load_server(files: &CredentialFiles, problems: &mut Problems) -> Option<Arc<ServerConfig>> {
    let CredentialFiles { certificate, key } = files;
    let mut note = |origin: &Origin, error: &CredentialError| {
        problems.add(origin, error.to_string());
    };
    let chain = Chain::read(&certificate.path).inspect_err(|e| note(&certificate.origin, e)).ok();
    let private = Key::read(&key.path).inspect_err(|error| note(&key.origin, error)).ok();
    server_config(chain?, private?)
        .inspect_err(|error| {
            use CredentialError::{Mismatch, UnusableKey};
            let key_is_wrong = matches!(error, Mismatch { .. } | UnusableKey(_));
            note(if key_is_wrong { &key.origin } else { &certificate.origin }, error);
        })
        .ok()
}

/// One worker for each core that we may use.
fn cores() -> usize {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    cores.min(*WORKERS_RANGE.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::test_pem::{CERTIFICATE, Folder, KEY, KEY_OF_ANOTHER};

    #[test]
    fn routes_to_one_upstream_share_it_and_upstreams_share_their_roots() {
        let snapshot = load(
            r#"
            [[listener]]
            address = "127.0.0.1:1"
            [[route]]
            path = "/a/"
            upstream = "https://a.example/"
            [[route]]
            path = "/a/v1/"
            upstream = "https://A.example:443/v1/"
            host = "other.example"
            [[route]]
            path = "/b/"
            upstream = "https://b.example/"
            [[route]]
            path = "/c/"
            upstream = "https://b.example/"
            ca = "certificate.pem"
            [[route]]
            path = "/d/"
            upstream = "http://b.example:443/"
            "#,
        );
        let snapshot = snapshot.unwrap();
        let upstream = |path: &str| {
            let index = snapshot.routes.find(path.as_bytes()).unwrap().upstream;
            (index, &snapshot.upstreams[index])
        };
        assert_eq!(snapshot.upstreams.len(), 4);
        assert_eq!(upstream("/a/").0, upstream("/a/v1/").0);
        assert_ne!(upstream("/b/").0, upstream("/c/").0);
        let roots = |path| upstream(path).1.tls.as_ref().map(|tls| Arc::as_ptr(&tls.config));
        assert_eq!(roots("/a/"), roots("/b/"));
        assert_ne!(roots("/b/"), roots("/c/"));
        assert_eq!(roots("/d/"), None);
        assert_eq!(&*upstream("/a/").1.label, "a.example:443");
        assert_eq!(&*snapshot.routes.find(b"/a/v1/x").unwrap().host, b"other.example");
    }

    #[test]
    fn an_address_is_verified_as_an_address_and_a_tls_name_replaces_it() {
        let snapshot = load(
            r#"
            [[listener]]
            address = "127.0.0.1:1"
            [[route]]
            path = "/a/"
            upstream = "https://127.0.0.1:9443/"
            [[route]]
            path = "/b/"
            upstream = "https://127.0.0.1:9443/"
            tls_name = "b.example"
            "#,
        );
        let names = snapshot.unwrap().upstreams.into_iter().filter_map(|upstream| upstream.tls);
        let names: Vec<_> = names.map(|tls| tls.server_name).collect();
        assert!(matches!(names[0], ServerName::IpAddress(_)));
        assert_eq!(names[1], ServerName::try_from("b.example").unwrap());
    }

    #[test]
    fn listeners_with_the_same_files_share_their_tickets() {
        let snapshot = load(
            r#"
            [[listener]]
            address = "127.0.0.1:1"
            certificate = "certificate.pem"
            key = "key.pem"
            [[listener]]
            address = "127.0.0.1:2"
            certificate = "certificate.pem"
            key = "key.pem"
            [[route]]
            path = "/"
            upstream = "http://127.0.0.1:1/"
            "#,
        );
        let snapshot = snapshot.unwrap();
        let [a, b] = [0, 1].map(|index| snapshot.listeners[index].tls.clone().unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        let want = "listening on https://127.0.0.1:1, https://127.0.0.1:2; 1 route";
        assert_eq!(snapshot.summary(), want);
        assert!((1..=256).contains(&snapshot.workers));
    }

    #[test]
    fn every_bad_file_is_told_at_the_line_that_names_it() {
        let problems = load(
            r#"
            [[listener]]
            address = "127.0.0.1:1"
            certificate = "none.pem"
            key = "key_of_another.pem"
            [[listener]]
            address = "127.0.0.1:2"
            certificate = "certificate.pem"
            key = "key_of_another.pem"
            [[route]]
            path = "/"
            upstream = "https://a.example/"
            ca = "key.pem"
            "#,
        );
        let problems = problems.unwrap_err().to_string();
        let lines: Vec<_> = problems.lines().collect();
        assert_eq!(lines.len(), 3, "{problems}");
        assert!(lines[0].contains("narrows.toml:4: listener.certificate: \""), "{problems}");
        assert!(lines[0].contains("none.pem\" cannot be read: "), "{problems}");
        assert!(lines[1].contains("narrows.toml:9: listener.key: the key \""), "{problems}");
        assert!(lines[2].contains("narrows.toml:13: route.ca: \""), "{problems}");
        assert!(lines[2].contains("key.pem\" holds no certificate"), "{problems}");
    }

    fn load(text: &str) -> Result<Snapshot, Problems> {
        let folder = Folder::new();
        folder.write("certificate.pem", CERTIFICATE);
        folder.write("key.pem", KEY);
        folder.write("key_of_another.pem", KEY_OF_ANOTHER);
        Snapshot::load(&Config::read(&folder.write("narrows.toml", text)).unwrap())
    }
}
