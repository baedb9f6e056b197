//! What the operator said, checked and completed with defaults: [`Config`].
//!
//! Plain values: nothing is loaded, looked up or opened yet, so a configuration can be built by
//! hand in a test. It comes from the file ([`Config::read`]) or from the command line (`cli`);
//! [`snapshot`] then loads what it names.
//!
//! Not here: the syntax of single values ([`value`], [`url`]), the walk over the file (`file`), the
//! defaults of the limits of time (`timeouts`), the bounds that nobody may choose (`limits`).

pub mod check;
mod file;
pub mod files;
pub mod keys;
pub mod network;
pub mod problem;
pub mod snapshot;
mod table;
#[cfg(test)]
mod test_file;
pub mod url;
pub mod value;

pub use keys::limits::Limits;
pub use keys::top::Config;
