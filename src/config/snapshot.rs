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
use super::keys::listener::CredentialFiles;
use super::keys::route::RouteConfig;
use super::keys::top::{Config, WORKERS_RANGE};
use super::network::Network;
use super::problem::Problems;
use super::url::{Endpoint, Scheme};
use super::value::{Family, Mode, ProxyVersion, Redirects};
use crate::gateway::rewrite::reference::Origins;
use crate::gateway::route::{Forward, ForwardTable, ForwardTarget, Route, RouteTable};
use crate::timeouts::Timeouts;
use crate::tls::alpn::Alpn;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
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
    /// Server name to forward.
    pub forwards: ForwardTable,
    /// What `ForwardTarget::Upstream` is an index into.
    pub forward_upstreams: Vec<UpstreamConfig>,
    /// What may take how long.
    pub timeouts: Timeouts,
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
    /// Of a tcp listener: the http listener that `ForwardTarget::Http` means, an index into
    /// `Snapshot::listeners`.
    pub http: Option<usize>,
    /// It has a socket of its own. Otherwise a tcp listener with the same address leads to it.
    pub has_socket: bool,
}

/// One upstream: connections to it are interchangeable.
#[derive(Clone, Debug)]
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
}

impl Snapshot {
    /// Loads every file that `config` names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with those files, told where they are named.
    pub fn load(config: &Config) -> Result<Self, Problems> {
        let mut loader = Loader::default();
        let leads_to_http = config.forwards.iter().any(|it| it.upstream == ForwardUpstream::Http);
        let listeners = config.listeners.iter().map(|listener| Listener {
            address: listener.address,
            tls: listener.credentials.as_ref().and_then(|it| loader.server(it, listener.mode)),
            tls_of_http: listener
                .credentials
                .as_ref()
                .filter(|_| listener.mode == Mode::Tcp && leads_to_http)
                .and_then(|it| loader.server(it, Mode::Http)),
            mode: listener.mode,
            proxy_protocol: listener.proxy_protocol.clone(),
            // Whether one is needed, and not to be told, was checked with the configuration.
            http: http_behind(config, listener).ok().filter(|_| listener.mode == Mode::Tcp),
            has_socket: !shares_address(config, listener),
        });
        let listeners = listeners.collect();
        let routes = config.routes.iter().map(|route| Route {
            path: route.path.as_str().as_bytes().into(),
            replacement: route.upstream.path.as_bytes().into(),
            host: route.host.as_str().as_bytes().into(),
            upstream: loader.upstream(route),
            origins: origins(route),
            name: route.path.as_str().into(),
        });
        let routes = RouteTable::new(routes.collect());
        let mut forward_upstreams = Vec::new();
        let forwards = config.forwards.iter().map(|forward| Forward {
            pattern: forward.server_name.pattern.clone(),
            target: match loader.forward(forward) {
                None => ForwardTarget::Http,
                Some(upstream) => {
                    forward_upstreams.push(upstream);
                    ForwardTarget::Upstream(forward_upstreams.len() - 1)
                }
            },
            name: (&*forward.server_name.text).into(),
        });
        let forwards = ForwardTable::new(forwards.collect());
        let Loader { upstreams, files } = loader;
        files.problems.or(Self {
            workers: config.workers.map_or_else(cores, NonZeroUsize::get),
            listeners,
            routes,
            upstreams: upstreams.into_iter().map(|(_, upstream)| upstream).collect(),
            forwards,
            forward_upstreams,
            timeouts: config.timeouts.clone(),
            limits: config.limits.clone(),
            remarks: files.remarks.sorted(),
            certificates: files.certificates,
        })
    }

    /// One line about what this is: listeners by name, routes and forwards by number.
    pub fn summary(&self) -> String {
        let listeners: Vec<_> = self.listeners.iter().map(|it| it.url(it.address)).collect();
        let mut numbers = vec![count(self.routes.iter().len(), "route")];
        let forwards = self.forwards.iter().len();
        if forwards > 0 {
            let unused = !self.listeners.iter().any(|it| it.mode == Mode::Tcp);
            let remark = if unused { " that no tcp listener leads to" } else { "" };
            numbers.push(format!("{}{remark}", count(forwards, "forward")));
        }
        numbers.retain(|number| !number.starts_with("0 "));
        format!("listening on {}; {}", listeners.join(", "), numbers.join(", "))
    }

    /// The listeners that have sockets.
    pub fn sockets(&self) -> impl Iterator<Item = (usize, &Listener)> {
        self.listeners.iter().enumerate().filter(|(_, listener)| listener.has_socket)
    }
}

impl Listener {
    /// With what TLS ends here, where it does, for a client that goes to `target`.
    pub fn tls_for(&self, target: ForwardTarget) -> Option<&Arc<ServerConfig>> {
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
struct Loader<'c> {
    files: Files,
    /// Each with the first route that named it.
    upstreams: Vec<(&'c RouteConfig, UpstreamConfig)>,
}

impl<'c> Loader<'c> {
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
                let config = self.files.client(way.ca.as_ref(), Alpn::Anything);
                config.map(|config| UpstreamTls { config, server_name: way.tls_name.server_name() })
            }
            ForwardUpstream::Tcp(_) | ForwardUpstream::Http => None,
        };
        let (address, proxy_protocol) = (way.connect.clone(), way.proxy_protocol);
        let label = forward.upstream.to_string().into();
        let (family, warm, connection_age) = (way.family, 0, None);
        Some(UpstreamConfig { address, family, warm, connection_age, tls, proxy_protocol, label })
    }

    /// Index of the upstream that `route` names, which may be new.
    fn upstream(&mut self, route: &'c RouteConfig) -> usize {
        let known = self.upstreams.iter().position(|(first, _)| same_upstream(first, route));
        if let Some(index) = known {
            let (_, upstream) = &mut self.upstreams[index];
            upstream.warm = upstream.warm.max(route.warm);
            let ages = [upstream.connection_age, route.connection_age];
            upstream.connection_age = ages.into_iter().flatten().min();
            return index;
        }
        let tls = match route.upstream.scheme {
            Scheme::Http => None,
            Scheme::Https => self
                .files
                .client(route.ca.as_ref(), Alpn::Http)
                .map(|config| UpstreamTls { config, server_name: route.tls_name.server_name() }),
        };
        let address = route.connect.clone();
        let label = route.upstream.endpoint.to_string().into();
        let RouteConfig { family, warm, connection_age, proxy_protocol, .. } = *route;
        let upstream =
            UpstreamConfig { address, family, warm, connection_age, tls, proxy_protocol, label };
        self.upstreams.push((route, upstream));
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
        assert_eq!(snapshot.listeners[0].http, Some(1));
        assert_eq!(snapshot.sockets().map(|(index, _)| index).collect::<Vec<_>>(), [0]);
        assert_eq!(snapshot.forwards.find(None).unwrap().target, ForwardTarget::Upstream(0));
        let name = Some("a.example");
        assert_eq!(snapshot.forwards.find(name).unwrap().target, ForwardTarget::Http);
        assert!(snapshot.forward_upstreams[0].tls.is_some());
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
