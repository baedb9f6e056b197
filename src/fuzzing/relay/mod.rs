//! The whole session driver between a client and an upstream in memory.

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
/// Every request that an upstream got is one that a client sent, and hyper's server reads it as
/// exactly that: method, target, Host, the other fields, the body, and nothing left over. What is
/// not complete ends in a reset, and is not read as complete. No request that must not be repeated
/// is sent twice. Every response that a client got is our own, or is what an upstream said to this
/// request, and hyper's client reads it as that; one that is not complete ends in a reset, and is
/// not read as complete. An upstream's connection carries a further request only when the exchange
/// before ended exactly.
///
/// The relay comes to an end in bounded time without spinning, holds a bounded number of buffers,
/// and gives them back. How the bytes were cut changes nothing of all this. And where nobody does
/// anything wrong, the first request and its response arrive.
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

/// Whether bytes come through, or do not, whatever their cuts.
fn has_no_race(acts: &[Act]) -> bool {
    let is_timeless = |act: &Act| match act {
        Act::Say(..) | Act::End(..) | Act::Settle | Act::Narrow => true,
        Act::Pause(_) | Act::Connect | Act::FailDials | Act::Drain | Act::Sleep(_) => false,
    };
    let is_race = |pair: &[Act]| match pair {
        // Whoever leaves right behind its words may be gone before they are read.
        [Act::Say(..), Act::End(Actor::Client, _) | Act::End(_, End::Reset)] => true,
        _ => false,
    };
    acts.iter().all(is_timeless) && !have_crossing_words(acts) && !acts.windows(2).any(is_race)
}
