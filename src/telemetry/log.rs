//! The log: one line an event, on stderr, as text or JSON.
//!
//! Losing log lines is better than losing connections. When stderr cannot be written, because the
//! disk is full or its reader is gone or slow, lines are dropped and the program goes on. A worker
//! gathers the lines of exchanges that went well until it has nothing else to do.

use crate::telemetry::dropped::count_dropped;
use crate::telemetry::line::{Fields, LineHead, LogFormat};
use crate::telemetry::targets::{ACCESS, PANIC, READY};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::time::SystemTime;
use tracing::dispatcher::get_default;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// Sends events of `level` and above to stderr, and panics too, each as one `error` event.
///
/// Call it once, before the first event; a second call changes nothing.
pub fn init_log(format: LogFormat, level: Level) {
    let stderr = Stderr::new();
    let log = Log::new(format, level, move |line, may_wait| gather(line, stderr, may_wait));
    if set_global_default(log).is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

/// Writes each event as one line. Spans are ignored.
///
/// tracing-subscriber does this and much more, but takes three times as long: 2 us of the 13 us of
/// a small exchange.
pub struct Log {
    format: LogFormat,
    level: Level,
    write: Box<Sink>,
}

/// Takes a line, and whether it may be late.
type Sink = dyn Fn(&str, bool) + Send + Sync;

impl Log {
    /// Gives lines of `level` and above to `write`, with whether the line may be written late.
    pub fn new(
        format: LogFormat,
        level: Level,
        write: impl Fn(&str, bool) + Send + Sync + 'static,
    ) -> Self {
        Self { format, level, write: Box::new(write) }
    }

    fn wants(&self, about: &Metadata<'_>) -> bool {
        about.is_event() && (*about.level() <= self.level || about.target() == READY)
    }

    fn write_line(&self, level: Level, target: &'static str, fields: impl FnOnce(&mut Fields<'_>)) {
        let head = LineHead { at: SystemTime::now(), level, target };
        // Taken out, because a value may log something itself while it is printed.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        self.format.append(&head, fields, &mut line);
        (self.write)(&line, target == ACCESS && level == Level::INFO);
        let _thread_ends = LINE.try_with(|memory| memory.set(line));
    }
}

/// Logs a line without an event of `tracing`: for the access log, and for lines whose level or
/// fields are known only when they are written.
///
/// Every exchange writes such a line. An event of `tracing` takes twice as long, for a description
/// of itself that only [`Log`] would read.
pub(super) fn log_line(level: Level, target: &'static str, fields: impl FnOnce(&mut Fields<'_>)) {
    let mut fields = Some(fields);
    get_default(|subscriber| {
        let log = subscriber.downcast_ref::<Log>().filter(|log| level <= log.level);
        if let (Some(log), Some(fields)) = (log, fields.take()) {
            log.write_line(level, target, fields);
        }
    });
}

/// Whether lines of the access log of this level are written.
pub(super) fn hears(level: Level) -> bool {
    get_default(|subscriber| subscriber.downcast_ref::<Log>().is_some_and(|log| level <= log.level))
}

thread_local! {
    /// The memory of this thread's last line, for its next one.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

impl Subscriber for Log {
    fn register_callsite(&self, about: &'static Metadata<'static>) -> Interest {
        if self.wants(about) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level.max(Level::INFO)))
    }

    fn enabled(&self, about: &Metadata<'_>) -> bool {
        self.wants(about)
    }

    fn event(&self, event: &Event<'_>) {
        let about = event.metadata();
        self.write_line(*about.level(), about.target(), |fields| event.record(fields));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1) // Never asked for: `wants` refuses spans.
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Stderr, while it takes lines without making us wait for their reader.
#[derive(Clone, Copy)]
struct Stderr {
    /// It is a file, which never makes us wait.
    is_file: bool,
}

impl Stderr {
    fn new() -> Self {
        let about = fs::metadata("/proc/self/fd/2");
        Self { is_file: about.is_ok_and(|about| about.is_file()) }
    }
}

impl Stderr {
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

/// Writes the lines that this thread has gathered. A worker calls it before it sleeps, so that
/// lines are late by no more than the work at hand.
pub fn write_gathered_lines() {
    // The thread may be ending: then they have been written.
    let _ = BATCH.try_with(|batch| batch.borrow_mut().write());
}

/// Writes `line` at once, behind those that were gathered, or gathers it with them.
fn gather(line: &str, to: Stderr, may_wait: bool) {
    let gathered = BATCH.try_with(|batch| {
        let mut batch = batch.borrow_mut();
        batch.add(line, to);
        if !may_wait {
            batch.write();
        }
    });
    if gathered.is_err() {
        to.write(line);
    }
}

/// Logs a panic in one line: it ends one connection's task, and the operator should report it.
///
/// The message is a field and therefore escaped; a backtrace would be many lines of a stripped
/// binary's addresses.
pub(crate) fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
    let (location, reason) = (place.as_deref(), panic_message(info.payload()));
    let panics = super::panics::count_panic();
    tracing::error!(target: PANIC, panics, location, reason, "panic");
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

/// A log kept in memory, for tests of what is written.
#[cfg(test)]
pub(crate) mod capture {
    use super::*;
    use std::sync::{Arc, LazyLock, Mutex};
    use tracing::Dispatch;
    use tracing::subscriber::NoSubscriber;

    /// Subscribes to nothing. While there is only one subscriber, tracing asks the first thread
    /// that reaches an event whether it is enabled, and caches the answer: a test without a
    /// subscriber would disable the event for one that has one.
    static DEAF: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

    /// What was logged on this thread while `work` ran.
    pub(crate) fn logged(format: LogFormat, level: Level, work: impl FnOnce()) -> String {
        LazyLock::force(&DEAF);
        let kept = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&kept);
        let write = move |line: &str, _may_wait| to.lock().unwrap().push_str(line);
        tracing::subscriber::with_default(Log::new(format, level, write), work);
        kept.lock().unwrap().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::capture::logged;
    use super::*;
    use std::thread;

    #[test]
    fn text_lines_carry_level_message_and_fields_without_colour() {
        let text = logged(LogFormat::Text, Level::INFO, || tracing::info!(port = 8080, "ready"));
        assert!(text.ends_with(" ready port=8080\n"), "{text:?}");
        assert!(text.contains(" INFO "), "{text:?}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn a_line_that_another_thread_was_the_first_to_reach_is_logged_here() {
        let reach = || tracing::info!("reached");
        let text = logged(LogFormat::Text, Level::INFO, || {
            thread::spawn(reach).join().unwrap();
            reach();
        });
        assert!(text.ends_with(" reached\n"), "{text:?}");
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
    fn a_panic_payload_gives_its_message() {
        let caught = |payload: Box<dyn Any + Send>| panic_message(&*payload).to_owned();
        assert_eq!(caught(Box::new("a literal")), "a literal");
        assert_eq!(caught(Box::new(String::from("formatted"))), "formatted");
        assert_eq!(caught(Box::new(7)), "unknown");
    }
}
