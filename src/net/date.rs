//! The date for Date fields (RFC 9110, section 6.6.1), and texts of times that are formatted once a
//! second and thread.

use crate::clock::since_epoch;
use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

thread_local! {
    static DATE: RefCell<Second> = const { RefCell::new(Second::new()) };
}

/// Lends the current date as an IMF-fixdate.
pub fn with_date<T>(use_it: impl FnOnce(&str) -> T) -> T {
    let fixdate = |since, text: &mut String| *text = httpdate::fmt_http_date(UNIX_EPOCH + since);
    DATE.with_borrow_mut(|date| use_it(date.text(since_epoch(), fixdate)))
}

/// A time as text without fractions of a second, formatted again only when the second changes.
#[derive(Debug, Default)]
pub(crate) struct Second {
    second: u64,
    text: String,
}

impl Second {
    /// Nothing is formatted yet.
    pub(crate) const fn new() -> Self {
        Self { second: 0, text: String::new() }
    }

    /// The text of a time since 1970. `print` appends it to an empty string if the second is new.
    pub(crate) fn text(
        &mut self,
        since: Duration,
        print: impl FnOnce(Duration, &mut String),
    ) -> &str {
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            self.text.clear();
            print(since, &mut self.text);
        }
        &self.text
    }
}

/// The seconds since 1970.
pub fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn the_date_is_an_imf_fixdate_of_now() {
        let before = SystemTime::now();
        let date = with_date(|date| httpdate::parse_http_date(date).unwrap());
        let off = before.duration_since(date).unwrap_or_default();
        assert!(off.as_secs() <= 1, "{off:?}");
    }
}
