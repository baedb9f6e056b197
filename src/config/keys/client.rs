//! `[[client]]`: [`ClientConfig`] and its keys.

use crate::config::client_name::ClientName;
use crate::config::key::Default::{Required, Words};
use crate::config::key::Read::With;
use crate::config::key::{Key, Present, read_table, row};
use crate::config::problem::Location;
use crate::config::systemd_credentials::file_or_credential;
use crate::config::table::{Reader, Table};
use crate::config::token_digest::TokenDigest;
use crate::config::value::{NamedFile, RoutePath};
use std::ops::RangeInclusive;

/// Range of `exchanges` and `requests_per_minute`: more than a million limits nothing.
const LIMIT_RANGE: RangeInclusive<usize> = 1..=1_000_000;

/// A `[[client]]`: who may use the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The operator's word for it.
    pub name: ClientName,
    /// What it shows.
    pub tokens: TokenSource,
    /// The routes that it may use; `None`: all.
    pub routes: Option<Vec<RoutePath>>,
    /// When its tokens end, in seconds since 1970.
    pub expires: Option<u64>,
    /// How many exchanges it may have at one time.
    pub exchanges: Option<u32>,
    /// How many requests it may send in a minute.
    pub requests_per_minute: Option<u32>,
    /// Location of the name.
    pub location: Location,
}

/// Where the keys of a client are. It is not kept, because there may be many clients.
pub(in crate::config) struct ClientPlaces {
    /// Location of the token or of the file.
    pub(in crate::config) tokens: Location,
    /// Location of `routes`, or of the name.
    pub(in crate::config) routes: Location,
}

/// Where the digests of a client's tokens are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// In the configuration, and it has this one.
    Digest(TokenDigest),
    /// In a file, one a line. Boxed, because most clients have none.
    File(Box<NamedFile>),
}

impl TokenSource {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&NamedFile> {
        match self {
            Self::Digest(_) => None,
            Self::File(file) => Some(file),
        }
    }
}

/// The table as it is read.
#[derive(Default)]
pub(super) struct Draft {
    name: Option<ClientName>,
    token: Option<TokenDigest>,
    token_file: Option<NamedFile>,
    routes: Option<Vec<RoutePath>>,
    expires: Option<u64>,
    exchanges: Option<u32>,
    requests_per_minute: Option<u32>,
}

pub(super) const KEYS: &[Key<Draft>] = &[
    Key::new(
        "name",
        With(|it, entry| it.name = entry.value()),
        Required,
        row(
            "What you call the client: `client_name` in the log, `client` in metrics. No two \
             clients can have the same name.",
            "a text of up to 64 characters: `\"alice\"`",
        ),
    ),
    Key::new(
        "token",
        With(|it, entry| it.token = entry.value()),
        Words("required, or `token_file`"),
        row(
            "The SHA-256 of the client's token. `narrows token NAME` makes a token and prints \
             this table.",
            "`\"sha256:\"` and 64 hexadecimal digits",
        ),
    ),
    Key::new(
        "token_file",
        With(|it, entry| it.token_file = file_or_credential(entry)),
        Words("none"),
        row(
            "A file of such digests, one a line, in place of `token`: each is a token of this \
             client. Blank lines and lines that begin with `#` are skipped. The file is [read \
             again](access.md#files-of-tokens-and-keys) when it changes.",
            "a file of up to 1 MiB, like [`key_file`](#route)",
        ),
    ),
    Key::new(
        "routes",
        With(|it, entry| it.routes = Some(entry.one_or_more())),
        Words("all"),
        row(
            "The routes that the client may use, by their `path`. On others it gets \
             `token_not_for_route` (403).",
            "paths of routes: `[\"/gpt/\"]`",
        ),
    ),
    Key::new(
        "expires",
        With(|it, entry| it.expires = entry.moment()),
        Words("never"),
        row(
            "The moment from which on the client's tokens are refused (`token_expired`, 403). A \
             date is its beginning in UTC, and so is a time without an offset in UTC. Running \
             exchanges go on.",
            "a TOML date or date and time, without quotes: `2027-01-01`, `2027-01-01T12:00:00Z`",
        ),
    ),
    Key::number(
        "exchanges",
        LIMIT_RANGE,
        |it, number| it.exchanges = u32::try_from(number).ok(),
        Words("no limit"),
        "Exchanges that the client may have at one time, in all workers together. One more gets \
         `client_exchanges` (429).",
    ),
    Key::number(
        "requests_per_minute",
        LIMIT_RANGE,
        |it, number| it.requests_per_minute = u32::try_from(number).ok(),
        Words("no limit"),
        "Requests that the client may send in a minute, in all workers of this process together: \
         a bucket of so many requests that fills evenly. One more gets `client_rate` (429), with \
         Retry-After.",
    ),
];

/// Reads a `[[client]]`. `None` if a required key is missing or wrong.
pub(super) fn read(reader: &mut Reader, table: Table<'_>) -> Option<(ClientConfig, ClientPlaces)> {
    let header = reader.header(&table, "token");
    let has_tokens = table.has("token") || table.has("token_file");
    let mut draft = Draft::default();
    let present = read_table(reader, table, KEYS, &mut draft);
    if !has_tokens {
        let what = "this key is missing; a client has a `token` or a `token_file`";
        let help = "`narrows token NAME` makes a token and prints its digest".to_owned();
        reader.problems.add_with_help(&header, what, [help]);
    }
    let Draft { name, token, token_file, routes, expires, exchanges, requests_per_minute } = draft;
    let location = present.location("name")?.clone();
    let (tokens, at) = tokens(reader, token, token_file, &present)?;
    let routes_at = present.location("routes").unwrap_or(&location).clone();
    let places = ClientPlaces { tokens: at, routes: routes_at };
    let name = name?;
    let config =
        ClientConfig { name, tokens, routes, expires, exchanges, requests_per_minute, location };
    Some((config, places))
}

/// The one source of tokens, and its location.
fn tokens(
    reader: &mut Reader,
    token: Option<TokenDigest>,
    file: Option<NamedFile>,
    present: &Present,
) -> Option<(TokenSource, Location)> {
    let source = match (token, file) {
        (Some(_), Some(file)) => {
            let what = "`token` and `token_file` exclude each other";
            let help = "write all digests into the file, one a line".to_owned();
            reader.problems.add_with_help(&file.location, what, [help]);
            return None;
        }
        (Some(token), None) => TokenSource::Digest(token),
        (None, Some(file)) => TokenSource::File(Box::new(file)),
        (None, None) => return None,
    };
    let location = present.location("token").or_else(|| present.location("token_file"));
    Some((source, location?.clone()))
}
