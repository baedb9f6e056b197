//! What the kernel knows of this process: the metrics `process_*`, as all Prometheus clients have
//! them.

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers about this process. What cannot be read is `None`: without `/proc`, for example.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// Time on a processor, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Size of the address space.
    pub virtual_bytes: Option<u64>,
    /// Memory in use.
    pub resident_bytes: Option<u64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
    /// Limit of open descriptors.
    pub max_fds: Option<u64>,
    /// When it began, in seconds since 1970.
    pub start_seconds: Option<f64>,
}

impl ProcessStats {
    /// Reads them. `started` is when the process began. Blocks for some microseconds; `open_fds` is
    /// `None` before Linux 6.2, where it takes longer.
    pub fn read(started: SystemTime) -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self {
            open_fds: fds_by_size(),
            max_fds: getrlimit(Resource::Nofile).current,
            start_seconds: started.duration_since(UNIX_EPOCH).ok().map(|it| it.as_secs_f64()),
            ..Self::of_stat(&stat)
        }
    }

    /// The number of open descriptors, by listing them. With ten thousand, this blocks for some
    /// 50 ms.
    pub fn listed_fds() -> Option<u64> {
        let fds = fs::read_dir("/proc/self/fd").ok()?;
        // The one that reads the folder does not count.
        Some((fds.count() as u64).saturating_sub(1))
    }

    /// What `/proc/self/stat` says, by `proc_pid_stat(5)`.
    fn of_stat(stat: &str) -> Self {
        // The second field is the program's name, in parentheses, and may hold some itself.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The first of these is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = field(14).zip(field(15)).map(|(user, system)| user + system);
        Self {
            cpu_seconds: ticks.map(|ticks| ticks as f64 / clock_ticks_per_second() as f64),
            threads: field(20),
            virtual_bytes: field(23),
            resident_bytes: field(24).map(|pages| pages * page_size() as u64),
            ..Self::default()
        }
    }
}

/// The number of open descriptors, which is the size of the folder since Linux 6.2; before, that is
/// 0.
fn fds_by_size() -> Option<u64> {
    fs::metadata("/proc/self/fd").ok().map(|it| it.len()).filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_stat_are_found_whatever_the_program_is_called() {
        let stat = "4711 (a) b (c)) S 1 4711 4711 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 9 \
            1048576 7 18446744073709551615";
        let stats = ProcessStats::of_stat(stat);
        assert_eq!(stats.cpu_seconds, Some(200.0 / clock_ticks_per_second() as f64));
        assert_eq!((stats.threads, stats.virtual_bytes), (Some(3), Some(1_048_576)));
        assert_eq!(stats.resident_bytes, Some(7 * page_size() as u64));
    }

    #[test]
    fn what_is_missing_or_is_no_number_is_left_out() {
        for stat in ["", "1 (x) S 1 2", ")", "1 (x) S a b c d e f g h i j k l m n o p q r s t u"] {
            assert_eq!(ProcessStats::of_stat(stat), ProcessStats::default(), "{stat}");
        }
    }

    #[test]
    fn open_descriptors_are_counted_by_the_size_of_their_folder_or_one_by_one() {
        const OPENED: u64 = 300;
        let count = || [fds_by_size(), ProcessStats::listed_fds()];
        let opened: Vec<_> = (0..OPENED).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let [by_size, listed] = count();
        assert!(by_size.is_none_or(|it| it > OPENED), "{by_size:?}");
        assert!(listed.is_some_and(|it| it > OPENED), "{listed:?}");
        assert_eq!(ProcessStats::read(SystemTime::now()).open_fds.is_some(), by_size.is_some());
        drop(opened);
    }

    #[test]
    fn this_process_has_some_of_everything() {
        let stats = ProcessStats::read(SystemTime::now());
        assert!(stats.threads >= Some(1) && stats.resident_bytes > Some(4096), "{stats:?}");
        assert!(stats.open_fds <= stats.max_fds, "{stats:?}");
        assert!(stats.start_seconds > Some(1e9) && stats.cpu_seconds.is_some(), "{stats:?}");
    }
}
