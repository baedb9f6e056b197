//! One socket address to listen on, and what is known of its clients: [`Listener`].

use super::keys::listener::scheme;
use super::network::Network;
use super::value::Mode;
use crate::gateway::client_address::AddressRules;
use crate::gateway::server_name::ForwardTarget;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio_rustls::rustls::ServerConfig;

/// One socket address to listen on. A `[[listener]]` with several has one of these for each.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Address and port to bind; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// All addresses of its `[[listener]]`, as written.
    pub name: Arc<str>,
    /// Whether the listener before it is that of the other family, from one written address. They
    /// have one port, also if the kernel chooses it.
    pub is_second_family: bool,
    /// If set, TLS ends here.
    pub tls: Option<Arc<ServerConfig>>,
    /// For a tcp listener with `tls`: the same for connections that a forward hands to an http
    /// listener, with HTTP/1.1 as ALPN.
    pub tls_of_http: Option<Arc<ServerConfig>>,
    /// Which protocol clients speak.
    pub mode: Mode,
    /// Peers that must send a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// What is known of the addresses of clients, if anything.
    pub address_rules: Option<Arc<AddressRules>>,
    /// For a tcp listener: the http listener that `ForwardTarget::Http` leads to.
    pub http: Option<Arc<Listener>>,
    /// Whether requests are only led to https.
    pub redirect: bool,
    /// Whether it is left out, with a warning, where its address cannot be bound.
    pub is_optional: bool,
    /// Whether it has a socket. If not, a tcp listener with the same address leads to it.
    pub has_socket: bool,
}

impl Listener {
    /// The TLS configuration for a client that goes to `target`, if TLS ends here.
    pub fn tls_for<U>(&self, target: &ForwardTarget<U>) -> Option<&Arc<ServerConfig>> {
        match target {
            ForwardTarget::Upstream(_) => self.tls.as_ref(),
            ForwardTarget::Http => self.tls_of_http.as_ref(),
        }
    }

    /// Whether connections from `client` are closed before TLS, or in tcp mode. Others get their
    /// answer in HTTP.
    pub fn closes_at(&self, client: IpAddr) -> bool {
        let answers = self.mode == Mode::Http && self.tls.is_none();
        !answers && self.address_rules.as_ref().is_some_and(|rules| !rules.admit_peer(client))
    }

    /// The rules for requests of the HTTP clients that it leads to.
    pub fn rules_of_requests(&self) -> Option<Arc<AddressRules>> {
        self.http.as_deref().unwrap_or(self).address_rules.clone()
    }

    /// `address` as a URL, its scheme saying what clients speak.
    pub fn url(&self, address: SocketAddr) -> String {
        format!("{}://{address}", scheme(self.mode, self.tls.is_some()))
    }
}
