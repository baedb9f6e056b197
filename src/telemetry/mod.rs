//! What the operator sees and the process needs: the log, the access log, signals, descriptors.
//!
//! Nothing here knows how bytes travel. A line of the log never holds what a client or an upstream
//! wrote: no field value, query or body, and of a method only its name when we know it. The one
//! exception is the server name of a connection in tcp mode, if it is a valid host name.

pub mod connection_line;
mod dropped;
pub mod exchange_line;
mod failure_log;
mod line;
mod log;
mod panics;
pub mod refusals;

pub use connection_line::{ConnectionEnd, ConnectionRecord};
pub use dropped::dropped_lines;
pub use exchange_line::{Detail, ExchangeRecord, MethodName, Outcome};
pub use failure_log::{dial_failed, dial_succeeded, handshake_failed, unreachable_upstream};
pub use line::LogFormat;
pub use log::{Log, READY, init_log, write_gathered_lines};
#[cfg(test)]
pub(crate) use log::{capture::logged, log_panic};
