//! Certificate requests and certificates of challenges, read as far as a directory has to.

use super::identifier::Identifier;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use std::net::IpAddr;
use yasna::models::ObjectIdentifier;
use yasna::tags::TAG_BOOLEAN;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag};

const SUBJECT_ALTERNATIVE_NAME: [u64; 4] = [2, 5, 29, 17];
const EXTENSION_REQUEST: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 14];
const ACME_IDENTIFIER: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 31];

/// A certificate request (RFC 2986).
pub(super) struct CertificateRequest {
    pub(super) names: Vec<Identifier>,
    pub(super) key: LeafKey,
    /// What is signed, and the signature.
    pub(super) signed: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// A point of P-256.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeafKey(pub(super) Vec<u8>);

impl PublicKeyData for LeafKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// What the certificate of a challenge proves (RFC 8737, section 3).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) names: Vec<Identifier>,
    /// The digest of the key authorization, if the extension is there and critical.
    pub(super) digest: Option<Vec<u8>>,
}

pub(super) fn certificate_request(der: &[u8]) -> ASN1Result<CertificateRequest> {
    yasna::parse_der(der, |reader| {
        reader.read_sequence(|reader| {
            let signed = reader.next().read_der()?;
            let (names, key) = yasna::parse_der(&signed, request_info)?;
            reader.next().read_der()?;
            let (signature, _) = reader.next().read_bitvec_bytes()?;
            Ok(CertificateRequest { names, key, signed, signature })
        })
    })
}

fn request_info(reader: BERReader<'_, '_>) -> ASN1Result<(Vec<Identifier>, LeafKey)> {
    reader.read_sequence(|reader| {
        reader.next().read_u8()?;
        reader.next().read_der()?;
        let key = reader.next().read_sequence(|reader| {
            reader.next().read_der()?;
            reader.next().read_bitvec_bytes()
        })?;
        let mut names = Vec::new();
        reader.next().read_tagged_implicit(Tag::context(0), |reader| {
            reader.read_set_of(|reader| {
                reader.read_sequence(|reader| {
                    let kind = reader.next().read_oid()?;
                    let values = reader.next().read_der()?;
                    if is(&kind, &EXTENSION_REQUEST) {
                        names = names_in(&yasna::parse_der(&values, extension_sets)?)?;
                    }
                    Ok(())
                })
            })
        })?;
        Ok((names, LeafKey(key.0)))
    })
}

/// Reads the certificate that a server presented for a challenge.
pub(super) fn proof(der: &[u8]) -> ASN1Result<Proof> {
    let (_key, extensions) = yasna::parse_der(der, certificate)?;
    let marked = extensions.iter().find(|it| it.critical && is(&it.kind, &ACME_IDENTIFIER));
    let digest = marked.map(|it| yasna::parse_der(&it.value, |reader| reader.read_bytes()));
    Ok(Proof { names: names_in(&extensions)?, digest: digest.transpose()? })
}

/// The key of a certificate, as a `SubjectPublicKeyInfo`.
pub(super) fn public_key(der: &[u8]) -> ASN1Result<Vec<u8>> {
    yasna::parse_der(der, certificate).map(|(key, _extensions)| key)
}

fn certificate(reader: BERReader<'_, '_>) -> ASN1Result<(Vec<u8>, Vec<Extension>)> {
    reader.read_sequence(|reader| {
        let read = reader.next().read_sequence(certificate_info)?;
        reader.next().read_der()?;
        reader.next().read_der()?;
        Ok(read)
    })
}

fn certificate_info(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<(Vec<u8>, Vec<Extension>)> {
    reader.next().read_tagged(Tag::context(0), |reader| reader.read_u8())?;
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        reader.next().read_der()?;
    }
    let key = reader.next().read_der()?;
    Ok((key, reader.next().read_tagged(Tag::context(3), extensions)?))
}

struct Extension {
    kind: ObjectIdentifier,
    critical: bool,
    value: Vec<u8>,
}

/// The value of an attribute is a set, here of one sequence.
fn extension_sets(reader: BERReader<'_, '_>) -> ASN1Result<Vec<Extension>> {
    let mut all = Vec::new();
    reader.read_set_of(|reader| {
        all.extend(extensions(reader)?);
        Ok(())
    })?;
    Ok(all)
}

fn extensions(reader: BERReader<'_, '_>) -> ASN1Result<Vec<Extension>> {
    reader.collect_sequence_of(|reader| {
        reader.read_sequence(|reader| {
            let kind = reader.next().read_oid()?;
            let next = reader.next();
            if next.lookahead_tag()? == TAG_BOOLEAN {
                let critical = next.read_bool()?;
                return Ok(Extension { kind, critical, value: reader.next().read_bytes()? });
            }
            Ok(Extension { kind, critical: false, value: next.read_bytes()? })
        })
    })
}

fn names_in(extensions: &[Extension]) -> ASN1Result<Vec<Identifier>> {
    let Some(names) = extensions.iter().find(|it| is(&it.kind, &SUBJECT_ALTERNATIVE_NAME)) else {
        return Ok(Vec::new());
    };
    yasna::parse_der(&names.value, |reader| {
        reader.collect_sequence_of(|reader| {
            let name = reader.read_tagged_der()?;
            name_of(name.tag().tag_number, name.value())
                .ok_or_else(|| ASN1Error::new(ASN1ErrorKind::Invalid))
        })
    })
}

/// A `GeneralName` (RFC 5280, section 4.2.1.6) of one of the two kinds that ACME has.
fn name_of(number: u64, value: &[u8]) -> Option<Identifier> {
    match number {
        2 => String::from_utf8(value.to_vec()).ok().map(Identifier::Dns),
        7 => match value.len() {
            4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from).map(Identifier::Ip),
            _ => <[u8; 16]>::try_from(value).ok().map(IpAddr::from).map(Identifier::Ip),
        },
        _ => None,
    }
}

fn is(kind: &ObjectIdentifier, numbers: &[u64]) -> bool {
    kind.components()[..] == *numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair};

    const NAMES: [&str; 2] = ["api.example.com", "203.0.113.7"];

    #[test]
    fn the_names_of_a_request_and_of_a_certificate_are_found() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
        let names = vec![
            Identifier::Dns("api.example.com".to_owned()),
            Identifier::Ip([203, 0, 113, 7].into()),
        ];
        let request = params.serialize_request(&key).unwrap();
        let request = certificate_request(request.der()).unwrap();
        assert_eq!(request.names, names);
        assert_eq!(request.key.0, key.public_key_raw());

        let certificate = params.self_signed(&key).unwrap();
        let without = Proof { names: names.clone(), digest: None };
        assert_eq!(proof(certificate.der()).unwrap(), without);
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&[7; 32])];
        let certificate = params.self_signed(&key).unwrap();
        let digest = Some(vec![7; 32]);
        assert_eq!(proof(certificate.der()).unwrap(), Proof { names, digest });
    }
}
