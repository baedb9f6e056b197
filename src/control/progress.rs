//! How far the renewal of each certificate is: [`Progress`], for `/status` and the metrics.

use crate::telemetry::metrics::Orders;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What is known of all certificates that are ordered.
#[derive(Debug, Default)]
pub(super) struct Progress {
    standings: RefCell<HashMap<PathBuf, Standing>>,
    orders: Cell<Orders>,
}

/// How far one certificate is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) phase: OrderPhase,
    /// When something is done next, if that is known.
    pub(super) next: Option<SystemTime>,
    /// Why the last order failed, unless one has succeeded since.
    pub(super) last_error: Option<OrderError>,
}

/// What is being done for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "acme"), expect(dead_code, reason = "nothing is ordered"))]
pub(super) enum OrderPhase {
    /// Nothing has been done yet.
    #[default]
    Pending,
    /// It is stored, and renewed later.
    Stored,
    /// It is being ordered.
    Ordering,
    /// It is ordered again after a failure.
    Retrying,
    /// Another process orders it.
    Elsewhere,
}

/// Why an order failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderError {
    pub(super) text: String,
    pub(super) at: SystemTime,
}

impl OrderPhase {
    /// The word of `/status`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Stored => "stored",
            Self::Ordering => "ordering",
            Self::Retrying => "retrying",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl Progress {
    /// How far the certificate of this file is.
    pub(super) fn of(&self, file: &Path) -> Standing {
        self.standings.borrow().get(file).cloned().unwrap_or_default()
    }

    /// How the orders of this process have ended.
    pub(super) fn orders(&self) -> Orders {
        self.orders.get()
    }

    /// The certificate of this file has come so far.
    #[cfg(any(feature = "acme", test))]
    pub(super) fn note(&self, file: &Path, standing: Standing) {
        self.standings.borrow_mut().insert(file.into(), standing);
    }

    /// Forgets the certificates that are no longer ordered.
    #[cfg(feature = "acme")]
    pub(super) fn keep(&self, is_ordered: impl Fn(&Path) -> bool) {
        self.standings.borrow_mut().retain(|file, _| is_ordered(file));
    }

    /// An order has ended.
    #[cfg(feature = "acme")]
    pub(super) fn count(&self, is_issued: bool) {
        let Orders { ok, failed } = self.orders.get();
        let (ok, failed) = (ok + u64::from(is_issued), failed + u64::from(!is_issued));
        self.orders.set(Orders { ok, failed });
    }
}
