//! The handshake with a server, and its certificate: [`verdict`].

use super::finding::{Finding, shown};
use crate::config::snapshot::count;
use crate::error::{SocketError, TlsFault};
use crate::tls::inspection::Shown;
use crate::tls::validity::since_1970;
use std::time::SystemTime;

const STEP: &str = "tls";

const SECONDS_OF_DAY: i64 = 24 * 60 * 60;
/// A certificate that is renewed by itself is valid for longer.
const SOON: i64 = 7 * SECONDS_OF_DAY;
/// Names of a wrong certificate that are shown.
const NAMES_SHOWN_MAX: usize = 3;

/// Words in the names of issuers whose products read what passes through them.
const INSPECTORS: &[&str] = &[
    "zscaler",
    "fortinet",
    "fortigate",
    "palo alto",
    "netskope",
    "sophos",
    "blue coat",
    "bluecoat",
    "symantec proxy",
    "forcepoint",
    "websense",
    "check point",
    "barracuda",
    "watchguard",
    "sonicwall",
    "untangle",
    "cisco umbrella",
    "mcafee web",
    "skyhigh",
    "sangfor",
    "kaspersky",
    "eset",
    "avast",
    "avg ",
    "bitdefender",
    "adguard",
    "mitmproxy",
    "squid",
    "portswigger",
    "charles proxy",
    "fiddler",
    "do_not_trust",
    "whistle",
    "cloudflare gateway",
    "smoothwall",
    "securly",
    "lightspeed",
];

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There was no answer.
    Late,
    Fault(TlsFault),
}

/// What was seen of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The name that was asked for.
    pub(super) name: String,
    /// Whether it is this relay's, as clients see it.
    pub(super) is_ours: bool,
    /// The version, or why there is none.
    pub(super) outcome: Result<&'static str, Trouble>,
    pub(super) shown: Option<Shown>,
    /// Whether it works without the hybrid key exchange; only if it did not with it.
    pub(super) classic_works: bool,
}

/// Judges a handshake with `about`.
pub(super) fn verdict(about: &str, seen: &Seen, now: SystemTime) -> Finding {
    let now = since_1970(now);
    match (seen.outcome, &seen.shown) {
        (Ok(version), Some(certificate)) => verified(about, version, certificate, now),
        (Ok(version), None) => Finding::ok(STEP, about, format!("verified, {version}")),
        (Err(trouble), certificate) => failed(about, seen, trouble, certificate.as_ref(), now),
    }
}

fn verified(about: &str, version: &str, certificate: &Shown, now: i64) -> Finding {
    let issuer = issuer(certificate);
    let left = certificate.not_after - now;
    let what = format!("verified, {version}; issuer {issuer}, {} left", days(left));
    if is_inspector(certificate) {
        let remedy = "something on the way reads all requests, with their keys, and may hold \
                      streams back: ask its administrator to exempt this server";
        return Finding::warning(STEP, about, what, remedy);
    }
    if left < SOON && certificate.not_after - certificate.not_before > 30 * SECONDS_OF_DAY {
        let remedy = "who runs the server has to renew it in time";
        return Finding::warning(STEP, about, what, remedy);
    }
    Finding::ok(STEP, about, what)
}

fn failed(
    about: &str,
    seen: &Seen,
    trouble: Trouble,
    certificate: Option<&Shown>,
    now: i64,
) -> Finding {
    use TlsFault as It;
    let failure = |what: String, remedy: &'static str| Finding::failure(STEP, about, what, remedy);
    match (trouble, certificate) {
        (Trouble::Fault(It::CertificateIssuer | It::CertificateOfAuthority), Some(certificate)) => {
            unknown_issuer(about, certificate, seen.is_ours)
        }
        (Trouble::Fault(It::CertificateExpired), Some(certificate)) => failure(
            format!("the certificate expired {} ago", days(now - certificate.not_after)),
            "check this machine's clock (`date`); if it is right, who runs the server has to renew \
             its certificate",
        ),
        (Trouble::Fault(It::CertificateNotYetValid), Some(certificate)) => failure(
            format!("the certificate is valid only in {}", days(certificate.not_before - now)),
            "set this machine's clock: timedatectl set-ntp true",
        ),
        (Trouble::Fault(It::CertificateName), Some(certificate)) => failure(
            format!("the certificate is for {}, not for {}", names(certificate), shown(&seen.name)),
            "check the host in the URL (and `connect`, `tls_name`); a login page of the network, \
             or a filter in the DNS, shows such a certificate, too",
        ),
        (Trouble::Fault(It::NotTls), _) => failure(
            "this port does not speak TLS".to_owned(),
            "write http:// in the URL if that is meant, or the port that speaks HTTPS, which is \
             mostly 443",
        ),
        (Trouble::Fault(It::Alert(UNRECOGNIZED_NAME)), _) => failure(
            format!("the server does not know the name {}", shown(&seen.name)),
            "check the host in the URL, and `tls_name`",
        ),
        (Trouble::Fault(It::Alert(CERTIFICATE_REQUIRED | HANDSHAKE_FAILURE)), _) => failure(
            "the server refuses the handshake".to_owned(),
            "if it wants a certificate, name yours by client_certificate and client_key; otherwise \
             it may be too old for TLS 1.2",
        ),
        (Trouble::Late, _) => cut("TCP connects, and the handshake gets no answer", seen, failure),
        (Trouble::Fault(It::Closed | It::Socket(SocketError::ConnectionReset)), _) => {
            cut("the connection is cut during the handshake", seen, failure)
        }
        (Trouble::Fault(fault), _) => {
            let remedy = "check that the URL names the right server and port";
            failure(format!("the handshake failed ({})", fault.reason()), remedy)
        }
    }
}

const HANDSHAKE_FAILURE: u8 = 40;
const UNRECOGNIZED_NAME: u8 = 112;
const CERTIFICATE_REQUIRED: u8 = 116;

fn cut(what: &str, seen: &Seen, failure: impl Fn(String, &'static str) -> Finding) -> Finding {
    if seen.classic_works {
        let what = format!("{what}, unless it is made smaller");
        let remedy = "write key_exchange = \"classic\" in the route: a firewall on the way drops a \
                      ClientHello of two packets";
        return failure(what, remedy);
    }
    let remedy = "if it works from another network, a firewall on the way blocks this server by \
                  its name: ask who runs the network, or run narrows elsewhere; if not, the server \
                  hangs, or its port is not for TLS";
    failure(what.to_owned(), remedy)
}

fn unknown_issuer(about: &str, certificate: &Shown, is_ours: bool) -> Finding {
    let issuer = issuer(certificate);
    if is_ours {
        let what = format!("clients do not trust the certificate: it is of {issuer}");
        let remedy = "show them one of a public authority, with its chain (fullchain.pem; or \
                      domains = \"NAME\", and narrows orders it); or give your root to every \
                      client";
        return Finding::failure(STEP, about, what, remedy);
    }
    if is_inspector(certificate) {
        let what = format!("something on the way inspects TLS: the certificate is of {issuer}");
        let remedy = "ask its administrator to exempt this server; or, if it may read your keys, \
                      name its root by ca = \"FILE\" in the route";
        return Finding::failure(STEP, about, what, remedy);
    }
    let (what, remedy) = if certificate.is_self_issued {
        (
            format!("the certificate is signed by itself ({issuer})"),
            "if the server is yours, name this certificate by ca = \"FILE\" in the route; \
             otherwise something on the way answers in its place",
        )
    } else if certificate.certificates == 1 {
        (
            format!("the only certificate is of {issuer}, which is not a known authority"),
            "if that issued the server's certificate, the server has to send the whole chain \
             (fullchain.pem), or name its root by ca = \"FILE\"; otherwise something on the way \
             inspects TLS",
        )
    } else {
        (
            format!("the certificate is of {issuer}, which is not a known authority"),
            "if that is yours, name its root by ca = \"FILE\" in the route; otherwise something on \
             the way (a proxy, a firewall, an antivirus) inspects TLS: ask for an exemption",
        )
    };
    Finding::failure(STEP, about, what, remedy)
}

fn is_inspector(certificate: &Shown) -> bool {
    let issuer = certificate.issuer.as_deref().unwrap_or_default().to_ascii_lowercase();
    INSPECTORS.iter().any(|it| issuer.contains(it))
}

fn issuer(certificate: &Shown) -> String {
    match &certificate.issuer {
        Some(issuer) => format!("\"{}\"", shown(issuer)),
        None => "without a readable name".to_owned(),
    }
}

fn names(certificate: &Shown) -> String {
    let names: Vec<_> =
        certificate.names.iter().take(NAMES_SHOWN_MAX).map(|it| shown(it)).collect();
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

fn days(seconds: i64) -> String {
    count(usize::try_from(seconds / SECONDS_OF_DAY).unwrap_or(0), "day")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::{Text, Verdict};
    use std::time::{Duration, UNIX_EPOCH};

    const NOW: i64 = 1_800_000_000;

    fn certificate(issuer: &str) -> Shown {
        Shown {
            issuer: Some(issuer.to_owned()),
            names: vec!["portal.example".to_owned()],
            not_before: NOW - 80 * SECONDS_OF_DAY,
            not_after: NOW + 10 * SECONDS_OF_DAY,
            certificates: 2,
            is_self_issued: false,
        }
    }

    fn check(outcome: Result<&'static str, Trouble>, shown: Shown, classic_works: bool) -> Finding {
        let name = "api.example".to_owned();
        let (is_ours, shown) = (false, Some(shown));
        let seen = Seen { name, is_ours, outcome, shown, classic_works };
        verdict("api.example:443", &seen, UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs()))
    }

    fn refused(fault: TlsFault, shown: Shown) -> (Text, Text) {
        let finding = check(Err(Trouble::Fault(fault)), shown, false);
        assert_eq!(finding.verdict, Verdict::Failure);
        (finding.what, finding.remedy.unwrap())
    }

    #[test]
    fn a_verified_certificate_is_described() {
        let good = check(Ok("TLS 1.3"), certificate("Google Trust Services, WE1"), false);
        let want = "verified, TLS 1.3; issuer \"Google Trust Services, WE1\", 10 days left";
        assert_eq!((good.verdict, &*good.what), (Verdict::Ok, want));
        let soon = Shown { not_after: NOW + 2 * SECONDS_OF_DAY, ..certificate("R11") };
        assert_eq!(check(Ok("TLS 1.3"), soon, false).verdict, Verdict::Warning);
    }

    #[test]
    fn an_inspecting_middlebox_is_recognized_even_if_it_is_trusted() {
        let inspector = certificate("Zscaler Inc.\u{1b}, Zscaler Root CA");
        let trusted = check(Ok("TLS 1.2"), inspector.clone(), false);
        assert!(trusted.verdict == Verdict::Warning && !trusted.what.contains('\u{1b}'));
        let (what, remedy) = refused(TlsFault::CertificateIssuer, inspector);
        assert!(what.contains("inspects TLS") && remedy.contains("exempt"), "{what}");
    }

    #[test]
    fn an_unknown_issuer_is_named_with_what_may_be_meant() {
        let by = |change: fn(&mut Shown)| {
            let mut shown = certificate("Corp");
            change(&mut shown);
            refused(TlsFault::CertificateIssuer, shown)
        };
        assert!(by(|it| it.is_self_issued = true).0.contains("signed by itself"));
        assert!(by(|it| it.certificates = 1).1.contains("fullchain.pem"));
        assert!(by(|_| ()).1.contains("inspects TLS"));
        assert!(by(|it| it.issuer = None).0.contains("without a readable name"));
    }

    #[test]
    fn our_own_certificate_has_to_be_trusted_by_clients() {
        let outcome = Err(Trouble::Fault(TlsFault::CertificateIssuer));
        let (name, shown) = ("relay.example".to_owned(), Some(certificate("my CA")));
        let seen = Seen { name, is_ours: true, outcome, shown, classic_works: false };
        let finding = verdict("relay.example:443 (--url)", &seen, UNIX_EPOCH);
        assert!(finding.remedy.unwrap().contains("fullchain.pem"));
    }

    #[test]
    fn dates_and_names_are_compared_with_what_was_expected() {
        let expired = Shown { not_after: NOW - 3 * SECONDS_OF_DAY, ..certificate("R11") };
        let (what, remedy) = refused(TlsFault::CertificateExpired, expired);
        assert!(what.ends_with("3 days ago") && remedy.contains("clock"), "{what}");
        let early = Shown { not_before: NOW + SECONDS_OF_DAY, ..certificate("R11") };
        assert!(refused(TlsFault::CertificateNotYetValid, early).0.ends_with("in 1 day"));
        let (what, _) = refused(TlsFault::CertificateName, certificate("R11"));
        assert_eq!(what, "the certificate is for portal.example, not for api.example");
    }

    #[test]
    fn a_cut_handshake_is_blamed_on_its_size_only_if_a_smaller_one_works() {
        let late = |classic| check(Err(Trouble::Late), certificate("x"), classic).remedy.unwrap();
        assert!(late(true).contains("key_exchange = \"classic\""));
        assert!(late(false).contains("blocks this server by its name"));
        let reset = TlsFault::Socket(SocketError::ConnectionReset);
        assert!(refused(reset, certificate("x")).0.contains("cut during the handshake"));
        assert!(refused(TlsFault::NotTls, certificate("x")).1.contains("http://"));
        assert!(refused(TlsFault::Alert(116), certificate("x")).1.contains("client_certificate"));
    }
}
