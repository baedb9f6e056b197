//! A configuration with its files loaded: [`Snapshot`], immutable from then on.
//!
//! Loading is where certificates and keys are read, checked against each other and turned into
//! rustls configurations, so a problem with them is found before anything listens. Files named
//! twice are loaded once, and what is equal is shared: routes to the same upstream share one
//! [`UpstreamConfig`] and so its connections, upstreams with the same roots share one
//! `ClientConfig` and so its sessions.

use super::check::{http_behind, shares_address};
use super::files::{Files, OwnCertificate};
use super::keys::forward::{ForwardConfig, ForwardUpstream};
use super::keys::limits::Limits;
use super::keys::listener::{CredentialFiles, ListenerConfig};
use super::keys::route::RouteConfig;
use super::keys::top::{Config, WORKERS_RANGE};
use super::network::Network;
use super::problem::Problems;
use super::url::{Endpoint, Scheme};
use super::value::{Family, Mode, NamedFile, ProxyVersion, Redirects};
use crate::gateway::rewrite::reference::Origins;
use crate::gateway::route::Route;
use crate::gateway::server_name::{Forward, ForwardTarget};
use crate::timeouts::Timeouts;
use crate::tls::alpn::Alpn;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// All that workers need to know.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Worker threads, 1 to 256.
    pub workers: usize,
    /// Where to listen; at least one.
    pub listeners: Vec<Arc<Listener>>,
    /// In the order of the file. Routes to one upstream share it.
    pub routes: Vec<Route<Arc<UpstreamConfig>>>,
    /// In the order of the file.
    pub forwards: Vec<Forward<Arc<UpstreamConfig>>>,
    /// What may take how long.
    pub timeouts: Arc<Timeouts>,
    /// What may grow how large.
    pub limits: Limits,
    /// What is odd about the files, and works.
    pub remarks: Problems,
    /// Those that are shown to clients.
    pub certificates: Vec<OwnCertificate>,
}

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Address and port to bind; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// With it: HTTPS, or TLS that ends here. Without: plain HTTP, or bytes as they are.
    pub tls: Option<Arc<ServerConfig>>,
    /// Of a tcp listener with `tls`, where a forward leads to an http listener: the same for the
    /// clients of that, who agree on HTTP/1.1 (ALPN).
    pub tls_of_http: Option<Arc<ServerConfig>>,
    /// What is spoken.
    pub mode: Mode,
    /// Peers that have to announce their clients by a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// Of a tcp listener: the http listener that `ForwardTarget::Http` means.
    pub http: Option<Arc<Listener>>,
    /// It has a socket of its own. Otherwise a tcp listener with the same address leads to it.
    pub has_socket: bool,
}

/// One upstream: connections to it are interchangeable, also with those to an equal one of another
/// snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// What to dial.
    pub address: Endpoint,
    /// Which of its addresses are used.
    pub family: Family,
    /// Connections that stand ready, all workers together; 0: none is opened before a request
    /// needs it.
    pub warm: usize,
    /// Older connections are not kept.
    pub connection_age: Option<Duration>,
    /// With it: TLS, verified. Without: plain TCP.
    pub tls: Option<UpstreamTls>,
    /// Announce the client by a PROXY header: such a connection is one client's alone.
    pub proxy_protocol: Option<ProxyVersion>,
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
    /// The roots of the operator's own, in place of the built-in ones.
    pub roots: Option<Roots>,
}

/// The certificates of a `ca` file.
pub type Roots = Arc<[CertificateDer<'static>]>;

/// A `ClientConfig` cannot be compared, but it follows from the roots.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        self.server_name == other.server_name && self.roots == other.roots
    }
}

impl Eq for UpstreamTls {}

impl Snapshot {
    /// Loads every file that `config` names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with those files, told where they are named.
    pub fn load(config: &Config) -> Result<Self, Problems> {
        let mut loader = Loader::default();
        let listeners = loader.listeners(config);
        let timeouts = Arc::new(config.timeouts.clone());
        let upstreams = loader.upstreams(&config.routes);
        let routes = config.routes.iter().zip(upstreams).map(|(route, upstream)| Route {
            path: route.path.as_str().as_bytes().into(),
            replacement: route.upstream.path.as_bytes().into(),
            host: route.host.as_str().as_bytes().into(),
            upstream,
            origins: origins(route),
            name: route.path.as_str().into(),
            timeouts: Arc::clone(&timeouts),
            head_limits: config.limits.head,
        });
        let routes = routes.collect();
        let forwards = config.forwards.iter().map(|forward| Forward {
            pattern: forward.server_name.pattern.clone(),
            target: match loader.forward(forward) {
                None => ForwardTarget::Http,
                Some(upstream) => ForwardTarget::Upstream(Arc::new(upstream)),
            },
            name: (&*forward.server_name.text).into(),
        });
        let forwards = forwards.collect();
        let Files { problems, remarks, certificates, .. } = loader.files;
        problems.or(Self {
            workers: config.workers.map_or_else(cores, NonZeroUsize::get),
            listeners,
            routes,
            forwards,
            timeouts,
            limits: config.limits.clone(),
            remarks: remarks.sorted(),
            certificates,
        })
    }

    /// One line about what this is: listeners by name, routes and forwards by number.
    pub fn summary(&self) -> String {
        let listeners: Vec<_> = self.listeners.iter().map(|it| it.url(it.address)).collect();
        let mut numbers = vec![count(self.routes.len(), "route")];
        let forwards = self.forwards.len();
        if forwards > 0 {
            let unused = !self.listeners.iter().any(|it| it.mode == Mode::Tcp);
            let remark = if unused { " that no tcp listener leads to" } else { "" };
            numbers.push(format!("{}{remark}", count(forwards, "forward")));
        }
        numbers.retain(|number| !number.starts_with("0 "));
        format!("listening on {}; {}", listeners.join(", "), numbers.join(", "))
    }

    /// The listeners that have sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.listeners.iter().filter(|listener| listener.has_socket)
    }
}

impl Listener {
    /// With what TLS ends here, where it does, for a client that goes to `target`.
    pub fn tls_for<U>(&self, target: &ForwardTarget<U>) -> Option<&Arc<ServerConfig>> {
        match target {
            ForwardTarget::Upstream(_) => self.tls.as_ref(),
            ForwardTarget::Http => self.tls_of_http.as_ref(),
        }
    }

    /// What is spoken at `address`, as a URL.
    pub fn url(&self, address: SocketAddr) -> String {
        let scheme = match (self.mode, &self.tls) {
            (Mode::Http, None) => "http",
            (Mode::Http, Some(_)) => "https",
            (Mode::Tcp, None) => "tcp",
            (Mode::Tcp, Some(_)) => "tls",
        };
        format!("{scheme}://{address}")
    }
}

/// What the upstream of `route` may call itself, where that makes a difference.
fn origins(route: &RouteConfig) -> Option<Origins> {
    if route.redirects == Redirects::Keep {
        return None;
    }
    let dialled = route.connect.to_string();
    let names = [&*route.upstream.authority, route.host.as_str(), &dialled];
    Some(Origins::new(route.is_tls(), names.map(str::as_bytes)))
}

fn count(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}

/// What was loaded so far.
#[derive(Default)]
struct Loader {
    files: Files,
}

impl Loader {
    /// All listeners, in the order of the file.
    fn listeners(&mut self, config: &Config) -> Vec<Arc<Listener>> {
        let loaded: Vec<_> = config.listeners.iter().map(|it| self.listener(config, it)).collect();
        let https = loaded.iter().map(|it| (it.mode == Mode::Http).then(|| Arc::new(it.clone())));
        let https: Vec<_> = https.collect();
        let listeners = loaded.into_iter().zip(&config.listeners).zip(&https);
        let listeners = listeners.map(|((listener, configured), http)| match http {
            Some(http) => Arc::clone(http),
            None => {
                // Whether one is needed, and not to be told, was checked with the configuration.
                let http = http_behind(config, configured).ok().and_then(|at| https[at].clone());
                Arc::new(Listener { http, ..listener })
            }
        });
        listeners.collect()
    }

    fn listener(&mut self, config: &Config, listener: &ListenerConfig) -> Listener {
        let ListenerConfig { address, mode, ref credentials, .. } = *listener;
        let leads_to_http = config.forwards.iter().any(|it| it.upstream == ForwardUpstream::Http);
        let ends_tls_of_http = mode == Mode::Tcp && leads_to_http;
        Listener {
            address,
            tls: credentials.as_ref().and_then(|it| self.server(it, mode)),
            tls_of_http: credentials
                .as_ref()
                .filter(|_| ends_tls_of_http)
                .and_then(|it| self.server(it, Mode::Http)),
            mode,
            proxy_protocol: listener.proxy_protocol.clone(),
            http: None,
            has_socket: !shares_address(config, listener),
        }
    }

    /// `None` stands for a problem that was noted.
    fn server(&mut self, files: &CredentialFiles, mode: Mode) -> Option<Arc<ServerConfig>> {
        let alpn = match mode {
            Mode::Http => Alpn::Http,
            Mode::Tcp => Alpn::Anything,
        };
        self.files.server(files, alpn)
    }

    /// The upstream of a forward, if it has one.
    fn forward(&mut self, forward: &ForwardConfig) -> Option<UpstreamConfig> {
        let way = forward.way.as_ref()?;
        let tls = match &forward.upstream {
            ForwardUpstream::Tls(_) => {
                self.upstream_tls(way.ca.as_ref(), way.tls_name.server_name(), Alpn::Anything)
            }
            ForwardUpstream::Tcp(_) | ForwardUpstream::Http => None,
        };
        let (address, proxy_protocol) = (way.connect.clone(), way.proxy_protocol);
        let label = forward.upstream.to_string().into();
        let (family, warm, connection_age) = (way.family, 0, None);
        Some(UpstreamConfig { address, family, warm, connection_age, tls, proxy_protocol, label })
    }

    /// The upstream of each route. Those that are the same one are shared.
    fn upstreams(&mut self, routes: &[RouteConfig]) -> Vec<Arc<UpstreamConfig>> {
        let mut upstreams: Vec<(&RouteConfig, UpstreamConfig)> = Vec::new();
        for route in routes {
            match upstreams.iter_mut().find(|(first, _)| same_upstream(first, route)) {
                Some((_, upstream)) => {
                    upstream.warm = upstream.warm.max(route.warm);
                    let ages = [upstream.connection_age, route.connection_age];
                    upstream.connection_age = ages.into_iter().flatten().min();
                }
                None => upstreams.push((route, self.upstream(route))),
            }
        }
        let shared = upstreams.into_iter().map(|(first, upstream)| (first, Arc::new(upstream)));
        let shared: Vec<_> = shared.collect();
        let of = |route| shared.iter().find(|(first, _)| same_upstream(first, route));
        routes.iter().filter_map(of).map(|(_, upstream)| Arc::clone(upstream)).collect()
    }

    fn upstream(&mut self, route: &RouteConfig) -> UpstreamConfig {
        let tls = match route.upstream.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                self.upstream_tls(route.ca.as_ref(), route.tls_name.server_name(), Alpn::Http)
            }
        };
        let address = route.connect.clone();
        let label = route.upstream.endpoint.to_string().into();
        let RouteConfig { family, warm, connection_age, proxy_protocol, .. } = *route;
        UpstreamConfig { address, family, warm, connection_age, tls, proxy_protocol, label }
    }

    /// `None` stands for a problem that was noted.
    fn upstream_tls(
        &mut self,
        ca: Option<&NamedFile>,
        server_name: ServerName<'static>,
        alpn: Alpn,
    ) -> Option<UpstreamTls> {
        let config = self.files.client(ca, alpn)?;
        let roots = ca.and_then(|ca| self.files.roots(ca)).map(|roots| roots.certificates());
        Some(UpstreamTls { config, server_name, roots })
    }
}

/// Whether a connection for one route serves the other just as well.
fn same_upstream(a: &RouteConfig, b: &RouteConfig) -> bool {
    a.upstream.scheme == b.upstream.scheme
        && a.upstream.endpoint == b.upstream.endpoint
        && a.connect == b.connect
        && a.family == b.family
        && a.tls_name == b.tls_name
        && a.proxy_protocol == b.proxy_protocol
        && a.ca.as_ref().map(|ca| &ca.path) == b.ca.as_ref().map(|ca| &ca.path)
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
        let route = |path: &str| snapshot.routes.iter().find(|it| *it.path == *path.as_bytes());
        let upstream = |path| &route(path).unwrap().upstream;
        let mut distinct: Vec<_> = snapshot.routes.iter().map(|it| &it.upstream).collect();
        distinct.dedup_by(|a, b| Arc::ptr_eq(a, b));
        assert_eq!(distinct.len(), 4);
        assert!(Arc::ptr_eq(upstream("/a/"), upstream("/a/v1/")));
        assert_ne!(upstream("/b/"), upstream("/c/"));
        let roots = |path| upstream(path).tls.as_ref().map(|tls| Arc::as_ptr(&tls.config));
        assert_eq!(roots("/a/"), roots("/b/"));
        assert_ne!(roots("/b/"), roots("/c/"));
        assert_eq!(roots("/d/"), None);
        assert_eq!(&*upstream("/a/").label, "a.example:443");
        assert_eq!(&*route("/a/v1/").unwrap().host, b"other.example");
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
        let routes = snapshot.unwrap().routes;
        let names = routes.iter().filter_map(|route| route.upstream.tls.as_ref());
        let names: Vec<_> = names.map(|tls| tls.server_name.clone()).collect();
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
    fn a_tcp_listener_leads_to_the_http_listener_of_its_address_which_opens_no_socket() {
        let snapshot = load(
            r#"
            [[listener]]
            address = "127.0.0.1:1"
            mode = "tcp"
            [[listener]]
            address = "127.0.0.1:1"
            certificate = "certificate.pem"
            key = "key.pem"
            [[route]]
            path = "/"
            upstream = "http://127.0.0.1:1/"
            [[forward]]
            server_name = "a.example"
            upstream = "http"
            [[forward]]
            server_name = "*"
            upstream = "tls://b.example:443"
            "#,
        );
        let snapshot = snapshot.unwrap();
        let [tcp, http] = [0, 1].map(|at| &snapshot.listeners[at]);
        assert!(tcp.http.as_ref().is_some_and(|it| Arc::ptr_eq(it, http)));
        let sockets: Vec<_> = snapshot.sockets().collect();
        assert!(sockets.len() == 1 && Arc::ptr_eq(sockets[0], tcp));
        let [exact, any] = [0, 1].map(|at| &snapshot.forwards[at]);
        let ForwardTarget::Upstream(upstream) = &any.target else { panic!("{any:?}") };
        assert!(upstream.tls.is_some());
        assert_eq!(exact.target, ForwardTarget::Http);
        let want = "listening on tcp://127.0.0.1:1, https://127.0.0.1:1; 1 route, 2 forwards";
        assert_eq!(snapshot.summary(), want);
    }

    #[test]
    fn forwards_without_a_tcp_listener_are_told_in_the_summary() {
        let snapshot = load(
            r#"
            [[listener]]
            address = "127.0.0.1:1"
            [[route]]
            path = "/"
            upstream = "http://127.0.0.1:1/"
            [[forward]]
            server_name = "*"
            upstream = "tcp://b.example:443"
            "#,
        );
        let want = "; 1 route, 1 forward that no tcp listener leads to";
        assert!(snapshot.unwrap().summary().ends_with(want));
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
