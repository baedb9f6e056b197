//! `[[listener]]`: [`ListenerConfig`] and its keys.

use super::credentials;
use crate::config::address_list::AddressList;
use crate::config::credentials::{CredentialDraft, CredentialFiles};
use crate::config::identifier::Identifier;
use crate::config::key::Default::{Literal, Required, Words};
use crate::config::key::Read::With;
use crate::config::key::{Key, Present, read_table, row};
use crate::config::listen_address::ListenAddress;
use crate::config::network::Network;
use crate::config::problem::Location;
use crate::config::table::{Reader, Table};
use crate::config::table_list::tables;
use crate::config::value::{Mode, NamedFile};
use crate::gateway::client_address::ClientAddressField;
use crate::net::listen::has_ip;
use std::net::SocketAddr;

/// A `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it listens; at least one.
    pub addresses: Vec<ListenAddress>,
    /// Certificates to show, chosen by the name that the client asks for; the first is the default.
    pub certificates: Vec<CredentialFiles>,
    /// Names that certificates are ordered for.
    pub domains: Vec<Identifier>,
    /// Clients need a certificate of one of these roots.
    pub client_ca: Option<ClientCa>,
    /// Whether requests are only led to https.
    pub redirect: bool,
    /// Which protocol clients speak.
    pub mode: Mode,
    /// Peers that must send a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// Addresses that are served; `None`: all.
    pub allow: Option<AddressList>,
    /// Peers whose field about the client is believed.
    pub trusted_proxies: Option<AddressList>,
    /// That field.
    pub client_address: ClientAddressField,
    /// Whether it is left out, with a warning, where its address cannot be bound.
    pub is_optional: bool,
    /// Location of the addresses.
    pub location: Location,
    /// Location of `domains`, or of the addresses.
    pub domains_location: Location,
    /// Location of `client_address`, or of the addresses.
    pub client_address_location: Location,
}

impl ListenerConfig {
    /// A plain http listener.
    pub fn new(addresses: Vec<ListenAddress>, location: Location) -> Self {
        Self {
            addresses,
            certificates: Vec::new(),
            domains: Vec::new(),
            client_ca: None,
            redirect: false,
            mode: Mode::Http,
            proxy_protocol: Vec::new(),
            allow: None,
            trusted_proxies: None,
            client_address: ClientAddressField::default(),
            is_optional: false,
            domains_location: location.clone(),
            client_address_location: location.clone(),
            location,
        }
    }

    /// The addresses as written: what it is called in messages.
    pub fn name(&self) -> String {
        let written: Vec<_> = self.addresses.iter().map(ListenAddress::to_string).collect();
        written.join(", ")
    }

    /// The addresses as URLs, their scheme saying what clients speak.
    pub fn urls(&self) -> String {
        let scheme = scheme(self.mode, self.is_tls());
        let urls: Vec<_> = self.addresses.iter().map(|it| format!("{scheme}://{it}")).collect();
        urls.join(", ")
    }

    /// Whether TLS ends here.
    pub fn is_tls(&self) -> bool {
        !self.certificates.is_empty() || !self.domains.is_empty()
    }

    /// All its socket addresses.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().flat_map(|address| address.sockets())
    }

    /// Those that this machine has, each with whether the one before it is of the same address as
    /// written.
    pub(in crate::config) fn sockets_here(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        let sockets = self.addresses.iter().map(|address| address.sockets_here(has_ip));
        sockets.flat_map(|it| it.into_iter().enumerate().map(|(index, it)| (it, index > 0)))
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

/// Whose certificates clients need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM: the roots.
    pub roots: NamedFile,
    /// PEM: lists of revoked certificates.
    pub crl: Option<NamedFile>,
}

/// The table as it is read.
#[derive(Default)]
pub(super) struct Draft {
    addresses: Vec<ListenAddress>,
    pair: CredentialDraft,
    certificates: Vec<Option<CredentialFiles>>,
    domains: Vec<Identifier>,
    client_ca: Option<NamedFile>,
    client_crl: Option<NamedFile>,
    redirect: bool,
    mode: Mode,
    has_unknown_mode: bool,
    proxy_protocol: Vec<Network>,
    allow: Option<AddressList>,
    trusted_proxies: Option<AddressList>,
    client_address: ClientAddressField,
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
        With(|it, entry| it.pair.certificate = entry.file()),
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
        With(|it, entry| it.pair.key = entry.file()),
        Words("none: no TLS"),
        row(
            "[PEM file](#pem-files): the certificate's private key, without a passphrase. RSA, \
             ECDSA or Ed25519. May be the same file.",
            "a file, like `certificate`",
        ),
    ),
    Key::new(
        "certificates",
        With(|it, entry| it.certificates = tables(entry, credentials::read)),
        Words("none"),
        row(
            "Several certificates, in place of `certificate` and `key`: the client gets the one \
             that has the name it asks for (SNI), else the first. A name may have an RSA and an \
             ECDSA certificate; the client gets the one it can verify.",
            "a list of [tables](#certificates)",
        ),
    ),
    Key::new(
        "domains",
        With(|it, entry| it.domains = entry.one_or_more()),
        Words("none"),
        row(
            "Names whose certificates are [ordered by ACME](#acme), and renewed. The authority \
             connects to each name at port 443 or 80, which have to lead here. Other names may \
             have files in `certificates`.",
            "DNS names and IP addresses, at most 100: `[\"api.example.com\", \"203.0.113.7\"]`",
        ),
    ),
    Key::new(
        "client_ca",
        With(|it, entry| it.client_ca = entry.file()),
        Words("none is required"),
        row(
            "[PEM file](#pem-files) of root certificates. Clients then need a certificate that one \
             of them has issued (mutual TLS).",
            "a file of up to 1 MiB, relative to this file's folder",
        ),
    ),
    Key::new(
        "client_crl",
        With(|it, entry| it.client_crl = entry.file()),
        Words("none"),
        row(
            "PEM file of revocation lists (`X509 CRL`), one or more. Clients whose certificates \
             are in them are refused.",
            "a file, like `client_ca`",
        ),
    ),
    Key::new(
        "redirect",
        With(|it, entry| it.redirect = entry.boolean().unwrap_or_default()),
        Literal("false"),
        row(
            "Lead every request to the same URL with `https://` (308), if its Host is one that an \
             https listener has a certificate for, and answer the challenges of ACME. For port 80. \
             Where that is mapped to another port, such as 8080, a client whose Host has no port \
             is led to port 443, and any other to the port of the https listener.",
            "`true`, `false`",
        ),
    ),
    Key::new(
        "mode",
        With(|it, entry| {
            let mode = entry.value();
            it.has_unknown_mode = mode.is_none();
            it.mode = mode.unwrap_or_default();
        }),
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
    Key::new(
        "allow",
        With(|it, entry| it.allow = Some(AddressList::read(entry))),
        Words("all"),
        row(
            "Addresses of clients that are served. Others get 403 `address_not_allowed` on an \
             http listener without TLS, and are closed before TLS otherwise. See \
             [access](access.md#addresses).",
            "a list of addresses, ranges, and files of them: `[\"203.0.113.0/24\", \
             \"2001:db8::/32\", \"office.txt\"]`",
        ),
    ),
    Key::new(
        "trusted_proxies",
        With(|it, entry| it.trusted_proxies = Some(AddressList::read(entry))),
        Words("none"),
        row(
            "Proxies in front, such as a CDN or nginx, that name their client in a field of each \
             request. The named address is the client in the log, in `allow`, in \
             `connections_per_address` and in PROXY headers. See \
             [access](access.md#behind-a-proxy-or-a-cdn).",
            "a list, like `allow`: `[\"10.0.0.0/8\", \"cloudflare.txt\"]`",
        ),
    ),
    Key::new(
        "client_address",
        With(|it, entry| it.client_address = entry.value().unwrap_or_default()),
        Words("`\"X-Forwarded-For\"`"),
        row(
            "The field in which `trusted_proxies` name their client. A list, as `X-Forwarded-For` \
             and `Forwarded` are, is read from the right, to the first address that is no trusted \
             proxy. Any other field has one address.",
            "`\"X-Forwarded-For\"`, `\"Forwarded\"`, `\"CF-Connecting-IP\"`, `\"X-Real-IP\"`, …",
        ),
    ),
];

/// Reads a `[[listener]]`. `None` if an address is missing or wrong.
pub(super) fn read(reader: &mut Reader, table: Table<'_>) -> Option<ListenerConfig> {
    let mut draft = Draft::default();
    let present = read_table(reader, table, KEYS, &mut draft);
    let certificates = certificates(reader, &draft, &present);
    note_useless(reader, &draft, &present);
    let location = present.location("address")?.clone();
    let at = |key| present.location(key).unwrap_or(&location).clone();
    let domains_location = at("domains");
    let client_address_location = at("client_address");
    if draft.has_unknown_mode {
        // Nobody can say whether it needs routes or forwards.
        return None;
    }
    let Draft { addresses, domains, client_ca, client_crl, redirect, mode, .. } = draft;
    Some(ListenerConfig {
        certificates,
        domains,
        client_ca: client_ca.map(|roots| ClientCa { roots, crl: client_crl }),
        redirect,
        mode,
        proxy_protocol: draft.proxy_protocol,
        allow: draft.allow,
        trusted_proxies: draft.trusted_proxies,
        client_address: draft.client_address,
        domains_location,
        client_address_location,
        ..ListenerConfig::new(addresses, location)
    })
}

/// The pair of `certificate` and `key`, or the list.
fn certificates(reader: &mut Reader, draft: &Draft, present: &Present) -> Vec<CredentialFiles> {
    let CredentialDraft { certificate, key } = &draft.pair;
    let missing = match (certificate, key) {
        (Some(alone), None) => Some((alone, "a certificate needs its `key`; both or neither")),
        (None, Some(alone)) => Some((alone, "a key needs its `certificate`; both or neither")),
        (Some(_), Some(_)) | (None, None) => None,
    };
    if let Some((alone, what)) = missing {
        reader.problems.add(&alone.location, what);
    }
    let pair = draft.pair.clone().pair();
    let list: Vec<_> = draft.certificates.iter().flatten().cloned().collect();
    let Some(pair) = pair else { return list };
    let as_list = "certificates = [{ certificate = \"…\", key = \"…\" }]";
    if present.location("certificates").is_some() {
        let what = "`certificates` holds all certificates of a listener, and this one is outside";
        let help = "move `certificate` and `key` into the list".to_owned();
        reader.problems.add_with_help(&pair.certificate.location, what, [help]);
    } else if present.location("domains").is_some() {
        let what = "this listener has `domains` as well, whose certificates are ordered";
        let help = format!("delete `certificate` and `key`; or, to show both, write {as_list}");
        reader.problems.add_with_help(&pair.certificate.location, what, [help]);
    }
    [vec![pair], list].concat()
}

/// Notes keys that have no effect without another one.
fn note_useless(reader: &mut Reader, draft: &Draft, present: &Present) {
    let has = |key| present.location(key).is_some();
    let is_tls = ["certificate", "certificates", "domains"].into_iter().any(has);
    let mut note = |key, is_useless: bool, what: &str, help: &str| {
        if let Some(location) = present.location(key).filter(|_| is_useless) {
            reader.problems.add_with_help(location, what, [help.to_owned()]);
        }
    };
    let no_tls = "a client shows its certificate only in TLS, and this listener has none";
    note("client_ca", !is_tls, no_tls, "give it a certificate, by `certificate` or `domains`");
    let no_ca = "a list of revoked certificates needs the roots that issued them";
    note("client_crl", !has("client_ca"), no_ca, "add client_ca = \"roots.pem\"");
    let leads = "a listener that leads to https speaks plain HTTP";
    let other = "delete `redirect` here, and write it at a listener with port 80";
    note("redirect", draft.redirect && is_tls, leads, other);
    let is_tcp = draft.redirect && draft.mode == Mode::Tcp;
    note("redirect", is_tcp, "only an http listener can lead to https", "delete it");
    let untrusted = "anyone can write this field, and no peer is trusted";
    let is_untrusted = !has("trusted_proxies");
    note("client_address", is_untrusted, untrusted, "add trusted_proxies = [\"10.0.0.0/8\"]");
    let is_tcp = draft.mode == Mode::Tcp;
    let reads_none = "a tcp listener reads no fields; proxies in front of it send PROXY headers";
    let instead = "name them in `proxy_protocol`; or move the key to an http listener";
    note("trusted_proxies", is_tcp, reads_none, instead);
    note("client_address", is_tcp, reads_none, instead);
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

    #[test]
    fn a_listener_has_a_pair_or_a_list_of_certificates_and_names_to_order_for() {
        let with = |keys: &str| MINIMAL.replacen("8080\"\n", &format!("8080\"\n{keys}\n"), 1);
        let list = "certificates = [{ certificate = \"a\", key = \"b\" }, { certificate = \"c\", \
                    key = \"d\" }]";
        let listener = read(&with(&format!("{list}\ndomains = \"A.example\""))).unwrap();
        let listener = &listener.listeners[0];
        assert_eq!((listener.certificates.len(), listener.domains.len()), (2, 1));
        assert_eq!(listener.urls(), "https://127.0.0.1:8080");
        refuse(&with(&format!("{list}\ncertificate = \"c\"\nkey = \"k\"")), "into the list");
        refuse(
            &with("domains = [\"a.example\"]\ncertificate = \"c\"\nkey = \"k\""),
            "to show both",
        );
        refuse(
            &with("certificates = [{ key = \"k\" }]"),
            "certificates.certificate: this key is m",
        );
        refuse(&with("certificates = \"a.pem\""), "and a list of tables is needed");
        refuse(&with("domains = []"), "the list is empty");
        refuse(&with("domains = [\"*.example\"]"), "is a wildcard");
    }

    #[test]
    fn keys_without_effect_are_refused() {
        let with = |keys: &str| MINIMAL.replacen("8080\"\n", &format!("8080\"\n{keys}\n"), 1);
        refuse(&with("client_ca = \"c\""), "a client shows its certificate only in TLS");
        refuse(&with("client_crl = \"c\""), "needs the roots that issued them");
        refuse(&with("domains = \"a.b\"\nredirect = true"), "speaks plain HTTP");
        refuse(&with("mode = \"tcp\"\nredirect = true"), "only an http listener can lead");
        refuse(&with("redirect = \"yes\""), "this is a string, and true or false is needed");
        let listener =
            read(&with("domains = \"a.b\"\nclient_ca = \"c\"\nclient_crl = \"d\"")).unwrap();
        assert!(listener.listeners[0].client_ca.as_ref().is_some_and(|it| it.crl.is_some()));
    }
}
