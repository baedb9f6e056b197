//! What a PEM file holds: certificates ([`Chain`]), a private key ([`PrivateKey`]) and lists of
//! revoked certificates ([`RevocationLists`]).
//!
//! Nothing in a file is ignored silently: what has no use there becomes a remark, for `narrows
//! check` and for the log at the start.

use crate::tls::credential_error::{
    Binary, CertificateFault, CredentialError, Instead, PEM_BYTES_MAX,
};
use crate::tls::pem::{Content, blocks};
use crate::tls::x509::{Certificate, Der};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
};
use webpki::BorrowedCertRevocationList;
use zeroize::Zeroizing;

/// Certificates from a file, in its order.
#[derive(Clone, Debug)]
pub struct Chain {
    pub(super) file: PathBuf,
    /// At least one, each with the line in which it begins.
    pub(super) certificates: Vec<(usize, CertificateDer<'static>)>,
    /// What else the file holds.
    pub remarks: Vec<String>,
    /// The file holds a private key, too.
    pub has_key: bool,
}

/// Opens a file that is read again later. It has to be a regular one: a pipe has nothing to read
/// the second time, and to open one may take for ever.
///
/// # Errors
/// The file cannot be opened, or is not a regular one.
pub fn open_regular(file: &Path) -> io::Result<File> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(file)
}

/// Reads a whole file, as [`open_regular`] opens it. It may be secret, so it is overwritten when it
/// is dropped.
///
/// # Errors
/// The file is unreadable, not a regular one, or longer than [`PEM_BYTES_MAX`].
pub fn read_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let unreadable = |error| CredentialError::Unreadable(file.into(), error);
    let reader = open_regular(file).map_err(unreadable)?;
    // So that it need not grow, which would leave a copy of its beginning.
    let length = reader.metadata().map_or(0, |it| it.len().min(PEM_BYTES_MAX)) as usize;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    reader.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(CredentialError::TooLong(file.into()));
    }
    Ok(bytes)
}

/// The certificates of a `ca` file.
pub type Roots = Arc<[CertificateDer<'static>]>;

impl Chain {
    /// Reads all certificates of a file, which may hold a key as well.
    ///
    /// # Errors
    /// The file is unreadable or not PEM, or holds no certificate, or a damaged one.
    pub fn read(file: &Path) -> Result<Self, CredentialError> {
        Self::parse(file, &read_file(file)?)
    }

    /// The same of a file that has been read.
    ///
    /// # Errors
    /// The file is not PEM, or holds no certificate, or a damaged one.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, CredentialError> {
        let contents = Contents::parse(file, bytes)?.with_lists_as_others();
        let has_key = contents.holds_key();
        let mut remarks = contents.remarks_about_others(false);
        let mut certificates: Vec<(usize, CertificateDer<'static>)> = Vec::new();
        for (line, certificate) in contents.certificates {
            let Some(parsed) = Certificate::parse(&certificate) else {
                let fault = CertificateFault::Damaged;
                return Err(CredentialError::BadCertificate(file.into(), line, fault));
            };
            // Without the trust settings that OpenSSL appends to a TRUSTED CERTIFICATE.
            let certificate = CertificateDer::from(parsed.der.to_vec());
            match certificates.iter().find(|(_, known)| *known == certificate) {
                Some((first, _)) => remarks.push(format!(
                    "the certificate in line {line} is that of line {first} once more"
                )),
                None => certificates.push((line, certificate)),
            }
        }
        if certificates.is_empty() {
            let instead = if has_key { Instead::Key } else { instead_of(&contents.others) };
            return Err(CredentialError::NoCertificate(file.into(), instead));
        }
        Ok(Self { file: file.into(), certificates, remarks, has_key })
    }

    /// The certificates alone.
    pub fn certificates(&self) -> Roots {
        self.certificates.iter().map(|(_, certificate)| certificate.clone()).collect()
    }
}

/// A private key from a file.
#[derive(Debug)]
pub struct PrivateKey {
    pub(super) file: PathBuf,
    pub(super) key: PrivateKeyDer<'static>,
    /// What else the file holds.
    pub remarks: Vec<String>,
    /// How many certificates the file holds, too.
    pub certificates: usize,
}

impl PrivateKey {
    /// Reads the private key of a file, which may hold certificates as well.
    ///
    /// # Errors
    /// The file is unreadable or not PEM, or does not hold exactly one key without a passphrase.
    pub fn read(file: &Path) -> Result<Self, CredentialError> {
        Self::parse(file, &read_file(file)?)
    }

    /// The same of a file that has been read.
    ///
    /// # Errors
    /// The file is not PEM, or does not hold exactly one key without a passphrase.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, CredentialError> {
        let contents = Contents::parse(file, bytes)?.with_lists_as_others();
        let is_sec1 = |key: &PrivateKeyDer<'_>| matches!(key, PrivateKeyDer::Sec1(_));
        let remarks = contents.remarks_about_others(contents.keys.iter().any(is_sec1));
        let file: PathBuf = file.into();
        let certificates = contents.certificates.len();
        if contents.keys.len() > 1 || !contents.keys.is_empty() && contents.is_encrypted {
            return Err(CredentialError::SeveralKeys(file));
        }
        if let Some(key) = contents.keys.into_iter().next() {
            return Ok(Self { file, key, remarks, certificates });
        }
        Err(match contents.foreign_key {
            _ if contents.is_encrypted => CredentialError::EncryptedKey(file),
            Some(form) => CredentialError::ForeignKey(file, form),
            None if certificates > 0 => CredentialError::NoKey(file, Instead::Certificate),
            None => CredentialError::NoKey(file, instead_of(&contents.others)),
        })
    }
}

/// Lists of revoked certificates from a file (RFC 5280, section 5).
#[derive(Clone, Debug)]
pub struct RevocationLists {
    /// At least one.
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    /// What else the file holds.
    pub remarks: Vec<String>,
}

impl RevocationLists {
    /// Reads all lists of a file that has been read.
    ///
    /// # Errors
    /// The file is not PEM, or holds no list, or one that cannot be used.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, CredentialError> {
        let contents = Contents::parse(file, bytes)?;
        let mut remarks = contents.remarks_about_others(false);
        if contents.holds_key() || !contents.certificates.is_empty() {
            remarks.push("only the sections X509 CRL are used here".to_owned());
        }
        let damaged =
            contents.lists.iter().find(|(_, it)| BorrowedCertRevocationList::from_der(it).is_err());
        match damaged {
            Some((line, _)) => Err(CredentialError::BadRevocationList(file.into(), *line)),
            None if contents.lists.is_empty() => {
                Err(CredentialError::NoRevocationList(file.into()))
            }
            None => {
                Ok(Self { lists: contents.lists.into_iter().map(|(_, it)| it).collect(), remarks })
            }
        }
    }
}

const CRL: &str = "X509 CRL";

/// All blocks of a file, by their kind.
#[derive(Debug, Default)]
struct Contents {
    certificates: Vec<(usize, CertificateDer<'static>)>,
    keys: Vec<PrivateKeyDer<'static>>,
    is_encrypted: bool,
    foreign_key: Option<&'static str>,
    lists: Vec<(usize, CertificateRevocationListDer<'static>)>,
    others: Vec<(usize, Option<&'static str>)>,
}

impl Contents {
    fn parse(file: &Path, bytes: &[u8]) -> Result<Self, CredentialError> {
        const JAVA_KEY_STORE: &[u8] = b"\xfe\xed\xfe\xed";
        let binary = match Der::of(bytes) {
            _ if bytes.starts_with(JAVA_KEY_STORE) => Some(Binary::JavaKeyStore),
            der => der.map(Binary::Der),
        };
        if let Some(binary) = binary {
            return Err(CredentialError::NotText(file.into(), binary));
        }
        let not_pem = |error| CredentialError::NotPem(file.into(), error);
        let mut contents = Self::default();
        for block in blocks(bytes).map_err(not_pem)? {
            match block.content {
                Content::Certificate(it) => contents.certificates.push((block.line, it)),
                Content::RevocationList(it) => contents.lists.push((block.line, it)),
                Content::Key(key) => contents.keys.push(key),
                Content::EncryptedKey => contents.is_encrypted = true,
                Content::ForeignKey(form) => contents.foreign_key = Some(form),
                Content::Other(label) => contents.others.push((block.line, label)),
            }
        }
        Ok(contents)
    }

    /// Where lists of revoked certificates have no use.
    fn with_lists_as_others(mut self) -> Self {
        let lists = self.lists.drain(..).map(|(line, _)| (line, Some(CRL)));
        self.others.extend(lists);
        self.others.sort_unstable();
        self
    }

    fn holds_key(&self) -> bool {
        !self.keys.is_empty() || self.is_encrypted || self.foreign_key.is_some()
    }

    /// `beside_ec_key`: ignores the parameters that OpenSSL writes before a SEC 1 key, which holds
    /// them as well.
    fn remarks_about_others(&self, beside_ec_key: bool) -> Vec<String> {
        let others = self.others.iter();
        let others = others.filter(|(_, it)| !(beside_ec_key && *it == Some("EC PARAMETERS")));
        let remark = |(line, label): &(usize, Option<&str>)| match label {
            Some(label) => format!("the section {label} in line {line} has no use here"),
            None => format!("the section in line {line} is of a kind that is not known"),
        };
        others.map(remark).collect()
    }
}

/// The first block worth mentioning.
fn instead_of(others: &[(usize, Option<&'static str>)]) -> Instead {
    others.iter().find_map(|(_, label)| *label).map_or(Instead::Nothing, Instead::Other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::chain::{CRL_FILE, TRUSTED_CERTIFICATE};
    use crate::tls::testing::pem::{CERTIFICATE, ENCRYPTED_KEY, Folder, KEY};

    #[test]
    fn a_trusted_certificate_is_the_certificate_in_it() {
        let folder = Folder::new();
        let read = |name, text| Chain::read(&folder.write(name, text)).unwrap().certificates;
        assert_eq!(read("a.pem", TRUSTED_CERTIFICATE), read("b.pem", CERTIFICATE));
    }

    #[test]
    fn a_file_that_holds_something_else_says_what() {
        let csr = CERTIFICATE.replace("CERTIFICATE", "CERTIFICATE REQUEST");
        let pkcs7 = CERTIFICATE.replace("CERTIFICATE", "PKCS7");
        let old_style = KEY.replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\n\nM");
        let ssh = KEY.replace("PRIVATE", "OPENSSH PRIVATE");
        for (text, certificate, key) in [
            (KEY, "but a private key", ""),
            (CERTIFICATE, "", "but a certificate"),
            (&csr, "but a section CERTIFICATE REQUEST", "but a section CERTIFICATE REQUEST"),
            (&pkcs7, "(openssl pkcs7 -print_certs -in", "but a section PKCS7"),
            (ENCRYPTED_KEY, "but a private key", "a passphrase; one without is allowed (openssl"),
            (&old_style, "but a private key", "a passphrase; one without is allowed (openssl"),
            (&ssh, "but a private key", "a key of OpenSSH, which TLS has no use for"),
            ("", "holds no certificate; a PEM section", "holds no private key; a PEM section"),
        ] {
            check(text.as_bytes(), certificate, key);
        }
        let der = |text: &str| match blocks(text.as_bytes()).unwrap().remove(0).content {
            Content::Certificate(it) => it.to_vec(),
            Content::Key(it) => it.secret_der().to_vec(),
            other => panic!("{other:?}"),
        };
        let der_of_certificate = "a certificate in DER (openssl x509 -inform der -in FILE";
        check(&der(CERTIFICATE), der_of_certificate, der_of_certificate);
        let der_of_key = "a private key in DER (openssl pkey -inform der -in FILE";
        check(&der(KEY), der_of_key, der_of_key);
        check(b"\xfe\xed\xfe\xed....", "a Java key store", "a Java key store");
    }

    /// What reading `bytes` as either kind of file says; nothing when it can be read.
    #[track_caller]
    fn check(bytes: &[u8], certificate: &str, key: &str) {
        let folder = Folder::new();
        let file = folder.write("file.pem", bytes);
        let said = |error: Option<CredentialError>| error.map(|it| it.to_string());
        for (said, want) in [
            (said(Chain::read(&file).err()), certificate),
            (said(PrivateKey::read(&file).err()), key),
        ] {
            assert_eq!(said.is_none(), want.is_empty(), "{said:?}");
            assert!(said.is_none_or(|it| it.contains(want) && it.lines().count() == 1), "{want}");
        }
    }

    #[test]
    fn lists_of_revoked_certificates_are_read_and_have_no_use_elsewhere() {
        let parse = |text: &str| RevocationLists::parse(Path::new("crl.pem"), text.as_bytes());
        let two = [CRL_FILE, CERTIFICATE, CRL_FILE].concat();
        let lists = parse(&two).unwrap();
        assert_eq!((lists.lists.len(), lists.remarks.len()), (2, 1));
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert!(error(CERTIFICATE).contains("crl.pem\" holds no list of revoked certificates"));
        let cut = CERTIFICATE.replace("CERTIFICATE", "X509 CRL");
        assert!(
            error(&cut)
                .contains("cannot be used; a complete one of version 2 is needed, in line 1"),
            "{}",
            error(&cut)
        );
        let chain = Chain::parse(Path::new("ca.pem"), two.as_bytes()).unwrap();
        let lines = CRL_FILE.lines().count() + CERTIFICATE.lines().count();
        let remark = |line| format!("the section X509 CRL in line {line} has no use here");
        assert_eq!(chain.remarks, [remark(1), remark(lines + 1)]);
    }

    #[test]
    fn no_section_is_ignored_silently() {
        let folder = Folder::new();
        let dh = CERTIFICATE.replace("CERTIFICATE", "DH PARAMETERS");
        let odd = CERTIFICATE.replace("CERTIFICATE", "SECRET RECIPE");
        let text = format!("{CERTIFICATE}{dh}{odd}{CERTIFICATE}{KEY}");
        let file = folder.write("file.pem", &text);
        let lines = CERTIFICATE.lines().count();
        let dh = format!("the section DH PARAMETERS in line {} has no use here", lines + 1);
        let odd = format!("the section in line {} is of a kind that is not known", 2 * lines + 1);
        let twice =
            format!("the certificate in line {} is that of line 1 once more", 3 * lines + 1);
        let chain = Chain::read(&file).unwrap();
        assert_eq!(chain.remarks, [dh.clone(), odd.clone(), twice]);
        assert!(chain.has_key);
        let key = PrivateKey::read(&file).unwrap();
        assert_eq!((key.remarks, key.certificates), (vec![dh, odd], 2));
        let ec = CERTIFICATE.replace("CERTIFICATE", "EC PARAMETERS");
        let file = folder.write("file.pem", format!("{ec}{KEY}"));
        assert_eq!(PrivateKey::read(&file).unwrap().remarks.len(), 1, "the key is not of SEC 1");
    }
}
