//! The fields of an X.509 certificate (RFC 5280, section 4.1): [`Certificate::parse`] reads issuer,
//! subject, public key and validity, and of the extensions the names and the issuer's key. No
//! verification.
//!
//! Pure: no I/O and no clock. Only DER is read: definite lengths, each in its place.

use std::net::IpAddr;
use std::{iter, str};

/// Most names that are read of a certificate. Let's Encrypt allows as many.
const NAMES_MAX: usize = 100;
/// Longest name that is read. No host name is longer.
const NAME_BYTES_MAX: usize = 253;
/// Longest name of a holder. A common name has at most 64 characters (RFC 5280, appendix A.1).
const HOLDER_BYTES_MAX: usize = 128;

/// What is known of a certificate. Names are compared byte by byte, as DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'c> {
    /// 1, 2 or 3.
    pub version: u8,
    /// The content of the INTEGER.
    pub serial_number: &'c [u8],
    /// The name of the issuer.
    pub issuer: &'c [u8],
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// The name of the holder.
    pub subject: &'c [u8],
    /// The whole `SubjectPublicKeyInfo`.
    pub public_key: &'c [u8],
    /// Those it has, one after the other.
    extensions: &'c [u8],
    /// The bytes of the certificate alone; others may follow them.
    pub der: &'c [u8],
}

impl<'c> Certificate<'c> {
    /// Reads the certificate at the front of `der`; `None` if there is none.
    pub fn parse(der: &'c [u8]) -> Option<Self> {
        let (certificate, _) = element(der, SEQUENCE)?;
        let (signed, _) = element(certificate.content, SEQUENCE)?;
        let (version, rest) = match element(signed.content, VERSION) {
            Some((tagged, rest)) => {
                let (number, _) = element(tagged.content, INTEGER)?;
                let [version @ 0..=2] = number.content else { return None };
                (version + 1, rest)
            }
            None => (1, signed.content),
        };
        let (serial_number, rest) = element(rest, INTEGER)?;
        let (_signature, rest) = element(rest, SEQUENCE)?;
        let (issuer, rest) = element(rest, SEQUENCE)?;
        let (validity, rest) = element(rest, SEQUENCE)?;
        let (subject, rest) = element(rest, SEQUENCE)?;
        let (public_key, after_key) = element(rest, SEQUENCE)?;
        let (not_before, rest) = time(validity.content)?;
        let (not_after, _) = time(rest)?;
        Some(Self {
            version,
            serial_number: serial_number.content,
            issuer: issuer.whole,
            not_before,
            not_after,
            subject: subject.whole,
            public_key: public_key.whole,
            extensions: extensions(after_key).unwrap_or_default(),
            der: certificate.whole,
        })
    }

    /// Whom it is for: the DNS names and addresses among its alternative names, or else the common
    /// name of its holder. Only what is printable ASCII and not too long.
    pub fn every_name(&self) -> Vec<String> {
        let names = alternative_names(self.extensions).unwrap_or_default();
        let names: Vec<_> = elements(names).filter_map(general_name).collect();
        if names.is_empty() { common_name(self.subject).into_iter().collect() } else { names }
    }

    /// The same, but not too many of them.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.every_name();
        names.truncate(NAMES_MAX);
        names
    }

    /// Who holds it, in one name: its common name, or else the first of its alternative names that
    /// is a DNS name, an address, a mail address or a URI. Printable ASCII, and not too long for a
    /// log line.
    pub fn holder(&self) -> Option<String> {
        let names = alternative_names(self.extensions).unwrap_or_default();
        let first =
            || elements(names).find_map(|name| any_name(name).or_else(|| general_name(name)));
        common_name(self.subject).or_else(first).filter(|it| it.len() <= HOLDER_BYTES_MAX)
    }

    /// Who issued it: the organization and the common name, as far as they are printable ASCII.
    pub fn issuer_name(&self) -> Option<String> {
        let parts = [attribute(self.issuer, ORGANIZATION), common_name(self.issuer)];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Which key of the issuer signed it (section 4.2.1.1), if it says so.
    pub fn authority_key_identifier(&self) -> Option<&'c [u8]> {
        let value = extension(self.extensions, AUTHORITY_KEY_IDENTIFIER)?;
        let (sequence, _) = element(value, SEQUENCE)?;
        element(sequence.content, KEY_IDENTIFIER).map(|(id, _)| id.content)
    }

    /// Whether it names itself as its issuer, like a root or a self-signed server certificate.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

/// What a file in DER, not PEM, holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Der {
    /// A certificate.
    Certificate,
    /// PKCS #12: a certificate with its key, protected by a passphrase (`.p12`, `.pfx`).
    Pkcs12,
    /// PKCS #7: certificates (`.p7b`).
    Pkcs7,
    /// A private key, in the clear or not.
    Key,
    /// Something else.
    Other,
}

impl Der {
    /// What `bytes` hold; `None` if they do not look like DER.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        // All of the above are a SEQUENCE, longer than 127 bytes. BER (PKCS #12 of old) has 0x80.
        let [SEQUENCE, 0x80..=0x84, ..] = bytes else { return None };
        let Some((outer, _)) = element(bytes, SEQUENCE) else { return Some(Self::Other) };
        let content = outer.content;
        Some(if Certificate::parse(bytes).is_some() {
            Self::Certificate
        } else if element(content, OBJECT_IDENTIFIER).is_some() {
            Self::Pkcs7
        } else if let Some((version, rest)) = element(content, INTEGER) {
            match version.content {
                [3] if element(rest, SEQUENCE).is_some() => Self::Pkcs12,
                // PKCS #8 and #1, SEC 1.
                [0 | 1] => Self::Key,
                _ => Self::Other,
            }
        } else {
            match element(content, SEQUENCE) {
                // PKCS #8 with a passphrase (RFC 5958, section 3).
                Some((_, rest)) if element(rest, OCTET_STRING).is_some() => Self::Key,
                _ => Self::Other,
            }
        })
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`, explicit.
const VERSION: u8 = 0xa0;
/// `[1]` and `[2]`, implicit: what no one uses any more.
const UNIQUE_IDENTIFIERS: [u8; 2] = [0x81, 0x82];
/// `[3]`, explicit.
const EXTENSIONS: u8 = 0xa3;
/// `dNSName`, a general name (section 4.2.1.6).
const DNS_NAME: u8 = 0x82;
/// `iPAddress`.
const IP_ADDRESS: u8 = 0x87;
/// `rfc822Name`, a mail address.
const MAIL_ADDRESS: u8 = 0x81;
/// `uniformResourceIdentifier`.
const URI: u8 = 0x86;

/// `keyIdentifier`, `[0]`, implicit (section 4.2.1.1).
const KEY_IDENTIFIER: u8 = 0x80;

/// 2.5.29.35
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.4.10
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

#[derive(Clone, Copy)]
struct Element<'c> {
    whole: &'c [u8],
    content: &'c [u8],
}

/// The element at the front of `input`, if it has this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (&first, rest) = input.split_first()?;
    let (&len, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (len, rest) = match len {
        0..=0x7f => (usize::from(len), rest),
        // No certificate has four gigabytes.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(len - 0x80))?;
            (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((Element { whole: &input[..input.len() - rest.len()], content }, rest))
}

/// All elements of `input`, whatever their tags, up to one that is damaged.
fn elements(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    iter::from_fn(move || {
        let tag = *input.first()?;
        let (next, rest) = element(input, tag)?;
        input = rest;
        Some((tag, next.content))
    })
}

/// The extensions, of what follows the public key.
fn extensions(after_key: &[u8]) -> Option<&[u8]> {
    let without = |rest, tag| element(rest, tag).map_or(rest, |(_, rest)| rest);
    let rest = UNIQUE_IDENTIFIERS.into_iter().fold(after_key, without);
    let (explicit, _) = element(rest, EXTENSIONS)?;
    element(explicit.content, SEQUENCE).map(|(extensions, _)| extensions.content)
}

/// The general names of the extension that has them.
fn alternative_names(extensions: &[u8]) -> Option<&[u8]> {
    let (names, _) = element(extension(extensions, SUBJECT_ALTERNATIVE_NAME)?, SEQUENCE)?;
    Some(names.content)
}

/// What the extension with this identifier holds.
fn extension<'c>(extensions: &'c [u8], identifier: &[u8]) -> Option<&'c [u8]> {
    let value = elements(extensions).find_map(|(_, extension)| {
        let (id, rest) = element(extension, OBJECT_IDENTIFIER)?;
        let value = element(rest, BOOLEAN).map_or(rest, |(_critical, rest)| rest);
        (id.content == identifier).then_some(value)
    })?;
    element(value, OCTET_STRING).map(|(octets, _)| octets.content)
}

/// A name that is not a host's.
fn any_name((tag, content): (u8, &[u8])) -> Option<String> {
    matches!(tag, MAIL_ADDRESS | URI).then(|| printable(content)).flatten()
}

fn general_name((tag, content): (u8, &[u8])) -> Option<String> {
    match tag {
        DNS_NAME => printable(content),
        IP_ADDRESS => {
            let v4 = <[u8; 4]>::try_from(content).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(content).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn common_name(name: &[u8]) -> Option<String> {
    attribute(name, COMMON_NAME)
}

/// The attribute of a `Name` with this identifier: that is a sequence of sets of pairs.
fn attribute(name: &[u8], identifier: &[u8]) -> Option<String> {
    let (name, _) = element(name, SEQUENCE)?;
    elements(name.content).flat_map(|(_, set)| elements(set)).find_map(|(_, pair)| {
        let (id, value) = element(pair, OBJECT_IDENTIFIER)?;
        let (_, value) = elements(value).next().filter(|_| id.content == identifier)?;
        printable(value)
    })
}

fn printable(name: &[u8]) -> Option<String> {
    let is_printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(is_printable);
    str::from_utf8(name).ok().filter(|_| fits).map(str::to_owned)
}

/// A time at the front of `input`, in seconds since 1970, and what follows it.
fn time(input: &[u8]) -> Option<(i64, &[u8])> {
    let utc = element(input, UTC_TIME);
    let (time, rest) = utc.or_else(|| element(input, GENERALIZED_TIME))?;
    let digits = time.content.strip_suffix(b"Z")?;
    let (year, digits) = match utc {
        // Section 4.1.2.5.1.
        Some(_) => match (number(digits.get(..2)?)?, digits.get(2..)?) {
            (year @ 50.., rest) => (1900 + year, rest),
            (year, rest) => (2000 + year, rest),
        },
        None => (number(digits.get(..4)?)?, digits.get(4..)?),
    };
    if digits.len() != 10 {
        return None;
    }
    let part = |at: usize| number(&digits[2 * at..2 * at + 2]);
    let (month, day, hour, minute, second) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    Some((seconds, rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })
}

/// Days of the Gregorian calendar, counted in years that begin in March.
pub(crate) fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_month = (153 * month + 2) / 5;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + days_before_month + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::pem::{Content, blocks};
    use crate::tls::testing::chain::VERSION_1;
    use crate::tls::testing::pem::{CERTIFICATE, KEY};

    fn der(pem: &str) -> Vec<u8> {
        match &blocks(pem.as_bytes()).unwrap()[0].content {
            Content::Certificate(certificate) => certificate.to_vec(),
            Content::Key(key) => key.secret_der().to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_certificate_says_who_holds_it_and_when_it_is_valid() {
        let der = der(CERTIFICATE);
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(certificate.version, 3);
        assert!(certificate.is_self_issued());
        assert!(certificate.subject.ends_with(b"one"));
        // 2026-11-23 00:48:33 and 2125-10-30 00:48:33.
        assert_eq!(certificate.not_before, 1_795_394_913);
        assert_eq!(certificate.not_after, 4_917_458_913);
        assert_eq!(certificate.der, der);
        assert_eq!(certificate.public_key.len(), 91);
    }

    #[test]
    fn a_certificate_is_for_its_alternative_names_or_else_for_its_holder() {
        let names = |pem: &str| Certificate::parse(&der(pem)).unwrap().names();
        assert_eq!(names(CERTIFICATE), ["localhost", "127.0.0.1"]);
        assert_eq!(names(VERSION_1), ["localhost"], "it has no extensions");
        let with = |name: &[u8]| {
            let mut der = der(CERTIFICATE);
            let at = der.windows(9).position(|it| it == b"localhost").unwrap();
            der[at..at + 9].copy_from_slice(name);
            Certificate::parse(&der).unwrap().names()
        };
        assert_eq!(with(b"*.a.tests"), ["*.a.tests", "127.0.0.1"]);
        assert_eq!(with(b"local\nost"), ["127.0.0.1"]);
        assert_eq!(with(b"loc\xc3\xa4host"[..9].as_ref()), ["127.0.0.1"]);
    }

    #[test]
    fn a_holder_is_a_common_name_or_else_the_first_name_of_another_kind() {
        let holder = |der: &[u8]| Certificate::parse(der).unwrap().holder();
        let der = der(include_str!("../../certs/client.pem"));
        assert_eq!(holder(&der).as_deref(), Some("narrows test client"));
        let with_common_name = |name: &[u8; 19]| {
            let mut der = der.clone();
            // The first is that of the issuer, and longer.
            let at =
                der.windows(22).position(|it| it == b"\x0c\x13narrows test client\x30").unwrap();
            der[at + 2..at + 21].copy_from_slice(name);
            holder(&der)
        };
        assert_eq!(with_common_name(b"narrows test\nclient").as_deref(), Some("alice@relay.test"));
        assert_eq!(
            with_common_name(b"\"=narrows\\ x client").as_deref(),
            Some("\"=narrows\\ x client")
        );
    }

    #[test]
    fn an_issuer_is_an_organization_and_a_common_name() {
        let of = |pem| Certificate::parse(&der(pem)).unwrap().issuer_name();
        let root = of(include_str!("../../certs/server.pem"));
        assert_eq!(root.as_deref(), Some("narrows test CA"));
    }

    #[test]
    fn a_name_that_is_too_long_is_left_out() {
        assert_eq!(printable(&[b'a'; 253]).map(|it| it.len()), Some(253));
        assert_eq!(printable(&[b'a'; 254]), None);
        assert_eq!(printable(b""), None);
    }

    #[test]
    fn a_certificate_that_is_cut_off_or_damaged_is_refused_without_a_panic() {
        let der = der(CERTIFICATE);
        for len in 0..der.len() {
            assert_eq!(Certificate::parse(&der[..len]), None, "{len}");
        }
        for at in 0..der.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = der.clone();
                damaged[at] ^= flip;
                let _either = Certificate::parse(&damaged).map(|it| it.names());
                let _either = Der::of(&damaged);
            }
        }
        let longer = [der.as_slice(), b"rest"].concat();
        assert_eq!(Certificate::parse(&longer).unwrap().der, der, "what follows is not a part");
    }

    #[test]
    fn times_are_those_of_the_gregorian_calendar() {
        let check = |tag, text: &str, want| {
            let der = [&[tag, text.len() as u8], text.as_bytes()].concat();
            assert_eq!(time(&der).map(|(seconds, _)| seconds), want, "{text}");
        };
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "691231235959Z", Some(-1));
        check(UTC_TIME, "500101000000Z", Some(-631_152_000));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(UTC_TIME, "240229120000Z", Some(1_709_208_000));
        check(GENERALIZED_TIME, "20000301000000Z", Some(951_868_800));
        check(GENERALIZED_TIME, "21000301000000Z", Some(4_107_542_400));
        check(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        for bad in ["", "Z", "7001010000Z", "700101000000", "701301000000Z", "700100000000Z"] {
            check(UTC_TIME, bad, None);
        }
        check(UTC_TIME, "7001010000+0Z", None);
        check(GENERALIZED_TIME, "2000030100000Z", None);
        // A leap second, which no verifier takes, and after which there is a year 10000.
        check(UTC_TIME, "161231235960Z", None);
        check(GENERALIZED_TIME, "99991231235960Z", None);
    }

    #[test]
    fn der_and_its_kind_are_recognized() {
        assert_eq!(Der::of(&der(CERTIFICATE)), Some(Der::Certificate));
        assert_eq!(Der::of(&der(KEY)), Some(Der::Key));
        assert_eq!(Der::of(CERTIFICATE.as_bytes()), None);
        assert_eq!(Der::of(b"0"), None);
        assert_eq!(Der::of(b"0123"), None);
        let pkcs12 = [&[0x30, 0x81, 0x80, 2, 1, 3, 0x30, 0x7b][..], &[0; 0x7b]].concat();
        assert_eq!(Der::of(&pkcs12), Some(Der::Pkcs12));
        let pkcs7 = [&[0x30, 0x81, 0x80, 6, 9][..], &[0; 0x7e]].concat();
        assert_eq!(Der::of(&pkcs7), Some(Der::Pkcs7));
    }
}
