//! `[[listener]]`: [`ListenerConfig`] and its keys.

use crate::config::key::Default::{Literal, Required, Words};
use crate::config::key::Read::With;
use crate::config::key::{Key, read_table, row};
use crate::config::network::Network;
use crate::config::problem::Location;
use crate::config::table::{Reader, Table};
use crate::config::value::{ListenAddress, Mode, NamedFile};
use std::net::SocketAddr;

/// A `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address and port to bind; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// If set, TLS ends here.
    pub credentials: Option<CredentialFiles>,
    /// Which protocol clients speak.
    pub mode: Mode,
    /// Peers that must send a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// Location of the address.
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

/// The table as it is read.
#[derive(Default)]
pub(super) struct Draft {
    address: Option<ListenAddress>,
    certificate: Option<NamedFile>,
    key: Option<NamedFile>,
    mode: Mode,
    proxy_protocol: Vec<Network>,
}

pub(super) const KEYS: &[Key<Draft>] = &[
    Key::new(
        "address",
        With(|it, entry| it.address = entry.value()),
        Required,
        row(
            "IP address and TCP port to listen on. Two listeners must not have the same address, \
             and `0.0.0.0` and `[::]` overlap with every address of their family. `[::]` is IPv6 \
             only; add a listener on `0.0.0.0` for IPv4. With port 0 the kernel chooses one, and \
             the log says which.",
            "`\"0.0.0.0:443\"`, `\"[::]:443\"`",
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

/// Reads a `[[listener]]`. `None` if the address is missing or wrong.
pub(super) fn read(reader: &mut Reader, table: Table<'_>) -> Option<ListenerConfig> {
    let mut draft = Draft::default();
    let present = read_table(reader, table, KEYS, &mut draft);
    let Draft { address, certificate, key, mode, proxy_protocol } = draft;
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
    let (ListenAddress(address), location) = (address?, present.location("address")?.clone());
    Some(ListenerConfig { address, credentials, mode, proxy_protocol, location })
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
        refuse(&with("\"10.0.0.0/8\""), "listener.proxy_protocol: invalid type: string");
        refuse(&with("[\"10.0.0.1/8\"]"), "did you mean \"10.0.0.0/8\"?");
        refuse(&with("[]"), "the list is empty");
    }

    #[test]
    fn a_certificate_and_a_key_come_together() {
        let listener = |text: &str| format!("[[listener]]\naddress = \"127.0.0.1:1\"\n{text}");
        refuse(&listener("certificate = \"c\""), "f:3: listener.certificate: a certificate needs");
        refuse(&listener("key = \"k\""), "f:3: listener.key: a key needs its `certificate`");
    }
}
