//! The drivers on connections in memory, under a paused clock: exact times, exact writes.

mod arrival;
mod bench;
mod carriage;
mod client_limits;
mod credentials;
mod cuts;
mod departure;
mod footprint;
mod idle_limit;
mod incomplete;
mod memory;
mod message;
mod one_timer;
mod passthrough;
mod pump;
mod repeat;
mod rules;
mod session;
mod site;
mod tunnel;
mod unrouted;
mod upstream_limits;
mod vanish;
mod waits;
mod wire;
mod wrong_tokens;
