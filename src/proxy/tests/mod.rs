//! The drivers on connections in memory, under a paused clock: exact times, exact writes.

mod bench;
mod client_limits;
mod one_timer;
mod upstream_limits;
