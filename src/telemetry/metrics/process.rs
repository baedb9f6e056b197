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
    /// Reads them. `started` is when the process began. Blocks as short as `/proc` does.
    pub fn read(started: SystemTime) -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fds = fs::read_dir("/proc/self/fd").ok();
        Self {
            // The one that reads the folder does not count.
            open_fds: fds.map(|fds| (fds.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::Nofile).current,
            start_seconds: started.duration_since(UNIX_EPOCH).ok().map(|it| it.as_secs_f64()),
            ..Self::of_stat(&stat)
        }
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
    fn this_process_has_some_of_everything() {
        let stats = ProcessStats::read(SystemTime::now());
        assert!(stats.threads >= Some(1) && stats.resident_bytes > Some(4096), "{stats:?}");
        assert!(stats.open_fds >= Some(1) && stats.open_fds <= stats.max_fds, "{stats:?}");
        assert!(stats.start_seconds > Some(1e9) && stats.cpu_seconds.is_some(), "{stats:?}");
    }
}
