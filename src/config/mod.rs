//! The configuration: a [`Config`] has every key, checked, with defaults filled in.
//!
//! A `Config` is plain data: nothing has been loaded, resolved or opened, so a test can build one
//! by hand. It comes from the file ([`Config::read`]) or from the command line (`cli`). A
//! [`Snapshot`](snapshot::Snapshot) is a configuration with the files that it names loaded.
//!
//! From the bottom: [`problem`] collects what is wrong, with its place in a [`source`], and
//! [`report`] shows it to a person; [`value`], [`url`], [`listen_address`] and [`network`] parse
//! single values; `table` reads TOML; `key` is how a key is declared, [`reach`] and [`keys`]
//! declare all of them; [`check`] compares tables; `file` puts these together. [`tls_files`] loads
//! certificates and keys for [`snapshot`], by [`files`], which knows them again; `tls_configs` has
//! what rustls makes of them. `address_files` loads lists of addresses.
//!
//! Not here: the defaults of time limits (`timeouts`) and fixed bounds (`limits`).

pub mod access;
mod acme_files;
mod acme_reach;
pub mod acme_state;
pub mod acme_values;
mod address_files;
pub mod address_list;
mod address_warnings;
pub mod admin_address;
pub mod check;
mod check_access;
mod check_clients;
mod check_domains;
mod clear_text;
pub mod client_name;
pub mod clients;
pub mod credentials;
pub(crate) mod excerpt;
mod file;
pub mod files;
mod foreign_format;
mod foreign_keys;
mod https_names;
pub mod identifier;
mod key;
pub mod keys;
mod list_error;
pub mod listen_address;
pub mod listener;
pub mod lookalike;
pub mod managed;
mod moment;
pub(crate) mod near;
mod near_url;
pub mod network;
pub mod outline;
pub mod own_certificate;
mod parts;
mod places;
pub mod problem;
pub mod reach;
pub mod report;
pub mod route_access;
#[cfg(any(test, feature = "reference"))]
pub mod schema;
mod secret_lists;
pub mod snapshot;
pub mod source;
mod stand_ins;
mod syntax;
mod systemd_credentials;
mod table;
mod table_list;
mod tls_configs;
pub mod tls_files;
pub mod token_digest;
pub(crate) mod toml_value;
pub mod upstream;
pub mod url;
pub mod value;
pub mod warnings;

pub use keys::limits::Limits;
pub use keys::top::Config;

#[cfg(test)]
mod testing;
