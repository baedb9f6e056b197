//! The date for Date fields (RFC 9110, section 6.6.1), formatted once a second and thread.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Lends the current date as an IMF-fixdate.
pub fn with_date<T>(use_it: impl FnOnce(&str) -> T) -> T {
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(at, text)| {
        if *at != seconds || text.is_empty() {
            *at = seconds;
            *text = httpdate::fmt_http_date(now);
        }
        use_it(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_an_imf_fixdate_of_now() {
        let before = SystemTime::now();
        let date = with_date(|date| httpdate::parse_http_date(date).unwrap());
        let off = before.duration_since(date).unwrap_or_default();
        assert!(off.as_secs() <= 1, "{off:?}");
    }
}
