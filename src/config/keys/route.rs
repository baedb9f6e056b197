//! `[[route]]`: [`RouteConfig`].

use crate::config::problem::Location;
use crate::config::url::{Endpoint, Host, HostField, Scheme, UpstreamUrl};
use crate::config::value::{Family, NamedFile, ProxyVersion, Redirects, RoutePath};
use crate::limits::POOL_CONNECTIONS_MAX;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Connections to an `https://` upstream that stand ready by default, all workers together;
/// `route.warm` changes it. To one of `http://` it is none: there is no handshake to save, and many
/// servers behind it serve one connection at a time.
pub const WARM_DEFAULT: usize = 1;
/// Range that `route.warm` may be set to: a pool holds no more idle connections than that.
pub const WARM_RANGE: RangeInclusive<usize> = 0..=POOL_CONNECTIONS_MAX;

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

#[cfg(test)]
mod tests {
    use crate::config::test_file::{MINIMAL, read, refuse};

    #[test]
    fn connections_that_name_their_client_do_not_stand_ready() {
        let with = |text: &str| read(&format!("{MINIMAL}{text}\n"));
        assert_eq!(with("proxy_protocol = \"v1\"").unwrap().routes[0].warm, 0);
        assert!(with("proxy_protocol = \"v1\"\nwarm = 0").is_ok());
        let refused = with("proxy_protocol = \"v1\"\nwarm = 2").unwrap_err().to_string();
        assert!(refused.contains("route.warm: with `proxy_protocol`"), "{refused}");
    }

    #[test]
    fn tls_settings_of_a_plain_upstream_are_refused() {
        let route = "[[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:1/\"\n";
        let text = format!("{route}tls_name = \"a\"\nca = \"c\"\n");
        refuse(&text, "f:4: route.tls_name: the upstream is http://");
        refuse(&text, "f:5: route.ca: the upstream is http://");
    }
}
