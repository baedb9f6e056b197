//! Periods of time and numbers as they are written elsewhere: what [`period`] or [`number`] was
//! probably meant.

use std::time::Duration;

/// The period that `text` probably means, in the one form that is allowed: `1h30m` is `"90m"`, and
/// a number alone is in seconds. `None` if it means no period, or one that is longer than `max`.
pub(super) fn period(text: &str, max: Duration) -> Option<String> {
    let text = text.to_ascii_lowercase().replace([' ', '_'], "");
    let mut rest = text.as_str();
    let mut milliseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|it: char| it.is_ascii_digit()).unwrap_or(behind.len());
        milliseconds += number.parse::<f64>().ok()? * of_unit(&behind[..unit])?;
        rest = &behind[unit..];
    }
    let length = Duration::from_millis(milliseconds as u64);
    let is_allowed = milliseconds.fract() == 0.0 && !length.is_zero() && length <= max;
    is_allowed.then(|| written(length))
}

/// The number in a string: `4`, or `64k`, as sizes are written elsewhere.
pub(super) fn number(text: &str) -> Option<usize> {
    let digits = text.trim().trim_end_matches(|it: char| it.is_ascii_alphabetic() || it == ' ');
    let unit = text.trim()[digits.len()..].trim().to_ascii_lowercase();
    let factor = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 1,
        "k" => 1024,
        "m" => 1024 * 1024,
        "g" => 1024 * 1024 * 1024,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

/// Milliseconds of a unit.
fn of_unit(name: &str) -> Option<f64> {
    match name {
        "ms" | "msec" | "millis" | "milliseconds" => Some(1.0),
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Some(1000.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0 * 1000.0),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(60.0 * 60.0 * 1000.0),
        "d" | "day" | "days" => Some(24.0 * 60.0 * 60.0 * 1000.0),
        _ => None,
    }
}

/// A period in the largest unit that gives a whole number.
pub(crate) fn written(period: Duration) -> String {
    let milliseconds = period.as_millis();
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    for (unit, name) in [(60 * 60 * 1000, "h"), (60 * 1000, "m"), (1000, "s")] {
        if milliseconds.is_multiple_of(unit) {
            return format!("{}{name}", milliseconds / unit);
        }
    }
    format!("{milliseconds}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_of_other_programs_are_understood() {
        for (text, want) in [
            ("30", Some("30s")),
            ("30 s", Some("30s")),
            ("1h30m", Some("90m")),
            ("1h 30min", Some("90m")),
            ("1.5s", Some("1500ms")),
            ("5 Minutes", Some("5m")),
            ("90sec", Some("90s")),
            ("1d", Some("24h")),
            ("2d", None),
            ("0", None),
            ("0.0001s", None),
            ("-1s", None),
            ("", None),
            ("soon", None),
            ("5 bananas", None),
            ("1e9", None),
            ("99999999999999999999999999h", None),
        ] {
            let day = Duration::from_secs(24 * 60 * 60);
            assert_eq!(period(text, day).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn a_period_has_the_largest_unit_that_fits() {
        let check = |milliseconds, want| {
            assert_eq!(written(Duration::from_millis(milliseconds)), want);
        };
        check(1, "1ms");
        check(1500, "1500ms");
        check(75_000, "75s");
        check(600_000, "10m");
        check(86_400_000, "24h");
    }

    #[test]
    fn a_size_is_a_number_of_bytes() {
        assert_eq!(number("4"), Some(4));
        assert_eq!(
            (number("64k"), number("1 MiB"), number("2GB")),
            (Some(65536), Some(1 << 20), Some(2 << 30))
        );
        assert_eq!(
            (number(""), number("k"), number("4x"), number("99999999999999999999g")),
            (None, None, None, None)
        );
    }
}
