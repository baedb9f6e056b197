//! Checks of `domains` across listeners, and of listeners that lead to https.

use super::identifier::Identifier;
use super::keys::forward::ForwardUpstream;
use super::keys::listener::ListenerConfig;
use super::keys::top::Config;
use super::problem::{Problems, quoted};
use super::value::Mode;
use std::collections::HashMap;

/// Most names of a listener: Let's Encrypt orders no certificate for more.
const DOMAINS_MAX: usize = 100;

/// Notes names that occur twice, and too many of them, or any if none can be ordered.
pub(super) fn check_domains(config: &Config, problems: &mut Problems) {
    if !cfg!(feature = "acme") {
        for listener in config.listeners.iter().filter(|it| !it.domains.is_empty()) {
            let what = "this narrows was built without ACME, and orders no certificate";
            let help =
                "name files in `certificate` and `key`, or use a build with the feature acme";
            problems.add_with_help(&listener.domains_location, what, [help.to_owned()]);
        }
    }
    let mut seen: HashMap<&Identifier, usize> = HashMap::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let location = &listener.domains_location;
        if listener.domains.len() > DOMAINS_MAX {
            let what = format!("{} names are too many", listener.domains.len());
            let help = format!("at most {DOMAINS_MAX} fit in a certificate; use more listeners");
            problems.add_with_help(location, what, [help]);
        }
        for name in &listener.domains {
            let Some(first) = seen.insert(name, index) else { continue };
            let name = quoted(&name.to_string());
            let (what, help) = if first == index {
                (format!("{name} occurs twice"), "write each name once".to_owned())
            } else {
                let other = config.listeners[first].name();
                let what = format!("{name} is a name of the listener at {other} already");
                (
                    what,
                    "one listener may have several addresses: address = [\":443\", …]".to_owned(),
                )
            };
            problems.add_with_help(location, what, [help]);
        }
    }
}

/// Whether HTTP is spoken inside of the TLS that ends at `listener`.
pub(super) fn serves_https(config: &Config, listener: &ListenerConfig) -> bool {
    let leads_to_http = || config.forwards.iter().any(|it| it.upstream == ForwardUpstream::Http);
    listener.is_tls() && (listener.mode == Mode::Http || leads_to_http())
}

/// Notes listeners that lead to https where there is none, and have no challenge to answer either.
/// Where something else is wrong, that may be a certificate.
pub(super) fn check_redirects(config: &Config, problems: &mut Problems) {
    if !problems.is_empty() {
        return;
    }
    let is_of_use = |it: &ListenerConfig| serves_https(config, it) || !it.domains.is_empty();
    let is_useless = !config.listeners.iter().any(is_of_use);
    for listener in config.listeners.iter().filter(|it| it.redirect && is_useless) {
        let what = "`redirect` leads to https, and no http listener has a certificate";
        let help = "give one a certificate, by `domains` or `certificate`".to_owned();
        problems.add_with_help(&listener.location, what, [help]);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{read, refuse};

    fn file(listeners: &[&str]) -> String {
        let route = "[[route]]\npath = \"/\"\nupstream = \"http://h/\"\n\
                     [[forward]]\nserver_name = \"*\"\nupstream = \"tcp://h:1\"\n";
        let listener = |(port, keys): (usize, &&str)| {
            format!("[[listener]]\naddress = \":{}\"\n{keys}\n", port + 1)
        };
        let listeners: String = listeners.iter().enumerate().map(listener).collect();
        format!("{listeners}{route}")
    }

    #[cfg(not(feature = "acme"))]
    #[test]
    fn a_build_without_acme_refuses_every_name() {
        refuse(
            &file(&["domains = \"a.example\""]),
            "f:3: listener.domains: this narrows was built",
        );
    }

    #[cfg(feature = "acme")]
    #[test]
    fn a_name_has_one_listener() {
        let twice = file(&["domains = [\"a.example\", \"A.example.\"]"]);
        refuse(&twice, "f:3: listener.domains: \"a.example\" occurs twice; write each name once");
        let apart = file(&["domains = \"a.example\"", "domains = [\"b.example\", \"a.example\"]"]);
        refuse(
            &apart,
            "f:6: listener.domains: \"a.example\" is a name of the listener at :1 already",
        );
        assert!(read(&file(&["domains = \"a.example\"", "domains = \"b.example\""])).is_ok());
    }

    #[cfg(feature = "acme")]
    #[test]
    fn a_listener_has_at_most_a_hundred_names() {
        let names = |number| {
            let names: Vec<_> = (0..number).map(|it| format!("\"a{it}.example\"")).collect();
            file(&[&format!("domains = [{}]", names.join(", "))])
        };
        assert!(read(&names(100)).is_ok());
        refuse(&names(101), "listener.domains: 101 names are too many; at most 100 fit");
    }

    #[cfg(feature = "acme")]
    #[test]
    fn a_redirect_needs_an_https_listener() {
        refuse(
            &file(&["redirect = true"]),
            "f:2: listener.address: `redirect` leads to https, and",
        );
        // It answers challenges.
        assert!(
            read(&file(&["redirect = true", "domains = \"a.example\"\nmode = \"tcp\""])).is_ok()
        );
        assert!(read(&file(&["redirect = true", "domains = \"a.example\""])).is_ok());
        let wrong = read(&file(&["redirect = true", "domains = \"*.example\""])).unwrap_err();
        assert_eq!(wrong.iter().len(), 1, "{wrong}");
    }
}
