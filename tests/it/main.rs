//! The program as its peers see it: real sockets, real TLS, raw bytes on both sides.
//!
//! `narrows-kit` has the client, the origin and the relay between them; `support` has the scenes
//! that several tests share. No test sleeps, and each wait ends after [`narrows_kit::GUARD`] with a
//! message that says what did not come.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![expect(unreachable_pub, reason = "`support` marks with `pub` what tests are meant to use")]

mod activation;
mod addresses;
mod admin;
mod admission;
mod attackers;
mod backpressure;
mod by_name;
mod canaries;
mod chunked;
mod client_certificates;
mod clients;
mod cross_site;
mod cut_arrives;
mod cut_request;
mod departure;
mod early;
mod early_signals;
mod faults;
mod fields;
mod forward;
mod framing;
mod handover;
mod handshakes;
mod host;
mod kept;
mod kit;
mod log;
mod many_clients;
mod metrics;
mod open_files;
mod own_answers;
mod own_certificate;
mod persistence;
mod post_quantum;
mod process;
mod proxy_header;
mod reasons;
mod redirect_listener;
mod redirects;
mod reload;
mod renewal;
mod replay;
mod request_head;
mod request_id;
mod responses;
mod reuse;
mod secrets;
mod smoke;
mod stop;
mod stopped_origin;
mod streaming;
mod successor;
mod support;
mod target;
mod timeouts;
mod tls;
mod tls_records;
mod to_https;
mod truncation;
mod unasked;
mod upgrade;
mod where_time_goes;
