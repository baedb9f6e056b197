//! Values of keys and arguments: paths, words, periods of time.
//!
//! Each type implements [`Value`]: its `FromStr` says what is wrong with a text, [`Value::ALLOWED`]
//! what is allowed. The file and the command line share these types, and so their messages.
//!
//! Not here: upstream URLs and their parts (`url`), addresses to listen on (`listen_address`), and
//! networks (`network`).

use super::near;
use super::problem::{Location, nearest, quoted};
use crate::h1::dot_segments::has_dot_segments;
pub use crate::preface::proxy_header::ProxyVersion;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Longest [`Period`]. A limit of more than a day limits nothing, and the arithmetic on instants
/// would overflow at some point.
pub const PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A value that is written as a string.
pub trait Value: FromStr<Err = Invalid> {
    /// What is allowed, as the end of a message.
    const ALLOWED: &'static str;
}

/// The rules of one type of value: what is allowed, and whether a text is.
pub type Rules = (&'static str, fn(&str) -> Result<(), Invalid>);

/// The rules of `T`.
pub fn rules_of<T: Value>() -> Rules {
    (T::ALLOWED, |text| T::from_str(text).map(drop))
}

/// Why a text is not the value it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong, without what is allowed.
    pub what: String,
    /// What was probably meant.
    pub meant: Option<String>,
}

impl Invalid {
    /// No guess at what was meant.
    #[cold]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), meant: None }
    }

    /// What is allowed, and what was probably meant.
    pub fn help(&self, allowed: &str) -> Vec<String> {
        let meant = self.meant.as_ref().map(|meant| format!("did you mean {}?", quoted(meant)));
        [allowed.to_owned()].into_iter().chain(meant).collect()
    }

    /// The whole message in one line.
    pub fn explain(&self, allowed: &str) -> String {
        format!("{}; {}", self.what, self.help(allowed).join("; "))
    }
}

/// The path of a route: the prefix of request paths that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePath(Box<str>);

impl RoutePath {
    /// The path; begins and ends with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for RoutePath {
    const ALLOWED: &'static str = "a path that begins and ends with \"/\" is allowed";
}

impl FromStr for RoutePath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_path(text).map_err(|Invalid { what, meant }| {
            // As nginx and Caddy write a prefix.
            let bare = text.trim_start_matches(['^', '~', '=', ' ']).trim_end_matches(['*', '$']);
            let is_other = bare != text && check_path(bare).is_ok();
            Invalid { what, meant: if is_other { Some(bare.to_owned()) } else { meant } }
        })?;
        Ok(Self(text.into()))
    }
}

/// How to treat references and cookies that name the upstream's own paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// Rewrite them, so that they lead through the route.
    #[default]
    Rewrite,
    /// Pass them unchanged.
    Keep,
}

impl Value for Redirects {
    const ALLOWED: &'static str = "\"rewrite\" and \"keep\" are allowed";
}

impl FromStr for Redirects {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "rewrite" => Ok(Self::Rewrite),
            "keep" => Ok(Self::Keep),
            _ => Err(Invalid {
                what: format!("{} is not a way to treat redirects", quoted(text)),
                meant: nearest(text, ["rewrite", "keep"]).map(str::to_owned),
            }),
        }
    }
}

/// The protocol of a listener's clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// HTTP; the routes say where requests go.
    #[default]
    Http,
    /// Any protocol over TCP; the forwards say where connections go.
    Tcp,
}

impl Value for Mode {
    const ALLOWED: &'static str = "\"http\" and \"tcp\" are allowed";
}

impl FromStr for Mode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "http" => Ok(Self::Http),
            "tcp" => Ok(Self::Tcp),
            "https" | "tls" | "ssl" => Err(Invalid {
                what: format!("{} is not a mode; `certificate` and `key` begin TLS", quoted(text)),
                meant: Some("http".to_owned()),
            }),
            _ => Err(Invalid {
                what: format!("{} is not a mode", quoted(text)),
                meant: nearest(text, ["http", "tcp"]).map(str::to_owned),
            }),
        }
    }
}

impl Value for ProxyVersion {
    const ALLOWED: &'static str = "\"v1\" and \"v2\" are allowed";
}

impl FromStr for ProxyVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            _ => Err(Invalid::new(format!("{} is no version of PROXY headers", quoted(text)))),
        }
    }
}

/// Which of an upstream's addresses are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 and IPv6, whichever connects first.
    #[default]
    Auto,
    /// Only IPv4.
    V4,
    /// Only IPv6.
    V6,
}

impl Family {
    /// Whether `address` is used.
    pub fn includes(self, address: SocketAddr) -> bool {
        match self {
            Self::Auto => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl Value for Family {
    const ALLOWED: &'static str = "\"auto\", \"4\" or \"6\" is allowed";
}

impl FromStr for Family {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "auto" => Ok(Self::Auto),
            "4" => Ok(Self::V4),
            "6" => Ok(Self::V6),
            _ => {
                let digit = text.chars().next_back().filter(|it| ['4', '6'].contains(it));
                let what = format!("{} is not a family of addresses", quoted(text));
                Err(Invalid { what, meant: digit.map(String::from) })
            }
        }
    }
}

pub use crate::tls::key_exchange::KeyExchange;

impl Value for KeyExchange {
    const ALLOWED: &'static str = "\"hybrid\" and \"classic\" are allowed";
}

impl FromStr for KeyExchange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "hybrid" => Ok(Self::Hybrid),
            "classic" => Ok(Self::Classic),
            _ => {
                let lower = text.to_ascii_lowercase();
                let meant = match lower.as_str() {
                    "x25519mlkem768" | "mlkem" | "pq" | "post-quantum" => Some("hybrid"),
                    "x25519" | "ecdh" | "ecdhe" => Some("classic"),
                    other => nearest(other, ["hybrid", "classic"]),
                };
                let what = format!("{} is not a kind of key exchange", quoted(text));
                Err(Invalid { what, meant: meant.map(str::to_owned) })
            }
        }
    }
}

/// A period of time, such as a key of `[timeouts]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl Value for Period {
    const ALLOWED: &'static str =
        "a whole number of ms, s, m or h is allowed, from \"1ms\" to \"24h\"";
}

impl FromStr for Period {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match Delay::from_str(text)? {
            Delay(Duration::ZERO) => {
                Err(Invalid::new(format!("{} is no time at all", quoted(text))))
            }
            Delay(period) => Ok(Self(period)),
        }
    }
}

/// A period of time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay(pub Duration);

impl Value for Delay {
    const ALLOWED: &'static str =
        "a whole number of ms, s, m or h is allowed, from \"0s\" to \"24h\"";
}

impl FromStr for Delay {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |what| Err(Invalid { what, meant: near::period(text, PERIOD_MAX) });
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(unit_at);
        if digits.is_empty() {
            return refuse(format!("{} does not begin with a digit", quoted(text)));
        }
        let milliseconds_each: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "" => return refuse(format!("{} has no unit", quoted(text))),
            _ => return refuse(format!("{} is not a unit of time", quoted(unit))),
        };
        // A number that does not fit is too long in any unit.
        let number = digits.parse().unwrap_or(u64::MAX);
        let period = Duration::from_millis(number.saturating_mul(milliseconds_each));
        if period > PERIOD_MAX {
            return Err(Invalid::new(format!("{} is too long", quoted(text))));
        }
        Ok(Self(period))
    }
}

/// A greatest age, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub Option<Duration>);

impl Value for Age {
    const ALLOWED: &'static str =
        "a whole number of ms, s, m or h is allowed, up to \"24h\", and \"0s\" for no limit";
}

impl FromStr for Age {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "0s" => Ok(Self(None)),
            _ => Period::from_str(text).map(|Period(age)| Self(Some(age))),
        }
    }
}

/// A file to load. It is the same wherever it is named.
#[derive(Clone, Debug)]
pub struct NamedFile {
    /// Its path, with the folder of the configuration file in front.
    pub path: PathBuf,
    /// Where it is named. Problems with the file are reported there.
    pub location: Location,
}

impl PartialEq for NamedFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for NamedFile {}

impl Hash for NamedFile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}

/// Refuses a path that cannot be a prefix of a request's path.
///
/// The upstream's path is sent: it replaces the route's path at the start of the client's. So
/// neither may contain a byte that is not allowed in a request-target, or a dot segment in any
/// encoding, because no request is forwarded with one.
pub(super) fn check_path(path: &str) -> Result<(), Invalid> {
    if let Some(bad) = path.chars().find(|c| !c.is_ascii_graphic()) {
        let what = format!("the path {} holds {bad:?}; percent-encode it", quoted(path));
        return Err(Invalid::new(what));
    }
    for (mark, name) in [('?', "query"), ('#', "fragment")] {
        if path.contains(mark) {
            return Err(Invalid::new(format!("{} holds a {name}", quoted(path))));
        }
    }
    if has_dot_segments(path.as_bytes()) {
        return Err(Invalid::new(format!("the path {} holds a dot segment", quoted(path))));
    }
    let slash_before = if path.starts_with('/') { "" } else { "/" };
    let slash_after = if path.ends_with('/') { "" } else { "/" };
    let what = match (slash_before, slash_after) {
        ("", "") => return Ok(()),
        ("", _) => "does not end in \"/\"",
        (_, _) => "does not begin with \"/\"",
    };
    let meant = Some(format!("{slash_before}{path}{slash_after}")).filter(|_| !path.is_empty());
    Err(Invalid { what: format!("the path {} {what}", quoted(path)), meant })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[test]
    fn a_route_path_is_a_prefix_of_whole_segments() {
        for path in ["/", "/gpt/", "/a/b/", "//", "/a=b/", "/a%2F/", "/.../", "/.well-known/"] {
            assert_eq!(RoutePath::from_str(path).unwrap().as_str(), path);
        }
        refuse::<RoutePath>("/gpt", "did you mean \"/gpt/\"?");
        refuse::<RoutePath>("gpt/", "did you mean \"/gpt/\"?");
        refuse::<RoutePath>("gpt", "did you mean \"/gpt/\"?");
        refuse::<RoutePath>("", "does not begin with");
        refuse::<RoutePath>("/a?b/", "query");
        refuse::<RoutePath>("/a#b/", "fragment");
        refuse::<RoutePath>("/é/", "percent-encode");
        refuse::<RoutePath>("/a\n/", "percent-encode");
        for path in
            ["/./", "/../", "/a/../b/", "/%2e/", "/.%2E/", "/%2E%2e/", "/..;/", "/a%2f..%2f/"]
        {
            refuse::<RoutePath>(path, "dot segment");
        }
    }

    #[test]
    fn a_period_is_a_whole_number_and_a_unit() {
        let check = |text, want| assert_eq!(Period::from_str(text), Ok(Period(want)), "{text}");
        check("1ms", Duration::from_millis(1));
        check("10s", Duration::from_secs(10));
        check("10m", Duration::from_secs(600));
        check("24h", PERIOD_MAX);
        refuse::<Period>("0s", "no time at all");
        refuse::<Period>("000ms", "no time at all");
        refuse::<Period>("25h", "too long");
        refuse::<Period>("99999999999999999999999h", "too long");
        refuse::<Period>("18446744073709551615h", "too long");
        refuse::<Period>("10", "no unit");
        refuse::<Period>("10 s", "not a unit");
        refuse::<Period>("10sec", "not a unit");
        refuse::<Period>("1.5s", "not a unit");
        refuse::<Period>("-1s", "digit");
        refuse::<Period>("+1s", "digit");
        refuse::<Period>("", "digit");
        refuse::<Period>("1d", "not a unit");
    }

    #[test]
    fn a_delay_is_a_period_or_none() {
        assert_eq!(Delay::from_str("0s"), Ok(Delay(Duration::ZERO)));
        assert_eq!(Delay::from_str("90s"), Ok(Delay(Duration::from_secs(90))));
        refuse::<Delay>("0", "\"0\" has no unit; a whole number of ms, s, m or h is allowed, from");
        refuse::<Delay>("25h", "is too long; a whole number");
    }

    #[test]
    fn a_greatest_age_is_a_period_or_none() {
        assert_eq!(Age::from_str("0s"), Ok(Age(None)));
        assert_eq!(Age::from_str("1h"), Ok(Age(Some(Duration::from_secs(3600)))));
        refuse::<Age>("0", "no unit");
        refuse::<Age>("-1s", "and \"0s\" for no limit");
    }

    #[track_caller]
    fn refuse<T: Value + fmt::Debug>(text: &str, why: &str) {
        let message = T::from_str(text).unwrap_err().explain(T::ALLOWED);
        assert!(message.contains(why), "{text:?}: {message}");
        assert!(!message.contains('\n'), "{text:?}: {message}");
    }
}
