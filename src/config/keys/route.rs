//! `[[route]]`: [`RouteConfig`] and its keys.

use crate::config::address_list::AddressList;
use crate::config::key::Default::{Literal, Required, Words};
use crate::config::key::Read::With;
use crate::config::key::{Key, Needs, read_table, row};
use crate::config::problem::Location;
use crate::config::reach::{self, Reach, ReachOptions};
use crate::config::route_access::{AccessOptions, Anyone, KeyField, VariableName, key_source};
use crate::config::systemd_credentials::file_or_credential;
use crate::config::table::{Reader, Table};
use crate::config::url::{HostField, Scheme, UpstreamUrl};
use crate::config::value::{Age, NamedFile, Redirects, RoutePath};
use crate::gateway::rewrite::uri_reference::Origins;
use crate::gateway::route::Route;
use crate::h1::limits::HeadLimits;
use crate::limits::WARM_CONNECTIONS_MAX;
use crate::timeouts::Timeouts;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Connections kept ready to an `https://` upstream by default, all workers together; `route.warm`
/// changes it. An `http://` upstream gets none by default: there is no handshake to save, and many
/// such servers serve one connection at a time.
pub const WARM_DEFAULT: usize = 1;
/// Range of `route.warm`: a pool keeps no more idle connections than that.
pub const WARM_RANGE: RangeInclusive<usize> = 0..=WARM_CONNECTIONS_MAX;

/// A `[[route]]`, its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Prefix of the request paths that this route serves.
    pub path: RoutePath,
    /// The upstream; its path replaces the prefix.
    pub upstream: UpstreamUrl,
    /// Value of the Host field to send.
    pub host: HostField,
    /// How the upstream is reached.
    pub reach: Reach,
    /// Connections kept ready, all workers together.
    pub warm: usize,
    /// Greatest age of a kept connection.
    pub connection_age: Option<Duration>,
    /// Whether the upstream's references to itself are rewritten.
    pub redirects: Redirects,
    /// Who may use it, and with which keys.
    pub access: AccessOptions,
    /// Location of the path.
    pub location: Location,
}

/// The optional keys of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// Default: the upstream's authority.
    pub host: Option<HostField>,
    /// How the upstream is reached.
    pub reach: ReachOptions,
    /// Default: [`WARM_DEFAULT`]. 0 for `http://`, and with `proxy_protocol`, where a connection is
    /// opened for one known client.
    pub warm: Option<usize>,
    /// Default: none.
    pub connection_age: Option<Duration>,
    /// Default: they are rewritten.
    pub redirects: Redirects,
    /// Default: everyone, with credentials of their own.
    pub access: AccessOptions,
}

/// The table as it is read.
#[derive(Default)]
pub(super) struct Draft {
    path: Option<RoutePath>,
    upstream: Option<UpstreamUrl>,
    key_file: Option<NamedFile>,
    key_env: Option<(VariableName, Location)>,
    options: RouteOptions,
}

pub(super) const KEYS: &[Key<Draft>] = &[
    Key::new(
        "path",
        With(|it, entry| it.path = entry.value()),
        Required,
        row(
            "Prefix of the request paths that this route serves. Two routes must not have the \
             same one.",
            "begins and ends with `/`; visible ASCII without `?`, `#` and dot segments",
        ),
    ),
    Key::new(
        "upstream",
        With(|it, entry| it.upstream = entry.value()),
        Required,
        row(
            "The URL that replaces the prefix: `https://` (always verified) or `http://`, a host, \
             a port from 1 to 65535 (default 443 or 80), a path (default `/`). No user \
             information, query or fragment.",
            "`\"https://api.openai.com/\"`, `\"http://[::1]:11434/v1/\"`",
        ),
    ),
    Key::new(
        "host",
        With(|it, entry| it.options.host = entry.value()),
        Words("the upstream's host and port"),
        row("Value of the Host field that is sent.", "a host and an optional port"),
    ),
    reach::tls_name(),
    reach::connect(),
    reach::ca(),
    reach::client_certificate(),
    reach::client_key(),
    reach::key_exchange(),
    reach::family(),
    Key::number(
        "warm",
        WARM_RANGE,
        |it, number| it.options.warm = Some(number),
        Words("1; 0 for `http://` and with `proxy_protocol`"),
        "Connections that are kept ready, with the handshake done, all workers together: from the \
         start, and for 10 minutes after the last request. With `0` none is opened before a \
         request needs it. See [below](#connections-that-no-request-has-asked-for).",
    ),
    Key::new(
        "connection_age",
        With(|it, entry| it.options.connection_age = entry.value().and_then(|Age(age)| age)),
        Literal("\"0s\""),
        row(
            "Greatest age of a kept connection. An older one is closed when it is idle or its \
             exchange has ended; no running exchange is cut. For upstreams that move to other \
             addresses.",
            "`\"10m\"`, up to `\"24h\"`; `\"0s\"`: no limit",
        ),
    ),
    reach::proxy_protocol(),
    Key::new(
        "redirects",
        With(|it, entry| it.options.redirects = entry.value().unwrap_or_default()),
        Literal("\"rewrite\""),
        row(
            "Whether redirects and cookies that name the upstream's own paths are [rewritten to \
             lead through the route](protocol.md#redirects-and-cookies), or pass unchanged.",
            "`\"rewrite\"`, `\"keep\"`",
        ),
    ),
    Key::new(
        "clients",
        With(|it, entry| it.options.access.is_for_anyone = entry.value() == Some(Anyone)),
        Words("each [`[[client]]`](#client), if there is one"),
        row(
            "No [token](access.md) is needed on this route, although there are clients. On a route \
             with keys it says that everyone who reaches a listener may use them.",
            "`\"anyone\"`",
        ),
    ),
    Key::new(
        "key_file",
        With(|it, entry| it.key_file = file_or_credential(entry)),
        Words("none: clients have keys of their own"),
        row(
            "A file of the [API's keys](access.md#keys), one a line, the first in use. A key takes \
             the place of the client's token; no other credential is forwarded. The file is [read \
             again](access.md#files-of-tokens-and-keys) when it changes.",
            "a file of up to 1 MiB, relative to this file's folder, or a [systemd \
             credential](access.md#files-of-tokens-and-keys)",
        ),
    ),
    Key::new(
        "key_env",
        With(|it, entry| {
            let location = entry.location.clone();
            it.key_env = entry.value().map(|name| (name, location));
        }),
        Words("none"),
        row(
            "The variable of the environment that holds the API's key, in place of `key_file`. It \
             is read at the start; a change needs a restart.",
            "a name: `\"OPENAI_API_KEY\"`",
        ),
    ),
    Key::new(
        "key_field",
        With(|it, entry| it.options.access.key_field = entry.value().unwrap_or_default()),
        Literal("\"authorization\""),
        row(
            "The field that the API expects its key in. `authorization` is sent as `Bearer KEY`.",
            "`\"authorization\"`, `\"x-api-key\"` (Anthropic), `\"api-key\"` (Azure), \
             `\"x-goog-api-key\"` (Gemini)",
        ),
    ),
    Key::new(
        "websocket",
        With(|it, entry| it.options.access.websocket = entry.boolean().unwrap_or(true)),
        Literal("true"),
        row(
            "Whether clients may switch to the WebSocket protocol. With `false` they get \
             `websocket_off` (426) at once, which makes coding agents use plain requests.",
            "`true`, `false`",
        ),
    ),
    Key::new(
        "cors",
        With(|it, entry| it.options.access.cors = entry.boolean().unwrap_or_default()),
        Literal("false"),
        row(
            "Whether CORS preflights of browsers are [answered here](access.md#browsers), for APIs \
             that do not answer them. Otherwise they are forwarded, without a credential. On a \
             route with keys that asks for no token, it also \
             [lets pages of all sites in](access.md#keys-without-tokens-and-web-pages).",
            "`true`, `false`",
        ),
    ),
    Key::new(
        "allow",
        With(|it, entry| it.options.access.allow = Some(AddressList::read(entry))),
        Words("all that the listener serves"),
        row(
            "Addresses of clients that may use this route; others get 403 `address_not_allowed`. \
             The `allow` of the listener counts first.",
            "a list, as for a [listener](#listener)",
        ),
    ),
];

impl AsMut<ReachOptions> for Draft {
    fn as_mut(&mut self) -> &mut ReachOptions {
        &mut self.options.reach
    }
}

impl RouteConfig {
    /// A route with defaults for every option that is not set.
    pub fn new(
        path: RoutePath,
        upstream: UpstreamUrl,
        options: RouteOptions,
        location: Location,
    ) -> Self {
        let RouteOptions { host, reach, warm, connection_age, redirects, access } = options;
        let is_tls = upstream.scheme == Scheme::Https;
        let can_stand_ready = is_tls && reach.proxy_protocol.is_none();
        Self {
            path,
            host: host.unwrap_or_else(|| HostField::of(&upstream)),
            reach: Reach::new(is_tls, upstream.endpoint.clone(), reach),
            warm: warm.unwrap_or(if can_stand_ready { WARM_DEFAULT } else { 0 }),
            connection_age,
            redirects,
            access,
            upstream,
            location,
        }
    }

    /// The route to `upstream`, as the gateway knows it.
    pub fn to<U>(&self, upstream: U, timeouts: Arc<Timeouts>, head_limits: HeadLimits) -> Route<U> {
        Route {
            origins: self.origins(),
            timeouts,
            head_limits,
            ..Route::new(self.path.as_str(), &self.upstream.path, self.host.as_str(), upstream)
        }
    }

    /// What the upstream may call itself, if its references to itself are rewritten.
    fn origins(&self) -> Option<Origins> {
        if self.redirects == Redirects::Keep {
            return None;
        }
        let dialed = self.reach.connect.to_string();
        let names = [&*self.upstream.authority, self.host.as_str(), &dialed];
        Some(Origins::new(self.reach.is_tls, names.map(str::as_bytes)))
    }
}

/// Reads a `[[route]]`. `None` if a required key is missing or wrong.
pub(super) fn read(reader: &mut Reader, table: Table<'_>) -> Option<RouteConfig> {
    let mut draft = Draft::default();
    let present = read_table(reader, table, KEYS, &mut draft);
    let Draft { path, upstream, key_file, key_env, mut options } = draft;
    options.access.keys = key_source(key_file, key_env, &mut reader.problems);
    if let Some(location) = present.location("key_field")
        && options.access.key_field != KeyField::default()
        && present.location("key_file").or(present.location("key_env")).is_none()
    {
        let what = "without `key_file` or `key_env` there is no key to put into the field";
        reader.problems.add(location, what);
    }
    options.reach.check(&mut reader.problems);
    if let (Some(1..), Some(_)) = (options.warm, options.reach.proxy_protocol)
        && let Some(location) = present.location("warm")
    {
        let what = "with `proxy_protocol` a connection belongs to one client; none can stand ready";
        reader.problems.add(location, what);
    }
    let location = present.location("path")?.clone();
    let route = RouteConfig::new(path?, upstream?, options, location);
    if !route.reach.is_tls {
        let what = "the upstream is http://; only https:// has use for this key";
        present.without_effect(Needs::Server).for_each(|key| reader.problems.add(key, what));
    }
    Some(route)
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};

    #[test]
    fn no_connection_is_kept_ready_where_it_names_its_client() {
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
