//! The tables of the configuration file, one module each: the type that a table is read into, and
//! the declarations of its keys.
//!
//! To add a key, add a field and a declaration here (in `reach`, if routes and forwards share it),
//! and use the field where it has its effect. `UPDATE_MANUAL=1 cargo test --lib the_manual` then
//! writes its row into docs/configuration.md.

pub mod acme;
pub mod client;
pub mod credentials;
pub mod forward;
pub mod limits;
pub mod listener;
pub mod log;
#[cfg(any(test, feature = "reference"))]
pub mod reference;
pub mod route;
pub(super) mod timeouts;
pub mod top;

#[cfg(test)]
mod tests;

use super::key::Key;

/// The dotted names of the tables that have a key called `key`.
pub(super) fn tables_with(key: &str) -> Vec<&'static str> {
    fn has<T>(keys: &[Key<T>], key: &str) -> bool {
        keys.iter().any(|it| it.name == key)
    }
    let tables = [
        ("", has(top::KEYS, key)),
        ("listener", has(listener::KEYS, key)),
        ("client", has(client::KEYS, key)),
        ("route", has(route::KEYS, key)),
        ("forward", has(forward::KEYS, key)),
        ("timeouts", has(timeouts::KEYS, key)),
        ("limits", has(limits::KEYS, key)),
        ("acme", has(acme::KEYS, key)),
    ];
    tables.into_iter().filter_map(|(name, has_key)| has_key.then_some(name)).collect()
}
