//! Why files of keys and certificates cannot be used: [`CredentialError`], one line each.
//!
//! A message names the file, the line and what to do. It never shows a byte of the file, nor the
//! message of a parser, because parsers quote what they could not read.

use crate::error::TlsFault;
use crate::tls::fault;
use crate::tls::pem::PemError;
use crate::tls::secret::FileName;
use crate::tls::x509::Der;
use std::fmt;
use std::io;
use std::path::PathBuf;
use tokio_rustls::rustls;

/// Longest file of keys or certificates, in bytes. The bundle of all public roots is a quarter.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// Why credentials cannot be used. Displays as one line that names the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file cannot be opened or read.
    Unreadable(PathBuf, io::Error),
    /// The file is longer than [`PEM_BYTES_MAX`].
    TooLong(PathBuf),
    /// A line of the file is wrong.
    NotPem(PathBuf, PemError),
    /// The file is not text.
    NotText(PathBuf, Binary),
    /// No certificate.
    NoCertificate(PathBuf, Instead),
    /// A certificate that cannot be used: the line in which it begins, and why.
    BadCertificate(PathBuf, usize, CertificateFault),
    /// No list of revoked certificates.
    NoRevocationList(PathBuf),
    /// A list of revoked certificates that cannot be used, and the line in which it begins.
    BadRevocationList(PathBuf, usize),
    /// No private key.
    NoKey(PathBuf, Instead),
    /// More than one private key, and no way to know which one is meant.
    SeveralKeys(PathBuf),
    /// The private key is protected by a passphrase, and there is no one to enter it.
    EncryptedKey(PathBuf),
    /// A private key in a form that TLS cannot use.
    ForeignKey(PathBuf, &'static str),
    /// A private key of a kind that we cannot sign with, or a damaged one.
    UnusableKey(PathBuf),
    /// The private key belongs to another certificate.
    Mismatch {
        /// Where the certificate came from.
        certificate: PathBuf,
        /// Where the key came from.
        key: PathBuf,
    },
    /// The system gave no random bytes, or rustls refuses its own settings.
    Tls(TlsFault),
}

/// What a file that is not text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// DER, of some kind.
    Der(Der),
    /// A Java key store (`.jks`).
    JavaKeyStore,
}

/// What a file holds instead of what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// No block worth mentioning.
    Nothing,
    /// A certificate.
    Certificate,
    /// A private key.
    Key,
    /// A block with this label.
    Other(&'static str),
}

/// Why a certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// It cannot be parsed.
    Damaged,
    /// It is of X.509 version 1 or 2.
    Version(u8),
    /// TLS cannot use it.
    Refused(TlsFault),
}

const NO_LIST: &str = "holds no list of revoked certificates; a PEM section X509 CRL is needed \
                       (openssl crl -inform der -in FILE -out NEWFILE makes it of DER)";

const BAD_LIST: &str = "holds a list of revoked certificates that cannot be used; a complete one \
                        of version 2 is needed";

const ENCRYPTED_KEY: &str = "holds a key protected by a passphrase; one without is allowed \
                             (openssl pkey -in FILE -out NEWFILE)";

const FOREIGN_KEY_ADVICE: &str = "which TLS has no use for; RSA, ECDSA and Ed25519 keys in a PEM \
                                  section PRIVATE KEY are allowed (ssh-keygen -p -m PKCS8 -f COPY \
                                  turns a copy of OpenSSH's into one)";

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => {
                write!(f, "{} cannot be read: {error}{}", FileName(file), advice_on(error))
            }
            Self::TooLong(file) => {
                write!(f, "{} is longer than {PEM_BYTES_MAX} bytes", FileName(file))
            }
            Self::NotPem(file, error) => write!(f, "{} is not PEM: {error}", FileName(file)),
            Self::NotText(file, what) => write!(f, "{} is not PEM, but {what}", FileName(file)),
            Self::NoCertificate(file, instead) => write!(
                f,
                "{} holds no certificate{}; a PEM section CERTIFICATE is needed{}",
                FileName(file),
                instead,
                instead.advice()
            ),
            Self::BadCertificate(file, line, fault) => {
                let name = FileName(file);
                write!(f, "{name} holds a certificate that cannot be used, in line {line}: {fault}")
            }
            Self::NoRevocationList(file) => write!(f, "{} {NO_LIST}", FileName(file)),
            Self::BadRevocationList(file, line) => {
                write!(f, "{} {BAD_LIST}, in line {line}", FileName(file))
            }
            Self::NoKey(file, instead) => write!(
                f,
                "{} holds no private key{instead}; a PEM section PRIVATE KEY is needed",
                FileName(file)
            ),
            Self::SeveralKeys(file) => {
                write!(f, "{} holds several private keys; one is allowed", FileName(file))
            }
            Self::EncryptedKey(file) => write!(f, "{} {ENCRYPTED_KEY}", FileName(file)),
            Self::ForeignKey(file, form) => {
                write!(f, "{} holds {form}, {FOREIGN_KEY_ADVICE}", FileName(file))
            }
            Self::UnusableKey(file) => write!(
                f,
                "{} holds a key of an unknown kind; RSA (2048 to 8192 bits), \
                 ECDSA (P-256, P-384, P-521) and Ed25519 are allowed",
                FileName(file)
            ),
            Self::Mismatch { certificate, key } => {
                let (key, certificate) = (FileName(key), FileName(certificate));
                write!(f, "the key {key} does not belong to the certificate {certificate}")
            }
            Self::Tls(fault) => write!(f, "TLS cannot be set up: {}", fault.reason()),
        }
    }
}

fn advice_on(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let the user that runs narrows read it and open its folder"
        }
        _ => "",
    }
}

impl std::error::Error for CredentialError {}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Der(Der::Certificate) => {
                "a certificate in DER (openssl x509 -inform der -in FILE -out NEWFILE)"
            }
            Self::Der(Der::Key) => {
                "a private key in DER (openssl pkey -inform der -in FILE -out NEWFILE)"
            }
            Self::Der(Der::Pkcs12) => {
                "PKCS #12 (openssl pkcs12 -in FILE -nodes -out NEWFILE makes PEM of both, the \
                 certificate and the key)"
            }
            Self::Der(Der::Pkcs7) => {
                "PKCS #7 in DER (openssl pkcs7 -inform der -print_certs -in FILE -out NEWFILE)"
            }
            Self::Der(Der::Other) => {
                "DER, or a part of it (openssl asn1parse -inform der -in FILE shows what it is)"
            }
            Self::JavaKeyStore => {
                "a Java key store (keytool -importkeystore -srckeystore FILE -destkeystore P12FILE \
                 -deststoretype PKCS12, then openssl pkcs12 -in P12FILE -nodes -out NEWFILE)"
            }
        })
    }
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Certificate => f.write_str(", but a certificate"),
            Self::Key => f.write_str(", but a private key"),
            Self::Other(label) => write!(f, ", but a section {label}"),
        }
    }
}

impl Instead {
    fn advice(self) -> &'static str {
        match self {
            Self::Other("PKCS7" | "PKCS #7 SIGNED DATA") => {
                " (openssl pkcs7 -print_certs -in FILE -out NEWFILE)"
            }
            Self::Other("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") => {
                ", which an authority makes of a request"
            }
            Self::Nothing | Self::Certificate | Self::Key | Self::Other(_) => "",
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("it is damaged"),
            Self::Version(version) => write!(
                f,
                "it is of X.509 version {version}, which no client accepts; version 3 is needed, \
                 with a subjectAltName (openssl x509 -req makes version 1 unless it is given \
                 -extfile)"
            ),
            Self::Refused(fault) => write!(f, "TLS has no use for it ({})", fault.reason()),
        }
    }
}

impl From<rustls::Error> for CredentialError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(fault::of_rustls(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_read_a_file_is_told_whom_to_let_in() {
        let message = |kind: io::ErrorKind| {
            CredentialError::Unreadable("/etc/a.key".into(), kind.into()).to_string()
        };
        let denied = message(io::ErrorKind::PermissionDenied);
        assert!(denied.ends_with("; let the user that runs narrows read it and open its folder"));
        assert!(!message(io::ErrorKind::NotFound).contains(';'));
    }
}
