//! The results as pictures.

pub(crate) mod cost;
pub(crate) mod latency;
mod svg;
