//! Values of `[acme]`: [`DirectoryUrl`], [`Contact`], [`Word`].

use super::problem::quoted;
use super::url::Endpoint;
use super::value::{Invalid, Value};
use std::fmt;
use std::str::FromStr;

/// Let's Encrypt's directory, the default.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Longest URL, contact and word.
const BYTES_MAX: usize = 512;

/// Directories by the names that people use for them.
const DIRECTORIES: &[(&str, &str)] = &[
    ("staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
    ("letsencrypt", LETS_ENCRYPT),
    ("zerossl", "https://acme.zerossl.com/v2/DV90"),
    ("google", "https://dv.acme-v02.api.pki.goog/directory"),
    ("pki.goog", "https://dv.acme-v02.api.pki.goog/directory"),
    ("buypass", "https://api.buypass.com/acme/directory"),
];

/// The `https` URL of an ACME directory (RFC 8555, section 7.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryUrl {
    /// Host and port, the default port filled in.
    pub endpoint: Endpoint,
    /// Host and port as written, for the Host field.
    pub authority: Box<str>,
    /// Path and query; begins with `/`.
    pub path: Box<str>,
}

impl Default for DirectoryUrl {
    #[expect(clippy::expect_used, reason = "a constant; a test parses it")]
    fn default() -> Self {
        Self::from_str(LETS_ENCRYPT).expect("a valid URL")
    }
}

impl Value for DirectoryUrl {
    const ALLOWED: &'static str = "the https:// URL of an ACME directory is allowed";
}

impl FromStr for DirectoryUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text).map_err(|Invalid { what, .. }| {
            let meant = meant(text).filter(|it| Self::parse(it).is_ok());
            Invalid { what, meant }
        })
    }
}

impl DirectoryUrl {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |what: &str| Err(Invalid::new(format!("{} {what}", quoted(text))));
        let Some((scheme, rest)) = text.split_once("://") else {
            return refuse("is not a URL");
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') || path.contains('@') {
            return Err(Invalid::new("there is user information before \"@\""));
        }
        if !scheme.eq_ignore_ascii_case("https") {
            return refuse("does not begin with https://, as every ACME directory does");
        }
        let endpoint = endpoint(authority)?;
        let is_visible = path.bytes().all(|it| it.is_ascii_graphic());
        if !path.starts_with('/') || path.contains('#') || !is_visible {
            return refuse("has no path of a directory");
        }
        if text.len() > BYTES_MAX {
            return refuse("is longer than 512 bytes");
        }
        Ok(Self { endpoint, authority: authority.into(), path: path.into() })
    }
}

impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority, self.path)
    }
}

/// Host and port; port 443 if there is none.
fn endpoint(authority: &str) -> Result<Endpoint, Invalid> {
    let host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    match host.contains(':') {
        true => Endpoint::from_str(authority),
        false => Endpoint::from_str(&format!("{authority}:443")),
    }
}

/// The directory of a service by its name, or what a URL lacks.
fn meant(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase().replace("let's encrypt", "letsencrypt");
    if let Some((_, url)) = DIRECTORIES.iter().find(|(name, _)| lower.contains(name)) {
        return Some((*url).to_owned());
    }
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    Some(format!("https://{}", bare.trim()))
}

/// How the authority can reach the operator: a `mailto:` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(pub Box<str>);

impl Value for Contact {
    const ALLOWED: &'static str = "a mailto: URL such as \"mailto:me@example.com\" is allowed";
}

impl FromStr for Contact {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_mailto(text) {
            return Ok(Self(text.into()));
        }
        let lacks_scheme = is_mailto(&format!("mailto:{}", text.trim()));
        let what = if lacks_scheme { "lacks mailto: before it" } else { "is not a contact" };
        Err(Invalid::new(format!("{} {what}", quoted(text))))
    }
}

/// One address, without header fields (RFC 8555, section 7.3).
fn is_mailto(text: &str) -> bool {
    let Some((user, host)) = text.strip_prefix("mailto:").and_then(|it| it.split_once('@')) else {
        return false;
    };
    let is_allowed = |it: u8| it.is_ascii_graphic() && !b"?,:;\"\\<>()[]@/#".contains(&it);
    let parts = [user, host];
    text.len() <= BYTES_MAX && parts.iter().all(|it| !it.is_empty() && it.bytes().all(is_allowed))
}

/// A word that an authority gave: the name of a profile, or the identifier of an external account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(pub Box<str>);

impl Value for Word {
    const ALLOWED: &'static str = "1 to 512 visible ASCII characters are allowed";
}

impl FromStr for Word {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_word = !text.is_empty() && text.bytes().all(|it| it.is_ascii_graphic());
        match is_word && text.len() <= BYTES_MAX {
            true => Ok(Self(text.into())),
            false => Err(Invalid::new(format!("{} is not a word of an authority", quoted(text)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    #[test]
    fn a_directory_is_an_https_url() {
        assert_eq!(DirectoryUrl::default().to_string(), LETS_ENCRYPT);
        for (text, endpoint) in [
            ("https://ca.internal:9000/acme/acme/directory", "ca.internal:9000"),
            ("https://[::1]:14000/dir", "[::1]:14000"),
            ("https://[::1]/dir", "[::1]:443"),
            ("https://127.0.0.1/dir?a=b", "127.0.0.1:443"),
        ] {
            let url = DirectoryUrl::from_str(text).unwrap();
            assert_eq!((url.to_string(), url.endpoint.to_string()), (text.into(), endpoint.into()));
        }
        for (_, url) in DIRECTORIES {
            assert!(DirectoryUrl::from_str(url).is_ok());
        }
    }

    #[test]
    fn another_text_is_refused_with_what_was_meant() {
        refuse::<DirectoryUrl>("letsencrypt", &format!("did you mean \"{LETS_ENCRYPT}\"?"));
        refuse::<DirectoryUrl>(
            "https://acme-v02.api.letsencrypt.org",
            "has no path of a directory",
        );
        refuse::<DirectoryUrl>("Let's Encrypt staging", "https://acme-staging-v02.api");
        refuse::<DirectoryUrl>(
            "http://ca.internal/dir",
            "did you mean \"https://ca.internal/dir\"",
        );
        refuse::<DirectoryUrl>("ca.internal/dir", "did you mean \"https://ca.internal/dir\"?");
        refuse::<DirectoryUrl>("https://u:p@ca.internal/dir", "there is user information");
        refuse::<DirectoryUrl>("https://ca.internal/dir#a", "has no path");
        refuse::<DirectoryUrl>("https:///dir", "the host is missing");
        refuse::<Contact>("me@example.com", "lacks mailto: before it; a mailto: URL such as");
        refuse::<Contact>("mailto:me@example.com?subject=a", "is not a contact; a mailto: URL");
        refuse::<Contact>("mailto:a@b,c@d", "is not a contact");
        refuse::<Contact>("tel:1", "is not a contact");
        refuse::<Word>("", "is not a word of an authority; 1 to 512 visible");
        refuse::<Word>("short lived", "is not a word of an authority");
    }

    #[track_caller]
    fn refuse<T: Value + Debug>(text: &str, why: &str) {
        let message = T::from_str(text).unwrap_err().explain(T::ALLOWED);
        assert!(message.contains(why), "{text:?}: {message}");
        assert!(!message.contains("u:p"), "{message}");
    }
}
