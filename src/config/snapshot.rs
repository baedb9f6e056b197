//! A configuration with its files loaded: [`Snapshot`], which never changes.
//!
//! Loading reads certificates and keys, checks them against each other and turns them into rustls
//! configurations, so that a problem with them is found before anything listens. A file that is
//! named twice is loaded once. Routes to the same upstream share one [`UpstreamConfig`], and so its
//! connections; upstreams with the same roots share one `ClientConfig`, and so its sessions. A
//! snapshot that is loaded after another has everything in common with it that is unchanged.

use super::access::{Access, AccessLoader};
use super::acme_files::state_directory;
use super::address_files;
use super::check::{http_behind, shares_address};
use super::check_access::check_last_client;
use super::files::Files;
use super::https_names::https_names;
use super::identifier::Identifier;
use super::keys::forward::{ForwardConfig, ForwardUpstream};
use super::keys::limits::Limits;
use super::keys::listener::ListenerConfig;
use super::keys::route::RouteConfig;
use super::keys::top::{Config, WORKERS_RANGE};
pub use super::listener::Listener;
use super::managed::ManagedCertificate;
use super::own_certificate::OwnCertificate;
use super::problem::Problems;
use super::reach::Reach;
use super::tls_configs::{Place, TlsConfigs};
use super::tls_files::TlsFiles;
pub use super::upstream::{UpstreamConfig, UpstreamTls};
use super::value::Mode;
use crate::gateway::redirect::HttpsNames;
use crate::gateway::route::Route;
use crate::gateway::server_name::{Forward, ForwardTarget};
use crate::timeouts::Timeouts;
use crate::tls::alpn::Alpn;
use crate::tls::validity::since_1970;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::SystemTime;

/// All that workers need to know.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Worker threads, 1 to 256.
    pub workers: usize,
    /// Where to listen; at least one.
    pub listeners: Vec<Arc<Listener>>,
    /// In the order of the file. Routes to one upstream share it.
    pub routes: Vec<Route<Arc<UpstreamConfig>>>,
    /// Who may use them, and with which keys.
    pub access: Access,
    /// In the order of the file.
    pub forwards: Vec<Forward<Arc<UpstreamConfig>>>,
    /// Limits of time.
    pub timeouts: Arc<Timeouts>,
    /// Limits of number and size.
    pub limits: Limits,
    /// What is unusual about the files, but works.
    pub remarks: Problems,
    /// The certificates that clients are shown.
    pub certificates: Vec<OwnCertificate>,
    /// Those that are ordered by ACME, stored or not. They are not among the others.
    pub managed: Vec<ManagedCertificate>,
    /// The directory that they are stored in, if there are any.
    pub state: Option<PathBuf>,
    /// What listeners that lead to https lead to.
    pub https_names: Arc<HttpsNames>,
    /// What it was loaded from.
    pub config: Arc<Config>,
    /// The files that were read for it, except that of the configuration.
    pub files: Files,
    tls: TlsConfigs,
}

impl Snapshot {
    /// Loads every file that `config` names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the files, each at the place that names it.
    pub fn load(config: impl Into<Arc<Config>>) -> Result<Self, Problems> {
        Self::load_anew(config.into(), Loader::new(None)).map(|(loaded, _)| loaded)
    }

    /// The same, after `previous`. What is unchanged by content is the same `Arc` in both, also
    /// where it comes from another file. A listener that shows another certificate keeps the keys
    /// of its tickets. A stored certificate whose file cannot be read stays in use until it
    /// expires.
    ///
    /// # Errors
    ///
    /// As for [`Snapshot::load`]; and routes that asked for a token are not opened to everyone
    /// unless the configuration says so.
    pub fn load_after(config: impl Into<Arc<Config>>, previous: &Self) -> Result<Self, Problems> {
        let (mut config, mut loader) = (config.into(), Loader::new(Some(previous)));
        // One that is shared has been loaded before.
        if let Some(config) = Arc::get_mut(&mut config) {
            config.clients.follow(&previous.config.clients.all);
        }
        check_last_client(&config, &previous.config, &mut loader.files.problems);
        Self::load_anew(config, loader).map(|(loaded, _)| loaded)
    }

    /// The same configuration with what its files hold now. Those that cannot be used count with
    /// what they held before, so that none is in the way of another; the problems say why.
    ///
    /// # Errors
    ///
    /// As for [`Snapshot::load`], if what they held before is of no use either.
    pub fn renewed(&self) -> Result<(Self, Problems), Problems> {
        let mut loader = Loader::new(Some(self));
        loader.files = loader.files.keeping(&self.files);
        Self::load_anew(Arc::clone(&self.config), loader)
    }

    fn load_anew(
        config: Arc<Config>,
        mut loader: Loader<'_>,
    ) -> Result<(Self, Problems), Problems> {
        loader.state = state_directory(&config, &mut loader.files);
        let listeners = loader.listeners(&config);
        let timeouts = loader.timeouts(&config.timeouts);
        let upstreams = loader.upstreams(&config.routes);
        let before = loader.previous.map(|it| &it.access);
        let access = AccessLoader::new(&mut loader.files, before).load(&config);
        let routes = config.routes.iter().zip(upstreams).zip(&access.routes);
        let route = |((route, upstream), access): ((&RouteConfig, _), &Option<_>)| Route {
            access: access.clone(),
            ..route.to(upstream, Arc::clone(&timeouts), config.limits.head)
        };
        let routes = routes.map(route).collect();
        let forwards = config.forwards.iter().map(|forward| Forward {
            pattern: forward.server_name.pattern.clone(),
            target: loader.forward(forward),
            name: (&*forward.server_name.text).into(),
        });
        let forwards = forwards.collect();
        let names = https_names(&config, &loader.files);
        let TlsFiles {
            problems,
            trouble,
            remarks,
            certificates,
            managed,
            configs: tls,
            read: files,
            ..
        } = loader.files;
        let loaded = Self {
            workers: config.workers.map_or_else(cores, NonZeroUsize::get),
            listeners,
            routes,
            access,
            forwards,
            timeouts,
            limits: config.limits.clone(),
            remarks: remarks.sorted(),
            https_names: names.into(),
            certificates,
            managed,
            state: loader.state,
            config,
            files,
            tls,
        };
        problems.or((loaded, trouble.sorted()))
    }

    /// One line: the listeners, and the numbers of routes and forwards.
    pub fn summary(&self) -> String {
        let listeners: Vec<_> = self.config.listeners.iter().map(ListenerConfig::urls).collect();
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

    /// The upstreams of all routes and forwards; one that several share, as often.
    pub fn upstreams(&self) -> impl Iterator<Item = &UpstreamConfig> {
        let of_forwards = self.forwards.iter().filter_map(|it| match &it.target {
            ForwardTarget::Upstream(upstream) => Some(&**upstream),
            ForwardTarget::Http => None,
        });
        self.routes.iter().map(|it| &*it.upstream).chain(of_forwards)
    }

    /// The names of each certificate that stands in for one that is ordered, and has expired.
    pub fn expired_stand_ins(&self, now: SystemTime) -> Vec<String> {
        let now = since_1970(now);
        let stand_ins = self.managed.iter().flat_map(|it| &it.stand_ins);
        stand_ins.filter(|it| it.not_after <= now).map(|it| it.names.join(" ")).collect()
    }

    /// The listeners that have sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.listeners.iter().filter(|listener| listener.has_socket)
    }
}

/// `1 route`, `2 routes`.
pub(crate) fn count(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}

/// Loads files, each once, and takes from the snapshot before what is unchanged.
struct Loader<'p> {
    files: TlsFiles<'p>,
    /// The state directory, if a listener needs it.
    state: Option<PathBuf>,
    previous: Option<&'p Snapshot>,
}

impl<'p> Loader<'p> {
    #[cold]
    fn new(previous: Option<&'p Snapshot>) -> Self {
        let files = TlsFiles::new(previous.map(|it| &it.tls));
        let files = match previous {
            None => files,
            Some(previous) => files.after(&previous.files),
        };
        Self { files, state: None, previous }
    }

    fn timeouts(&self, timeouts: &Timeouts) -> Arc<Timeouts> {
        let unchanged = self.previous.map(|it| &it.timeouts).filter(|it| ***it == *timeouts);
        unchanged.map_or_else(|| Arc::new(timeouts.clone()), Arc::clone)
    }

    /// All listeners, in the order of the file.
    fn listeners(&mut self, config: &Config) -> Vec<Arc<Listener>> {
        let mut loaded = Vec::new();
        for configured in &config.listeners {
            let listener = self.listener(config, configured);
            for (address, is_second_family) in configured.sockets_here() {
                let has_socket = !shares_address(config, configured, address);
                let listener =
                    Listener { address, is_second_family, has_socket, ..listener.clone() };
                loaded.push((configured, Arc::new(listener)));
            }
        }
        let listeners = loaded.iter().map(|(configured, listener)| match listener.mode {
            Mode::Http => Arc::clone(listener),
            Mode::Tcp => {
                // An ambiguous one is an error of the configuration, if any forward needs it.
                let http = http_behind(config, configured, listener.address).ok();
                let http = http.and_then(|at| http_at(&loaded, &config.listeners[at], listener));
                Arc::new(Listener { http, ..Listener::clone(listener) })
            }
        });
        listeners.collect()
    }

    /// A listener at its first address. The others have the same sessions of TLS.
    fn listener(&mut self, config: &Config, listener: &ListenerConfig) -> Listener {
        let mode = listener.mode;
        let directory = &config.acme.directory;
        let ordered = self.files.managed.len();
        let own = self.files.identities(listener, self.state.as_deref(), directory);
        let awaited = self.files.managed[ordered..].iter().flat_map(|it| &it.awaited);
        let awaited: Vec<_> = awaited.map(Identifier::to_string).collect();
        let rules = listener.client_ca.as_ref().and_then(|it| self.files.client_rules(it));
        let address = listener.sockets().next();
        let address = address.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let leads_to_http = config.forwards.iter().any(|it| it.upstream == ForwardUpstream::Http);
        let ends_tls_of_http = mode == Mode::Tcp && leads_to_http;
        let alpn = match mode {
            Mode::Http => Alpn::Http,
            Mode::Tcp => Alpn::Anything,
        };
        let mut tls = |alpn| {
            let place = Place::new(address, mode, alpn, rules.clone());
            let server = || self.files.server(listener, &own, &awaited, place);
            listener.is_tls().then(server).flatten()
        };
        Listener {
            address,
            name: listener.name().into(),
            is_second_family: false,
            tls: tls(alpn),
            tls_of_http: ends_tls_of_http.then(|| tls(Alpn::Http)).flatten(),
            mode,
            proxy_protocol: listener.proxy_protocol.clone(),
            address_rules: address_files::rules(&mut self.files, listener),
            http: None,
            redirect: listener.redirect,
            is_optional: listener.is_optional,
            has_socket: true,
        }
    }

    /// Where a forward leads. The connections to its upstream belong to one client each, so none is
    /// kept.
    fn forward(&mut self, forward: &ForwardConfig) -> ForwardTarget<Arc<UpstreamConfig>> {
        let Some(reach) = &forward.reach else { return ForwardTarget::Http };
        let upstream = self.upstream(reach, Alpn::Anything, forward.upstream.to_string());
        ForwardTarget::Upstream(Arc::new(upstream))
    }

    /// The upstream of each route. Routes to the same upstream share it.
    fn upstreams(&mut self, routes: &[RouteConfig]) -> Vec<Arc<UpstreamConfig>> {
        let mut upstreams: HashMap<&Reach, UpstreamConfig> = HashMap::new();
        for RouteConfig { reach, warm, connection_age, .. } in routes {
            let upstream = upstreams
                .entry(reach)
                .or_insert_with(|| self.upstream(reach, Alpn::Http, reach.endpoint.to_string()));
            upstream.warm = upstream.warm.max(*warm);
            let ages = [upstream.connection_age, *connection_age];
            upstream.connection_age = ages.into_iter().flatten().min();
        }
        let previous = self.previous.iter().flat_map(|it| &it.routes).map(|it| &it.upstream);
        let previous: HashMap<_, _> = previous.map(|it| (&it.reach, it)).collect();
        let shared = |(reach, upstream)| match previous.get(reach) {
            Some(unchanged) if ***unchanged == upstream => (reach, Arc::clone(unchanged)),
            _ => (reach, Arc::new(upstream)),
        };
        let upstreams: HashMap<_, _> = upstreams.into_iter().map(shared).collect();
        routes.iter().map(|route| Arc::clone(&upstreams[&route.reach])).collect()
    }

    fn upstream(&mut self, reach: &Reach, alpn: Alpn, label: String) -> UpstreamConfig {
        let tls = if reach.is_tls { self.upstream_tls(reach, alpn) } else { None };
        let (reach, label) = (reach.clone(), label.into());
        UpstreamConfig { reach, tls, warm: 0, connection_age: None, label }
    }

    /// `None` if a problem was noted.
    fn upstream_tls(&mut self, reach: &Reach, alpn: Alpn) -> Option<UpstreamTls> {
        let (config, trust) = self.files.client(reach, alpn)?;
        Some(UpstreamTls { config, server_name: reach.tls_name.server_name(), trust })
    }
}

/// The listener of `http` that the tcp listener `tcp` leads to: the one at its address, or else the
/// first.
fn http_at(
    loaded: &[(&ListenerConfig, Arc<Listener>)],
    http: &ListenerConfig,
    tcp: &Listener,
) -> Option<Arc<Listener>> {
    let mut of_http = loaded.iter().filter(|(it, _)| ptr::eq(*it, http)).map(|(_, it)| it);
    let first = of_http.clone().next();
    of_http.find(|it| it.address == tcp.address).or(first).map(Arc::clone)
}

/// Cores that the process may use: a worker for each, unless configured otherwise.
pub fn cores() -> usize {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    cores.min(*WORKERS_RANGE.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::chain::{EXPIRED, EXPIRED_KEY, INTERMEDIATE, LEAF, LEAF_KEY};
    use crate::tls::testing::pem::{CERTIFICATE, Folder, KEY, KEY_OF_ANOTHER};
    use std::collections::HashSet;
    use std::fs;
    use tokio_rustls::rustls::pki_types::ServerName;

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
    fn what_is_unchanged_by_content_is_common_to_a_snapshot_and_the_next() {
        let text = r#"
            [[listener]]
            address = "127.0.0.1:1"
            certificate = "certificate.pem"
            key = "key.pem"
            [[route]]
            path = "/a/"
            upstream = "https://a.example/"
            [[route]]
            path = "/b/"
            upstream = "https://b.example/"
            ca = "certificate.pem"
        "#;
        let folder = folder();
        let before = load_in(&folder, None, text).unwrap();
        // Other lines, another name of the same file, and one upstream that keeps connections.
        folder.write("same.pem", CERTIFICATE);
        let text = text.replace("            [[route]]", "\n\n[[route]]\nwarm = 2");
        let text = text.replace("ca = \"certificate.pem\"", "ca = \"same.pem\"");
        let text = text.replacen("warm = 2", "", 1);
        let after = load_in(&folder, Some(&before), &text).unwrap();
        let same = |of: fn(&Snapshot) -> *const ()| of(&before) == of(&after);
        assert!(same(|it| Arc::as_ptr(&it.timeouts).cast()));
        assert!(same(|it| Arc::as_ptr(it.listeners[0].tls.as_ref().unwrap()).cast()));
        assert!(same(|it| Arc::as_ptr(&it.routes[0].upstream).cast()));
        assert!(!same(|it| Arc::as_ptr(&it.routes[1].upstream).cast()));
        assert!(same(|it| Arc::as_ptr(&it.routes[1].upstream.tls.as_ref().unwrap().config).cast()));
    }

    #[test]
    fn a_changed_file_of_roots_is_another_upstream() {
        let text = r#"
            [[listener]]
            address = "127.0.0.1:1"
            [[route]]
            path = "/"
            upstream = "https://a.example/"
            ca = "certificate.pem"
        "#;
        let folder = folder();
        let before = load_in(&folder, None, text).unwrap();
        folder.write("certificate.pem", [LEAF, INTERMEDIATE].concat());
        let after = Snapshot::load_after(Arc::clone(&before.config), &before).unwrap();
        assert_ne!(before.routes[0].upstream, after.routes[0].upstream);
    }

    #[test]
    fn a_stored_certificate_serves_on_while_its_file_is_away_until_it_expires() {
        let text = r#"
            [[listener]]
            address = "127.0.0.1:1"
            domains = "localhost"
            [[route]]
            path = "/"
            upstream = "http://127.0.0.1:1/"
            [acme]
            state = "state"
        "#;
        let folder = folder();
        let file = load_in(&folder, None, text).unwrap().managed[0].file.clone();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let stored = |it: &Snapshot| it.managed[0].stored.as_ref().map(|it| it.not_after);
        fs::write(&file, format!("{CERTIFICATE}{KEY}")).unwrap();
        let mut before = load_in(&folder, None, text).unwrap();
        let serves = stored(&before);
        assert!(serves.is_some());
        fs::write(&file, "damaged").unwrap();
        for _ in 0..2 {
            let after = load_in(&folder, Some(&before), text).unwrap();
            assert_eq!((stored(&after), after.managed[0].awaited.len()), (serves, 0));
            let warning = after.remarks.to_string();
            assert!(warning.contains("the one before stays in use: "), "{warning}");
            fs::remove_dir_all(folder.path("state")).unwrap();
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            before = after;
        }
        fs::write(&file, format!("{EXPIRED}{EXPIRED_KEY}")).unwrap();
        let before = load_in(&folder, Some(&before), text).unwrap();
        assert!(stored(&before) < serves, "another usable one replaces it");
        fs::remove_file(&file).unwrap();
        let after = load_in(&folder, Some(&before), text).unwrap();
        assert_eq!((stored(&after), after.managed[0].awaited.len()), (None, 1));
    }

    #[test]
    fn a_listener_keeps_its_tickets_when_its_certificate_changes_and_shares_them_with_no_other() {
        let listener = |port| {
            format!(
                "[[listener]]\naddress = \"127.0.0.1:{port}\"\n\
                 certificate = \"certificate.pem\"\nkey = \"key.pem\"\n"
            )
        };
        let route = "[[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:1/\"";
        let text = |ports: &[u16]| {
            format!("{}{route}", ports.iter().map(|it| listener(*it)).collect::<String>())
        };
        let folder = folder();
        let before = load_in(&folder, None, &text(&[1, 2, 0, 0])).unwrap();
        folder.write("certificate.pem", [LEAF, INTERMEDIATE].concat());
        folder.write("key.pem", LEAF_KEY);
        let after = load_in(&folder, Some(&before), &text(&[2, 3, 0, 0])).unwrap();
        let tls = |it: &Snapshot, at: usize| it.listeners[at].tls.clone().unwrap();
        let tickets = |it, at| {
            let tls = tls(it, at);
            (Arc::as_ptr(&tls.ticketer).addr(), Arc::as_ptr(&tls.session_storage).addr())
        };
        for (old, new) in [(1, 0), (2, 2), (3, 3)] {
            assert!(!Arc::ptr_eq(&tls(&before, old), &tls(&after, new)));
            assert_eq!(tickets(&before, old), tickets(&after, new));
        }
        let all: HashSet<_> = [0, 1, 2, 3].map(|at| tickets(&before, at)).into();
        assert_eq!(all.len(), 4);
        assert!(!all.contains(&tickets(&after, 1)));
    }

    #[test]
    fn the_summary_has_the_listeners_and_the_number_of_routes() {
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
    fn the_summary_mentions_forwards_without_a_tcp_listener() {
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
    fn every_bad_file_is_reported_at_the_line_that_names_it() {
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
        load_in(&folder(), None, text)
    }

    fn folder() -> Folder {
        let folder = Folder::new();
        folder.write("certificate.pem", CERTIFICATE);
        folder.write("key.pem", KEY);
        folder.write("key_of_another.pem", KEY_OF_ANOTHER);
        folder
    }

    fn load_in(
        folder: &Folder,
        previous: Option<&Snapshot>,
        text: &str,
    ) -> Result<Snapshot, Problems> {
        let config = Config::read(&folder.write("narrows.toml", text)).unwrap();
        match previous {
            None => Snapshot::load(config),
            Some(previous) => Snapshot::load_after(config, previous),
        }
    }
}
