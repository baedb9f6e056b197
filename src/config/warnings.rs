//! Warnings about what is valid, and probably not meant.

use super::keys::top::Config;
use super::problem::Problems;
use super::{acme_reach, address_warnings, check_access, clear_text};

/// All of them.
pub fn warnings(config: &Config) -> Problems {
    let mut warnings = clear_text::warnings(config);
    acme_reach::check(config, &mut warnings);
    address_warnings::check(config, &mut warnings);
    check_access::warnings(config, &mut warnings);
    check_use_of_acme(config, &mut warnings);
    warnings
}

/// Notes `[acme]` where nothing is ordered.
fn check_use_of_acme(config: &Config, warnings: &mut Problems) {
    let is_used = config.listeners.iter().any(|it| !it.domains.is_empty());
    if let Some(location) = config.acme_location.as_ref().filter(|_| !is_used) {
        let what = "no listener has `domains`, so no certificate is ordered";
        let help = "write in a [[listener]]: domains = [\"api.example.com\"]".to_owned();
        warnings.add_with_help(location, what, [help]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{MINIMAL, read};

    #[test]
    fn a_table_acme_without_names_to_order_for_is_warned_about() {
        let of = |text: &str| warnings(&read(text).unwrap()).to_string();
        let acme = "[acme]\ncontact = \"mailto:me@example.com\"\n";
        let warning = of(&format!("{acme}{MINIMAL}"));
        assert!(warning.starts_with("f:1: acme: no listener has `domains`, so no"), "{warning}");
        assert_eq!(of(MINIMAL), "");
        let listener = "[[listener]]\naddress = \":443\"\ndomains = \"api.example.com\"\n";
        assert_eq!(of(&format!("{acme}{listener}{MINIMAL}")), "");
    }
}
