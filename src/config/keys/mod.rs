//! The tables of the configuration file, one module each: the type that a table is read into, and
//! the declarations of its keys.
//!
//! To add a key, add a field and a declaration here (in `reach`, if routes and forwards share it),
//! and use the field where it has its effect. `UPDATE_MANUAL=1 cargo test --lib the_manual` then
//! writes its row into docs/configuration.md.

pub mod forward;
pub mod limits;
pub mod listener;
pub mod route;
mod timeouts;
pub mod top;

#[cfg(test)]
mod tests;
