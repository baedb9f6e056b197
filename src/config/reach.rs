//! How an upstream is reached: [`Reach`], and the keys for it, which routes and forwards share.

use super::credentials::{CredentialDraft, CredentialFiles};
use super::key::Default::{Literal, Words};
use super::key::Read::With;
use super::key::{Key, Needs, row};
use super::problem::Problems;
use super::url::{Endpoint, Host};
use super::value::{Family, KeyExchange, NamedFile, ProxyVersion};

/// How an upstream is reached, with defaults filled in. Connections are shared where it is equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reach {
    /// Over TLS, with the certificate verified, or over plain TCP.
    pub is_tls: bool,
    /// Host and port of the upstream's URL.
    pub endpoint: Endpoint,
    /// Name to verify and to send as SNI; unused without TLS.
    pub tls_name: Host,
    /// Host and port to dial.
    pub connect: Endpoint,
    /// Roots to trust instead of the built-in ones.
    pub ca: Option<NamedFile>,
    /// The certificate to show to the upstream.
    pub client: Option<CredentialFiles>,
    /// Which key exchanges are offered.
    pub key_exchange: KeyExchange,
    /// Which of the upstream's addresses are used.
    pub family: Family,
    /// Send a PROXY header with the client's address.
    pub proxy_protocol: Option<ProxyVersion>,
}

/// The keys for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReachOptions {
    /// Default: the upstream's host.
    pub tls_name: Option<Host>,
    /// Default: the upstream's host and port.
    pub connect: Option<Endpoint>,
    /// Default: the built-in roots.
    pub ca: Option<NamedFile>,
    /// Default: none is shown.
    pub client: CredentialDraft,
    /// Default: the hybrid one first.
    pub key_exchange: KeyExchange,
    /// Default: both families.
    pub family: Family,
    /// Default: none is sent.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Reach {
    /// The way to `endpoint`, with defaults for every option that is not set.
    pub fn new(is_tls: bool, endpoint: Endpoint, options: ReachOptions) -> Self {
        let ReachOptions { tls_name, connect, ca, client, key_exchange, .. } = options;
        Self {
            is_tls,
            tls_name: tls_name.unwrap_or_else(|| endpoint.host.clone()),
            connect: connect.unwrap_or_else(|| endpoint.clone()),
            endpoint,
            ca,
            client: client.pair(),
            key_exchange,
            family: options.family,
            proxy_protocol: options.proxy_protocol,
        }
    }
}

impl ReachOptions {
    /// Notes that only one of two files is named.
    pub(super) fn check(&self, problems: &mut Problems) {
        let CredentialDraft { certificate, key } = &self.client;
        let alone = certificate.as_ref().xor(key.as_ref());
        if let Some(alone) = alone {
            let what = "`client_certificate` and `client_key` come together; both or neither";
            problems.add(&alone.location, what);
        }
    }
}

pub(super) const fn tls_name<T: AsMut<ReachOptions>>() -> Key<T> {
    Key::new(
        "tls_name",
        With(|it: &mut T, entry| it.as_mut().tls_name = entry.value()),
        Words("the upstream's host"),
        row(
            "Name that the upstream's certificate must have. Sent as SNI, unless it is an \
             address.",
            "a host name or an IP address",
        ),
    )
    .needing(Needs::Tls)
}

pub(super) const fn connect<T: AsMut<ReachOptions>>() -> Key<T> {
    Key::new(
        "connect",
        With(|it: &mut T, entry| it.as_mut().connect = entry.value()),
        Words("the upstream's host and port"),
        row(
            "Host and port to dial. Changes neither the Host field nor the verified name.",
            "`\"127.0.0.1:9443\"`, `\"other.example:443\"`, `\"[fe80::1%eth0]:443\"`",
        ),
    )
    .needing(Needs::Server)
}

pub(super) const fn ca<T: AsMut<ReachOptions>>() -> Key<T> {
    Key::new(
        "ca",
        With(|it: &mut T, entry| it.as_mut().ca = entry.file()),
        Words("the built-in roots"),
        row(
            "[PEM file](#pem-files) of root certificates to trust instead of the built-in ones \
             (Mozilla's). It may also be the upstream's own self-signed certificate, even with \
             CA:TRUE, which `openssl req -x509` sets: exactly this certificate is then trusted, \
             for its names and its period of validity.",
            "a file of up to 1 MiB, relative to this file's folder",
        ),
    )
    .needing(Needs::Tls)
}

pub(super) const fn client_certificate<T: AsMut<ReachOptions>>() -> Key<T> {
    Key::new(
        "client_certificate",
        With(|it: &mut T, entry| it.as_mut().client.certificate = entry.file()),
        Words("none is shown"),
        row(
            "[PEM file](#pem-files): the certificate that the upstream is shown if it asks for one \
             (mutual TLS), and its intermediates.",
            "a file of up to 1 MiB, relative to this file's folder",
        ),
    )
    .needing(Needs::Tls)
}

pub(super) const fn client_key<T: AsMut<ReachOptions>>() -> Key<T> {
    Key::new(
        "client_key",
        With(|it: &mut T, entry| it.as_mut().client.key = entry.file()),
        Words("none"),
        row(
            "[PEM file](#pem-files): the private key of `client_certificate`.",
            "a file, like `client_certificate`",
        ),
    )
    .needing(Needs::Tls)
}

pub(super) const fn key_exchange<T: AsMut<ReachOptions>>() -> Key<T> {
    Key::new(
        "key_exchange",
        With(|it: &mut T, entry| it.as_mut().key_exchange = entry.value().unwrap_or_default()),
        Literal("\"hybrid\""),
        row(
            "What the handshake offers first: X25519MLKEM768, which a quantum computer cannot \
             break either, or only X25519 and curves of NIST. The first makes the ClientHello \
             longer than one packet, which some middleboxes drop.",
            "`\"hybrid\"`, `\"classic\"`",
        ),
    )
    .needing(Needs::Tls)
}

pub(super) const fn family<T: AsMut<ReachOptions>>() -> Key<T> {
    Key::new(
        "family",
        With(|it: &mut T, entry| it.as_mut().family = entry.value().unwrap_or_default()),
        Literal("\"auto\""),
        row(
            "Which of the upstream's addresses are used: IPv4 and IPv6, whichever connects first; \
             only IPv4; only IPv6. Addresses of a family that is not used are not looked up.",
            "`\"auto\"`, `\"4\"`, `\"6\"`",
        ),
    )
    .needing(Needs::Server)
}

pub(super) const fn proxy_protocol<T: AsMut<ReachOptions>>() -> Key<T> {
    Key::new(
        "proxy_protocol",
        With(|it: &mut T, entry| it.as_mut().proxy_protocol = entry.value()),
        Words("none is sent"),
        row(
            "Sends the client's address to the upstream in a [PROXY header](#proxy-headers). Each \
             connection then serves one request of one client; none is kept or opened in advance.",
            "`\"v1\"`, `\"v2\"`",
        ),
    )
    .needing(Needs::Server)
}
