//! Certificates that a test makes as it needs them: for servers, for clients, and lists of those
//! that are revoked. What never changes is in `certs/`.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer as Signer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RevokedCertParams, SerialNumber, date_time_ymd,
};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA of 2048 bits.
    Rsa,
}

/// A root that signs whatever a test wants.
pub struct Issuer {
    root: String,
    signer: Signer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate alone.
    pub certificate: String,
    /// Its key.
    pub key: String,
    serial: SerialNumber,
}

/// What a certificate says. The default is one for servers, valid for centuries.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// Names and addresses.
    pub names: &'w [&'w str],
    /// The common name, if it has one.
    pub common_name: Option<&'w str>,
    /// The kind of its key.
    pub key: KeyKind,
    /// The years in which it begins and ends to be valid.
    pub years: (i32, i32),
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { names: &[], common_name: None, key: KeyKind::Ecdsa, years: (2020, 2120) }
    }
}

impl Issuer {
    /// A new root of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = Default::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().pem();
        Self { root, signer: Signer::new(params, key) }
    }

    /// Its own certificate, as PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A certificate for a server.
    pub fn server(&self, names: &[&str], key: KeyKind) -> Pair {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, Wanted { names, key, ..Wanted::default() })
    }

    /// A certificate for a client.
    pub fn client(&self, wanted: Wanted<'_>) -> Pair {
        self.issue(ExtendedKeyUsagePurpose::ClientAuth, wanted)
    }

    /// A list of what it has revoked, as PEM.
    pub fn revocation_list(&self, revoked: &[&Pair]) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let revoked = revoked.iter().map(|it| RevokedCertParams {
            serial_number: it.serial.clone(),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2120, 1, 1),
            crl_number: serial(NUMBER.fetch_add(1, Ordering::Relaxed)),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.signer).unwrap().pem().unwrap()
    }

    fn issue(&self, purpose: ExtendedKeyUsagePurpose, wanted: Wanted<'_>) -> Pair {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let names: Vec<_> = wanted.names.iter().map(|it| (*it).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = Default::default();
        if let Some(name) = wanted.common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(wanted.years.0, 1, 1);
        params.not_after = date_time_ymd(wanted.years.1, 1, 1);
        let serial = serial(SERIAL.fetch_add(1, Ordering::Relaxed));
        params.serial_number = Some(serial.clone());
        let key = match wanted.key {
            KeyKind::Ecdsa => KeyPair::generate().unwrap(),
            KeyKind::Rsa => KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(),
        };
        let certificate = params.signed_by(&key, &self.signer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem(), serial }
    }
}

impl Pair {
    /// The certificate as a peer sees it.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    /// Its key, to present it with.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// The roots in these PEM files.
pub fn roots(pems: &[&str]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for pem in pems {
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    }
    roots
}

fn serial(number: u64) -> SerialNumber {
    SerialNumber::from_slice(&number.to_be_bytes())
}
