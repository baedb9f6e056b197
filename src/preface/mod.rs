//! What may stand at the beginning of a connection, before HTTP: a PROXY header, a TLS
//! `ClientHello`; and the alert that refuses one. Bytes and rules, no I/O.

pub mod alert;
pub mod client_hello;
pub mod host_name;
pub mod proxy_header;
