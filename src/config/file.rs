//! The configuration file: its keys, their defaults, and the walk that turns it into a [`Config`].
//!
//! The walk names each key once, in the order of docs/configuration.md, and never stops at a
//! problem. A test reads that manual and compares it with the `Key` tables here.

use super::check::check;
use super::keys::forward::{ForwardConfig, ForwardOptions, ForwardUpstream, ForwardWay};
use super::keys::limits::{CONNECTIONS_RANGE, Limits};
use super::keys::listener::{CredentialFiles, ListenerConfig};
use super::keys::route::{RouteConfig, RouteOptions, WARM_RANGE};
use super::keys::top::{Config, WORKERS_RANGE};
use super::problem::{Location, Problems};
use super::table::Default::{Required, Value as Is, Words};
use super::table::{Found, Key, Reader, Table};
use super::value::{Age, ListenAddress, Mode, NamedFile, Period};
use crate::h1::head::HeadLimits;
use crate::limits::{HEAD_BYTES_RANGE, HEADER_FIELDS_MAX};
use crate::net::admission::AddressLimit;
use crate::timeouts::Timeouts;
use crate::tls::credential_error::may_be_secret;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

/// Longest configuration file, in bytes: thousands of routes. More is some other file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

const TOP: &[Key] = &[
    Key { name: "workers", default: Words("the number of cores") },
    Key { name: "listener", default: Required },
    Key { name: "route", default: Words("required by http listeners") },
    Key { name: "forward", default: Words("required by tcp listeners") },
    Key { name: "timeouts", default: Words("its keys' defaults") },
    Key { name: "limits", default: Words("its keys' defaults") },
];
const LISTENER: &[Key] = &[
    Key { name: "address", default: Required },
    Key { name: "certificate", default: Words("none: plain HTTP, or bytes as they are") },
    Key { name: "key", default: Words("none: plain HTTP, or bytes as they are") },
    Key { name: "mode", default: Is("\"http\"") },
    Key { name: "proxy_protocol", default: Words("none is looked for") },
];
const ROUTE: &[Key] = &[
    Key { name: "path", default: Required },
    Key { name: "upstream", default: Required },
    Key { name: "host", default: Words("the upstream's host and port") },
    Key { name: "tls_name", default: Words("the upstream's host") },
    Key { name: "connect", default: Words("the upstream's host and port") },
    Key { name: "ca", default: Words("the built-in roots") },
    Key { name: "family", default: Is("\"auto\"") },
    Key { name: "warm", default: Words("1; 0 for `http://` and with `proxy_protocol`") },
    Key { name: "connection_age", default: Is("\"0s\"") },
    Key { name: "proxy_protocol", default: Words("none is sent") },
    Key { name: "redirects", default: Is("\"rewrite\"") },
];
const FORWARD: &[Key] = &[
    Key { name: "server_name", default: Required },
    Key { name: "upstream", default: Required },
    Key { name: "tls_name", default: Words("the upstream's host") },
    Key { name: "connect", default: Words("the upstream's host and port") },
    Key { name: "ca", default: Words("the built-in roots") },
    Key { name: "family", default: Is("\"auto\"") },
    Key { name: "connection_age", default: Is("\"0s\"") },
    Key { name: "proxy_protocol", default: Words("none is sent") },
];
const TIMEOUTS: &[Key] = &[
    Key { name: "handshake", default: Is("\"10s\"") },
    Key { name: "request_head", default: Is("\"10s\"") },
    Key { name: "keep_alive", default: Is("\"75s\"") },
    Key { name: "lookup", default: Is("\"10s\"") },
    Key { name: "connect", default: Is("\"5s\"") },
    Key { name: "upstream_handshake", default: Is("\"10s\"") },
    Key { name: "response_head", default: Is("\"10m\"") },
    Key { name: "tunnel", default: Is("\"10m\"") },
    Key { name: "linger", default: Is("\"2s\"") },
    Key { name: "to_upstream", default: Is("{ read = \"60s\", write = \"10m\" }") },
    Key { name: "to_client", default: Is("{ read = \"10m\", write = \"60s\" }") },
];
const TO_UPSTREAM: &[Key] =
    &[Key { name: "read", default: Is("\"60s\"") }, Key { name: "write", default: Is("\"10m\"") }];
const TO_CLIENT: &[Key] =
    &[Key { name: "read", default: Is("\"10m\"") }, Key { name: "write", default: Is("\"60s\"") }];
const LIMITS: &[Key] = &[
    Key { name: "connections", default: Is("10000") },
    Key { name: "connections_per_address", default: Words("`256`, loopback not counted") },
    Key { name: "head_bytes", default: Is("65536") },
    Key { name: "header_fields", default: Is("256") },
];

impl Config {
    /// Reads and checks a configuration file. Files that it names are not looked at.
    ///
    /// # Errors
    ///
    /// All that is wrong with the file, or that it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        read(path)
    }

    /// Checks the text of a configuration file called `name`, whose relative paths begin at
    /// `folder`. No file is touched.
    ///
    /// # Errors
    ///
    /// All that is wrong with the text.
    pub fn parse(name: &str, folder: &Path, text: &str) -> Result<Self, Problems> {
        parse(name, folder, text)
    }
}

fn read(path: &Path) -> Result<Config, Problems> {
    // Not a key that was said in its place.
    let name = path.display().to_string();
    let name = if may_be_secret(&name) { "(no name of a file)".to_owned() } else { name };
    let text = read_text(path).map_err(|(line, what)| {
        let mut problems = Problems::default();
        problems.add(&Location::File { name: name.as_str().into(), line, key: "".into() }, what);
        problems
    })?;
    parse(&name, path.parent().unwrap_or(Path::new("")), &text)
}

fn parse(name: &str, folder: &Path, text: &str) -> Result<Config, Problems> {
    let (mut reader, mut top) = Reader::open(name, text, TOP)?;
    let reader = &mut reader;
    reader.require(&top);
    let missing = ["route", "forward"].map(|key| {
        let location = reader.header(&top, key);
        (!reader.has(&top, key)).then_some(location)
    });
    let workers = reader.number(&mut top, "workers", WORKERS_RANGE);
    let listeners = reader.tables(&mut top, "listener", LISTENER);
    let listeners_said = listeners.len();
    let routes = reader.tables(&mut top, "route", ROUTE);
    let forwards = reader.tables(&mut top, "forward", FORWARD);
    let mut timeouts = reader.table(&mut top, "timeouts", "timeouts", TIMEOUTS);
    let mut limits = reader.table(&mut top, "limits", "limits", LIMITS);
    reader.finish(top);

    let config = Config {
        workers: workers.and_then(NonZeroUsize::new),
        listeners: listeners.into_iter().filter_map(|it| listener(reader, it, folder)).collect(),
        routes: routes.into_iter().filter_map(|it| route(reader, it, folder)).collect(),
        forwards: forwards.into_iter().filter_map(|it| forward(reader, it, folder)).collect(),
        timeouts: read_timeouts(reader, &mut timeouts),
        limits: read_limits(reader, &mut limits),
    };
    reader.finish(timeouts);
    reader.finish(limits);
    if config.listeners.len() == listeners_said {
        note_missing(reader, &config.listeners, missing);
    }
    check(&config, &mut reader.problems);
    std::mem::take(&mut reader.problems).or(config)
}

/// A listener needs something to lead to, each mode another table. A table that no listener needs
/// does no harm.
fn note_missing(reader: &mut Reader, listeners: &[ListenerConfig], missing: [Option<Location>; 2]) {
    let [route, forward] = missing;
    let has = |mode| listeners.iter().any(|listener| listener.mode == mode);
    if let Some(location) = route.filter(|_| has(Mode::Http) || !has(Mode::Tcp)) {
        reader.problems.add(&location, "this key is missing; an http listener leads to routes");
    }
    if let Some(location) = forward.filter(|_| has(Mode::Tcp)) {
        reader.problems.add(&location, "this key is missing; a tcp listener leads to forwards");
    }
}

fn listener(reader: &mut Reader, mut table: Table<'_>, folder: &Path) -> Option<ListenerConfig> {
    reader.require(&table);
    let address = reader.value::<ListenAddress>(&mut table, "address");
    let certificate = file(reader, &mut table, "certificate", folder);
    let key = file(reader, &mut table, "key", folder);
    let mode = reader.value::<Mode>(&mut table, "mode").map(|it| it.value).unwrap_or_default();
    let proxy_protocol = reader.values(&mut table, "proxy_protocol");
    reader.finish(table);
    let credentials = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(CredentialFiles { certificate, key }),
        (Some(NamedFile { location, .. }), None) => {
            reader.problems.add(&location, "a certificate needs its `key`; both or neither");
            None
        }
        (None, Some(NamedFile { location, .. })) => {
            reader.problems.add(&location, "a key needs its `certificate`; both or neither");
            None
        }
        (None, None) => None,
    };
    let Found { value: ListenAddress(address), location } = address?;
    Some(ListenerConfig { address, credentials, mode, proxy_protocol, location })
}

fn route(reader: &mut Reader, mut table: Table<'_>, folder: &Path) -> Option<RouteConfig> {
    reader.require(&table);
    let path = reader.value(&mut table, "path");
    let upstream = reader.value(&mut table, "upstream");
    let host = reader.value(&mut table, "host");
    let tls_name = reader.value(&mut table, "tls_name");
    let connect = reader.value(&mut table, "connect");
    let ca = file(reader, &mut table, "ca", folder);
    let family = reader.value(&mut table, "family");
    let warm_location = reader.place(&table, "warm");
    let warm = reader.number(&mut table, "warm", WARM_RANGE);
    let connection_age = reader.value::<Age>(&mut table, "connection_age");
    let proxy_protocol = reader.value(&mut table, "proxy_protocol");
    let redirects = reader.value(&mut table, "redirects");
    reader.finish(table);
    if let (Some(1..), Some(_), Some(location)) = (warm, &proxy_protocol, warm_location) {
        let what = "with `proxy_protocol` a connection belongs to one client; none can stand ready";
        reader.problems.add(&location, what);
    }
    let tls_locations =
        [tls_name.as_ref().map(|it| &it.location), ca.as_ref().map(|it| &it.location)];
    let tls_locations: Vec<Location> = tls_locations.into_iter().flatten().cloned().collect();
    let options = RouteOptions {
        host: host.map(|it| it.value),
        tls_name: tls_name.map(|it| it.value),
        connect: connect.map(|it| it.value),
        ca,
        family: family.map(|it| it.value),
        warm,
        connection_age: connection_age.and_then(|it| it.value.0),
        proxy_protocol: proxy_protocol.map(|it| it.value),
        redirects: redirects.map(|it| it.value).unwrap_or_default(),
    };
    let (Found { value: path, location }, Found { value: upstream, .. }) = (path?, upstream?);
    let route = RouteConfig::new(path, upstream, options, location);
    for location in tls_locations.iter().filter(|_| !route.is_tls()) {
        reader
            .problems
            .add(location, "the upstream is http://; only https:// has use for this key");
    }
    Some(route)
}

fn forward(reader: &mut Reader, mut table: Table<'_>, folder: &Path) -> Option<ForwardConfig> {
    reader.require(&table);
    let server_name = reader.value(&mut table, "server_name");
    let upstream = reader.value(&mut table, "upstream");
    let tls_name = reader.value(&mut table, "tls_name");
    let connect = reader.value(&mut table, "connect");
    let ca = file(reader, &mut table, "ca", folder);
    let family = reader.value(&mut table, "family");
    // A connection of a forward is one client's for as long as it lives: none is kept.
    let age = reader.value::<Age>(&mut table, "connection_age");
    let proxy_protocol = reader.value(&mut table, "proxy_protocol");
    reader.finish(table);
    let (
        Found { value: server_name, location },
        Found { value: upstream, location: upstream_location },
    ) = (server_name?, upstream?);
    let of_tls = [tls_name.as_ref().map(|it| &it.location), ca.as_ref().map(|it| &it.location)];
    let of_both = [
        connect.as_ref().map(|it| &it.location),
        family.as_ref().map(|it| &it.location),
        age.as_ref().map(|it| &it.location),
        proxy_protocol.as_ref().map(|it| &it.location),
    ];
    let (useless, what): (Vec<_>, _) = match &upstream {
        ForwardUpstream::Tls(_) => (Vec::new(), ""),
        ForwardUpstream::Tcp(_) => {
            (of_tls.to_vec(), "the upstream is tcp://; only tls:// has use for this key")
        }
        ForwardUpstream::Http => {
            let all = of_tls.iter().chain(&of_both).copied().collect();
            (all, "the upstream is in this process; only tcp:// and tls:// have use for this key")
        }
    };
    for location in useless.into_iter().flatten() {
        reader.problems.add(location, what);
    }
    let options = ForwardOptions {
        tls_name: tls_name.map(|it| it.value),
        connect: connect.map(|it| it.value),
        ca,
        family: family.map(|it| it.value),
        proxy_protocol: proxy_protocol.map(|it| it.value),
    };
    let way = ForwardWay::new(&upstream, options);
    Some(ForwardConfig { server_name, upstream, way, location, upstream_location })
}

fn read_timeouts(reader: &mut Reader, table: &mut Table<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let rows: [(&'static str, &mut Duration); 9] = [
        ("handshake", &mut timeouts.handshake),
        ("request_head", &mut timeouts.request_head),
        ("keep_alive", &mut timeouts.keep_alive),
        ("lookup", &mut timeouts.lookup),
        ("connect", &mut timeouts.connect),
        ("upstream_handshake", &mut timeouts.upstream_handshake),
        ("response_head", &mut timeouts.response_head),
        ("tunnel", &mut timeouts.tunnel),
        ("linger", &mut timeouts.linger),
    ];
    for (key, period) in rows {
        read_period(reader, table, key, period);
    }
    let mut gaps = reader.table(table, "to_upstream", "timeouts.to_upstream", TO_UPSTREAM);
    read_period(reader, &mut gaps, "read", &mut timeouts.to_upstream_read);
    read_period(reader, &mut gaps, "write", &mut timeouts.to_upstream_write);
    reader.finish(gaps);
    let mut gaps = reader.table(table, "to_client", "timeouts.to_client", TO_CLIENT);
    read_period(reader, &mut gaps, "read", &mut timeouts.to_client_read);
    read_period(reader, &mut gaps, "write", &mut timeouts.to_client_write);
    reader.finish(gaps);
    timeouts
}

/// Replaces the default in `period` by what `key` says.
fn read_period(
    reader: &mut Reader,
    table: &mut Table<'_>,
    key: &'static str,
    period: &mut Duration,
) {
    if let Some(Found { value: Period(said), .. }) = reader.value(table, key) {
        *period = said;
    }
}

fn read_limits(reader: &mut Reader, table: &mut Table<'_>) -> Limits {
    let Limits { connections, per_address, head: HeadLimits { bytes, fields } } = Limits::default();
    let head = HeadLimits {
        bytes: reader.number(table, "head_bytes", HEAD_BYTES_RANGE).unwrap_or(bytes),
        fields: reader.number(table, "header_fields", 1..=HEADER_FIELDS_MAX).unwrap_or(fields),
    };
    let connections = reader.number(table, "connections", CONNECTIONS_RANGE).unwrap_or(connections);
    let said = reader.number(table, "connections_per_address", CONNECTIONS_RANGE);
    // Who says a number means it for everybody.
    let said = said.map(|connections| AddressLimit { connections, counts_loopback: true });
    Limits { connections, per_address: said.unwrap_or(per_address), head }
}

/// The name of a file, relative to the configuration's folder.
fn file(
    reader: &mut Reader,
    table: &mut Table<'_>,
    key: &'static str,
    folder: &Path,
) -> Option<NamedFile> {
    let Found { value, location } = reader.file_name(table, key)?;
    Some(NamedFile { path: folder.join(value), location })
}

/// The whole file, or in which line and why it cannot be one.
fn read_text(path: &Path) -> Result<String, (usize, String)> {
    let unreadable = |error: io::Error| (1, format!("the file cannot be read: {error}"));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err((1, format!("the file is longer than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        (line, format!("the file is not UTF-8; its byte {at} is wrong"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_file::{MINIMAL, read, refuse};
    use crate::config::value::{Family, ProxyVersion};
    use crate::tls::test_pem::Folder;
    use std::time::Instant;

    /// All tables with their keys, and the headings of docs/configuration.md that describe them.
    const TABLES: &[(&str, &[Key])] = &[
        ("## Top level", TOP),
        ("## `[[listener]]`", LISTENER),
        ("## `[[route]]`", ROUTE),
        ("## `[[forward]]`", FORWARD),
        ("## `[timeouts]`", TIMEOUTS),
        ("### `to_upstream`", TO_UPSTREAM),
        ("### `to_client`", TO_CLIENT),
        ("## `[limits]`", LIMITS),
    ];

    const FORWARDING: &str = r#"
        [[listener]]
        address = "0.0.0.0:443"
        mode = "tcp"
        proxy_protocol = ["10.0.0.0/8", "::1"]

        [[forward]]
        server_name = "*.example.com"
        upstream = "tcp://10.0.0.5:443"
        proxy_protocol = "v2"

        [[forward]]
        server_name = "*"
        upstream = "tls://db.example.com:5432"
        tls_name = "db.internal"
        connect = "127.0.0.1:9443"
        ca = "ca.pem"
        family = "6"
    "#;

    #[test]
    fn what_is_not_said_has_a_default() {
        let config = read(MINIMAL).unwrap();
        assert_eq!(config.workers, None);
        assert_eq!(config.timeouts, Timeouts::default());
        assert_eq!(config.limits, Limits::default());
        let per_address = AddressLimit { connections: 256, counts_loopback: false };
        assert_eq!(config.limits.per_address, per_address);
        assert_eq!(config.listeners[0].credentials, None);
        assert_eq!(config.routes[0].host.as_str(), "api.openai.com");
        assert_eq!(config.routes[0].tls_name.to_string(), "api.openai.com");
        assert_eq!(config.routes[0].connect.to_string(), "api.openai.com:443");
        assert_eq!(config.routes[0].ca, None);
    }

    #[test]
    fn what_is_said_holds() {
        let config = read(
            r#"
            workers = 2
            timeouts.keep_alive = "1m"
            timeouts.to_client = { write = "90s" }
            limits.connections = 7
            limits.connections_per_address = 5
            limits.head_bytes = 1024
            limits.header_fields = 1
            [[listener]]
            address = "[::1]:1"
            certificate = "c.pem"
            key = "/k.pem"
            mode = "http"
            [[route]]
            path = "/"
            upstream = "https://[::1]:8443/v1/"
            host = "h.example"
            tls_name = "t.example"
            connect = "127.0.0.1:9443"
            ca = "ca.pem"
            "#,
        );
        let config = config.unwrap();
        assert_eq!(config.workers, NonZeroUsize::new(2));
        assert_eq!(config.timeouts.keep_alive, Duration::from_secs(60));
        assert_eq!(config.timeouts.to_client_write, Duration::from_secs(90));
        assert_eq!(config.timeouts.to_client_read, Duration::from_secs(600));
        let head = HeadLimits { bytes: 1024, fields: 1 };
        let per_address = AddressLimit { connections: 5, counts_loopback: true };
        assert_eq!(config.limits, Limits { connections: 7, per_address, head });
        let files = config.listeners[0].credentials.as_ref().unwrap();
        assert_eq!(files.certificate.path, Path::new("folder/c.pem"));
        assert_eq!(files.key.path, Path::new("/k.pem"));
        let route = &config.routes[0];
        assert_eq!(route.host.as_str(), "h.example");
        assert_eq!(route.tls_name.to_string(), "t.example");
        assert_eq!(route.connect.to_string(), "127.0.0.1:9443");
        assert_eq!(route.ca.as_ref().unwrap().path, Path::new("folder/ca.pem"));
    }

    #[test]
    fn all_problems_are_told_at_once_each_with_its_line() {
        let text = r#"worker = 2
[[listener]]
adress = "127.0.0.1:8080"
[[route]]
path = "/gpt"
upstream = "https://api.openai.com/v1"
[timeouts]
connect = 5
linger = "0s"
[limits]
connections = 0
"#;
        let problems = [
            "f:1: unknown key \"worker\"; did you mean \"workers\"?",
            "f:2: listener.address: this key is missing; it has no default",
            "f:3: listener: unknown key \"adress\"; did you mean \"address\"?",
            "f:5: route.path: the path \"/gpt\" does not end in \"/\"; a path that begins and ends \
             with \"/\" is allowed; did you mean \"/gpt/\"?",
            "f:6: route.upstream: the path \"/v1\" does not end in \"/\"; http:// or https://, a \
             host, an optional port and a path that ends in \"/\" are allowed; did you mean \
             \"/v1/\"?",
            "f:8: timeouts.connect: invalid type: integer `5`, expected a string; a whole number \
             of ms, s, m or h is allowed, from \"1ms\" to \"24h\"",
            "f:9: timeouts.linger: \"0s\" is no time at all; a whole number of ms, s, m or h is \
             allowed, from \"1ms\" to \"24h\"",
            "f:11: limits.connections: 0 is out of range; 1 to 1000000 is allowed",
        ];
        assert_eq!(read(text).unwrap_err().to_string(), problems.join("\n"));
    }

    #[test]
    fn an_empty_file_lacks_a_listener_and_a_route() {
        let want = "f:1: listener: this key is missing; it has no default\n\
                    f:1: route: this key is missing; an http listener leads to routes";
        assert_eq!(read("").unwrap_err().to_string(), want);
        refuse("listener = []\nroute = []", "f:1: listener: there is none; at least one");
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        refuse("a = 1\nb = \n", "f:2: this is not TOML: ");
        refuse("a = 1\na = 2\n", "f:2: this is not TOML: duplicate key");
        refuse("workers = 1\n[limits]\n[limits]\n", "f:3: this is not TOML: duplicate key");
        refuse("\0", "f:1: this is not TOML: ");
        let many = read(&"= = \n".repeat(100)).unwrap_err();
        assert!(many.iter().len() <= 3);
    }

    #[test]
    fn wrong_types_are_told() {
        let with = |text: &str| format!("{text}\n{MINIMAL}");
        refuse(&with("workers = \"2\""), "workers: this is a TOML string; 1 to 256 is allowed");
        refuse(&with("workers = 2.0"), "workers: this is a TOML float; 1 to 256");
        refuse(&with("workers = -1"), "workers: -1 is out of range; 1 to 256 is allowed");
        refuse(
            &with("workers = 99999999999999999999"),
            "workers: 99999999999999999999 is out of range",
        );
        refuse(&with("timeouts = 5"), "timeouts: this is a TOML integer; a table [timeouts]");
        refuse(
            "[listener]\naddress = \"127.0.0.1:1\"",
            "f:1: listener: this is a TOML table; tables [[listener]]",
        );
        refuse("route = [1]", "f:1: route: this is a TOML integer; tables [[route]]");
        refuse(&with("timeouts.to_client = \"5s\""), "timeouts.to_client: this is a TOML string");
    }

    #[test]
    fn a_tcp_listener_and_its_forwards_need_no_route() {
        let config = read(FORWARDING).unwrap();
        assert_eq!(config.listeners[0].mode, Mode::Tcp);
        assert_eq!(config.listeners[0].proxy_protocol.len(), 2);
        let way = |index: usize| config.forwards[index].way.clone().unwrap();
        assert_eq!(config.forwards[0].upstream.to_string(), "tcp://10.0.0.5:443");
        assert_eq!(way(0).connect.to_string(), "10.0.0.5:443");
        assert_eq!(way(0).proxy_protocol, Some(ProxyVersion::V2));
        assert_eq!(way(1).tls_name.to_string(), "db.internal");
        assert_eq!(way(1).connect.to_string(), "127.0.0.1:9443");
        assert_eq!(way(1).ca.unwrap().path, Path::new("folder/ca.pem"));
        assert_eq!(way(1).family, Family::V6);
    }

    #[test]
    fn the_text_of_the_first_design_is_a_valid_file() {
        let design = r#"
workers = 2                                # optional, as all but one listener and one route

[[listener]]
address = "0.0.0.0:443"
certificate = "fullchain.pem"              # with `key`: HTTPS. Without both: plain HTTP
key = "privkey.pem"
# mode = "tcp"                             # default "http"; see [[forward]]
# proxy_protocol = ["10.0.0.0/8"]          # accept a PROXY v1/v2 header from these peers only

[[route]]                                  # the longest matching path wins
path = "/gpt/"                             # replaced by the upstream's path, byte for byte
upstream = "https://api.openai.com/"       # http:// too, for a local model server
# host = "api.openai.com"                  # Host sent; default: the upstream's authority
# tls_name = "api.openai.com"              # SNI sent and name verified
# connect = "127.0.0.1:9443"               # dial this instead of resolving the host
# ca = "private-ca.pem"                    # trust these roots instead of the built-in ones

[[forward]]                                # what a tcp listener does; first match wins
server_name = "*.example.com"              # the client's SNI: exact, one wildcard label, or "*"
upstream = "tcp://10.0.0.5:443"            # bytes as they are; "tls://host:port" begins TLS, then
                                           # `tls_name`, `connect` and `ca` as on a route
# proxy_protocol = "v2"                    # announce the client to the upstream: "v1" or "v2"
"#;
        assert!(read(design).is_ok());
        // And so are the keys that stand in comments there.
        assert_eq!(read(&design.replace("\n# ", "\n")).map(|_| ()), Ok(()));
    }

    #[test]
    fn a_listener_without_anything_to_lead_to_is_refused() {
        let listener = |mode| format!("[[listener]]\naddress = \"127.0.0.1:1\"\nmode = \"{mode}\"");
        let missing = read(&listener("http")).unwrap_err().to_string();
        assert_eq!(missing, "f:1: route: this key is missing; an http listener leads to routes");
        let missing = read(&listener("tcp")).unwrap_err().to_string();
        assert_eq!(missing, "f:1: forward: this key is missing; a tcp listener leads to forwards");
        refuse(
            &listener("htp"),
            "\"htp\" is not a mode; \"http\" and \"tcp\" are allowed; did you",
        );
        // Forwards that nobody asks for do no harm.
        let forward = "[[forward]]\nserver_name = \"*\"\nupstream = \"tcp://10.0.0.5:443\"\n";
        assert!(read(&format!("{MINIMAL}\n{forward}")).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_one_is_refused() {
        let read = |path: &str| Config::read(Path::new(path)).unwrap_err().to_string();
        assert!(read("/nonexistent.toml").starts_with("/nonexistent.toml:1: the file cannot be"));
        assert!(read("/").starts_with("/:1: the file cannot be read: "));
        assert_eq!(read("/dev/zero"), "/dev/zero:1: the file is longer than 1048576 bytes");
        let folder = Folder::new();
        let message = read(folder.write("latin", b"\n\n# caf\xe9").to_str().unwrap());
        let want = "latin:3: the file is not UTF-8; its byte 7 is wrong";
        assert!(message.ends_with(want), "{message}");
    }

    #[test]
    fn hostile_text_is_refused_in_bounded_time() {
        let started = Instant::now();
        for piece in ["a", "[", "[[", "{", "a.", "[a]\n", "a={a=", "\"\\u", "é\n", "[[route]]\n"] {
            assert!(read(&piece.repeat(20_000)).is_err());
        }
        let many_keys: String = (0..20_000).map(|number| format!("a{number} = 1\n")).collect();
        assert_eq!(read(&many_keys).unwrap_err().iter().len(), 20_002);
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_default_that_is_said_changes_nothing() {
        // Room for a key in each table, so that the lines of the others stay.
        let text = |said: &str, line: &str| {
            let place = |table: &str| if table == said { line } else { "" };
            let dotted = ["timeouts", "timeouts.to_upstream", "timeouts.to_client", "limits"];
            let headings =
                ["## `[timeouts]`", "### `to_upstream`", "### `to_client`", "## `[limits]`"];
            let dotted = headings.iter().zip(dotted).find(|(heading, _)| **heading == said);
            let dotted = dotted.map(|(_, table)| format!("{table}.{line}")).unwrap_or_default();
            let dotted = if line.is_empty() { "" } else { &dotted };
            format!(
                r#"{}{dotted}
                [[listener]]
                address = "127.0.0.1:8080"
                {}
                [[listener]]
                address = "127.0.0.1:8081"
                mode = "tcp"
                [[route]]
                path = "/gpt/"
                upstream = "https://api.openai.com/"
                {}
                [[forward]]
                server_name = "*"
                upstream = "tcp://127.0.0.1:22"
                {}
                "#,
                place("## Top level"),
                place("## `[[listener]]`"),
                place("## `[[route]]`"),
                place("## `[[forward]]`"),
            )
        };
        for (table, keys) in TABLES {
            for Key { name, default } in *keys {
                let Is(value) = default else { continue };
                let (said, unsaid) = (text(table, &format!("{name} = {value}")), text(table, ""));
                assert_ne!(said, unsaid, "{table} {name}: nothing is said");
                assert_eq!(read(&said).unwrap(), read(&unsaid).unwrap(), "{table} {name}");
            }
        }
    }

    #[test]
    fn the_manual_explains_every_key_and_gives_its_default() {
        let manual = include_str!("../../docs/configuration.md");
        for (heading, keys) in TABLES {
            let section = manual.split_once(&format!("\n{heading}\n"));
            let (_, section) = section.unwrap_or_else(|| panic!("no heading {heading}"));
            let section = section.split("\n#").next().unwrap();
            let rows = section.lines().filter(|line| line.starts_with("| `"));
            assert_eq!(rows.count(), keys.len(), "{heading}: a row for each key, and no other");
            for Key { name, default } in *keys {
                let row = section.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
                let row = row.unwrap_or_else(|| panic!("{heading}: no row for {name}"));
                let said = row.trim_end_matches('|').rsplit('|').next().unwrap().trim();
                let want = match default {
                    Required => "required".to_owned(),
                    Is(value) => format!("`{value}`"),
                    Words(words) => (*words).to_owned(),
                };
                assert_eq!(said, want, "{heading}: {name}");
            }
        }
    }

    #[test]
    fn the_examples_of_the_manual_are_valid() {
        let manual = include_str!("../../docs/configuration.md");
        let examples: Vec<_> = manual.split("```toml\n").skip(1).collect();
        assert!(!examples.is_empty());
        for example in examples {
            let example = example.split("```").next().unwrap();
            assert_eq!(read(example).map(|_| ()), Ok(()), "{example}");
        }
    }
}
