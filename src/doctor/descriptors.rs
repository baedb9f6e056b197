//! The limit of open files.

use super::finding::Finding;
use crate::config::Config;
use crate::config::snapshot::cores;
use crate::control::descriptors::Needs;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::num::NonZeroUsize;

const STEP: &str = "open files";

/// Examines the limit of the narrows that runs as `pid`, or else that of this shell, for as many
/// client connections as `config` allows.
pub(super) fn examine(running: Option<u32>, config: &Config) -> Finding {
    let connections = config.limits.connections;
    let workers = config.workers.map_or_else(cores, NonZeroUsize::get);
    let needs = Needs::new(workers, config.listeners.len());
    let verdict = |limit, whose: &str| verdict(limit, whose, connections, needs);
    let limits = |pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok();
    let of_running = running.and_then(limits).and_then(|it| hard_limit(&it));
    let of_shell = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    match (of_running, running) {
        (Some(limit), Some(pid)) => verdict(limit, &format!("narrows (pid {pid})")),
        _ => verdict(of_shell, "this shell"),
    }
}

fn verdict(limit: u64, whose: &str, connections: usize, needs: Needs) -> Finding {
    if limit == u64::MAX {
        return Finding::ok(STEP, whose, "no limit");
    }
    let room = needs.room_in(limit);
    let said = format!("at most {limit}, enough for {room} connections");
    // Nearly enough is enough: no one counts on the last tenth.
    if room >= connections - connections / 10 {
        return Finding::ok(STEP, whose, said);
    }
    let remedy = format!(
        "raise it (LimitNOFILE= in the unit, ulimit -Hn in a shell, --ulimit nofile= of docker), \
         or lower limits.connections, which is {connections}"
    );
    if room < connections.min(FEW) {
        return Finding::failure(STEP, whose, said, remedy);
    }
    Finding::warning(STEP, whose, said, remedy)
}

/// Fewer connections than these are used up by a handful of users.
const FEW: usize = 64;

/// The hard limit in the text of `/proc/PID/limits`.
fn hard_limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn a_limit_below_the_wanted_connections_is_a_warning_and_a_tiny_one_a_failure() {
        let needs = Needs::new(2, 2);
        let of = |limit, connections| verdict(limit, "this shell", connections, needs).verdict;
        assert_eq!(of(u64::MAX, usize::MAX), Verdict::Ok);
        assert_eq!(of(524_288, 65_536), Verdict::Ok);
        assert_eq!(of(1024, 65_536), Verdict::Warning);
        assert_eq!(of(1024, 480), Verdict::Ok);
        assert_eq!(of(20_000, 10_000), Verdict::Ok);
        assert_eq!(of(100, 65_536), Verdict::Failure);
        let remedy = verdict(1024, "", 65_536, needs).remedy.unwrap();
        assert!(remedy.contains("LimitNOFILE"), "{remedy}");
    }

    #[test]
    fn the_limit_of_another_process_is_read() {
        let text = "Limit             Soft Limit   Hard Limit   Units     \n\
                    Max processes     254036       254036       processes \n\
                    Max open files    1024         524288       files     \n";
        assert_eq!(hard_limit(text), Some(524_288));
        assert_eq!(hard_limit("Max open files            1024  unlimited  files"), Some(u64::MAX));
        assert_eq!(hard_limit("Max open"), None);
        assert_eq!(hard_limit("Max open files 1 x"), None);
    }
}
