//! This machine's clock, against the `Date` fields of responses.

use super::finding::Finding;
use crate::config::snapshot::count;
use std::time::{Duration, SystemTime};

const STEP: &str = "clock";

/// Beyond it, times in the log mislead.
const OFF: Duration = Duration::from_secs(30);
/// Beyond it, certificates that are new or old are refused, and tokens that expire are misjudged.
const FAR_OFF: Duration = Duration::from_secs(60 * 60);

/// A time that a server has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Which server.
    pub(super) server: String,
    /// What it said, to the second.
    pub(super) date: SystemTime,
    /// What this machine thought when the answer came.
    pub(super) here: SystemTime,
}

/// Judges the clock by all of them: the one that it is closest to counts, because a server's own
/// clock may be wrong.
pub(super) fn verdict(said: &[Said]) -> Finding {
    let Some(best) = said.iter().min_by_key(|it| off(it)) else {
        return Finding::skipped(STEP, "", "no server has said what time it is");
    };
    let off = off(best);
    let about = &best.server;
    if off < OFF {
        return Finding::ok(STEP, about, "agrees");
    }
    let direction = if best.here > best.date { "ahead" } else { "behind" };
    let what = format!("this machine's clock is {} {direction}", rough(off));
    if off < FAR_OFF {
        let remedy = "switch on the synchronization: timedatectl set-ntp true";
        return Finding::warning(STEP, about, what, remedy);
    }
    let remedy = "set the clock (timedatectl set-ntp true): with a wrong one, valid certificates \
                  are refused";
    Finding::failure(STEP, about, what, remedy)
}

fn off(said: &Said) -> Duration {
    said.here.duration_since(said.date).unwrap_or_else(|earlier| earlier.duration())
}

fn rough(time: Duration) -> String {
    match time.as_secs() as usize {
        seconds @ ..120 => count(seconds, "second"),
        seconds @ ..7200 => count(seconds / 60, "minute"),
        seconds @ ..172_800 => count(seconds / 3600, "hour"),
        seconds => count(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use std::time::UNIX_EPOCH;

    const NOW: u64 = 1_800_000_000;

    fn check(dates: &[u64]) -> Finding {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let said = |&date: &u64| Said { server: "a:443".to_owned(), date: at(date), here: at(NOW) };
        verdict(&dates.iter().map(said).collect::<Vec<_>>())
    }

    #[test]
    fn a_clock_is_judged_by_the_server_that_it_is_closest_to() {
        assert_eq!(check(&[]).verdict, Verdict::Skipped);
        assert_eq!(check(&[NOW - 2]).verdict, Verdict::Ok);
        assert_eq!(check(&[0, NOW + 2]).verdict, Verdict::Ok);
        let slow = check(&[NOW + 90]);
        assert_eq!(slow.what, "this machine's clock is 90 seconds behind");
        assert_eq!(slow.verdict, Verdict::Warning);
        let fast = check(&[NOW - 3 * 86_400]);
        assert_eq!(fast.what, "this machine's clock is 3 days ahead");
        assert_eq!(fast.verdict, Verdict::Failure);
        assert!(fast.remedy.unwrap().contains("timedatectl"));
    }
}
