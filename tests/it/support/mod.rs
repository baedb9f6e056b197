//! The kit: [`Origin`], [`client`], the [`Relay`] between them, and [`Peer`], one end of a
//! connection, of which all three hand out raw bytes.

pub mod client;
pub mod leave;
pub mod origin;
pub mod passage;
pub mod peer;
pub mod relay;
pub mod rig;
pub mod siege;
pub mod stage;
pub mod stall;

use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for anything. Only a hang comes near it, also on a busy machine.
pub const GUARD: Duration = Duration::from_secs(60);

/// Awaits `step`, or panics with `what` did not happen.
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(GUARD, step).await {
        Ok(value) => value,
        Err(_elapsed) => panic!("waited {GUARD:?} for {what}"),
    }
}

/// Absolute path of a file in `certs/`.
pub fn certificate_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("certs").join(name)
}
