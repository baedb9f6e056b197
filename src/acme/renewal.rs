//! When a CA wants a certificate to be renewed (RFC 9773): [`certificate_id`] identifies one, and
//! [`read`] reads the answer about it.

use super::base64url;
use super::failure::Failure;
use super::json::{shown, text};
use super::message::{Response, checked_url};
use crate::tls::x509::Certificate;
use serde_json::Value;

/// When to ask again if the CA does not say.
const CHECK_SECONDS: i64 = 6 * 60 * 60;
/// The range of what it may say (section 4.3.2).
const CHECK_SECONDS_MIN: i64 = 60;
const CHECK_SECONDS_MAX: i64 = 24 * 60 * 60;
/// Longest URL that is shown.
const EXPLANATION_CHARS_MAX: usize = 200;

/// When a certificate should be renewed, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not before this.
    pub start: i64,
    /// Not after this. Always later than the start.
    pub end: i64,
}

/// What a CA says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalInfo {
    /// When to renew it.
    pub window: Window,
    /// Where the CA explains it, for one line of a log.
    pub explanation: Option<String>,
    /// When to ask again.
    pub check_at: i64,
}

/// The identifier of a certificate (section 4.1), from its DER; `None` if it does not say which key
/// signed it.
pub fn certificate_id(der: &[u8]) -> Option<String> {
    let certificate = Certificate::parse(der)?;
    let key = base64url::encode(certificate.authority_key_identifier()?);
    Some(format!("{key}.{}", base64url::encode(certificate.serial_number)))
}

/// Reads the answer to a [request](super::account::Account::renewal_request).
///
/// # Errors
/// The CA does not say it now. What it said before still holds.
pub fn read(response: &Response, now: i64) -> Result<RenewalInfo, Failure> {
    if !response.is_success() {
        return Err(Failure::of_response("to say when to renew", response, now));
    }
    let unusable = || Failure::unusable("renewal information that cannot be read");
    let value: Value = serde_json::from_slice(&response.body).map_err(|_| unusable())?;
    let window = value.get("suggestedWindow").and_then(window).ok_or_else(unusable)?;
    let explanation = text(&value, "explanationURL").and_then(checked_url);
    let explanation = explanation.map(|it| shown(it, EXPLANATION_CHARS_MAX));
    let check_at = check_at(response.retry_at(now), now);
    Ok(RenewalInfo { window, explanation, check_at })
}

/// When to ask again, if the CA wants to be asked at `retry_at`, or does not say when.
pub fn check_at(retry_at: Option<i64>, now: i64) -> i64 {
    let after = |seconds| now.saturating_add(seconds);
    let wanted = retry_at.unwrap_or(after(CHECK_SECONDS));
    wanted.clamp(after(CHECK_SECONDS_MIN), after(CHECK_SECONDS_MAX))
}

fn window(value: &Value) -> Option<Window> {
    let (start, end) = (time(text(value, "start")?)?, time(text(value, "end")?)?);
    (start < end).then_some(Window { start, end })
}

/// A time of RFC 3339, in seconds since 1970. Fractions of a second are dropped.
fn time(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok();
    let (local, offset) = match time {
        Some(time) => (time, 0),
        None => {
            // An offset in place of the Z, which few write.
            let (time, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (humantime::parse_rfc3339(&format!("{time}Z")).ok()?, self::offset(offset)?)
        }
    };
    let since = local.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(i64::try_from(since.as_secs()).ok()? - offset)
}

/// `+01:30` in seconds.
fn offset(text: &str) -> Option<i64> {
    let (sign, clock) = match text.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let number = |digits: &str, max: i64| -> Option<i64> {
        let is_number = digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_digit());
        digits.parse().ok().filter(|it| is_number && *it <= max)
    };
    Some(sign * (number(hours, 23)? * 60 + number(minutes, 59)?) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::certificate_key::CertificateKey;
    use crate::acme::identifier::Identifier;
    use crate::acme::testing::{certificate_for, ok, problem};
    use crate::tls::pem::{Content, blocks};
    use serde_json::json;

    #[test]
    fn it_is_asked_again_neither_at_once_nor_never_whatever_the_ca_wants() {
        let now = 1_000_000;
        assert_eq!(check_at(None, now), now + CHECK_SECONDS);
        assert_eq!(check_at(Some(now + 600), now), now + 600);
        for at in [i64::MIN, 0, now, now + 1] {
            assert_eq!(check_at(Some(at), now), now + CHECK_SECONDS_MIN);
        }
        assert_eq!(check_at(Some(i64::MAX), now), now + CHECK_SECONDS_MAX);
    }

    #[test]
    fn a_certificate_is_named_by_the_key_of_its_issuer_and_its_serial_number() {
        let name = [Identifier::Dns("a.example".into())];
        let request = CertificateKey::generate().unwrap().request(&name).unwrap();
        let pem = certificate_for(&name, &request, 0, 1000);
        let Content::Certificate(der) = &blocks(pem.as_bytes()).unwrap()[0].content else {
            panic!()
        };
        let id = certificate_id(der).unwrap();
        let (key, serial) = id.split_once('.').unwrap();
        let certificate = Certificate::parse(der).unwrap();
        let serial = base64url::decode(serial).unwrap();
        assert_eq!(serial, certificate.serial_number);
        // `2.5.29.35`, an octet string, a sequence, and `[0]` with the key.
        let key = base64url::decode(key).unwrap();
        let len = u8::try_from(key.len()).unwrap();
        let extension = [&[0x55, 0x1d, 0x23, 4, len + 4, 0x30, len + 2, 0x80, len], &*key].concat();
        assert!(der.windows(extension.len()).any(|it| it == extension));
    }

    /// RFC 9773, section 4.1.
    #[test]
    fn the_zero_before_a_serial_number_is_a_part_of_the_name() {
        let key = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
            0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
        ];
        assert_eq!(base64url::encode(key), "aYhba4dGQEHhs3uEe6CuLN4ByNQ");
        let name = [Identifier::Dns("a.example".into())];
        let request = CertificateKey::generate().unwrap().request(&name).unwrap();
        let pem = certificate_for(&name, &request, 0, 1000);
        let Content::Certificate(der) = &blocks(pem.as_bytes()).unwrap()[0].content else {
            panic!()
        };
        let serial = Certificate::parse(der).unwrap().serial_number;
        let mut der = der.to_vec();
        let at = der.windows(serial.len()).position(|it| it == serial).unwrap();
        (der[at], der[at + 1]) = (0x00, 0x87);
        assert!(certificate_id(&der).unwrap().contains(".AI"), "as in the example of the RFC");
        assert_eq!(certificate_id(b""), None);
    }

    fn info(start: &str, end: &str) -> Response {
        ok(&json!({ "suggestedWindow": { "start": start, "end": end } }))
    }

    #[test]
    fn a_window_has_two_times_and_the_next_question_its_own() {
        let mut response = info("2025-01-02T04:00:00Z", "2025-01-03T04:00:00.5Z");
        let read_at = |response: &Response| read(response, 1000).unwrap();
        let RenewalInfo { window, check_at, explanation } = read_at(&response);
        assert_eq!(window, Window { start: 1_735_790_400, end: 1_735_876_800 });
        assert_eq!((check_at, explanation), (1000 + 6 * 3600, None));
        for (retry_after, seconds) in [("21600", 21_600), ("1", 60), ("9999999", 86_400)] {
            response.retry_after = Some(retry_after.to_owned());
            assert_eq!(read_at(&response).check_at, 1000 + seconds);
        }
    }

    #[test]
    fn an_explanation_is_a_url_that_is_not_too_long_for_a_log_line() {
        let of = |url: &str| {
            let times = json!({ "start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z" });
            let info = json!({ "suggestedWindow": times, "explanationURL": url });
            read(&ok(&info), 1000).unwrap().explanation
        };
        assert_eq!(of("https://ca.example/why").as_deref(), Some("https://ca.example/why"));
        assert_eq!(of("javascript:x"), None);
        let long = format!("https://ca.example/{}", "a/".repeat(800));
        assert_eq!(of(&long).unwrap().len(), EXPLANATION_CHARS_MAX);
    }

    #[test]
    fn times_may_have_an_offset() {
        assert_eq!(time("1970-01-01T01:30:00+01:30"), Some(0));
        assert_eq!(time("1970-01-01T00:00:00-00:30"), Some(1800));
        assert_eq!(time("1970-01-02T00:00:00.999999999Z"), Some(86_400));
        for bad in ["", "1970", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01T00:00:00+1:30"] {
            assert_eq!(time(bad), None, "{bad}");
        }
        assert_eq!(time("1969-12-31T23:59:59Z"), None);
    }

    #[test]
    fn a_window_that_ends_before_it_begins_and_a_refusal_are_failures() {
        let text = |response: &Response| read(response, 0).unwrap_err().text;
        let unusable = "the CA's answer cannot be used: renewal information that cannot be read";
        assert_eq!(text(&info("2025-01-03T00:00:00Z", "2025-01-03T00:00:00Z")), unusable);
        assert_eq!(text(&info("soon", "later")), unusable);
        assert_eq!(text(&ok(&json!({}))), unusable);
        let refused = problem(404, "malformed", "unknown certificate");
        let want = "the CA refused to say when to renew: malformed: unknown certificate";
        assert_eq!(text(&refused), want);
    }
}
