//! Which challenges can be answered: [`kinds`].

use crate::acme::challenge::ChallengeKind;
use crate::config::snapshot::{Listener, Snapshot};
use crate::config::value::Mode;

/// The challenges that can be answered. A listener with names for certificates has TLS.
pub(super) fn kinds(snapshot: &Snapshot) -> Vec<ChallengeKind> {
    let mut kinds = vec![ChallengeKind::TlsAlpn01];
    let is_on_port_80 = snapshot.listeners.iter().any(|it| is_on_port_80(it));
    kinds.extend(is_on_port_80.then_some(ChallengeKind::Http01));
    kinds
}

/// Whether an authority that asks at port 80 may come to this listener. The port may be mapped, and
/// a listener that redirects is made for that.
fn is_on_port_80(listener: &Listener) -> bool {
    let Listener { address, mode, tls, redirect, has_socket, .. } = listener;
    let is_public = *has_socket && address.port() == 80 && !address.ip().is_loopback();
    *mode == Mode::Http && tls.is_none() && (*redirect || is_public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn http_01_is_for_who_can_be_reached_at_port_80() {
        use ChallengeKind::{Http01, TlsAlpn01};
        let kinds_of = |listener: &str| {
            let text = format!(
                "[acme]\nstate = \"/none\"\n[[listener]]\naddress = \"127.0.0.1:443\"\n\
                 domains = [\"a.example\"]\n[[listener]]\n{listener}\n[[route]]\npath = \"/\"\n\
                 upstream = \"http://127.0.0.1:9/\"\n"
            );
            kinds(&Snapshot::load(Config::parse("f", Path::new(""), &text).unwrap()).unwrap())
        };
        for listener in [
            "address = \"0.0.0.0:80\"",
            "address = \"[::]:80\"",
            "address = \"127.0.0.1:8080\"\nredirect = true",
        ] {
            assert_eq!(kinds_of(listener), [TlsAlpn01, Http01], "{listener}");
        }
        for listener in ["address = \"127.0.0.1:80\"", "address = \"0.0.0.0:8080\""] {
            assert_eq!(kinds_of(listener), [TlsAlpn01], "{listener}");
        }
    }
}
