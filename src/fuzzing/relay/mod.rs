//! Whole sessions of the relay, between clients and upstreams in memory.

mod check;
mod reading;
mod script;
mod stage;

use crate::net::memory::End;
use check::check;
use script::{Act, Actor, have_crossing_words, read, without_cuts};
use stage::play;

/// A script of what clients and upstreams say, in which pieces, and how they end; see `script`.
///
/// - Every request that an upstream receives is one that a client sent, and hyper's server reads it
///   as exactly that: method, target, Host, the other fields, the body, and nothing left over. An
///   incomplete one ends in a reset, and is not read as complete. A request that must not be
///   repeated is not sent twice.
/// - Every response that a client receives is our own, or is what an upstream said to this request,
///   and hyper's client reads it as that. An incomplete one ends in a reset, and is not read as
///   complete.
/// - An upstream connection carries another request only if the exchange before it ended exactly.
/// - Sessions end in bounded time without spinning, hold a bounded number of buffers, and return
///   them all.
/// - None of this depends on how the bytes are cut, nor on whether TLS carries them.
/// - If no peer does anything wrong, the first request and its response arrive.
pub fn relay(data: &[u8]) {
    let acts = read(data);
    let record = play(&acts);
    let outcome = check(&acts, &record);
    let merged = without_cuts(&acts);
    if has_no_race(&acts) && merged != acts && !outcome.has_own_answer {
        let whole = check(&merged, &play(&merged));
        assert!(whole.has_own_answer || outcome == whole, "{outcome:#?}\n{whole:#?}");
    }
}

/// Whether the outcome of a script cannot depend on how its bytes are cut.
fn has_no_race(acts: &[Act]) -> bool {
    let is_timeless = |act: &Act| match act {
        Act::Say(..) | Act::End(..) | Act::Settle | Act::Narrow | Act::Tls => true,
        Act::Pause(_) | Act::Connect | Act::FailDials | Act::Drain | Act::Sleep(_) => false,
    };
    let is_race = |pair: &[Act]| match pair {
        // A peer that leaves right after its words may be gone before they are read.
        [Act::Say(..), Act::End(Actor::Client, _) | Act::End(_, End::Reset)] => true,
        _ => false,
    };
    acts.iter().all(is_timeless) && !have_crossing_words(acts) && !acts.windows(2).any(is_race)
}
