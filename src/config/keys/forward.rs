//! `[[forward]]`: [`ForwardConfig`], its keys, and their values.

use crate::config::key::Default::{Literal, Required};
use crate::config::key::Read::With;
use crate::config::key::{Key, Needs, read_table, row};
use crate::config::problem::{Location, quoted};
use crate::config::reach::{self, Reach, ReachOptions};
use crate::config::table::{Reader, Table};
use crate::config::url::{Endpoint, Host};
use crate::config::value::{Age, Invalid, Value};
use crate::gateway::server_name::NamePattern;
use std::fmt;
use std::str::FromStr;

/// A `[[forward]]`, its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardConfig {
    /// The server names that this forward is for.
    pub server_name: ServerNames,
    /// Where its connections go.
    pub upstream: ForwardUpstream,
    /// How the upstream is reached; `None` for `http`.
    pub reach: Option<Reach>,
    /// Location of the server name.
    pub location: Location,
    /// Location of the upstream.
    pub upstream_location: Location,
}

/// The table as it is read.
#[derive(Default)]
pub(super) struct Draft {
    server_name: Option<ServerNames>,
    upstream: Option<ForwardUpstream>,
    reach: ReachOptions,
}

pub(super) const KEYS: &[Key<Draft>] = &[
    Key::new(
        "server_name",
        With(|it, entry| it.server_name = entry.value()),
        Required,
        row(
            "The name that the client asks for in its ClientHello (SNI). `*.` matches exactly one \
             label. `\"*\"` matches every client, including those without a name and those that do \
             not speak TLS. Case and a final dot make no difference.",
            "`\"db.example.com\"`, `\"*.example.com\"`, `\"*\"`",
        ),
    ),
    Key::new(
        "upstream",
        With(|it, entry| it.upstream = entry.value()),
        Required,
        row(
            "Where the connection goes. `tcp://`: bytes pass unchanged. `tls://`: over TLS, \
             always verified, without ALPN. `\"http\"`: to the routes, see below.",
            "`\"tcp://10.0.0.5:22\"`, `\"tls://db.example.com:5432\"`, `\"http\"`",
        ),
    ),
    reach::tls_name().meaning(AS_ON_A_ROUTE),
    reach::connect().meaning(AS_ON_A_ROUTE),
    reach::ca().meaning(AS_ON_A_ROUTE),
    reach::client_certificate().meaning(AS_ON_A_ROUTE),
    reach::client_key().meaning(AS_ON_A_ROUTE),
    reach::key_exchange().meaning(AS_ON_A_ROUTE),
    reach::family().meaning(AS_ON_A_ROUTE),
    Key::new(
        "connection_age",
        With(|_, entry| _ = entry.value::<Age>()),
        Literal("\"0s\""),
        row(
            "Accepted, but without effect: a connection of a forward belongs to one client until \
             it ends, and none is kept.",
            "`\"10m\"`, `\"0s\"`",
        ),
    )
    .needing(Needs::Server),
    reach::proxy_protocol().meaning(
        "Sends the client's address to the upstream in a [PROXY header](#proxy-headers), before \
         any TLS.",
    ),
];
const AS_ON_A_ROUTE: &str = "As on a route.";

impl AsMut<ReachOptions> for Draft {
    fn as_mut(&mut self) -> &mut ReachOptions {
        &mut self.reach
    }
}

/// Reads a `[[forward]]`. `None` if a required key is missing or wrong.
pub(super) fn read(reader: &mut Reader, table: Table<'_>) -> Option<ForwardConfig> {
    let mut draft = Draft::default();
    let present = read_table(reader, table, KEYS, &mut draft);
    let (server_name, upstream) = (draft.server_name?, draft.upstream?);
    let (is, what) = match &upstream {
        ForwardUpstream::Tls(_) => (Needs::Tls, ""),
        ForwardUpstream::Tcp(_) => {
            (Needs::Server, "the upstream is tcp://; only tls:// has use for this key")
        }
        ForwardUpstream::Http => (
            Needs::Nothing,
            "the upstream is in this process; only tcp:// and tls:// have use for this key",
        ),
    };
    present.without_effect(is).for_each(|key| reader.problems.add(key, what));
    let is_tls = matches!(upstream, ForwardUpstream::Tls(_));
    draft.reach.check(&mut reader.problems);
    let reach = upstream.endpoint().map(|it| Reach::new(is_tls, it.clone(), draft.reach));
    let location = |key| present.location(key).cloned();
    let (location, upstream_location) = (location("server_name")?, location("upstream")?);
    Some(ForwardConfig { server_name, upstream, reach, location, upstream_location })
}

/// The upstream of a forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardUpstream {
    /// Bytes pass unchanged.
    Tcp(Endpoint),
    /// Bytes are sent over TLS; the certificate is always verified.
    Tls(Endpoint),
    /// The http listener in this process.
    Http,
}

impl ForwardUpstream {
    /// Host and port, if it is another server.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Tcp(endpoint) | Self::Tls(endpoint) => Some(endpoint),
            Self::Http => None,
        }
    }
}

impl Value for ForwardUpstream {
    const ALLOWED: &'static str =
        "\"tcp://host:port\", \"tls://host:port\" and \"http\" (the http listener) are allowed";
}

impl FromStr for ForwardUpstream {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "http" {
            return Ok(Self::Http);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            let meant = Some(format!("tcp://{text}"));
            let meant = meant.filter(|_| Endpoint::from_str(text).is_ok());
            return Err(Invalid { what: format!("{} has no scheme", quoted(text)), meant });
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            _ => return Err(Invalid::new(format!("the scheme is {}", quoted(scheme)))),
        };
        if let Some(endpoint) = rest.strip_suffix('/').filter(|rest| !rest.contains('/')) {
            let what = format!("{} has a path", quoted(text));
            let meant = text.strip_suffix('/').filter(|_| Endpoint::from_str(endpoint).is_ok());
            return Err(Invalid { what, meant: meant.map(str::to_owned) });
        }
        Endpoint::from_str(rest).map(scheme)
    }
}

impl fmt::Display for ForwardUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => write!(f, "tcp://{endpoint}"),
            Self::Tls(endpoint) => write!(f, "tls://{endpoint}"),
            Self::Http => f.write_str("http"),
        }
    }
}

/// The `server_name` of a forward, parsed and as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames {
    /// Parsed.
    pub pattern: NamePattern,
    /// As written.
    pub text: Box<str>,
}

impl Value for ServerNames {
    const ALLOWED: &'static str =
        "a host name is allowed, \"*.\" and a host name, or \"*\" (every name, and none)";
}

impl FromStr for ServerNames {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = text.strip_suffix('.').unwrap_or(text);
        type Pattern = fn(Box<str>) -> NamePattern;
        let (label, name, pattern): (_, _, Pattern) = match name.strip_prefix("*.") {
            None if text == "*" => {
                return Ok(Self { pattern: NamePattern::Any, text: text.into() });
            }
            None => ("", name, NamePattern::Exact),
            Some(parent) => ("*.", parent, NamePattern::Below),
        };
        let host = Host::from_str(name).map_err(|Invalid { what, meant }| Invalid {
            // The message quotes only a part of the text.
            what: if name == text { what } else { format!("in {}, {what}", quoted(text)) },
            meant: meant.map(|meant| format!("{label}{meant}")),
        });
        match host? {
            Host::Name(host) if host.is_absolute() => {
                let what = format!("{} ends in more than one dot", quoted(text));
                let meant = name.strip_suffix('.').map(|name| format!("{label}{name}"));
                Err(Invalid { what, meant })
            }
            Host::Name(_) => Ok(Self { pattern: pattern(name.into()), text: text.into() }),
            Host::Ip(_) | Host::Zoned(..) => {
                let what = format!("{} is an address, which no client asks for", quoted(text));
                Err(Invalid::new(format!("{what} (RFC 6066, section 3)")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_tcp_tls_or_the_http_listener() {
        for text in ["tcp://10.0.0.5:443", "tls://db.example.com:5432", "tcp://[::1]:22", "http"] {
            assert_eq!(ForwardUpstream::from_str(text).unwrap().to_string(), text);
        }
        refuse::<ForwardUpstream>("10.0.0.5:443", "did you mean \"tcp://10.0.0.5:443\"?");
        refuse::<ForwardUpstream>("https://h/", "the scheme is \"https\"; \"tcp://host:port\"");
        refuse::<ForwardUpstream>("tcp://h", "has no port");
        refuse::<ForwardUpstream>("tcp://h:1/", "did you mean \"tcp://h:1\"?");
        refuse::<ForwardUpstream>("tls://h:0", "1 to 65535");
        refuse::<ForwardUpstream>("", "has no scheme");
    }

    #[test]
    fn server_names_are_a_name_a_wildcard_or_a_star() {
        let check = |text: &str, want| {
            assert_eq!(ServerNames::from_str(text).map(|it| it.pattern), Ok(want), "{text}");
        };
        check("*", NamePattern::Any);
        check("a.example.com", NamePattern::Exact("a.example.com".into()));
        check("localhost", NamePattern::Exact("localhost".into()));
        check("a.example.com.", NamePattern::Exact("a.example.com".into()));
        check("*.example.com", NamePattern::Below("example.com".into()));
        for text in ["", ".", "*.", "a.*.com", "**.com", "*a.com", "a b", "a..b", "*.*"] {
            refuse::<ServerNames>(text, "a host name is allowed, \"*.\" and a host name, or \"*\"");
        }
        refuse::<ServerNames>("*.*.com", "in \"*.*.com\", \"*.com\" is not a host; a host name");
        refuse::<ServerNames>("*.", "in \"*.\", \"*\" is not a host");
        refuse::<ServerNames>("*.a..", "did you mean \"*.a\"?");
        refuse::<ServerNames>("a*", "\"a*\" is not a host");
        refuse::<ServerNames>("192.0.2.7", "which no client asks for");
        refuse::<ServerNames>("bücher.example", "xn--");
    }

    #[track_caller]
    fn refuse<T: Value + fmt::Debug>(text: &str, why: &str) {
        let message = T::from_str(text).unwrap_err().explain(T::ALLOWED);
        assert!(message.contains(why), "{text:?}: {message}");
        assert!(!message.contains('\n'), "{text:?}: {message}");
    }
}
