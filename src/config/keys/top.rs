//! The top level of the file: [`Config`].

use super::forward::ForwardConfig;
use super::limits::Limits;
use super::listener::ListenerConfig;
use super::route::RouteConfig;
use crate::timeouts::Timeouts;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

/// Range of `workers` and `--workers`: one thread each, and no machine this is for has more cores.
pub const WORKERS_RANGE: RangeInclusive<usize> = 1..=256;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Worker threads; `None`: as many as there are cores.
    pub workers: Option<NonZeroUsize>,
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// What they can reach by HTTP; at least one if a listener speaks it, no two with one path.
    pub routes: Vec<RouteConfig>,
    /// What they can reach otherwise; at least one if a listener is in tcp mode.
    pub forwards: Vec<ForwardConfig>,
    /// What may take how long.
    pub timeouts: Timeouts,
    /// What may grow how large.
    pub limits: Limits,
}
