//! Warnings about lists of addresses that mean more than was probably meant.

use super::address_list::AddressList;
use super::keys::listener::ListenerConfig;
use super::keys::top::Config;
use super::network::ranges_of;
use super::problem::{Problems, nearest};

/// Fields that have the address of a client, as CDNs and proxies write them.
const KNOWN_FIELDS: [&str; 12] = [
    "X-Forwarded-For",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "CF-Connecting-IP",
    "True-Client-IP",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "DO-Connecting-IP",
    "X-Azure-ClientIP",
    "X-Original-Forwarded-For",
    "X-Envoy-External-Address",
];

/// Notes proxies that are trusted wherever they are, fields that are probably misspelt, and lists
/// that let in everyone.
pub(super) fn check(config: &Config, warnings: &mut Problems) {
    for listener in &config.listeners {
        if let Some(list) = &listener.trusted_proxies {
            check_trust(list, listener, warnings);
        }
    }
    let of_listeners = config.listeners.iter().map(|it| &it.allow);
    let lists = of_listeners.chain(config.routes.iter().map(|it| &it.access.allow)).flatten();
    for list in lists.filter(|it| is_all(it) == (true, true)) {
        let help = ["delete it, or name the addresses that are meant".to_owned()];
        warnings.add_with_help(&list.location, "this lets in every address", help);
    }
}

fn check_trust(list: &AddressList, listener: &ListenerConfig, warnings: &mut Problems) {
    let name = listener.client_address.name();
    if let (true, _) | (_, true) = is_all(list) {
        let what = format!("every peer is trusted, so any client can pass for another by {name}");
        let help = "name only the addresses of the proxies in front".to_owned();
        warnings.add_with_help(&list.location, what, [help]);
    }
    let is_known = KNOWN_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name));
    if let Some(near) = nearest(name, KNOWN_FIELDS).filter(|_| !is_known) {
        let what = format!("{name} is not a field that proxies are known to send");
        let help = format!("did you mean {near}?");
        warnings.add_with_help(&listener.client_address_location, what, [help]);
    }
}

/// Whether all of IPv4 is in the list itself, and all of IPv6.
fn is_all(list: &AddressList) -> (bool, bool) {
    ranges_of(list.networks.iter().copied()).are_all()
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read};
    use crate::config::warnings::warnings;

    #[test]
    fn proxies_that_may_be_anyone_are_warned_about() {
        for all in ["\"0.0.0.0/0\"", "\"::/0\"", "\"0.0.0.0/1\", \"128.0.0.0/1\", \"::1\""] {
            let told = with(&format!("trusted_proxies = [{all}]"));
            let want = "f:4: listener.trusted_proxies: every peer is trusted, so any client can \
                        pass for another by X-Forwarded-For; name only";
            assert!(told.contains(want), "{told}");
        }
        assert_eq!(with("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]"), "");
    }

    #[test]
    fn a_misspelt_field_is_warned_about_and_one_of_the_operators_own_is_not() {
        let field = |name: &str| {
            with(&format!("trusted_proxies = [\"10.0.0.0/8\"]\nclient_address = \"{name}\""))
        };
        let told = field("X-Forwaded-For");
        assert!(told.starts_with("f:5: listener.client_address: X-Forwaded-For is not"), "{told}");
        assert!(told.contains("did you mean X-Forwarded-For?"), "{told}");
        assert!(field("CF-Connection-IP").contains("did you mean CF-Connecting-IP?"));
        for name in ["cf-connecting-ip", "X-Real-IP", "Tunnel-Source", "Forwarded"] {
            assert_eq!(field(name), "");
        }
    }

    #[test]
    fn a_list_that_lets_in_everyone_is_warned_about() {
        let all = "allow = [\"0.0.0.0/0\", \"::/0\"]";
        assert!(with(all).contains("f:4: listener.allow: this lets in every address; delete it"));
        let text = format!("{MINIMAL}{all}");
        assert!(warnings(&read(&text).unwrap()).to_string().contains("route.allow: this lets in"));
        assert_eq!(with("allow = [\"0.0.0.0/0\"]"), "", "IPv4 alone may be meant");
    }

    /// The warnings about a listener with these keys.
    fn with(keys: &str) -> String {
        let text = MINIMAL.replacen("8080\"\n", &format!("8080\"\n{keys}\n"), 1);
        warnings(&read(&text).unwrap()).to_string()
    }
}
