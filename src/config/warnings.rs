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
    warnings
}
