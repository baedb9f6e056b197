//! Which format of metrics a scraper gets, negotiated as Prometheus' own libraries do it.

use crate::h1::section::FieldSection;
use crate::h1::token::{list_elements, trim_ows};
use crate::telemetry::metrics::Format;

/// A weight of 1 in thousandths, of which a weight has up to three digits (RFC 9110, section
/// 12.4.2).
const WEIGHT_MAX: u16 = 1000;

/// The format that Accept prefers: the one with the greatest weight, and the first of equals. One
/// that is neither, or none at all, gets text, because a scraper can read nothing worse.
pub(super) fn negotiate(fields: &FieldSection<'_>) -> Format {
    let accepted = fields.named(b"accept");
    let mut best = (Format::Text, 0);
    for (format, weight) in accepted.flat_map(list_elements).filter_map(media_range) {
        if weight > best.1 {
            best = (format, weight);
        }
    }
    best.0
}

/// The format that a media range means, and its weight.
fn media_range(range: &[u8]) -> Option<(Format, u16)> {
    let mut parts = range.split(|byte| *byte == b';').map(trim_ows);
    let media_type = parts.next()?.to_ascii_lowercase();
    let (mut weight, mut version) = (WEIGHT_MAX, None);
    for parameter in parts {
        let Some(equals) = parameter.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
        if name.eq_ignore_ascii_case(b"q") {
            weight = parse_weight(value)?;
        } else if name.eq_ignore_ascii_case(b"version") {
            let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            version = Some(quoted.unwrap_or(value));
        }
    }
    let format = match (&*media_type, version) {
        (b"text/plain", None | Some(b"0.0.4")) => Format::Text,
        (b"application/openmetrics-text", None | Some(b"0.0.1" | b"1.0.0")) => Format::OpenMetrics,
        // A wildcard says nothing about which of the two.
        _ => return None,
    };
    Some((format, weight))
}

/// `0`, `1`, `0.` or `1.` and up to three digits.
fn parse_weight(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0');
    for place in 0..3 {
        let digit = fraction.get(place).unwrap_or(&b'0');
        weight = weight * 10 + u16::from(char::from(*digit).to_digit(10)? as u8);
    }
    (weight <= WEIGHT_MAX).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head::RequestHead;
    use crate::h1::limits::HeadLimits;

    const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 16 };

    #[track_caller]
    fn check(accept: &[&str], want: Format) {
        let lines: String = accept.iter().map(|it| format!("ACCEPT: {it}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let head = RequestHead::parse(head.as_bytes(), &LIMITS).unwrap();
        assert_eq!(negotiate(&head.fields), want, "{accept:?}");
    }

    #[test]
    fn prometheus_gets_openmetrics_and_a_browser_text() {
        check(
            &["application/openmetrics-text;version=1.0.0;q=0.5,\
               application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,\
               */*;q=0.2"],
            Format::OpenMetrics,
        );
        check(
            &["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
               encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.3,\
               application/openmetrics-text;version=1.0.0;q=0.25,*/*;q=0.1"],
            Format::Text,
        );
        check(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Format::Text);
        check(&["*/*"], Format::Text);
        check(&[], Format::Text);
    }

    #[test]
    fn the_greatest_weight_decides_and_the_first_of_equals() {
        let (open, text) = ("application/openmetrics-text", "text/plain");
        check(&[open], Format::OpenMetrics);
        check(&[open, text], Format::OpenMetrics);
        check(&[text, open], Format::Text);
        check(&[&format!("{text};q=0.899 , {open} ; Q=0.9")], Format::OpenMetrics);
        check(&[&format!("{open};q=0")], Format::Text);
        check(&[&format!("{open};version=\"1.0.0\"")], Format::OpenMetrics);
    }

    #[test]
    fn what_we_do_not_speak_gets_text() {
        for accept in [
            "application/json",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=1.1",
            "application/openmetrics-text;q=0.1234",
            "application/openmetrics-text;q=0.x",
            "application/openmetrics-text;q=",
            ";;;,,=;q=1",
            "\"",
        ] {
            check(&[accept], Format::Text);
        }
    }
}
