//! What may come before HTTP on a connection, its preface: a PROXY header, a TLS `ClientHello`, and
//! the alert that refuses one. Bytes and rules, no I/O.
//!
//! [`proxy_header`] reads and writes PROXY headers. [`client_hello`] finds the server name that a
//! client asks for, [`host_name`] decides whether that is valid, and [`alert`] writes the refusal.
//! None of them consumes a byte: the driver decides what the next reader gets.

pub mod alert;
pub mod client_hello;
pub mod host_name;
pub mod proxy_header;
