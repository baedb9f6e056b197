//! `[[listener]]`: [`ListenerConfig`].

use crate::config::network::Network;
use crate::config::problem::Location;
use crate::config::value::{Mode, NamedFile};
use std::net::SocketAddr;

/// A `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address and port to bind; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// With them: HTTPS, or TLS that ends here. Without: plain HTTP, or bytes as they are.
    pub credentials: Option<CredentialFiles>,
    /// What is spoken.
    pub mode: Mode,
    /// Peers that have to announce their clients by a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// Where the address was said.
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

#[cfg(test)]
mod tests {
    use crate::config::test_file::{MINIMAL, read, refuse};

    #[test]
    fn peers_that_announce_clients_are_a_list_of_networks() {
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
