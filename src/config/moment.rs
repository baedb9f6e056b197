//! A moment, such as the end of a token: a TOML date, or a date and a time.

use super::toml_value::kind;
use crate::tls::validity::LAST_SECOND;
use crate::tls::x509::days_since_1970;
use toml::de::DeValue;

const ALLOWED: &str = "a date, or a date and a time, is allowed: 2027-01-01, 2027-01-01T12:00:00Z";

/// Seconds since 1970 at a TOML date, which is its beginning in UTC, or at a date and a time, which
/// is in UTC unless it has an offset. Otherwise what is wrong, and what helps.
pub(super) fn read(value: &DeValue<'_>) -> Result<u64, (String, String)> {
    let DeValue::Datetime(moment) = value else {
        let is_moment = |text: &&str| text.parse().map(DeValue::Datetime).is_ok();
        let meant = value.as_str().filter(is_moment);
        let help = meant.map_or(ALLOWED.to_owned(), |it| format!("write {it}, without quotes"));
        return Err((format!("this is {}, and a date is needed", kind(value)), help));
    };
    let Some(date) = moment.date else {
        return Err(("this is a time, and a date is needed".to_owned(), ALLOWED.to_owned()));
    };
    let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
    let of_day = moment.time.map_or(0, |it| {
        let minutes = i64::from(it.hour) * 60 + i64::from(it.minute);
        minutes * 60 + i64::from(it.second.unwrap_or(0))
    });
    let offset = moment.offset.map_or(0, |it| seconds_east(&it.to_string()));
    // Before 1970 is as long ago as 1970, and an offset cannot lead beyond the year 9999.
    let seconds = (days * 24 * 60 * 60 + of_day - offset).clamp(0, LAST_SECOND);
    Ok(seconds.unsigned_abs())
}

/// An offset as it is printed, `Z` or `+08:00`, in seconds. Its type has no name outside of `toml`.
fn seconds_east(offset: &str) -> i64 {
    let (hours, minutes) = offset.split_once(':').unwrap_or_default();
    let number = |digits: &str| digits.trim_start_matches(['+', '-']).parse().unwrap_or(0);
    let seconds = (number(hours) * 60 + number(minutes)) * 60;
    if offset.starts_with('-') { -seconds } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_begins_at_midnight_in_utc_and_an_offset_counts() {
        for (text, want) in [
            ("1970-01-01", 0),
            ("1969-12-31", 0),
            ("2027-01-01", 1_798_761_600),
            ("2027-01-01T00:00:01Z", 1_798_761_601),
            ("2027-01-01 00:00:01", 1_798_761_601),
            ("2027-01-01T08:00:00+08:00", 1_798_761_600),
            ("2026-12-31T19:00:00-05:00", 1_798_761_600),
            ("2024-02-29T23:59:59.999Z", 1_709_251_199),
            ("9999-12-31T23:59:59-12:00", 253_402_300_799),
        ] {
            assert_eq!(read(&DeValue::Datetime(text.parse().unwrap())), Ok(want), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_date_and_a_date_in_quotes_are_refused() {
        let time = read(&DeValue::Datetime("12:00:00".parse().unwrap())).unwrap_err();
        assert_eq!(time.0, "this is a time, and a date is needed");
        let quoted = read(&DeValue::String("2027-01-01".into())).unwrap_err();
        assert_eq!(quoted.1, "write 2027-01-01, without quotes");
        let word = read(&DeValue::String("never".into())).unwrap_err();
        assert_eq!(word.0, "this is a string, and a date is needed");
    }
}
