//! The top level of the file: [`Config`] and its keys.

use super::acme::{self, AcmeConfig};
use super::client;
use super::forward::{self, ForwardConfig};
use super::limits::{self, Limits};
use super::listener::{self, ListenerConfig};
use super::log;
use super::route::{self, RouteConfig};
use super::timeouts;
use crate::config::admin_address::{AdminAddress, AdminConfig};
use crate::config::clients::{ClientPlaces, ClientsConfig, ReadClients};
use crate::config::foreign_keys;
use crate::config::key::Default::{Required, Words};
use crate::config::key::Read::With;
use crate::config::key::{Key, read_entry, read_table, row};
use crate::config::problem::Location;
use crate::config::source::Source;
use crate::config::table::{Reader, Table};
use crate::config::table_list::tables;
use crate::config::value::Mode;
use crate::telemetry::LogSettings;
use crate::timeouts::Timeouts;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Range of `workers` and `--workers`: one thread each, and no machine we aim at has more cores.
pub const WORKERS_RANGE: RangeInclusive<usize> = 1..=256;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that it comes from, if it comes from one.
    pub source: Option<Arc<Source>>,
    /// The SHA-256 of the file, if it can be read again.
    pub digest: Option<[u8; 32]>,
    /// Worker threads; `None`: one for each core.
    pub workers: Option<NonZeroUsize>,
    /// Where the process answers its operator; `None`: nowhere.
    pub admin: Option<AdminConfig>,
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// Who may use the routes; if there is none, everyone.
    pub clients: ClientsConfig,
    /// Where HTTP requests go; at least one if there is an http listener, each with its own path.
    pub routes: Vec<RouteConfig>,
    /// Where other connections go; at least one if there is a tcp listener.
    pub forwards: Vec<ForwardConfig>,
    /// Where certificates are ordered.
    pub acme: AcmeConfig,
    /// Where that is written, if it is.
    pub acme_location: Option<Location>,
    /// Limits of time.
    pub timeouts: Timeouts,
    /// Limits of number and size.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: LogSettings,
}

impl Config {
    /// The location of the name of the client at this place.
    pub(in crate::config) fn client_location(&self, place: usize) -> Location {
        self.clients.location(self.source.as_ref(), place)
    }

    /// Frees the text of the file, which is used only for the lines that messages show. Messages
    /// still name their lines.
    pub fn forget_text(&self) {
        self.source.iter().for_each(|it| it.forget());
    }
}

/// A configuration, and what the checks across its tables need besides.
pub(in crate::config) struct ReadConfig {
    pub(in crate::config) config: Config,
    /// Where the keys of each client are.
    pub(in crate::config) clients_at: Vec<ClientPlaces>,
    /// Whether no route was left out.
    pub(in crate::config) has_all_routes: bool,
}

/// The document as it is read. An item is `None` if a required key is missing or wrong.
#[derive(Default)]
pub(super) struct Draft {
    workers: Option<NonZeroUsize>,
    admin: Option<AdminConfig>,
    listeners: Vec<Option<ListenerConfig>>,
    clients: ReadClients,
    routes: Vec<Option<RouteConfig>>,
    forwards: Vec<Option<ForwardConfig>>,
    acme: AcmeConfig,
    acme_location: Option<Location>,
    timeouts: Timeouts,
    limits: Limits,
    log: LogSettings,
}

pub(super) const KEYS: &[Key<Draft>] = &[
    Key::number(
        "workers",
        WORKERS_RANGE,
        |it, number| it.workers = NonZeroUsize::new(number),
        Words("the number of cores"),
        "Threads that serve clients, each with its own connections to upstreams. No more of them \
         get clients than there are cores (two on a single core), unless one socket is passed for \
         all: others would only [cost time](performance.md#more-than-one-core).",
    ),
    Key::new(
        "admin",
        With(|it, entry| {
            let location = entry.location.clone();
            let address = entry.value::<AdminAddress>();
            it.admin = address.map(|address| AdminConfig { address, location });
        }),
        Words("none"),
        row(
            "Where the process answers its operator: `/livez`, `/readyz`, `/metrics` and \
             `/status`, by [plain HTTP](operations.md#the-admin-listener-and-its-metrics). It asks \
             for no password, so it belongs on a loopback address, in a private network, or at \
             the path of a unix socket.",
            "`\"127.0.0.1:9145\"`, `\"unix:/run/narrows/admin.sock\"`",
        ),
    ),
    Key::new(
        "listener",
        With(|it, entry| it.listeners = tables(entry, listener::read)),
        Required,
        row("Where clients connect: one or more `[[listener]]`.", "tables"),
    ),
    Key::new(
        "client",
        With(|it, entry| it.clients = client::read_all(entry)),
        Words("none: everyone may use the routes"),
        row(
            "Who may use the routes, with which [tokens](access.md) and limits: one or more \
             `[[client]]`.",
            "tables",
        ),
    ),
    Key::new(
        "route",
        With(|it, entry| it.routes = tables(entry, route::read)),
        Words("required by http listeners"),
        row("Where HTTP requests go: one or more `[[route]]`.", "tables"),
    ),
    Key::new(
        "forward",
        With(|it, entry| it.forwards = tables(entry, forward::read)),
        Words("required by tcp listeners"),
        row("Where connections to tcp listeners go: one or more `[[forward]]`.", "tables"),
    ),
    Key::new(
        "acme",
        With(|it, entry| {
            it.acme_location = Some(entry.location.clone());
            read_entry(entry, acme::KEYS, &mut it.acme);
        }),
        Words("its keys' defaults"),
        row("Where the certificates for `domains` are ordered and kept.", "a table `[acme]`"),
    ),
    Key::new(
        "timeouts",
        With(|it, entry| read_entry(entry, timeouts::KEYS, &mut it.timeouts)),
        Words("its keys' defaults"),
        row("Limits of time.", "a table `[timeouts]`"),
    ),
    Key::new(
        "limits",
        With(|it, entry| read_entry(entry, limits::KEYS, &mut it.limits)),
        Words("its keys' defaults"),
        row("Limits of number and size.", "a table `[limits]`"),
    ),
    Key::new(
        "log",
        With(|it, entry| read_entry(entry, log::KEYS, &mut it.log)),
        Words("its keys' defaults"),
        row(
            "What is logged, and how. A reload changes it.",
            "a table: `{ level = \"info\", format = \"auto\" }`",
        ),
    ),
];

/// Reads the whole document, and leaves out what is wrong.
pub(in crate::config) fn read(reader: &mut Reader, top: Table<'_>) -> ReadConfig {
    let missing = ["route", "forward"].map(|key| {
        let location = reader.header(&top, key);
        reader.lacks(&top, key).then_some(location)
    });
    let mut draft = Draft::default();
    read_table(reader, top, KEYS, &mut draft);
    let Draft { workers, admin, listeners, clients, routes, forwards, .. } = draft;
    let Draft { acme, acme_location, timeouts, limits, log, .. } = draft;
    let (clients, clients_at) = clients.finish();
    let has_all_routes = routes.iter().all(Option::is_some);
    if let Some(listeners) = listeners.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() {
        note_missing(reader, &listeners, missing);
    }
    let config = Config {
        source: Some(Arc::clone(reader.places.source())),
        digest: None,
        workers,
        admin,
        listeners: listeners.into_iter().flatten().collect(),
        clients,
        routes: routes.into_iter().flatten().collect(),
        forwards: forwards.into_iter().flatten().collect(),
        acme,
        acme_location,
        timeouts,
        limits,
        log,
    };
    ReadConfig { config, clients_at, has_all_routes }
}

/// Notes that routes or forwards are missing, if a listener needs them. One that no listener needs
/// is not an error.
fn note_missing(
    reader: &mut Reader,
    listeners: &[&ListenerConfig],
    missing: [Option<Location>; 2],
) {
    let [route, forward] = missing;
    let example = |key| foreign_keys::example("", key).map(|it| format!("write {it}"));
    let has = |mode| listeners.iter().any(|it| it.mode == mode && !it.redirect);
    if let Some(location) = route.filter(|_| has(Mode::Http) || !has(Mode::Tcp)) {
        let what = "this key is missing; an http listener leads to routes";
        reader.problems.add_with_help(&location, what, example("route"));
    }
    if let Some(location) = forward.filter(|_| has(Mode::Tcp)) {
        let what = "this key is missing; a tcp listener leads to forwards";
        reader.problems.add_with_help(&location, what, example("forward"));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};

    #[test]
    fn an_empty_file_lacks_a_listener_and_a_route() {
        let problems = read("").unwrap_err().to_string();
        let lines: Vec<_> = problems.lines().collect();
        let want = [
            "f:1: listener: this key is missing; it has no default; write [[listener]], and below",
            "f:1: route: this key is missing; an http listener leads to routes; write [[route]],",
        ];
        assert_eq!(lines.len(), want.len());
        assert!(lines.iter().zip(want).all(|(line, want)| line.starts_with(want)), "{problems}");
        refuse("listener = []\nroute = []", "f:1: listener: there is none; at least one");
    }

    #[test]
    fn an_admin_listener_is_configured_by_its_address() {
        let config = read(&format!("admin = \"unix:/run/admin.sock\"\n{MINIMAL}")).unwrap();
        assert_eq!(config.admin.unwrap().address.to_string(), "unix:/run/admin.sock");
        assert_eq!(read(MINIMAL).unwrap().admin, None);
        refuse(
            &format!("admin = \"unix:admin.sock\"\n{MINIMAL}"),
            "f:1: admin: the path \"admin.sock\" does not begin with \"/\"; IP:port or unix:PATH",
        );
    }

    #[test]
    fn a_listener_that_leads_to_https_needs_no_route() {
        let tcp = "[[listener]]\naddress = \":5432\"\nmode = \"tcp\"\ndomains = \"db.example\"\n\
                   [[forward]]\nserver_name = \"*\"\nupstream = \"tcp://127.0.0.1:1\"\n";
        let redirect = "[[listener]]\naddress = \":80\"\nredirect = true\n";
        assert!(read(&format!("{tcp}{redirect}")).is_ok());
        refuse(redirect, "f:1: route: this key is missing");
    }

    #[test]
    fn a_listener_without_the_routes_or_forwards_it_needs_is_refused() {
        let listener = |mode| format!("[[listener]]\naddress = \"127.0.0.1:1\"\nmode = \"{mode}\"");
        for (mode, missing) in [
            ("http", "f:1: route: this key is missing; an http listener leads to routes"),
            ("tcp", "f:1: forward: this key is missing; a tcp listener leads to forwards"),
        ] {
            let problems = read(&listener(mode)).unwrap_err();
            assert_eq!(problems.iter().len(), 1);
            assert!(problems.to_string().starts_with(missing), "{problems}");
        }
        refuse(
            &listener("htp"),
            "\"htp\" is not a mode; \"http\" and \"tcp\" are allowed; did you",
        );
        // Forwards that no listener needs are allowed.
        let forward = "[[forward]]\nserver_name = \"*\"\nupstream = \"tcp://10.0.0.5:443\"\n";
        assert!(read(&format!("{MINIMAL}\n{forward}")).is_ok());
    }
}
