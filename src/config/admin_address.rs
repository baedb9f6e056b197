//! Where the admin listener is: [`AdminConfig`] and [`AdminAddress`].

use super::listen_address::ListenAddress;
use super::network::is_private;
use super::problem::{Location, Problems, quoted};
use super::value::{Invalid, Value};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest path of a unix socket in bytes, of the 108 that Linux has for it and its NUL.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// The admin listener as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it is.
    pub address: AdminAddress,
    /// Where that is said.
    pub location: Location,
}

impl AdminConfig {
    /// Warns about an address that other networks may reach.
    pub(super) fn check(&self, warnings: &mut Problems) {
        if self.address.is_public() {
            let what = format!(
                "{} may be open to other networks, and the admin listener asks for no password: it \
                 shows routes, upstreams and certificates",
                self.address
            );
            let help =
                "listen on 127.0.0.1, in a private network, or at unix:/run/narrows/admin.sock";
            warnings.add_with_help(&self.location, what, [help.to_owned()]);
        }
    }
}

/// The address of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// By TCP.
    Tcp(ListenAddress),
    /// The absolute path of a unix socket.
    Unix(PathBuf),
}

impl AdminAddress {
    /// The port, if it has one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => address.sockets().next().map(|it| it.port()),
            Self::Unix(_) => None,
        }
    }

    /// Whether machines of other networks may reach it, so that what it shows should be protected.
    fn is_public(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.sockets().all(|it| is_private(it.ip())),
            Self::Unix(_) => false,
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl Value for AdminAddress {
    const ALLOWED: &'static str = "IP:port or unix:PATH is allowed, such as \"127.0.0.1:9145\" or \
                                   \"unix:/run/narrows/admin.sock\"";
}

impl FromStr for AdminAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(path) = text.strip_prefix("unix:") else {
            return ListenAddress::from_str(text).map(Self::Tcp);
        };
        let invalid = |what| Err(Invalid::new(format!("the path {} {what}", quoted(path))));
        let path = Path::new(path);
        if !path.is_absolute() {
            return invalid("does not begin with \"/\"".to_owned());
        }
        if path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/") {
            return invalid("does not name a file".to_owned());
        }
        if path.as_os_str().len() > UNIX_PATH_BYTES_MAX {
            return invalid(format!("is longer than {UNIX_PATH_BYTES_MAX} bytes"));
        }
        if path.as_os_str().as_bytes().iter().any(u8::is_ascii_control) {
            return invalid("holds a control character".to_owned());
        }
        Ok(Self::Unix(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_listener_is_at_an_ip_and_a_port_or_at_a_path() {
        for text in ["127.0.0.1:9145", "localhost:0", ":1", "unix:/run/narrows/admin.sock"] {
            assert_eq!(AdminAddress::from_str(text).unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "a".repeat(UNIX_PATH_BYTES_MAX));
        for (text, why) in [
            ("localhost", "is not an address to listen on; IP:port or unix:PATH is allowed"),
            ("unix:", "the path \"\" does not begin with \"/\""),
            ("unix:admin.sock", "does not begin with \"/\""),
            ("unix:@narrows", "does not begin with \"/\""),
            ("unix:/", "does not name a file"),
            ("unix:/run/", "does not name a file"),
            ("unix:/run/\n", "holds a control character"),
            (&long, "is longer than 107 bytes"),
        ] {
            let message = AdminAddress::from_str(text).unwrap_err().explain(AdminAddress::ALLOWED);
            assert!(message.contains(why), "{text:?}: {message}");
        }
    }

    #[test]
    fn an_address_is_public_unless_only_this_machine_or_its_network_reaches_it() {
        let is_public = |text: &str| AdminAddress::from_str(text).unwrap().is_public();
        for text in ["0.0.0.0:1", ":1", "[::]:1", "8.8.8.8:1", "[2001:db8::1]:1", "100.128.0.1:1"] {
            assert!(is_public(text), "{text}");
        }
        for text in [
            "127.9.9.9:1",
            "localhost:1",
            "10.0.0.1:1",
            "172.16.0.1:1",
            "192.168.1.1:1",
            "100.64.0.1:1",
            "169.254.0.1:1",
            "[::1]:1",
            "[fd00::1]:1",
            "[fe80::1]:1",
            "unix:/a",
        ] {
            assert!(!is_public(text), "{text}");
        }
    }
}
