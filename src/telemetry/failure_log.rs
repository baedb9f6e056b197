//! Log lines about failed handshakes and dials that belong to no exchange: the client has not sent
//! a request yet, or no request waits for the connection to the upstream.
//!
//! Their fields are named as in the access log, and their values are fixed words of ours.

use super::field_name::name;
use super::log::log_line;
use super::record::Detail;
use super::refusals::{Refused, may_tell};
use super::targets::{CLIENT, UPSTREAM};
use crate::error::opening::OpeningError;
use crate::error::{Cause, DialFailure, ExchangeError, TlsFault};
use crate::gateway::answer::name_of;
use std::net::SocketAddr;
use std::time::Duration;
use tracing::Level;

/// A connection to the upstream with this `host:port` could not be opened.
pub fn dial_failed(level: Level, upstream: &str, failure: &DialFailure) {
    log_dial(level, "dial failed", upstream, failure);
}

/// No connection to the upstream with this `host:port` can be opened. Logged when that begins, and
/// again when the reason is another one.
pub fn unreachable_upstream(upstream: &str, failure: &DialFailure) {
    log_dial(Level::WARN, "the upstream cannot be reached", upstream, failure);
}

fn log_dial(level: Level, message: &str, upstream: &str, failure: &DialFailure) {
    log_line(level, UPSTREAM, |line| {
        line.message(message);
        line.field(name!("upstream"), upstream);
        line.field(name!("fault"), failure.error.fault.name());
        line.field(name!("cause"), name_of(&failure.error));
        Detail::write_dial(line, failure);
    });
}

/// A connection to the upstream with this `host:port` was opened within `took`: at `trace`.
pub fn dial_succeeded(upstream: &str, address: SocketAddr, took: Duration) {
    log_line(Level::TRACE, UPSTREAM, |line| {
        line.message("connected");
        line.field(name!("upstream"), upstream);
        line.field(name!("address"), address);
        line.field(name!("connect_ms"), took);
    });
}

/// The TLS handshake with `client` failed after `took`. These lines have a
/// [rate limit](super::refusals). A client that only checked whether the port is open is logged at
/// `debug`.
pub fn handshake_failed(client: SocketAddr, error: &ExchangeError, took: Duration) {
    const SILENT: Cause = Cause::Opening(OpeningError::Handshake(TlsFault::Silent));
    let level = if error.cause == SILENT { Level::DEBUG } else { Level::INFO };
    if !may_tell(level, client.ip(), Refused::Handshake) {
        return;
    }
    log_line(level, CLIENT, |line| {
        line.message("handshake failed");
        line.field(name!("client"), client);
        line.field(name!("fault"), error.fault.name());
        line.field(name!("cause"), name_of(error));
        line.field(name!("reason"), error.reason());
        line.field(name!("step"), "tls");
        line.field(name!("step_ms"), took);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DialStep;
    use crate::telemetry::line::LogFormat;
    use crate::telemetry::log::capture::logged;

    #[test]
    fn a_failed_dial_says_where_and_why_and_how_long_it_took() {
        let error = ExchangeError::upstream(Cause::Tls(TlsFault::CertificateName));
        let address = Some("[2001:db8::1]:443".parse().unwrap());
        let failure = DialFailure::at(DialStep::Tls, address, Duration::from_millis(12), error);
        let text = logged(LogFormat::Text, Level::WARN, || {
            dial_failed(Level::WARN, "api.example:443", &failure);
            dial_failed(Level::DEBUG, "api.example:443", &failure);
        });
        let want = " WARN narrows::upstream: dial failed upstream=\"api.example:443\" \
                    fault=\"upstream\" cause=\"upstream_certificate_wrong_name\" \
                    reason=\"wrong_name\" step=\"tls\" address=[2001:db8::1]:443 family=\"6\" \
                    step_ms=12.000\n";
        assert!(text.ends_with(want), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_failed_handshake_has_its_reason_as_a_field_of_json() {
        let fault = OpeningError::Handshake(TlsFault::Alert(48));
        let error = ExchangeError::client(Cause::Opening(fault));
        let client = SocketAddr::from(([192, 0, 2, 7], 4711));
        let text = logged(LogFormat::Json, Level::INFO, || {
            handshake_failed(client, &error, Duration::from_millis(3));
        });
        let want = "\"message\":\"handshake failed\",\"client\":\"192.0.2.7:4711\",\
                    \"fault\":\"client\",\"cause\":\"client_tls_failed\",\
                    \"reason\":\"alert=unknown_ca\",\"step\":\"tls\",\"step_ms\":3.000,\
                    \"target\":\"narrows::client\"}\n";
        assert!(text.ends_with(want), "{text}");
    }
}
