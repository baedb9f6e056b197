//! A narrows.toml in the making: [`Draft`].

use super::note::Note;
use crate::config::listen_address::ListenAddress;
use std::collections::BTreeMap;
use std::time::Duration;

/// The tables of the file, and what is remarked about them.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Which file it is made from, and how.
    pub(super) origin: String,
    /// Threads, if their number was said.
    pub(super) workers: Option<(usize, Note)>,
    pub(super) listeners: Vec<Listener>,
    pub(super) clients: Vec<Client>,
    pub(super) routes: Vec<Route>,
    pub(super) forwards: Vec<Forward>,
    /// Values of `[timeouts]` by their dotted keys.
    pub(super) timeouts: BTreeMap<&'static str, (Duration, Vec<Note>)>,
    /// Values of `[limits]`.
    pub(super) limits: BTreeMap<&'static str, (usize, Note)>,
    /// What needs no key, because narrows always does it.
    pub(super) always: Vec<Note>,
    /// What cannot be said.
    pub(super) left_out: Vec<Note>,
}

/// A `[[listener]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) addresses: Vec<ListenAddress>,
    /// Certificates and keys: names of files.
    pub(super) pairs: Vec<(String, String)>,
    /// Names to order certificates for.
    pub(super) domains: Vec<String>,
    pub(super) client_ca: Option<String>,
    pub(super) client_crl: Option<String>,
    pub(super) redirect: bool,
    pub(super) is_tcp: bool,
    pub(super) proxy_protocol: Vec<String>,
    /// Proxies that name their client, and the field in which they do.
    pub(super) trusted_proxies: Vec<String>,
    pub(super) client_address: Option<String>,
    pub(super) notes: Vec<Note>,
}

/// A `[[client]]`.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    /// The digest of its token, or a file that it has to be written to.
    pub(super) token: Result<String, &'static str>,
    /// Paths of the routes that it may use.
    pub(super) routes: Vec<String>,
    pub(super) notes: Vec<Note>,
}

/// A `[[route]]`.
#[derive(Debug, Default)]
pub(super) struct Route {
    pub(super) path: String,
    pub(super) upstream: String,
    /// Its optional keys and their strings.
    pub(super) options: Vec<(&'static str, String)>,
    /// Addresses of clients that may use it; `None`: all.
    pub(super) allow: Option<Vec<String>>,
    /// Whether preflights of browsers are answered.
    pub(super) cors: bool,
    /// Whether clients need a token, and the digests of those that are known.
    pub(super) needs_token: bool,
    /// Whether it says that they need none, because something else limits who they are.
    pub(super) is_for_anyone: bool,
    pub(super) tokens: Vec<(String, Note)>,
    /// Why it is written as a comment, so that no one uses it unasked.
    pub(super) closed: Vec<Note>,
    pub(super) notes: Vec<Note>,
}

/// A `[[forward]]`.
#[derive(Debug, Default)]
pub(super) struct Forward {
    pub(super) server_name: String,
    pub(super) upstream: String,
    pub(super) options: Vec<(&'static str, String)>,
    pub(super) notes: Vec<Note>,
}

impl Listener {
    /// Whether TLS ends here.
    pub(super) fn is_tls(&self) -> bool {
        !self.pairs.is_empty() || !self.domains.is_empty()
    }

    /// Whether it is the same but for its addresses and notes.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let plain = |it: &Self| Self { addresses: Vec::new(), notes: Vec::new(), ..it.clone() };
        plain(self) == plain(other)
    }
}

impl Route {
    /// Whether it is written as a comment.
    pub(super) fn is_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Whether it has the API's key.
    pub(super) fn has_key(&self) -> bool {
        self.options.iter().any(|(key, _)| ["key_file", "key_env"].contains(key))
    }
}
