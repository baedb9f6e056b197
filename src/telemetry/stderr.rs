//! Stderr, which the log goes to: what it is, and how lines get there.
//!
//! Losing log lines is better than losing connections. When stderr cannot be written, because the
//! disk is full or its reader is gone or slow, lines are dropped and the program goes on. A worker
//! gathers the lines of exchanges that went well until it has nothing else to do.

use super::dropped::count_dropped;
use super::line::LogFormat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;
use std::cell::RefCell;
use std::env;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// Columns of a terminal that does not say how many it has.
const COLUMNS_DEFAULT: usize = 120;

/// Stderr, while it takes lines without making us wait for their reader.
#[derive(Clone, Copy)]
pub(super) struct Stderr {
    /// It is a file, which never makes us wait.
    is_file: bool,
}

impl Stderr {
    pub(super) fn new() -> Self {
        Self { is_file: metadata().is_ok_and(|about| about.is_file()) }
    }

    /// Writes `line` at once, after those that were gathered, or gathers it with them.
    pub(super) fn gather(self, line: &str, may_wait: bool) {
        let gathered = BATCH.try_with(|batch| {
            let mut batch = batch.borrow_mut();
            batch.add(line, self);
            if !may_wait {
                batch.write();
            }
        });
        if gathered.is_err() {
            self.write(line);
        }
    }

    /// Writes whole lines, or loses them: the reader is slow or gone, the disk is full.
    fn write(self, lines: &str) {
        // Locked before poll(2), so that no other thread takes the room that it finds. A pipe with
        // any room takes [`BATCH_BYTES_MAX`] at once (pipe(7)).
        let mut stderr = io::stderr().lock();
        let has_room = self.is_file || {
            let mut look = [PollFd::new(&stderr, PollFlags::OUT)];
            poll(&mut look, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
        };
        // An interrupted write is the one failure worth another try; `write_all` does that.
        if !has_room || stderr.write_all(lines.as_bytes()).is_err() {
            count_dropped(lines.bytes().filter(|byte| *byte == b'\n').count() as u64);
        }
    }
}

/// The format that fits stderr: a terminal's, journald's, or text.
pub(super) fn fitting_format() -> LogFormat {
    let journal = env::var_os("JOURNAL_STREAM");
    if metadata().is_ok_and(|about| is_journal(&about, journal.as_deref())) {
        return LogFormat::Journal;
    }
    if !io::stderr().is_terminal() {
        return LogFormat::Text;
    }
    LogFormat::Terminal { has_colour: has_colour(&io::stderr()) }
}

/// Whether what is written to `stream` has colours: on a terminal that shows them, for people who
/// do not refuse them by `NO_COLOR`.
pub fn has_colour(stream: &impl IsTerminal) -> bool {
    let [no_color, term] = ["NO_COLOR", "TERM"].map(env::var_os);
    stream.is_terminal() && wants_colour(no_color.as_deref(), term.as_deref())
}

/// Columns of the terminal that stderr is, now.
pub(super) fn columns() -> usize {
    let size = tcgetwinsize(io::stderr());
    match size.map_or(0, |size| usize::from(size.ws_col)) {
        0 => COLUMNS_DEFAULT,
        columns => columns,
    }
}

/// Writes the lines that this thread has gathered. A worker calls it before it sleeps, so that
/// lines are late by no more than the work at hand.
pub fn write_gathered_lines() {
    // The thread may be ending: then they have been written.
    let _ = BATCH.try_with(|batch| batch.borrow_mut().write());
}

fn metadata() -> io::Result<Metadata> {
    File::from(io::stderr().as_fd().try_clone_to_owned()?).metadata()
}

/// Whether a stream is the one to journald. A process that was started by a service, with its
/// stderr elsewhere, has the variable, too (systemd.exec(5)).
fn is_journal(about: &Metadata, journal_stream: Option<&OsStr>) -> bool {
    let numbers = journal_stream.and_then(OsStr::to_str).and_then(|it| it.split_once(':'));
    let numbers = numbers.map(|(device, inode)| (device.parse().ok(), inode.parse().ok()));
    numbers == Some((Some(about.dev()), Some(about.ino())))
}

/// See <https://no-color.org>.
fn wants_colour(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_some_and(|term| term != "dumb")
}

/// Most bytes of lines that are written at once.
const BATCH_BYTES_MAX: usize = 4096;

/// Lines of one thread that are not written yet.
struct Batch {
    lines: String,
    to: Option<Stderr>,
}

thread_local! {
    static BATCH: RefCell<Batch> = const { RefCell::new(Batch { lines: String::new(), to: None }) };
}

impl Batch {
    fn add(&mut self, line: &str, to: Stderr) {
        self.to = Some(to);
        if self.lines.len() + line.len() > BATCH_BYTES_MAX {
            self.write();
        }
        self.lines.push_str(line);
    }

    fn write(&mut self) {
        if let Some(to) = self.to.filter(|_| !self.lines.is_empty()) {
            to.write(&self.lines);
            self.lines.clear();
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_journal_if_the_variable_has_its_device_and_inode() {
        let about = File::open("/dev/null").unwrap().metadata().unwrap();
        let is_journal = |variable: &str| is_journal(&about, Some(OsStr::new(variable)));
        let (device, inode) = (about.dev(), about.ino());
        assert!(is_journal(&format!("{device}:{inode}")));
        let others = [
            format!("{device}:{}", inode + 1),
            format!("{}:{inode}", device + 1),
            format!("{device}"),
            "a:b".to_owned(),
            ":".to_owned(),
            String::new(),
        ];
        for other in others {
            assert!(!is_journal(&other), "{other}");
        }
        assert!(!super::is_journal(&about, None));
    }

    #[test]
    fn a_terminal_has_colours_unless_it_has_none_or_they_are_not_wanted() {
        let wants = |no_color: Option<&str>, term: Option<&str>| {
            wants_colour(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(wants(None, Some("xterm")) && wants(Some(""), Some("xterm")));
        assert!(
            !wants(Some("1"), Some("xterm")) && !wants(None, Some("dumb")) && !wants(None, None)
        );
    }
}
