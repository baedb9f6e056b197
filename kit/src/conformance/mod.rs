//! The table of the conformance suite, and what plays it against any relay.
//!
//! A row ([`case::Case`]) is what a client sends, what the origin answers, and what both must see.
//! [`play::play`] plays it through a relay, and [`judge`] compares. The rows are in [`rows`], by
//! section. `tests/conformance` plays them through narrows, and `benches/conformance` also through
//! other programs.

pub mod case;
pub mod judge;
pub mod origin;
pub mod play;
pub mod rows;
pub mod wire;
