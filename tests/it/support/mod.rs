//! Scenes of the tests: an origin, a relay in front of it, and what both have agreed on.

pub mod passage;
pub mod rig;
pub mod siege;
pub mod stage;
pub mod stall;
