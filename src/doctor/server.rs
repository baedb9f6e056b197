//! A server that requests go to, and how it is reached: [`Server`].

use super::finding::Finding;
use crate::config::Config;
use crate::config::reach::{Reach, ReachOptions};
use crate::config::url::{HostField, Scheme, UpstreamUrl};
use crate::config::value::KeyExchange;
use crate::tls::alpn::Alpn;
use crate::tls::client::ClientSide;
use crate::tls::credential_error::CredentialError;
use crate::tls::credential_file::{Chain, PrivateKey};
use crate::tls::identity::Identity;
use crate::tls::inspection::Inspector;

/// Most servers that are examined.
const SERVERS_MAX: usize = 16;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    /// What the report calls it: host and port.
    pub(super) name: String,
    pub(super) reach: Reach,
    /// Whether it is this relay, from outside.
    pub(super) is_ours: bool,
    /// What is asked; nothing, if it does not speak HTTP.
    pub(super) request: Option<Vec<u8>>,
}

impl Server {
    /// The upstreams of all routes and forwards, and the authority that certificates are ordered
    /// from; each once.
    pub(super) fn all(config: &Config) -> (Vec<Self>, Option<Finding>) {
        let mut all: Vec<Self> = Vec::new();
        let mut add = |reach: &Reach, request| {
            if !all.iter().any(|it| it.reach == *reach) {
                let name = reach.endpoint.to_string();
                all.push(Self { name, reach: reach.clone(), is_ours: false, request });
            }
        };
        for route in &config.routes {
            let path = path_of_models(&route.upstream.path);
            add(&route.reach, Some(request("GET", &path, route.host.as_str())));
        }
        config.forwards.iter().filter_map(|it| it.reach.as_ref()).for_each(|it| add(it, None));
        if config.listeners.iter().any(|it| !it.domains.is_empty()) {
            let directory = &config.acme.directory;
            let ca = config.acme.ca.clone();
            let options = ReachOptions { ca, ..ReachOptions::default() };
            let reach = Reach::new(true, directory.endpoint.clone(), options);
            add(&reach, Some(request("GET", &directory.path, &directory.authority)));
        }
        let more = all.len().saturating_sub(SERVERS_MAX);
        all.truncate(SERVERS_MAX);
        let why = || format!("{more} more servers; {SERVERS_MAX} are examined at most");
        (all, (more > 0).then(|| Finding::skipped("tcp", "", why())))
    }

    /// What has this public URL.
    pub(super) fn public(url: &UpstreamUrl) -> Self {
        let is_tls = url.scheme == Scheme::Https;
        let path = path_of_models(&url.path);
        Self {
            name: format!("{} (--url)", url.endpoint),
            is_ours: true,
            reach: Reach::new(is_tls, url.endpoint.clone(), ReachOptions::default()),
            request: Some(request("GET", &path, HostField::of(url).as_str())),
        }
    }

    /// What shakes hands as narrows would, or with another key exchange.
    pub(super) fn inspector(
        &self,
        key_exchange: KeyExchange,
    ) -> Result<Inspector, CredentialError> {
        let Reach { ca, client, .. } = &self.reach;
        let ca = ca.as_ref().map(|it| Chain::read(&it.path)).transpose()?;
        let identity = client.as_ref().map(|files| {
            let chain = Chain::read(&files.certificate.path)?;
            Identity::new(chain, PrivateKey::read(&files.key.path)?)
        });
        let identity = identity.transpose()?;
        let alpn = if self.request.is_some() { Alpn::Http } else { Alpn::Anything };
        let (ca, identity) = (ca.as_ref(), identity.as_ref());
        Inspector::new(ClientSide { ca, identity, key_exchange, alpn })
    }
}

/// What most APIs have, and want a key for.
fn path_of_models(base: &str) -> String {
    let last = base.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_version =
        last.strip_prefix('v').is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()));
    format!("{base}{}models", if is_version { "" } else { "v1/" })
}

/// A request without a key.
pub(super) fn request(method: &str, path: &str, host: &str) -> Vec<u8> {
    let agent = concat!("narrows-doctor/", env!("CARGO_PKG_VERSION"));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn an_upstream_of_several_routes_is_examined_once_and_the_authority_too() {
        let toml = "[[listener]]\naddress = \":443\"\ndomains = \"a.example\"\n\
                    [[route]]\npath = \"/a/\"\nupstream = \"https://api.example/v1/\"\n\
                    [[route]]\npath = \"/b/\"\nupstream = \"https://api.example/\"\n\
                    [[route]]\npath = \"/c/\"\nupstream = \"http://127.0.0.1:11434/\"\n";
        let config = Config::parse("f", Path::new("."), toml).unwrap();
        let (all, more) = Server::all(&config);
        let names: Vec<_> = all.iter().map(|it| &*it.name).collect();
        let want = ["api.example:443", "127.0.0.1:11434", "acme-v02.api.letsencrypt.org:443"];
        assert!(names == want && more.is_none(), "{names:?}");
        let asked = String::from_utf8(all[0].request.clone().unwrap()).unwrap();
        assert!(asked.starts_with("GET /v1/models HTTP/1.1\r\nHost: api.example\r\n"), "{asked}");
    }

    #[test]
    fn what_is_asked_for_follows_the_version_in_the_path() {
        assert_eq!(path_of_models("/"), "/v1/models");
        assert_eq!(path_of_models("/v1beta/"), "/v1beta/models");
        assert_eq!(path_of_models("/vendor/"), "/vendor/v1/models");
    }
}
