//! What is counted, and how Prometheus gets it.
//!
//! Each worker has its own [`WorkerMetrics`], in plain cells, so that the data path has no lock and
//! shares no cache line. At a scrape each worker makes a report of them on its own thread, the main
//! thread adds the reports up ([`Totals`]), and [`Scrape`] writes them down.
//!
//! The number of series is bounded by the configuration: labels are names of routes, forwards,
//! upstreams and clients, addresses of listeners, and fixed words of ours. None holds what a peer
//! wrote.

mod client;
mod exposition;
mod histogram;
mod named;
mod process;
mod route;
mod running;
mod totals;
mod upstream;
mod worker;

pub use client::{ClientMetrics, ClientReport};
pub use exposition::{Format, Orders, Reloads, Scrape};
pub use histogram::Distribution;
pub use process::ProcessStats;
pub use route::{RouteMetrics, RouteReport};
pub(super) use running::Entered;
pub use running::Running;
pub use totals::Totals;
pub(super) use upstream::InUse;
pub use upstream::{OpeningMetrics, UpstreamMetrics, UpstreamReport};
pub use worker::WorkerMetrics;
