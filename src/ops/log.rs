//! The log: one line an event, on stderr, as text or JSON.
//!
//! Losing log lines is better than losing connections: when stderr cannot be written (the disk is
//! full, the reader is gone or does not read), lines are dropped in silence and the program goes
//! on. A worker gathers the lines of exchanges that went well until it has nothing else to do.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::any::Any;
use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use tracing::subscriber::set_global_default;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};
use tracing_subscriber::layer::SubscriberExt;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, target, message, then `name=value`. Strings are quoted and escaped. Never
    /// coloured, also on a terminal, so that a line looks the same wherever it is read.
    #[default]
    Text,
    /// One JSON object a line, fields at its top level.
    Json,
}

/// Target of the access log.
pub(super) const ACCESS: &str = "narrows::access";

/// Target of the one line that says that all listeners accept. Its level does not count: with
/// port 0 nobody would know the address otherwise.
pub const READY: &str = "narrows::ready";

/// Sends events of `level` and above to stderr, and panics too, each as one `error` event.
///
/// Call it once, before the first event; a second call changes nothing.
pub fn init_log(format: LogFormat, level: Level) {
    if set_global_default(subscriber(format, level, Gathering(Stderr::new()))).is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

/// The subscriber behind [`init_log`], with another place to write to for tests.
pub(super) fn subscriber<W>(
    format: LogFormat,
    level: Level,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // tracing-subscriber reports a failed write with `eprintln!`, which panics when stderr is what
    // failed. `Forgiving` never fails, and the report is off as well.
    let builder = SubscriberBuilder::default()
        .with_max_level(Level::TRACE)
        .with_writer(writer)
        .log_internal_errors(false);
    let filter = Targets::new().with_default(level).with_target(READY, Level::INFO.max(level));
    match format {
        LogFormat::Text => Box::new(builder.finish().with(filter)),
        LogFormat::Json => Box::new(
            builder
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .finish()
                .with(filter),
        ),
    }
}

/// Stderr, as long as lines can be written there without waiting for their reader.
#[derive(Clone, Copy)]
struct Stderr {
    /// It is a file, which never has to be waited for.
    is_file: bool,
}

impl Stderr {
    fn new() -> Self {
        let about = fs::metadata("/proc/self/fd/2");
        Self { is_file: about.is_ok_and(|about| about.is_file()) }
    }
}

impl Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        // Locked before the look, so that no other thread takes the room that was seen. A pipe with
        // any room takes [`BATCH_BYTES_MAX`] at once (pipe(7)).
        let mut stderr = io::stderr().lock();
        let has_room = self.is_file || {
            let mut look = [PollFd::new(&stderr, PollFlags::OUT)];
            poll(&mut look, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
        };
        if has_room { stderr.write(lines) } else { Ok(lines.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Most bytes of lines that are written at once.
const BATCH_BYTES_MAX: usize = 4096;

/// Lines of one thread that are not written yet.
struct Batch {
    lines: Vec<u8>,
    to: Option<Stderr>,
}

thread_local! {
    static BATCH: RefCell<Batch> = const { RefCell::new(Batch { lines: Vec::new(), to: None }) };
}

impl Batch {
    fn add(&mut self, line: &[u8], to: Stderr) {
        self.to = Some(to);
        if self.lines.len() + line.len() > BATCH_BYTES_MAX {
            self.write();
        }
        self.lines.extend_from_slice(line);
    }

    fn write(&mut self) {
        if let Some(to) = self.to.filter(|_| !self.lines.is_empty()) {
            // Forgiving, because a line that cannot be written is lost.
            let _never_fails = Forgiving(to).write(&self.lines);
            self.lines.clear();
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.write();
    }
}

/// Writes the lines that this thread has gathered. A worker calls it before it sleeps, so that
/// lines are late by no more than the work at hand.
pub fn write_gathered_lines() {
    // The thread may be ending: then they have been written.
    let _ = BATCH.try_with(|batch| batch.borrow_mut().write());
}

/// Where lines go: those that report trouble at once, the others when their thread has time.
#[derive(Clone, Copy)]
struct Gathering(Stderr);

/// One line on its way.
struct Line {
    to: Stderr,
    may_wait: bool,
}

impl<'a> MakeWriter<'a> for Gathering {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { to: self.0, may_wait: false }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line {
        Line { to: self.0, may_wait: about.target() == ACCESS && *about.level() == Level::INFO }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let gathered = BATCH.try_with(|batch| {
            let mut batch = batch.borrow_mut();
            batch.add(line, self.to);
            if !self.may_wait {
                batch.write();
            }
        });
        if gathered.is_err() {
            let _never_fails = Forgiving(self.to).write(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that claims success whatever happens to the bytes.
struct Forgiving<W>(W);

impl<W: Write> Write for Forgiving<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // An interrupted write is the one failure worth another try; `write_all` does that.
        let _lost = self.0.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _lost = self.0.flush();
        Ok(())
    }
}

/// Logs a panic in one line: it ends one connection's task, and the operator should report it.
///
/// The message is a field and therefore escaped; a backtrace would be many lines of a stripped
/// binary's addresses.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
    let (location, reason) = (place.as_deref(), panic_message(info.payload()));
    tracing::error!(target: "narrows::panic", location, reason, "panic");
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

/// A log kept in memory, for tests of what is written.
#[cfg(test)]
pub(crate) mod capture {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// What was logged on this thread while `work` ran.
    pub(crate) fn logged(format: LogFormat, level: Level, work: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        tracing::subscriber::with_default(
            subscriber(format, level, move || Forgiving(writer.clone())),
            work,
        );
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::capture::logged;
    use super::*;

    #[test]
    fn text_lines_carry_level_message_and_fields_without_colour() {
        let text = logged(LogFormat::Text, Level::INFO, || tracing::info!(port = 8080, "ready"));
        assert!(text.ends_with(" ready port=8080\n"), "{text:?}");
        assert!(text.contains(" INFO "), "{text:?}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn json_lines_have_their_fields_at_the_top() {
        let text = logged(LogFormat::Json, Level::INFO, || tracing::info!(port = 8080, "ready"));
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text:?}");
        assert!(text.contains(r#""message":"ready","port":8080"#), "{text:?}");
    }

    #[test]
    fn events_below_the_level_are_not_logged() {
        let text = logged(LogFormat::Text, Level::WARN, || tracing::info!("ready"));
        assert_eq!(text, "");
    }

    #[test]
    fn the_line_that_tells_the_address_is_logged_at_any_level() {
        let text = logged(LogFormat::Text, Level::ERROR, || {
            tracing::info!(target: READY, addresses = "http://127.0.0.1:8080", "ready");
            tracing::debug!(target: "narrows::other", "noise");
        });
        assert!(text.ends_with("ready addresses=\"http://127.0.0.1:8080\"\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_line_end_in_a_value_does_not_begin_a_line() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, Level::INFO, || tracing::info!(value = "a\r\nb", "odd"));
            assert_eq!(text.lines().count(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_writer_that_fails_harms_nobody() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let full = subscriber(LogFormat::Text, Level::INFO, || Forgiving(Full));
        tracing::subscriber::with_default(full, || tracing::info!("lost"));
        assert_eq!(Forgiving(Full).write(b"lost").unwrap(), 4);
        assert!(Forgiving(Full).flush().is_ok());
    }

    #[test]
    fn a_panic_payload_gives_its_message() {
        let caught = |payload: Box<dyn Any + Send>| panic_message(&*payload).to_owned();
        assert_eq!(caught(Box::new("a literal")), "a literal");
        assert_eq!(caught(Box::new(String::from("formatted"))), "formatted");
        assert_eq!(caught(Box::new(7)), "unknown");
    }
}
