//! What the operator sees: the log, and the record of each exchange and connection.
//!
//! A [`Recorder`](recorder::Recorder) remembers what happens to an exchange while it lasts. Its end
//! makes a [`Record`](record::Record), and `observer` passes that to the access log, which writes
//! one line for it (`exchange_line`, `connection_line`). All other lines of the log are `tracing`
//! events at the place where they happen, except for `failure_log`, whose lines have the form of
//! the access log. [`targets`] has the names that operators select lines by.
//!
//! Nothing here knows how bytes travel. A line of the log never holds what a client or an upstream
//! wrote: no field value, query or body, and of a method only its name when we know it. The
//! exceptions are the server name of a connection in tcp mode, if it is a valid host name, and the
//! name in the certificate that a client had to show.

mod connection_line;
mod dropped;
mod exchange_line;
mod facts;
mod failure_log;
mod field_name;
mod lap;
mod line;
mod log;
pub mod metrics;
mod observer;
mod panics;
pub mod record;
pub mod recorder;
pub mod refusals;
mod request_ids;
mod row;
mod status_class;
mod stderr;
pub mod targets;
mod terminal;
mod waits;
mod who;

pub use dropped::dropped_lines;
pub use failure_log::{dial_failed, dial_succeeded, handshake_failed, unreachable_upstream};
pub use line::LogFormat;
pub use log::{Log, LogSettings, change_log, init_log};
#[cfg(test)]
pub(crate) use log::{capture::logged, log_panic};
pub use record::{Detail, DialTimes, Outcome};
pub use recorder::{ConnectionRecorder, ExchangeRecorder};
pub use stderr::{has_colour, write_gathered_lines};
pub use waits::Awaited;
pub use who::Who;
