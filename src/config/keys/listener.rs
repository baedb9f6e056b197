//! `[[listener]]`: [`ListenerConfig`] and its keys.

use crate::config::key::Default::{Literal, Required, Words};
use crate::config::key::Read::With;
use crate::config::key::{Key, read_table, row};
use crate::config::listen_address::ListenAddress;
use crate::config::network::Network;
use crate::config::problem::Location;
use crate::config::table::{Reader, Table};
use crate::config::value::{Mode, NamedFile};
use std::net::SocketAddr;

/// A `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it listens; at least one.
    pub addresses: Vec<ListenAddress>,
    /// If set, TLS ends here.
    pub credentials: Option<CredentialFiles>,
    /// Which protocol clients speak.
    pub mode: Mode,
    /// Peers that must send a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// Location of the addresses.
    pub location: Location,
}

impl ListenerConfig {
    /// The addresses as written: what it is called in messages.
    pub fn name(&self) -> String {
        let written: Vec<_> = self.addresses.iter().map(ListenAddress::to_string).collect();
        written.join(", ")
    }

    /// The addresses as URLs, their scheme saying what clients speak.
    pub fn urls(&self) -> String {
        let scheme = scheme(self.mode, self.credentials.is_some());
        let urls: Vec<_> = self.addresses.iter().map(|it| format!("{scheme}://{it}")).collect();
        urls.join(", ")
    }

    /// All its socket addresses.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().flat_map(|address| address.sockets())
    }
}

/// The scheme of a listener's URL: what clients speak there.
pub fn scheme(mode: Mode, is_tls: bool) -> &'static str {
    match (mode, is_tls) {
        (Mode::Http, false) => "http",
        (Mode::Http, true) => "https",
        (Mode::Tcp, false) => "tcp",
        (Mode::Tcp, true) => "tls",
    }
}

/// The two files of a TLS listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFiles {
    /// PEM: the certificate, then its intermediates.
    pub certificate: NamedFile,
    /// PEM: the private key of the first certificate.
    pub key: NamedFile,
}

/// The table as it is read.
#[derive(Default)]
pub(super) struct Draft {
    addresses: Vec<ListenAddress>,
    certificate: Option<NamedFile>,
    key: Option<NamedFile>,
    mode: Mode,
    proxy_protocol: Vec<Network>,
}

pub(super) const KEYS: &[Key<Draft>] = &[
    Key::new(
        "address",
        With(|it, entry| it.addresses = entry.one_or_more()),
        Required,
        row(
            "Where to listen: an IP address and a TCP port, or a list of them. A port alone means \
             every address of the machine, `localhost` both 127.0.0.1 and ::1; if the machine has \
             no IPv6, only IPv4 is listened on. `[::]` is IPv6 only. No two listeners can have \
             the same address, or an address and a wildcard that includes it. With port 0 the \
             kernel chooses one, and the log says which.",
            "`\":443\"`, `\"443\"`, `\"localhost:8080\"`, `\"192.0.2.7:443\"`, `\"[::1]:80\"`, \
             `[\"127.0.0.1:80\", \"10.0.0.1:80\"]`",
        ),
    ),
    Key::new(
        "certificate",
        With(|it, entry| it.certificate = entry.file()),
        Words("none: no TLS"),
        row(
            "[PEM file](#pem-files): the certificate and its intermediates. With it and `key`, \
             TLS 1.2 and 1.3 end here. In http mode that is HTTPS, with ALPN `http/1.1`. In tcp \
             mode no protocol is selected by ALPN, except for clients that go to `\"http\"`.",
            "a file of up to 1 MiB, relative to this file's folder",
        ),
    ),
    Key::new(
        "key",
        With(|it, entry| it.key = entry.file()),
        Words("none: no TLS"),
        row(
            "[PEM file](#pem-files): the certificate's private key, without a passphrase. RSA, \
             ECDSA or Ed25519. May be the same file.",
            "a file, like `certificate`",
        ),
    ),
    Key::new(
        "mode",
        With(|it, entry| it.mode = entry.value().unwrap_or_default()),
        Literal("\"http\""),
        row(
            "What clients speak: HTTP, for the routes, or any protocol, for the \
             [forwards](#forward).",
            "`\"http\"`, `\"tcp\"`",
        ),
    ),
    Key::new(
        "proxy_protocol",
        With(|it, entry| it.proxy_protocol = entry.values()),
        Words("none is expected"),
        row(
            "Peers that must send a PROXY header, version 1 or 2, with their client's address. It \
             is required from these peers and not expected from any other. Its address is the \
             `client` in the log and in the headers that are [sent on](#proxy-headers).",
            "a list of addresses and ranges: `[\"10.0.0.0/8\", \"::1\"]`",
        ),
    ),
];

/// Reads a `[[listener]]`. `None` if an address is missing or wrong.
pub(super) fn read(reader: &mut Reader, table: Table<'_>) -> Option<ListenerConfig> {
    let mut draft = Draft::default();
    let present = read_table(reader, table, KEYS, &mut draft);
    let Draft { addresses, certificate, key, mode, proxy_protocol } = draft;
    let credentials = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(CredentialFiles { certificate, key }),
        (Some(certificate), None) => {
            let what = "a certificate needs its `key`; both or neither";
            reader.problems.add(&certificate.location, what);
            None
        }
        (None, Some(key)) => {
            let what = "a key needs its `certificate`; both or neither";
            reader.problems.add(&key.location, what);
            None
        }
        (None, None) => None,
    };
    let location = present.location("address")?.clone();
    Some(ListenerConfig { addresses, credentials, mode, proxy_protocol, location })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};

    #[test]
    fn peers_that_send_proxy_headers_are_a_list_of_networks() {
        let with = |list: &str| {
            MINIMAL.replacen("8080\"\n", &format!("8080\"\nproxy_protocol = {list}\n"), 1)
        };
        assert!(read(&with("[\"10.0.0.0/8\", \"::1\"]")).is_ok());
        refuse(&with("\"10.0.0.0/8\""), "listener.proxy_protocol: this is a string");
        refuse(&with("[\"10.0.0.1/8\"]"), "did you mean \"10.0.0.0/8\"?");
        refuse(&with("[]"), "the list is empty");
    }

    #[test]
    fn an_address_is_a_string_or_a_list() {
        let with = |address: &str| MINIMAL.replacen("\"127.0.0.1:8080\"", address, 1);
        let name = |address: &str| read(&with(address)).unwrap().listeners[0].name();
        assert_eq!(name("\":443\""), ":443");
        assert_eq!(name("[\"443\", \"localhost:80\", \"[::1]:1\"]"), ":443, localhost:80, [::1]:1");
        refuse(&with("[]"), "f:3: listener.address: the list is empty");
        refuse(
            &with("443"),
            "f:3: listener.address: this is a number, and a string is needed; write \"443\"",
        );
        refuse(&with("[\":443\", \"x\"]"), "f:3: listener.address: \"x\" is not an address");
    }

    #[test]
    fn a_certificate_and_a_key_come_together() {
        let listener = |text: &str| format!("[[listener]]\naddress = \"127.0.0.1:1\"\n{text}");
        refuse(&listener("certificate = \"c\""), "f:3: listener.certificate: a certificate needs");
        refuse(&listener("key = \"k\""), "f:3: listener.key: a key needs its `certificate`");
    }
}
