//! Passes the record of an exchange or a connection to the metrics and to the access log.

use super::log::log_line;
use super::metrics::{ClientMetrics, RouteMetrics, WorkerMetrics};
use super::record::{Record, Subject};
use super::refusals::{Refused, may_tell};
use super::stderr::columns;
use super::targets::ACCESS;
use super::{connection_line, exchange_line, row};
use crate::error::Fault;
use tracing::Level;

/// Counts an exchange or a connection at its end. `client` is `None` if it had no token.
pub(super) fn count(
    record: &Record,
    metrics: &WorkerMetrics,
    route: Option<&RouteMetrics>,
    client: Option<&ClientMetrics>,
) {
    route.iter().for_each(|route| route.ended(record));
    client.iter().for_each(|client| client.ended(record));
    let (fault, cause) = (record.outcome.fault(), record.outcome.cause());
    if fault == Some(Fault::Client)
        && refused(record).is_some()
        && let Some(reason) = record.detail.reason().or(cause)
    {
        metrics.refused(reason);
    }
}

/// Writes the line of the access log: at level `warn` when the upstream is at fault, or says that
/// it fails, at `error` when we are at fault, at `info` otherwise. Lines about refusals are
/// [limited](super::refusals).
pub(super) fn ended(record: &Record) {
    let level = match record.outcome.fault() {
        None | Some(Fault::Client) if is_failed_by_upstream(record) => Level::WARN,
        None | Some(Fault::Client) => Level::INFO,
        Some(Fault::Upstream) => Level::WARN,
        Some(Fault::Internal) => Level::ERROR,
    };
    if refused(record).is_some_and(|refused| !may_tell(level, record.client.ip(), refused)) {
        return;
    }
    log_line(level, ACCESS, |line| {
        if let Some((line, has_colour)) = line.of_terminal() {
            return row::append_row(record, has_colour, columns(), line);
        }
        match &record.subject {
            Subject::Exchange(facts) => exchange_line::write(record, facts, line),
            Subject::Connection(facts) => connection_line::write(record, facts, line),
        }
    });
}

/// What was refused, if nothing was troubled but its client.
fn refused(record: &Record) -> Option<Refused> {
    match &record.subject {
        Subject::Exchange(facts) => {
            exchange_line::is_refusal(record, facts).then_some(Refused::Request)
        }
        Subject::Connection(_) => {
            connection_line::is_refusal(record).then_some(Refused::Connection)
        }
    }
}

fn is_failed_by_upstream(record: &Record) -> bool {
    match &record.subject {
        Subject::Exchange(facts) => facts.is_failed_by_upstream(),
        Subject::Connection(_) => false,
    }
}
