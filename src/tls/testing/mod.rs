//! For tests: certificates and keys as text, and folders to put them in.

pub(crate) mod chain;
pub(crate) mod pem;
