//! What time does to a certificate of ours: [`Validity`] says what is wrong with it at some time.

use crate::tls::x509::Certificate;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// How long before its end a certificate is complained about, but not before this part of its
/// lifetime is left. An automatic renewal comes earlier: weeks before the end, or when a third of
/// the lifetime is left.
const ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const ENDS_SOON_DIVISOR: i64 = 4;

/// From when to when a chain is valid, and whether it is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first and the last second, since 1970, of the certificate and of each after it.
    periods: Vec<(i64, i64)>,
    lacks_intermediate: bool,
}

/// What is wrong with a certificate of ours at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// In one word, for programs.
    pub reason: &'static str,
    /// In a sentence. Where the certificate is named says which one it is.
    pub what: String,
    /// Clients refuse it now.
    pub is_error: bool,
}

impl Validity {
    /// Of a chain in the order of TLS.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Self {
        let parsed = chain.iter().filter_map(|it| Certificate::parse(it)).enumerate();
        // Clients have roots of their own, and ignore one that is sent.
        let relevant = parsed.filter(|(at, it)| *at == 0 || !it.is_self_issued());
        let periods = relevant.map(|(_, it)| (it.not_before, it.not_after)).collect();
        let lacks_intermediate = match chain {
            [one] => Certificate::parse(one).is_some_and(|it| !it.is_self_issued()),
            _ => false,
        };
        Self { periods, lacks_intermediate }
    }

    /// The same without regard to whether the chain is complete.
    pub fn of_itself(&self) -> Self {
        Self { lacks_intermediate: false, ..self.clone() }
    }

    /// The last second, since 1970, of the certificate itself.
    pub fn not_after(&self) -> i64 {
        // A chain has at least one certificate, and each was parsed.
        self.periods.first().map_or(0, |(_, not_after)| *not_after)
    }

    /// All that is wrong at `now`.
    pub fn complaints(&self, now: SystemTime) -> Vec<Complaint> {
        let now = since_1970(now);
        let mut complaints = Vec::new();
        for (at, &(not_before, not_after)) in self.periods.iter().enumerate() {
            let what = match at {
                0 => "the certificate".to_owned(),
                _ => format!("the intermediate number {at}"),
            };
            let left = not_after - now;
            let (reason, when) = if left < 0 {
                ("expired", format!("expired on {}", date(not_after)))
            } else if now < not_before {
                ("not_yet_valid", format!("is not valid before {}", date(not_before)))
            } else if left < soon(not_before, not_after) {
                let days = left / (24 * 60 * 60);
                let plural = if days == 1 { "" } else { "s" };
                ("ends_soon", format!("ends in {days} day{plural}, on {}", date(not_after)))
            } else {
                continue;
            };
            let is_error = reason == "expired";
            complaints.push(Complaint { reason, what: format!("{what} {when}"), is_error });
        }
        if self.lacks_intermediate {
            let what = "the file holds one certificate and not that of who issued it; clients \
                        refuse it unless they know that one (a file like fullchain.pem has both; \
                        one of your own root may hold that root)"
                .to_owned();
            complaints.push(Complaint { reason: "no_intermediate", what, is_error: false });
        }
        complaints
    }
}

/// How long before its end a certificate with this lifetime is complained about, in seconds.
fn soon(not_before: i64, not_after: i64) -> i64 {
    let part = not_after.saturating_sub(not_before) / ENDS_SOON_DIVISOR;
    part.min(ENDS_SOON.as_secs().cast_signed())
}

/// The last second of the year 9999, since 1970. Neither DER nor RFC 3339 has a later one.
pub(crate) const LAST_SECOND: i64 = 253_402_300_799;

/// The seconds that certificates count. A clock before 1970 is as wrong as one at 1970.
pub(crate) fn since_1970(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs() as i64)
}

/// The day of a time, as `2026-11-23`. DER has no year after 9999; no certificate is from before
/// 1970.
fn date(seconds: i64) -> String {
    let since = Duration::from_secs(seconds.max(0).unsigned_abs());
    let mut text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.truncate("2026-11-23".len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::credential_file::Chain;
    use crate::tls::testing::chain::{EXPIRED, INTERMEDIATE, LEAF};
    use crate::tls::testing::pem::{CERTIFICATE, Folder};

    fn validity(certificates: &str) -> Validity {
        let folder = Folder::new();
        let chain = Chain::read(&folder.write("chain.pem", certificates)).unwrap();
        let chain: Vec<_> = chain.certificates.into_iter().map(|(_, it)| it).collect();
        Validity::of(&chain)
    }

    #[test]
    fn a_certificate_is_complained_about_when_it_ends_soon_and_when_it_has_ended() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let validity = validity(EXPIRED);
        // 2021-01-01 00:00:00.
        let end = UNIX_EPOCH + Duration::from_secs(1_609_459_200);
        let check = |now, want: &[&str]| {
            let complaints = validity.complaints(now);
            let complaints = complaints.iter().filter(|it| it.reason != "no_intermediate");
            let said: Vec<_> = complaints.map(|it| (it.what.clone(), it.is_error)).collect();
            assert_eq!(said.len(), want.len(), "{said:?}");
            for ((what, is_error), want) in said.iter().zip(want) {
                assert!(what.ends_with(want), "{what}");
                assert_eq!(*is_error, want.contains("expired"), "{what}");
            }
        };
        assert_eq!(validity.not_after(), 1_609_459_200);
        check(end - 15 * DAY, &[]);
        check(end - 14 * DAY, &[]);
        check(end - 13 * DAY, &["the certificate ends in 13 days, on 2021-01-01"]);
        check(end - DAY, &["ends in 1 day, on 2021-01-01"]);
        check(end, &["ends in 0 days, on 2021-01-01"]);
        check(end + Duration::from_secs(1), &["the certificate expired on 2021-01-01"]);
        check(UNIX_EPOCH, &["the certificate is not valid before 2020-01-01"]);
    }

    #[test]
    fn a_certificate_of_a_few_days_is_complained_about_in_its_last_quarter() {
        const DAY: i64 = 24 * 60 * 60;
        assert_eq!(soon(0, 90 * DAY), 14 * DAY);
        assert_eq!(soon(0, 6 * DAY), 36 * 60 * 60);
    }

    #[test]
    fn a_certificate_without_its_intermediate_is_complained_about() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let reasons = |certificates: &str| {
            let complaints = validity(certificates).complaints(now);
            complaints.into_iter().map(|it| it.reason).collect::<Vec<_>>()
        };
        assert_eq!(reasons(LEAF), ["no_intermediate"]);
        assert_eq!(reasons(&[LEAF, INTERMEDIATE].concat()), [""; 0]);
        assert_eq!(reasons(CERTIFICATE), [""; 0], "self-signed");
    }
}
