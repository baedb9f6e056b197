//! `[[client]]`: its keys.

use crate::config::client_name::ClientName;
use crate::config::clients::{ClientPlaces, ReadClient, ReadClients};
use crate::config::key::Default::{Required, Words};
use crate::config::key::Read::With;
use crate::config::key::{Key, read_table, row};
use crate::config::problem::Location;
use crate::config::systemd_credentials::file_or_credential;
use crate::config::table::{Entry, Reader, Table};
use crate::config::table_list::{each_table, table_count};
use crate::config::token_digest::TokenDigest;
use crate::config::value::{NamedFile, RoutePath};
use crate::gateway::access::{Client, ClientRules};
use crate::gateway::client_limits::ClientLimits;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Range of `exchanges` and `requests_per_minute`: more than a million limits nothing.
const LIMIT_RANGE: RangeInclusive<usize> = 1..=1_000_000;

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

/// Reads every `[[client]]`, and leaves out what is wrong.
pub(super) fn read_all(entry: Entry<'_, '_>) -> ReadClients {
    let mut clients = ReadClients::with_capacity(table_count(&entry));
    each_table(entry, |reader, table| {
        if let Some(client) = read(reader, table) {
            clients.push(client);
        }
    });
    clients
}

/// Reads a `[[client]]`. `None` if a required key is missing or wrong.
fn read(reader: &mut Reader, table: Table<'_>) -> Option<ReadClient> {
    let header = reader.header(&table, "token");
    let has_tokens = table.has("token") || table.has("token_file");
    let mut draft = Draft::default();
    let present = read_table(reader, table, KEYS, &mut draft);
    if !has_tokens {
        let what = "this key is missing; a client has a `token` or a `token_file`";
        let help = "`narrows token NAME` makes a token and prints its digest".to_owned();
        reader.problems.add_with_help(&header, what, [help]);
    }
    let name = present.location("name")?;
    let name = (name.line()? as u32, name.place());
    if let (Some(_), Some(file)) = (&draft.token, &draft.token_file) {
        let what = "`token` and `token_file` exclude each other";
        let help = "write all digests into the file, one a line".to_owned();
        reader.problems.add_with_help(&file.location, what, [help]);
        return None;
    }
    let tokens = present.location("token").or_else(|| present.location("token_file"))?.place();
    let routes = present.location("routes").map_or_else(|| name.1.clone(), Location::place);
    let rules = draft.rules();
    let token = draft.token.map(|TokenDigest(digest)| digest);
    let client = Client { name: draft.name?.to_shared(), token, rules };
    let places = ClientPlaces { tokens, routes };
    Some(ReadClient { client, file: draft.token_file.map(Box::new), name, places })
}

impl Draft {
    fn rules(&mut self) -> Option<Box<ClientRules>> {
        let path = |it: &RoutePath| it.as_str().as_bytes().into();
        let rules = ClientRules {
            routes: self.routes.take().map(|routes| routes.iter().map(path).collect()),
            expires: self.expires,
            limits: ClientLimits {
                exchanges: self.exchanges,
                requests_per_minute: self.requests_per_minute,
            },
            used: Arc::default(),
        };
        (rules != ClientRules::default()).then(|| Box::new(rules))
    }
}
