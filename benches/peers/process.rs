//! What the processes of a relay have used, as the kernel accounts for it.
//!
//! Time on a core does not depend on what else runs on the machine, as elapsed time does; caches
//! that others fill make it longer.

use narrows_kit::programs::Relay;
use std::ops::RangeInclusive;
use std::process::{self, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use std::{fs, io};

/// Time on a core, of all threads of the process and of those that it has started.
pub(crate) fn cpu_time(relay: &Relay) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for process in tree(relay.pid())? {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += first_number(&times)?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Bytes of memory, of all its processes (PSS: what they share counts once).
pub(crate) fn memory(relay: &Relay) -> io::Result<u64> {
    let mut kilobytes = 0;
    for process in tree(relay.pid())? {
        let sums = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let pss = sums.lines().find_map(|line| line.strip_prefix("Pss:"));
        kilobytes += first_number(pss.unwrap_or_default())?;
    }
    Ok(kilobytes * 1024)
}

/// Gives the relay a core of its own, if there are several: the others are for this process.
pub(crate) fn separate(relay: &Relay) -> io::Result<()> {
    if let [first, others @ ..] = cores()
        && !others.is_empty()
    {
        for process in tree(relay.pid())? {
            set_cores(process, &[*first])?;
        }
        set_cores(process::id(), others)?;
    }
    Ok(())
}

/// Lets this process, and those that it starts, run on all cores again.
pub(crate) fn share_cores() -> io::Result<()> {
    set_cores(process::id(), cores())
}

/// The cores that this process might use when it began.
pub(crate) fn cores() -> &'static [usize] {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    CORES.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        list.unwrap_or_default().trim().split(',').flat_map(range).collect()
    })
}

/// `3`, or `0-3`.
fn range(text: &str) -> RangeInclusive<usize> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => first..=last,
        _ => RangeInclusive::new(1, 0),
    }
}

fn set_cores(process: u32, cores: &[usize]) -> io::Result<()> {
    let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
    let mut taskset = Command::new("taskset");
    taskset.args(["-acp", &cores.join(","), &process.to_string()]).stdout(Stdio::null());
    if taskset.status()?.success() { Ok(()) } else { Err(io::Error::other("taskset fails")) }
}

/// A process and all that it has started.
fn tree(root: u32) -> io::Result<Vec<u32>> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(process) = all.get(next).copied() {
        next += 1;
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let children = fs::read_to_string(thread?.path().join("children"))?;
            all.extend(children.split_whitespace().filter_map(|it| it.parse::<u32>().ok()));
        }
    }
    Ok(all)
}

fn first_number(text: &str) -> io::Result<u64> {
    let number = text.split_whitespace().next().and_then(|it| it.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no number in {text:?}")))
}
