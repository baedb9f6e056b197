//! Passes the record of an exchange or a connection to the access log.

use super::log::log_line;
use super::record::{Record, Subject};
use super::refusals::{Refused, may_tell};
use super::targets::ACCESS;
use super::{connection_line, exchange_line};
use crate::error::Fault;
use tracing::Level;

/// Passes a record to every listener: the access log.
pub(super) fn ended(record: &Record) {
    write_line(record);
}

/// Writes the line of the access log: at level `warn` when the upstream is at fault, at `error`
/// when we are, at `info` otherwise. Lines about refusals are [limited](super::refusals).
fn write_line(record: &Record) {
    let level = match record.outcome.fault() {
        None | Some(Fault::Client) => Level::INFO,
        Some(Fault::Upstream) => Level::WARN,
        Some(Fault::Internal) => Level::ERROR,
    };
    let refused = match &record.subject {
        Subject::Exchange(facts) => {
            exchange_line::is_refusal(record, facts).then_some(Refused::Request)
        }
        Subject::Connection(_) => {
            connection_line::is_refusal(record).then_some(Refused::Connection)
        }
    };
    if refused.is_some_and(|refused| !may_tell(level, record.client.ip(), refused)) {
        return;
    }
    log_line(level, ACCESS, |line| match &record.subject {
        Subject::Exchange(facts) => exchange_line::write(record, facts, line),
        Subject::Connection(facts) => connection_line::write(record, facts, line),
    });
}
