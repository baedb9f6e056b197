//! A certificate of ours with its key: [`Own`], in the order in which TLS sends it, and what time
//! does to it: [`Dates`].

use super::contents::{Chain, Key};
use super::credential_error::{CertificateFault, CredentialError};
use super::credentials::PROVIDER;
use super::x509::Certificate;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How long before its end a certificate is complained about. Whoever renews automatically does so
/// weeks earlier.
const ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A certificate of ours with its key and the certificates of those who issued it.
#[derive(Debug)]
pub struct Own {
    pub(super) file: PathBuf,
    /// The line of its file in which it begins.
    pub(super) line: usize,
    /// It, then who issued it, and so on.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// From when to when it is valid.
    pub dates: Arc<Dates>,
    /// What is odd about the files.
    pub remarks: Vec<String>,
}

impl Own {
    /// Finds the certificate that `key` belongs to, and orders the others behind it.
    ///
    /// # Errors
    ///
    /// The key is of a kind we cannot sign with, it belongs to none of the certificates, or to one
    /// that TLS has no use for.
    pub fn new(chain: Chain, key: Key) -> Result<Self, CredentialError> {
        let Ok(signer) = PROVIDER.key_provider.load_private_key(key.key.clone_key()) else {
            return Err(CredentialError::UnusableKey(key.file));
        };
        let own = match signer.public_key() {
            Some(own) => {
                chain.certificates.iter().position(|(_, it)| public_key(it) == Some(&*own))
            }
            None => Some(0),
        };
        let Some(own) = own else {
            return Err(CredentialError::Mismatch { certificate: chain.file, key: key.file });
        };
        let line = chain.certificates[own].0;
        if let Some(version @ 1..3) = parse(&chain.certificates[own].1).map(|it| it.version) {
            let fault = CertificateFault::Version(version);
            return Err(CredentialError::BadCertificate(chain.file, line, fault));
        }
        let mut remarks = chain.remarks;
        let certificates = order(chain.certificates, own, &mut remarks);
        let dates = Arc::new(Dates::of(&certificates));
        Ok(Self { file: chain.file, line, chain: certificates, key: key.key, dates, remarks })
    }
}

fn parse<'c>(certificate: &'c CertificateDer<'_>) -> Option<Certificate<'c>> {
    Certificate::parse(certificate)
}

fn public_key<'c>(certificate: &'c CertificateDer<'_>) -> Option<&'c [u8]> {
    parse(certificate).map(|it| it.public_key)
}

/// The certificate with the index `own`, then who issued it, and so on; then others by the same
/// names, of which a client may like one better (cross-signed ones). Those that have no part in
/// this are left out. Remarks say what was not as it is sent.
fn order(
    certificates: Vec<(usize, CertificateDer<'static>)>,
    own: usize,
    remarks: &mut Vec<String>,
) -> Vec<CertificateDer<'static>> {
    let lines: Vec<_> = certificates.iter().map(|(line, _)| *line).collect();
    let mut rest = certificates;
    let mut chain = vec![rest.remove(own)];
    while let Some(issuer) = chain.last().and_then(|(_, last)| position_of_issuer(last, &rest)) {
        chain.push(rest.remove(issuer));
    }
    let issues_one = |it: &CertificateDer<'_>| {
        let name = parse(it).map(|it| it.subject.to_vec());
        chain.iter().any(|(_, issued)| parse(issued).map(|it| it.issuer.to_vec()) == name)
    };
    let (others, strays): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, it)| issues_one(it));
    for (line, _) in &strays {
        remarks.push(format!(
            "the certificate in line {line} has no part in the chain of the key's own, and is not \
             sent"
        ));
    }
    chain.extend(others);
    let is_sent = |line: &&usize| strays.iter().all(|(stray, _)| stray != *line);
    if !lines.iter().filter(is_sent).eq(chain.iter().map(|(line, _)| line)) {
        remarks.push(
            "the certificates are not in the order of TLS; the key's own is sent first, then who \
             issued it, and so on"
                .to_owned(),
        );
    }
    chain.into_iter().map(|(_, certificate)| certificate).collect()
}

fn position_of_issuer(
    issued: &CertificateDer<'_>,
    among: &[(usize, CertificateDer<'_>)],
) -> Option<usize> {
    let issued = parse(issued).filter(|it| !it.is_self_issued())?;
    among.iter().position(|(_, it)| parse(it).is_some_and(|it| it.subject == issued.issuer))
}

/// From when to when a chain is valid, and whether it is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dates {
    /// Of the certificate, then of those behind it, in seconds since 1970.
    validity: Vec<(i64, i64)>,
    lacks_intermediate: bool,
}

/// What is wrong with a certificate of ours at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// In one word, for programs.
    pub reason: &'static str,
    /// In a sentence. Which certificate it is, is said by where it is named.
    pub what: String,
    /// Clients refuse it now.
    pub is_error: bool,
}

impl Dates {
    fn of(chain: &[CertificateDer<'_>]) -> Self {
        let parsed = chain.iter().filter_map(parse);
        // Clients have roots of their own, and do not look at one that is sent.
        let looked_at = parsed.enumerate().filter(|(at, it)| *at == 0 || !it.is_self_issued());
        let validity = looked_at.map(|(_, it)| (it.not_before, it.not_after)).collect();
        let is_alone = chain.len() == 1;
        let lacks_intermediate =
            is_alone && chain.first().and_then(parse).is_some_and(|it| !it.is_self_issued());
        Self { validity, lacks_intermediate }
    }

    /// All that is wrong at `now`.
    pub fn complaints(&self, now: SystemTime) -> Vec<Complaint> {
        let now = since_1970(now);
        let mut complaints = Vec::new();
        for (at, &(not_before, not_after)) in self.validity.iter().enumerate() {
            let what = match at {
                0 => "the certificate".to_owned(),
                _ => format!("the intermediate number {at}"),
            };
            let left = not_after - now;
            let (reason, when) = if left < 0 {
                ("expired", format!("expired on {}", date(not_after)))
            } else if now < not_before {
                ("not_yet_valid", format!("is not valid before {}", date(not_before)))
            } else if left < ENDS_SOON.as_secs() as i64 {
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

fn since_1970(time: SystemTime) -> i64 {
    // A clock that is set before 1970 is as wrong as one that is set to it.
    time.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs() as i64)
}

/// The day of a time, as `2026-11-23`. DER has no year beyond 9999, and none before 1970 is new.
fn date(seconds: i64) -> String {
    let since = Duration::from_secs(seconds.max(0).unsigned_abs());
    let mut text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.truncate("2026-11-23".len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::test_chain::{
        EXPIRED, EXPIRED_KEY, INTERMEDIATE, LEAF, LEAF_KEY, ROOT, VERSION_1, VERSION_1_KEY,
    };
    use crate::tls::test_pem::{CERTIFICATE, Folder, KEY};

    fn own(certificates: &str, key: &str) -> Result<Own, CredentialError> {
        let folder = Folder::new();
        let chain = Chain::read(&folder.write("chain.pem", certificates))?;
        Own::new(chain, Key::read(&folder.write("key.pem", key))?)
    }

    #[test]
    fn a_chain_is_sent_in_the_order_of_tls_whatever_the_order_of_the_file() {
        let sent = |text: &str| {
            let own = own(text, LEAF_KEY).unwrap();
            (own.chain, own.remarks.len())
        };
        let (want, none) = sent(&[LEAF, INTERMEDIATE, ROOT].concat());
        assert_eq!((want.len(), none), (3, 0));
        for text in [
            [ROOT, INTERMEDIATE, LEAF],
            [INTERMEDIATE, LEAF, ROOT],
            [LEAF, ROOT, INTERMEDIATE],
            [INTERMEDIATE, ROOT, LEAF],
            [ROOT, LEAF, INTERMEDIATE],
        ] {
            assert_eq!(sent(&text.concat()), (want.clone(), 1));
        }
        assert_eq!(sent(&[LEAF, INTERMEDIATE].concat()), (want[..2].to_vec(), 0));
        assert_eq!(sent(&[INTERMEDIATE, LEAF].concat()), (want[..2].to_vec(), 1));
        let with_stray = [LEAF, CERTIFICATE, INTERMEDIATE].concat();
        assert_eq!(sent(&with_stray), (want[..2].to_vec(), 1));
    }

    #[test]
    fn a_remark_says_what_was_not_as_it_is_sent() {
        let remarks = own(&[INTERMEDIATE, CERTIFICATE, LEAF].concat(), LEAF_KEY).unwrap().remarks;
        let line = INTERMEDIATE.lines().count() + 1;
        assert!(remarks[0].contains(&format!("in line {line} has no part")), "{remarks:?}");
        assert!(remarks[1].contains("not in the order of TLS"), "{remarks:?}");
    }

    #[test]
    fn a_certificate_of_version_1_is_refused_in_words() {
        let error = own(VERSION_1, VERSION_1_KEY).unwrap_err().to_string();
        assert!(error.contains("it is of X.509 version 1, which no client accepts"), "{error}");
    }

    #[test]
    fn a_certificate_is_complained_about_when_it_is_about_to_end_and_when_it_has() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let own = own(EXPIRED, EXPIRED_KEY).unwrap();
        // 2021-01-01 00:00:00.
        let end = UNIX_EPOCH + Duration::from_secs(1_609_459_200);
        let check = |now, want: &[&str]| {
            let complaints = own.dates.complaints(now);
            let complaints = complaints.iter().filter(|it| it.reason != "no_intermediate");
            let said: Vec<_> = complaints.map(|it| (it.what.clone(), it.is_error)).collect();
            assert_eq!(said.len(), want.len(), "{said:?}");
            for ((what, is_error), want) in said.iter().zip(want) {
                assert!(what.ends_with(want), "{what}");
                assert_eq!(*is_error, want.contains("expired"), "{what}");
            }
        };
        check(end - 15 * DAY, &[]);
        check(end - 14 * DAY, &[]);
        check(end - 13 * DAY, &["the certificate ends in 13 days, on 2021-01-01"]);
        check(end - DAY, &["ends in 1 day, on 2021-01-01"]);
        check(end, &["ends in 0 days, on 2021-01-01"]);
        check(end + Duration::from_secs(1), &["the certificate expired on 2021-01-01"]);
        check(UNIX_EPOCH, &["the certificate is not valid before 2020-01-01"]);
    }

    #[test]
    fn a_certificate_without_its_intermediate_is_complained_about() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let reasons = |certificates: &str, key| {
            let complaints = own(certificates, key).unwrap().dates.complaints(now);
            complaints.into_iter().map(|it| it.reason).collect::<Vec<_>>()
        };
        assert_eq!(reasons(LEAF, LEAF_KEY), ["no_intermediate"]);
        assert_eq!(reasons(&[LEAF, INTERMEDIATE].concat(), LEAF_KEY), [""; 0]);
        assert_eq!(reasons(CERTIFICATE, KEY), [""; 0], "self-signed");
    }
}
