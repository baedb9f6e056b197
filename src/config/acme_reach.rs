//! Warnings about names that an authority on the Internet cannot verify: it has to find them in the
//! DNS, and to reach this process at their port 443 or 80 (RFC 8555, section 8.3; RFC 8737).

use super::clear_text::{is_global, is_public, is_public_name};
use super::identifier::Identifier;
use super::keys::top::Config;
use super::problem::{Problems, quoted};

/// The ports that authorities connect to.
const PORTS: [u16; 2] = [443, 80];

/// Notes names that cannot be verified, unless the authority is in a network of the operator's.
pub(super) fn check(config: &Config, warnings: &mut Problems) {
    if !is_public(&config.acme.directory.endpoint.host) {
        return;
    }
    let ordering = || config.listeners.iter().filter(|it| !it.domains.is_empty());
    for listener in ordering() {
        for name in listener.domains.iter().filter(|it| !is_verifiable(it)) {
            let name = quoted(&name.to_string());
            let what = format!("no authority on the Internet can verify {name}");
            let help = "name the directory of your own authority in [acme], or write a name that \
                        is in the public DNS";
            warnings.add_with_help(&listener.domains_location, what, [help.to_owned()]);
        }
    }
    let mut sockets = config.listeners.iter().flat_map(|it| it.sockets());
    let has_port = sockets.any(|it| PORTS.contains(&it.port()));
    if let Some(first) = ordering().next().filter(|_| !has_port) {
        let what = "authorities connect to port 443 or 80, and no listener has one of them";
        let help =
            "listen on :443; or let a firewall or a container lead port 443 to this listener";
        warnings.add_with_help(&first.domains_location, what, [help.to_owned()]);
    }
}

fn is_verifiable(name: &Identifier) -> bool {
    match name {
        Identifier::Dns(name) => is_public_name(name),
        Identifier::Ip(address) => is_global(*address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::read;

    fn of(address: &str, domain: &str, acme: &str) -> String {
        let text = format!(
            "[[listener]]\naddress = \"{address}\"\ndomains = \"{domain}\"\n\
             [[route]]\npath = \"/\"\nupstream = \"https://h/\"\n{acme}\n"
        );
        let mut warnings = Problems::default();
        check(&read(&text).unwrap(), &mut warnings);
        warnings.to_string()
    }

    #[test]
    fn a_name_that_is_not_on_the_internet_is_warned_about() {
        for name in ["nas.local", "api", "10.0.0.5", "fd00::1", "localhost"] {
            let want = format!(
                "f:3: listener.domains: no authority on the Internet can verify \"{name}\""
            );
            assert!(of(":443", name, "").starts_with(&want), "{name}");
        }
        for name in ["api.example.com", "8.8.8.8", "2606:4700::1"] {
            assert_eq!(of(":443", name, ""), "");
        }
    }

    #[test]
    fn a_listener_that_no_authority_reaches_is_warned_about() {
        assert_eq!(of(":80", "api.example.com", ""), "");
        assert!(of(":8443", "api.example.com", "").contains("and no listener has one of them"));
    }

    #[test]
    fn an_authority_of_the_operators_own_has_its_own_rules() {
        for directory in
            ["https://127.0.0.1:14000/dir", "https://ca.internal/dir", "https://ca/dir"]
        {
            assert_eq!(of(":8443", "api", &format!("[acme]\ndirectory = \"{directory}\"")), "");
        }
    }
}
