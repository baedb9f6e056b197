//! Upstream URLs and their parts: [`UpstreamUrl`], [`Host`], [`Endpoint`], [`HostField`].
//!
//! A subset of RFC 3986: `http` or `https`, a host, a port and a path. User information, query and
//! fragment would have no effect, so they are refused instead of ignored.
//!
//! Not here: request-targets and Host fields of clients (`h1`), looking names up (`upstream`).

use super::near_url;
use super::problem::quoted;
use super::value::{Invalid, Value, check_path};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use tokio_rustls::rustls::pki_types::{DnsName, ServerName};

/// Whether an upstream is reached over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP, for example to a model server on the same machine.
    Http,
    /// TLS, always verified.
    Https,
}

impl Scheme {
    /// The port of a URL without one (RFC 9110, section 4.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An absolute `http` or `https` URL without user information, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Host and port for the Host field: as written, without the scheme's default port.
    pub authority: Box<str>,
    /// Host and port, the default port filled in.
    pub endpoint: Endpoint,
    /// Path; begins and ends with `/`.
    pub path: Box<str>,
}

impl Value for UpstreamUrl {
    const ALLOWED: &'static str =
        "http:// or https://, a host, an optional port and a path that ends in \"/\" are allowed";
}

impl FromStr for UpstreamUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text).map_err(|Invalid { what, .. }| {
            let meant = near_url::meant(text).filter(|it| Self::parse(it).is_ok());
            Invalid { what, meant }
        })
    }
}

impl UpstreamUrl {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Invalid::new(format!("{} has no scheme", quoted(text))));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(Invalid::new(format!("the scheme is {}", quoted(scheme)))),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host_text, host, port) = split_authority(authority, Zones::OfUrl)
            // A password may contain a byte that ends the authority, and a path may contain "@".
            .map_err(|invalid| if path.contains('@') { user_information() } else { invalid })?;
        let path = if path.is_empty() { "/" } else { path };
        if near_url::endpoint(path).is_some() && !path.ends_with('/') {
            let what = format!("{} is one endpoint of an API", quoted(path));
            return Err(Invalid::new(format!("{what}; write the part that all of them share")));
        }
        check_path(path)?;
        let port_said = port.filter(|port| *port != scheme.default_port());
        // No server knows our zones (RFC 6874, section 4).
        let host_text = match &host {
            Host::Zoned(address, _) => format!("[{address}]"),
            Host::Name(_) | Host::Ip(_) => host_text.to_owned(),
        };
        let authority = match port_said {
            Some(port) => format!("{host_text}:{port}"),
            None => host_text,
        };
        let port = port.unwrap_or_else(|| scheme.default_port());
        let endpoint = Endpoint { host, port };
        Ok(Self { scheme, authority: authority.into(), endpoint, path: path.into() })
    }
}

/// A name to resolve, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name; comparison ignores case.
    Name(HostName),
    /// An address.
    Ip(IpAddr),
    /// A link-local address, and the interface that it is reached by (RFC 4007, section 11).
    Zoned(Ipv6Addr, Box<str>),
}

/// A DNS name. A final dot matters only to the resolver, which then tries no search domains;
/// certificates and SNI have names without it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName {
    name: DnsName<'static>,
    is_absolute: bool,
}

impl HostName {
    /// Whether it was written with a final dot.
    pub fn is_absolute(&self) -> bool {
        self.is_absolute
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name.as_ref(), if self.is_absolute { "." } else { "" })
    }
}

impl Host {
    /// The name to verify a certificate against. SNI has it too, if it is a DNS name (RFC 6066,
    /// section 3, forbids addresses).
    pub fn server_name(&self) -> ServerName<'static> {
        match self {
            Self::Name(HostName { name, .. }) => ServerName::DnsName(name.clone()),
            Self::Ip(address) => ServerName::from(*address),
            Self::Zoned(address, _) => ServerName::from(IpAddr::from(*address)),
        }
    }

    /// The address, or the name to resolve. An address with a zone has to be resolved, because only
    /// the system knows its interfaces by name.
    pub fn address(&self) -> Result<IpAddr, String> {
        match self {
            Self::Name(name) => Err(name.to_string()),
            Self::Ip(address) => Ok(*address),
            Self::Zoned(address, zone) => Err(format!("{address}%{zone}")),
        }
    }
}

impl Value for Host {
    const ALLOWED: &'static str = "a host name or an IP address, without a port, is allowed";
}

impl FromStr for Host {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        parse_name(text).map_err(|Invalid { what, .. }| {
            let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
            let bare = bare.split(['/', ':']).next().unwrap_or(bare);
            Invalid { what, meant: parse_name(bare).is_ok().then(|| bare.to_owned()) }
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Zoned(address, zone) => write!(f, "[{address}%{zone}]"),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// What to dial: a host and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name to look up, or address.
    pub host: Host,
    /// TCP port, 1 to 65535.
    pub port: u16,
}

impl Value for Endpoint {
    const ALLOWED: &'static str =
        "host:port is allowed, such as \"127.0.0.1:9443\" or \"[::1]:9443\"";
}

impl FromStr for Endpoint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match split_authority(text, Zones::Plain)? {
            (_, host, Some(port)) => Ok(Self { host, port }),
            (_, _, None) => Err(Invalid::new(format!("{} has no port", quoted(text)))),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The value of a Host field: `uri-host [ ":" port ]` (RFC 9110, section 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostField(Box<str>);

impl HostField {
    /// The value, as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host and port of a URL, as it was written.
    pub fn of(url: &UpstreamUrl) -> Self {
        Self(url.authority.clone())
    }
}

impl Value for HostField {
    const ALLOWED: &'static str = "a host and an optional port are allowed";
}

impl FromStr for HostField {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        split_authority(text, Zones::Refused)?;
        Ok(Self(text.into()))
    }
}

/// How the zone of an IPv6 address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zones {
    /// `%25eth0` (RFC 6874), or as people write it.
    OfUrl,
    /// `%eth0` (RFC 4007).
    Plain,
    /// Not at all.
    Refused,
}

/// Splits `host[:port]`: the host as written, as parsed, and the port if there is one.
fn split_authority(text: &str, zones: Zones) -> Result<(&str, Host, Option<u16>), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("the host is missing"));
    }
    if text.contains('@') {
        return Err(user_information());
    }
    if let Some((_, rest)) = text.split_once("://") {
        let meant = rest.split('/').next().filter(|rest| !rest.is_empty()).map(str::to_owned);
        return Err(Invalid { what: format!("{} is a URL", quoted(text)), meant });
    }
    let host_end = match text.find(']') {
        Some(bracket) if text.starts_with('[') => bracket + 1,
        Some(_) | None => text.find(':').unwrap_or(text.len()),
    };
    let (host_text, rest) = text.split_at(host_end);
    let host = match host_text.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => parse_ipv6(inner, zones)?,
        None if text.parse::<Ipv6Addr>().is_ok() => {
            return Err(Invalid {
                what: format!("the IPv6 address {} has no brackets", quoted(text)),
                meant: Some(format!("[{text}]")),
            });
        }
        None => match host_text.parse::<Ipv4Addr>() {
            Ok(address) => Host::Ip(address.into()),
            Err(_) => parse_name(host_text)?,
        },
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(parse_port(port)?),
        None if rest.is_empty() => None,
        None => return Err(Invalid::new(format!("{} stands after the host", quoted(rest)))),
    };
    Ok((host_text, host, port))
}

/// The refusal of text before an "@". It may contain a password, so the message does not quote it.
fn user_information() -> Invalid {
    Invalid::new("there is user information before \"@\"")
}

/// The address between brackets.
fn parse_ipv6(text: &str, zones: Zones) -> Result<Host, Invalid> {
    let refuse = |why: &str| Err(Invalid::new(format!("{} {why}", quoted(text))));
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return refuse("is not an IPv6 address");
    };
    let Some(zone) = zone else { return Ok(Host::Ip(address.into())) };
    let zone = match zones {
        Zones::OfUrl => zone.strip_prefix("25").unwrap_or(zone),
        Zones::Plain => zone,
        Zones::Refused => return refuse("has a zone, which means nothing to a server"),
    };
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if zone.is_empty() || !zone.bytes().all(in_name) {
        return refuse("has a zone that is not the name of an interface");
    }
    if !address.is_unicast_link_local() {
        return refuse("has a zone, and is not a link-local address");
    }
    Ok(Host::Zoned(address, zone.into()))
}

/// A DNS name that rustls can verify: labels of letters, digits, `-` and `_`, the last one not a
/// number.
fn parse_name(text: &str) -> Result<Host, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("the host is missing"));
    }
    match DnsName::try_from(text) {
        Ok(name) => {
            let is_absolute = text.ends_with('.');
            Ok(Host::Name(HostName { name: name.to_owned(), is_absolute }))
        }
        Err(_) if !text.is_ascii() => {
            let what = format!("the host {} is not ASCII; write it as xn--…", quoted(text));
            Err(Invalid::new(what))
        }
        Err(_) => Err(Invalid::new(format!("{} is not a host", quoted(text)))),
    }
}

fn parse_port(text: &str) -> Result<u16, Invalid> {
    // `u16::from_str` accepts a sign.
    match text.parse() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        Ok(_) | Err(_) => {
            let what = format!("the port {} is not a number from 1 to 65535", quoted(text));
            Err(Invalid::new(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_defaults_filled_in() {
        url("https://api.openai.com/", "api.openai.com", "api.openai.com:443", "/");
        url("https://api.openai.com", "api.openai.com", "api.openai.com:443", "/");
        url("HTTPS://Api.OpenAI.com:443/v1/", "Api.OpenAI.com", "Api.OpenAI.com:443", "/v1/");
        url("http://localhost:11434/a%2Fb/", "localhost:11434", "localhost:11434", "/a%2Fb/");
        url("http://model_server/", "model_server", "model_server:80", "/");
        url("http://h:443/", "h:443", "h:443", "/");
        url("https://[::1]:8443/", "[::1]:8443", "[::1]:8443", "/");
        url("https://10.0.0.1/", "10.0.0.1", "10.0.0.1:443", "/");
    }

    #[test]
    fn a_url_that_says_too_much_or_too_little_is_refused_with_the_reason() {
        refuse::<UpstreamUrl>("https://u:p@h/", "user information");
        refuse::<UpstreamUrl>("https://h/?a", "query");
        refuse::<UpstreamUrl>("https://h?a", "query");
        refuse::<UpstreamUrl>("https://h/#a", "fragment");
        refuse::<UpstreamUrl>("wss://h/", "scheme is \"wss\"");
        refuse::<UpstreamUrl>("h/", "no scheme; ");
        refuse::<UpstreamUrl>("api.openai.com/", "did you mean \"https://api.openai.com/\"?");
        refuse::<UpstreamUrl>("https:///", "host is missing");
        refuse::<UpstreamUrl>("https://:443/", "host is missing");
        refuse::<UpstreamUrl>("https://h:0/", "1 to 65535");
        refuse::<UpstreamUrl>("https://h:+80/", "1 to 65535");
        refuse::<UpstreamUrl>("https://h:65536/", "1 to 65535");
        refuse::<UpstreamUrl>("https://h:/", "1 to 65535");
        refuse::<UpstreamUrl>("https://1.2.3/", "not a host");
        refuse::<UpstreamUrl>("https://::1/", "has no brackets");
        refuse::<UpstreamUrl>("https://[::1/", "is not a host");
        refuse::<UpstreamUrl>("https://[::1]x/", "after the host");
        refuse::<UpstreamUrl>("https://[nonsense]/", "IPv6");
        refuse::<UpstreamUrl>("https://./", "not a host");
        refuse::<UpstreamUrl>("https://h.example../", "not a host");
        refuse::<UpstreamUrl>("https://127.0.0.1./", "not a host");
        refuse::<UpstreamUrl>("https://bücher.example/", "xn--");
        refuse::<UpstreamUrl>("https://h ost/", "not a host");
        refuse::<UpstreamUrl>("https://h/a b/", "percent-encode");
        refuse::<UpstreamUrl>("https://h/v1", "did you mean \"https://h/v1/\"?");
        refuse::<UpstreamUrl>("", "scheme");
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        fn check<T: Value<Err = Invalid>>(text: &str) {
            let message = T::from_str(text).err().unwrap().explain(T::ALLOWED);
            assert!(!message.contains("us er") && !message.contains("pa55"), "{message}");
            assert!(message.contains("user information"), "{message}");
        }
        check::<UpstreamUrl>("https://user:pa55word@h/");
        // A password may contain a byte that ends the authority.
        for end in ["/", "?", "#", "/?#", ":", "[", "]"] {
            check::<UpstreamUrl>(&format!("https://us er:pa55{end}word@h/"));
            check::<UpstreamUrl>(&format!("https://user:pa55{end}word@h/"));
            check::<Endpoint>(&format!("us er:pa55{end}word@h:1"));
            check::<HostField>(&format!("us er:pa55{end}word@h:1"));
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for text in ["127.0.0.1:9443", "[::1]:9443", "upstream.internal:1"] {
            assert_eq!(Endpoint::from_str(text).unwrap().to_string(), text);
        }
        refuse::<Endpoint>("127.0.0.1", "no port");
        refuse::<Endpoint>("::1", "brackets");
        refuse::<Endpoint>("a:b:1", "1 to 65535");
    }

    #[test]
    fn a_final_dot_is_for_the_resolver_and_in_the_host_field_and_not_for_tls() {
        url("https://h.example./", "h.example.", "h.example.:443", "/");
        url("http://svc.ns.:8080/", "svc.ns.:8080", "svc.ns.:8080", "/");
        let absolute = Host::from_str("h.example.").unwrap();
        assert_eq!(absolute.address(), Err("h.example.".to_owned()));
        assert_eq!(absolute.server_name().to_str(), "h.example");
        assert_ne!(Ok(absolute), Host::from_str("h.example"));
    }

    #[test]
    fn a_zone_is_for_the_dial_alone() {
        for text in ["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/"] {
            url(text, "[fe80::1]", "[fe80::1%eth0]:80", "/");
        }
        url("https://[FE80::1%252]:8443/", "[fe80::1]:8443", "[fe80::1%2]:8443", "/");
        let Endpoint { host, .. } = Endpoint::from_str("[fe80::1%br-0.1]:443").unwrap();
        assert_eq!(host.address(), Err("fe80::1%br-0.1".to_owned()));
        assert_eq!(host.server_name().to_str(), "fe80::1");
        assert_eq!(host.to_string(), "[fe80::1%br-0.1]");
        refuse::<UpstreamUrl>("http://[fe80::1%25]/", "not the name of an interface");
        refuse::<UpstreamUrl>("http://[fe80::1%25a%2fb]/", "not the name of an interface");
        refuse::<Endpoint>("[fe80::1%]:1", "not the name of an interface");
        refuse::<Endpoint>("[2001:db8::1%eth0]:1", "not a link-local address");
        refuse::<HostField>("[fe80::1%eth0]", "means nothing to a server");
        refuse::<Host>("fe80::1%eth0", "not a host");
    }

    #[test]
    fn a_bare_host_is_a_name_or_an_address_without_brackets() {
        assert!(matches!(Host::from_str("::1"), Ok(Host::Ip(_))));
        assert!(matches!(Host::from_str("10.0.0.1"), Ok(Host::Ip(_))));
        assert!(matches!(Host::from_str("a.example"), Ok(Host::Name(_))));
        assert_eq!(Host::from_str("A.example"), Host::from_str("a.EXAMPLE"));
        refuse::<Host>("a.example:443", "not a host");
    }

    #[test]
    fn a_host_field_may_have_a_port() {
        assert_eq!(HostField::from_str("Example.com:81").unwrap().as_str(), "Example.com:81");
        refuse::<HostField>("a\r\nb", "not a host");
        refuse::<HostField>("a, b", "not a host");
    }

    #[track_caller]
    fn url(text: &str, authority: &str, endpoint: &str, path: &str) {
        let url = UpstreamUrl::from_str(text).unwrap();
        assert_eq!(&*url.authority, authority);
        assert_eq!(url.endpoint.to_string(), endpoint);
        assert_eq!(&*url.path, path);
    }

    #[track_caller]
    fn refuse<T: Value + fmt::Debug>(text: &str, why: &str) {
        let message = T::from_str(text).unwrap_err().explain(T::ALLOWED);
        assert!(message.contains(why), "{text:?}: {message}");
        assert!(!message.contains('\n'), "{text:?}: {message}");
    }
}
