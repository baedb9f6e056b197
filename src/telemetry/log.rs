//! The log: one line an event, on stderr. Its level and its form may change while it is written.

use crate::clock::since_epoch;
use crate::telemetry::line::{Fields, LineHead, LogFormat};
use crate::telemetry::stderr::{Stderr, fitting_format};
use crate::telemetry::targets::{ACCESS, PANIC, READY};
use std::any::Any;
use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU8, Ordering};
use tracing::callsite::rebuild_interest_cache;
use tracing::dispatcher::get_default;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Lines of this level and above are written.
    pub level: Level,
    /// How they look; `None`: as fits stderr.
    pub format: Option<LogFormat>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: Level::INFO, format: None }
    }
}

/// Sends events to stderr by these settings, and panics too, each as one `error` event.
///
/// Call it once, before the first event; a second call changes nothing.
pub fn init_log(settings: LogSettings) {
    let stderr = Stderr::new();
    let format = settings.format.unwrap_or_else(fitting_format);
    let log = Log::new(format, settings.level, move |line, may_wait| stderr.gather(line, may_wait));
    if set_global_default(log).is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

/// Logs by these settings from now on.
pub fn change_log(settings: LogSettings) {
    let format = settings.format.unwrap_or_else(fitting_format);
    get_default(|subscriber| {
        if let Some(log) = subscriber.downcast_ref::<Log>() {
            log.change(format, settings.level);
        }
    });
    // Each event remembers whether it is wanted.
    rebuild_interest_cache();
}

/// Writes each event as one line. Spans are ignored.
///
/// tracing-subscriber does this and much more, but takes three times as long: 2 us of the 13 us of
/// a small exchange.
pub struct Log {
    /// A [`LogFormat`], by its place in [`FORMATS`].
    format: AtomicU8,
    /// The [`verbosity`] of its level.
    verbosity: AtomicU8,
    write: Box<Sink>,
}

const FORMATS: [LogFormat; 5] = [
    LogFormat::Text,
    LogFormat::Json,
    LogFormat::Journal,
    LogFormat::Terminal { has_colour: false },
    LogFormat::Terminal { has_colour: true },
];

/// More for a level that is less serious.
fn verbosity(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
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
        let log = Self {
            format: AtomicU8::default(),
            verbosity: AtomicU8::default(),
            write: Box::new(write),
        };
        log.change(format, level);
        log
    }

    fn change(&self, format: LogFormat, level: Level) {
        let number = FORMATS.iter().position(|it| *it == format).unwrap_or_default();
        self.format.store(number as u8, Ordering::Relaxed);
        self.verbosity.store(verbosity(level), Ordering::Relaxed);
    }

    fn format(&self) -> LogFormat {
        let number = usize::from(self.format.load(Ordering::Relaxed));
        FORMATS.get(number).copied().unwrap_or_default()
    }

    fn hears(&self, level: Level) -> bool {
        verbosity(level) <= self.verbosity.load(Ordering::Relaxed)
    }

    fn wants(&self, about: &Metadata<'_>) -> bool {
        about.is_event() && (self.hears(*about.level()) || about.target() == READY)
    }

    fn write_line(&self, level: Level, target: &'static str, fields: impl FnOnce(&mut Fields<'_>)) {
        let head = LineHead { since_epoch: since_epoch(), level, target };
        // Taken out, because a value may log something itself while it is printed.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        self.format().append(&head, fields, &mut line);
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
        let log = subscriber.downcast_ref::<Log>().filter(|log| log.hears(level));
        if let (Some(log), Some(fields)) = (log, fields.take()) {
            log.write_line(level, target, fields);
        }
    });
}

/// Whether lines of the access log of this level are written.
pub(super) fn hears(level: Level) -> bool {
    get_default(|subscriber| subscriber.downcast_ref::<Log>().is_some_and(|log| log.hears(level)))
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
        const LEVELS: [Level; 2] = [Level::TRACE, Level::DEBUG];
        // The ready line is written at every level.
        let level = LEVELS.into_iter().find(|level| self.hears(*level)).unwrap_or(Level::INFO);
        Some(LevelFilter::from_level(level))
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
    fn a_change_of_level_and_format_holds_for_lines_that_were_written_before() {
        let write = || tracing::debug!(target: "narrows::test", n = 1, "noise");
        let text = logged(LogFormat::Text, Level::INFO, || {
            write();
            assert!(!hears(Level::DEBUG));
            change_log(LogSettings { level: Level::DEBUG, format: Some(LogFormat::Json) });
            write();
            log_line(Level::DEBUG, ACCESS, |line| line.message("m"));
            change_log(LogSettings { level: Level::WARN, format: Some(LogFormat::Journal) });
            write();
            tracing::info!(target: "narrows::test", "not heard");
            tracing::warn!(target: "narrows::test", n = 2, "heard");
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains("\"level\":\"DEBUG\",\"message\":\"noise\",\"n\":1"), "{text}");
        assert!(lines[1].contains("\"message\":\"m\",\"target\":\"narrows::access\""), "{text}");
        assert_eq!(lines[2], "<4>WARN narrows::test: heard n=2");
    }

    #[test]
    fn each_level_has_its_priority_for_journald() {
        let text = logged(LogFormat::Journal, Level::TRACE, || {
            tracing::error!("a");
            tracing::warn!("b");
            tracing::info!("c");
            tracing::debug!("d");
            tracing::trace!("e");
        });
        let priorities: Vec<_> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(priorities, ["<3>", "<4>", "<6>", "<7>", "<7>"]);
    }

    #[test]
    fn a_line_end_in_a_value_does_not_begin_a_line() {
        for format in FORMATS {
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
