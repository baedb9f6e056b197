//! PEM text for tests, and folders to put it in. Made with openssl; nothing here is secret.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs, process};

/// A self-signed certificate for `localhost` and 127.0.0.1, valid until October 2125.
pub(crate) const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUUq8tqxQSSPZU3jZ4FZdxwZ7zYM4wCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb25lMCAXDTI2MTEyMzAwNDgzM1oYDzIxMjUxMDMwMDA0ODMz
WjAOMQwwCgYDVQQDDANvbmUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQx2Sos
qT8TrKn8BxmpH+hN8JTNzNytssMrSz0WJW69CxFHuKWktlhnIQH/eYNgIiJioEIp
EorMV7ijmCRt6gtfo28wbTAdBgNVHQ4EFgQUrmNmq5zmhmd8zQgVtIscAHTk9/cw
HwYDVR0jBBgwFoAUrmNmq5zmhmd8zQgVtIscAHTk9/cwDwYDVR0TAQH/BAUwAwEB
/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDSAAwRQIg
L0c9yHX0T+y6FW/modgQkGh1BMzjX/BahHSEtxChk9ECIQCO2PWxtAAUfHxbDdMv
EalzrlkA5s/LjPJbgBl1hEELiA==
-----END CERTIFICATE-----
";
/// The key of [`CERTIFICATE`]: ECDSA P-256, PKCS #8.
pub(crate) const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4J2UmBZCf0XiPte+
evkCW/8nARUL53twUcZycm6fTUqhRANCAAQx2SosqT8TrKn8BxmpH+hN8JTNzNyt
ssMrSz0WJW69CxFHuKWktlhnIQH/eYNgIiJioEIpEorMV7ijmCRt6gtf
-----END PRIVATE KEY-----
";
/// A key like [`KEY`], but not that of [`CERTIFICATE`].
pub(crate) const KEY_OF_ANOTHER: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgTTBtKkFqw9vbSgxg
eZ1VCe3sypj7fDCmZGpZJl1B+imhRANCAATfJEF3jKisKWwLqgor0I6Q5sVADSWZ
eOW3wtZ5Fh6wqJHstT3c775Xm3113kCs+AprAztT1dmTQrrqmHcGeMOl
-----END PRIVATE KEY-----
";
/// A key that needs a passphrase.
pub(crate) const ENCRYPTED_KEY: &str = include_str!("../../../certs/encrypted.key");
/// An Ed448 key, which rustls cannot use.
pub(crate) const KEY_OF_UNKNOWN_KIND: &str = include_str!("../../../certs/ed448.key");

/// A folder of its own for one test, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("narrows-test-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If this fails, a folder is left over: no reason to fail a test that has succeeded.
        let _removed = fs::remove_dir_all(&self.0);
    }
}
