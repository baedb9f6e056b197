//! What ordering certificates needs of the process: [`Parts`].

use crate::control::state::State;
use crate::tls::challenges::Challenges;
use std::rc::Rc;
use std::sync::Arc;

/// What is shared with the rest of the process.
pub(in crate::control) struct Parts {
    /// What is served, and how far the process and its orders are.
    pub(in crate::control) state: Rc<State>,
    /// The challenges that all workers answer.
    pub(in crate::control) challenges: Arc<Challenges>,
}
