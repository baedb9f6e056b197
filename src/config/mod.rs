//! What the operator said, checked and completed with defaults: [`Config`].
//!
//! Plain values: nothing is loaded, looked up or opened yet, so a configuration can be built by
//! hand in a test. It comes from the file ([`Config::read`]) or from the command line (`cli`);
//! [`snapshot`] then loads what it names.
//!
//! Not here: the syntax of single values ([`value`], [`url`]), the walk over the file (`file`), the
//! defaults of the limits of time (`timeouts`), the bounds that nobody may choose (`limits`).

mod file;
pub mod files;
pub mod forward;
pub mod network;
pub mod problem;
pub mod snapshot;
mod table;
pub mod url;
pub mod value;

use crate::h1::head::HeadLimits;
use crate::limits::{HEAD_BYTES_DEFAULT, HEADER_FIELDS_DEFAULT, POOL_CONNECTIONS_MAX};
use crate::net::admission::AddressLimit;
use crate::timeouts::Timeouts;
use forward::{ForwardConfig, shares_address};
use network::Network;
use problem::{Location, Problems, quoted};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::{Endpoint, Host, HostField, Scheme, UpstreamUrl};
use value::{Family, Mode, ProxyVersion, Redirects, RoutePath};

/// Range of `workers` and `--workers`: one thread each, and no machine this is for has more cores.
pub const WORKERS_RANGE: RangeInclusive<usize> = 1..=256;
/// Connections to an `https://` upstream that stand ready by default, all workers together;
/// `route.warm` changes it. To one of `http://` it is none: there is no handshake to save, and many
/// servers behind it serve one connection at a time.
pub const WARM_DEFAULT: usize = 1;
/// Range that `route.warm` may be set to: a pool holds no more idle connections than that.
pub const WARM_RANGE: RangeInclusive<usize> = 0..=POOL_CONNECTIONS_MAX;

/// Client connections at one time by default; `limits.connections` changes it.
///
/// At the 17.5 KB that a TLS connection with a held stream costs on both sides, 175 MB: a third
/// of the smallest machine this is for.
pub const CONNECTIONS_DEFAULT: usize = 10_000;
/// Range that `limits.connections` may be set to; the descriptors end long before it does.
pub const CONNECTIONS_RANGE: RangeInclusive<usize> = 1..=1_000_000;
/// Client connections of one address by default; `limits.connections_per_address` changes it.
///
/// A browser opens six, an SDK as many as it has calls under way: a busy machine, or an office
/// behind one address, fits in. Forty such addresses fill [`CONNECTIONS_DEFAULT`], and not one.
/// Loopback is free by default: whoever is on this machine can do worse, and a proxy or a tunnel
/// that ends here makes all its clients look like one.
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: AddressLimit =
    AddressLimit { connections: 256, counts_loopback: false };
/// Where the command line listens when it names no address: this machine only.
pub const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Longest configuration file, in bytes: thousands of routes. More is some other file.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Worker threads; `None`: as many as there are cores.
    pub workers: Option<NonZeroUsize>,
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// What they can reach by HTTP; at least one if a listener speaks it, no two with one path.
    pub routes: Vec<RouteConfig>,
    /// What they can reach otherwise; at least one if a listener is in tcp mode.
    pub forwards: Vec<ForwardConfig>,
    /// What may take how long.
    pub timeouts: Timeouts,
    /// What may grow how large.
    pub limits: Limits,
}

impl Config {
    /// Reads and checks a configuration file. Files that it names are not looked at.
    ///
    /// # Errors
    ///
    /// All that is wrong with the file, or that it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        file::read(path)
    }

    /// Checks the text of a configuration file called `name`, whose relative paths begin at
    /// `folder`. No file is touched.
    ///
    /// # Errors
    ///
    /// All that is wrong with the text.
    pub fn parse(name: &str, folder: &Path, text: &str) -> Result<Self, Problems> {
        file::parse(name, folder, text)
    }
}

/// A `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address and port to bind; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// With them: HTTPS, or TLS that ends here. Without: plain HTTP, or bytes as they are.
    pub credentials: Option<CredentialFiles>,
    /// What is spoken.
    pub mode: Mode,
    /// Peers that have to announce their clients by a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// Where the address was said.
    pub location: Location,
}

/// The two files of a TLS listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFiles {
    /// PEM: the certificate, then its intermediates.
    pub certificate: NamedFile,
    /// PEM: the private key of the first certificate.
    pub key: NamedFile,
}

/// A file to load, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Path, already relative to the folder of the configuration file.
    pub path: PathBuf,
    /// Where it was named: problems with the file are told there.
    pub location: Location,
}

/// A `[[route]]`, its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Prefix of the request paths that go this way.
    pub path: RoutePath,
    /// The upstream; its path replaces the prefix.
    pub upstream: UpstreamUrl,
    /// Value of the Host field to send.
    pub host: HostField,
    /// Name to verify and to send as SNI; unused for `http`.
    pub tls_name: Host,
    /// What to dial.
    pub connect: Endpoint,
    /// Roots to trust instead of the built-in ones.
    pub ca: Option<NamedFile>,
    /// Which of the upstream's addresses are used.
    pub family: Family,
    /// Connections that stand ready, all workers together.
    pub warm: usize,
    /// Older connections are not kept.
    pub connection_age: Option<Duration>,
    /// Announce the client by a PROXY header.
    pub proxy_protocol: Option<ProxyVersion>,
    /// What becomes of the upstream's references to itself.
    pub redirects: Redirects,
    /// Where the path was said.
    pub location: Location,
}

/// What a route may say beyond its path and upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// Default: the upstream's authority.
    pub host: Option<HostField>,
    /// Default: the upstream's host.
    pub tls_name: Option<Host>,
    /// Default: the upstream's host and port.
    pub connect: Option<Endpoint>,
    /// Default: the built-in roots.
    pub ca: Option<NamedFile>,
    /// Default: both families.
    pub family: Option<Family>,
    /// Default: [`WARM_DEFAULT`], or 0 for `http`, and where each client is announced: nobody can
    /// know for whom a connection should stand ready.
    pub warm: Option<usize>,
    /// Default: none.
    pub connection_age: Option<Duration>,
    /// Default: none is sent.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Default: they come back through the route.
    pub redirects: Redirects,
}

impl RouteConfig {
    /// A route with the defaults for everything that `options` leaves open.
    pub fn new(
        path: RoutePath,
        upstream: UpstreamUrl,
        options: RouteOptions,
        location: Location,
    ) -> Self {
        let warm_default = match (upstream.scheme, options.proxy_protocol) {
            (Scheme::Https, None) => WARM_DEFAULT,
            (Scheme::Http, _) | (_, Some(_)) => 0,
        };
        Self {
            path,
            host: options.host.unwrap_or_else(|| HostField::of(&upstream)),
            tls_name: options.tls_name.unwrap_or_else(|| upstream.endpoint.host.clone()),
            connect: options.connect.unwrap_or_else(|| upstream.endpoint.clone()),
            ca: options.ca,
            family: options.family.unwrap_or_default(),
            warm: options.warm.unwrap_or(warm_default),
            connection_age: options.connection_age,
            proxy_protocol: options.proxy_protocol,
            redirects: options.redirects,
            upstream,
            location,
        }
    }

    /// Whether the upstream is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        match self.upstream.scheme {
            Scheme::Http => false,
            Scheme::Https => true,
        }
    }
}

/// The `[limits]` table. Fixed bounds are in `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at one time, all workers together. Beyond it: 503 with Retry-After, or
    /// a close before TLS.
    pub connections: usize,
    /// Those of one address. Beyond it: the same.
    pub per_address: AddressLimit,
    /// Of every message head, from clients and upstreams alike.
    pub head: HeadLimits,
}

impl Default for Limits {
    fn default() -> Self {
        let head = HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: HEADER_FIELDS_DEFAULT };
        let per_address = CONNECTIONS_PER_ADDRESS_DEFAULT;
        Self { connections: CONNECTIONS_DEFAULT, per_address, head }
    }
}

/// Two routes with one path, or two listeners with one address: only one of them could serve.
pub(crate) fn check_duplicates(config: &Config, problems: &mut Problems) {
    let mut paths = BTreeMap::new();
    for route in &config.routes {
        if let Some(first) = paths.insert(route.path.as_str(), &route.location) {
            let what = format!("{} is routed twice", quoted(route.path.as_str()));
            problems.add(&route.location, format!("{what}{}", also_at(first)));
        }
    }
    let mut addresses = BTreeMap::new();
    let mut ports = BTreeMap::new();
    // Port 0 is another port each time, and a tcp listener may lead to an http listener.
    for listener in config.listeners.iter().filter(|it| it.address.port() != 0) {
        let shares = shares_address(config, listener);
        if let Some(first) = addresses.insert((listener.address, shares), &listener.location) {
            let what = format!("{} is listened on twice{}", listener.address, also_at(first));
            problems.add(&listener.location, what);
        } else if !shares {
            check_overlap(listener, &mut ports, problems);
        }
    }
}

/// Notes a listener on an address that another one has with all others of its family: the kernel
/// gives no port to both. `ports` has the listeners before it.
fn check_overlap<'c>(
    listener: &'c ListenerConfig,
    ports: &mut BTreeMap<(bool, u16), &'c ListenerConfig>,
    problems: &mut Problems,
) {
    let is_wildcard = |it: &ListenerConfig| it.address.ip().is_unspecified();
    let address = listener.address;
    let first = ports.entry((address.is_ipv4(), address.port())).or_insert(listener);
    if first.address != address && (is_wildcard(first) || is_wildcard(listener)) {
        let (wide, narrow) =
            if is_wildcard(first) { (first.address, address) } else { (address, first.address) };
        let what = format!("{wide} takes in {narrow}; only one of them can have the port");
        problems.add(&listener.location, format!("{what}{}", also_at(&first.location)));
    }
    if is_wildcard(listener) {
        *first = listener;
    }
}

/// Points to the other place, when there is something to point to.
fn also_at(first: &Location) -> String {
    match first {
        Location::File { line, .. } => format!("; the first is in line {line}"),
        Location::Argument(_) => String::new(),
    }
}
