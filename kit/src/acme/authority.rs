//! The keys that sign: a root, and an intermediate that issues.

use super::der::LeafKey;
use super::identifier::Identifier;
use super::jws::encoded;
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A root and its intermediate.
pub(super) struct Authority {
    root: String,
    intermediate: String,
    issuer: Issuer<'static, KeyPair>,
    /// The key identifier of the intermediate, which its certificates name.
    identifier: Vec<u8>,
}

/// A new certificate.
pub(super) struct Leaf {
    /// It and the intermediate, as PEM.
    pub(super) chain: String,
    /// As renewal information names it (RFC 9773, section 4.1).
    pub(super) id: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let (root_params, root_key) = (params("Kit Root"), new_key());
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let (params, key) = (params("Kit Intermediate"), new_key());
        let intermediate = params.signed_by(&key, &root_issuer).unwrap();
        Self {
            root: root.pem(),
            intermediate: intermediate.pem(),
            identifier: params.key_identifier(&key),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Issues a certificate that is valid from `begin` on.
    pub(super) fn issue(
        &self,
        names: &[Identifier],
        key: &LeafKey,
        begin: SystemTime,
        lifetime: Duration,
        number: usize,
    ) -> Leaf {
        let mut params = CertificateParams::default();
        params.distinguished_name = Default::default();
        params.subject_alt_names = names.iter().map(alternative).collect();
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // To the second, as DER has it.
        let begin = begin.duration_since(UNIX_EPOCH).unwrap().as_secs();
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(begin);
        params.not_after = params.not_before + lifetime - Duration::from_secs(1);
        // Its first bit is set, so that DER begins with a zero that belongs to the identifier.
        let mut serial = digest(&SHA256, &number.to_be_bytes()).as_ref()[..16].to_vec();
        serial[0] |= 0x80;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let leaf = params.signed_by(key, &self.issuer).unwrap();
        let serial = [&[0], &serial[..]].concat();
        Leaf {
            chain: leaf.pem() + &self.intermediate,
            id: format!("{}.{}", encoded(&self.identifier), encoded(&serial)),
        }
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = Default::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("randomness")
}

fn alternative(name: &Identifier) -> SanType {
    match name {
        Identifier::Dns(name) => SanType::DnsName(name.clone().try_into().unwrap()),
        Identifier::Ip(ip) => SanType::IpAddress(*ip),
    }
}
