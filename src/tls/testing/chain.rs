//! Certificates from `certs/`, for tests of what a file may hold.

/// [`CERTIFICATE`](super::pem::CERTIFICATE) as `openssl x509 -trustout` writes it, followed by
/// what it is trusted for.
pub(crate) const TRUSTED_CERTIFICATE: &str = "\
-----BEGIN TRUSTED CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUUq8tqxQSSPZU3jZ4FZdxwZ7zYM4wCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb25lMCAXDTI2MTEyMzAwNDgzM1oYDzIxMjUxMDMwMDA0ODMz
WjAOMQwwCgYDVQQDDANvbmUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQx2Sos
qT8TrKn8BxmpH+hN8JTNzNytssMrSz0WJW69CxFHuKWktlhnIQH/eYNgIiJioEIp
EorMV7ijmCRt6gtfo28wbTAdBgNVHQ4EFgQUrmNmq5zmhmd8zQgVtIscAHTk9/cw
HwYDVR0jBBgwFoAUrmNmq5zmhmd8zQgVtIscAHTk9/cwDwYDVR0TAQH/BAUwAwEB
/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDSAAwRQIg
L0c9yHX0T+y6FW/modgQkGh1BMzjX/BahHSEtxChk9ECIQCO2PWxtAAUfHxbDdMv
EalzrlkA5s/LjPJbgBl1hEELiDASMAoGCCsGAQUFBwMBDARtaW5l
-----END TRUSTED CERTIFICATE-----
";
pub(crate) const CRL_FILE: &str = include_str!("../../../certs/clients-crl.pem");
pub(crate) const ROOT: &str = include_str!("../../../certs/chain-root.pem");
pub(crate) const INTERMEDIATE: &str = include_str!("../../../certs/chain-intermediate.pem");
pub(crate) const LEAF: &str = include_str!("../../../certs/chain-leaf.pem");
pub(crate) const LEAF_KEY: &str = include_str!("../../../certs/chain-leaf.key");
pub(crate) const EXPIRED: &str = include_str!("../../../certs/expired.pem");
pub(crate) const EXPIRED_KEY: &str = include_str!("../../../certs/expired.key");
pub(crate) const VERSION_1: &str = include_str!("../../../certs/version-1.pem");
pub(crate) const VERSION_1_KEY: &str = include_str!("../../../certs/version-1.key");
