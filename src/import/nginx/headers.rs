//! `proxy_set_header`: what a route has to say in its place.

use super::scope::Scope;
use super::tree::Directive;
use super::variables::{Piece, constant, expand, may_be_of_environment, names};
use super::work::Work;
use crate::config::url::{Host, HostField, Scheme, UpstreamUrl};
use crate::gateway::rewrite::client_info::is_client_info;
use crate::import::draft::Route;
use crate::import::note::Note;
use std::str::FromStr;

/// Fields that authenticate a client to an API.
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
/// Fields of one connection, which narrows writes itself.
const OF_CONNECTION: [&str; 6] =
    ["upgrade", "connection", "keep-alive", "te", "transfer-encoding", "content-length"];

/// Translates the fields that a location sets. `names` are those of its server.
pub(super) fn translate(
    work: &mut Work,
    scope: &Scope<'_>,
    server_names: &[&str],
    url: &UpstreamUrl,
    route: &mut Route,
) {
    for field in scope.all("proxy_set_header") {
        let name = field.argument(0).to_ascii_lowercase();
        let note = match name.as_str() {
            "host" => host(work, field, scope, server_names, url, route),
            it if OF_CONNECTION.contains(&it) => {
                let what = "WebSocket and connections that are kept work without a setting";
                Some(work.note(field, what))
            }
            it if CREDENTIALS.contains(&it) => credential(work, field, scope, route),
            _ => other(work, field, &name),
        };
        route.notes.extend(note);
    }
}

/// The Host field. The note says what became of it, unless it is left out.
fn host(
    work: &mut Work,
    field: &Directive,
    scope: &Scope<'_>,
    server_names: &[&str],
    url: &UpstreamUrl,
    route: &mut Route,
) -> Option<Note> {
    if let Some(host) = constant(field.argument(1), scope) {
        if host.eq_ignore_ascii_case(&url.authority) {
            return Some(work.note(field, "it is the upstream's own, as by default"));
        }
        if HostField::from_str(&host).is_err() {
            work.left_out(field, "this is not a host and a port");
            return None;
        }
        let name = host.rsplit_once(':').map_or(&*host, |(name, _)| name);
        let is_name = |it: &str| matches!(Host::from_str(it), Ok(Host::Name(_)));
        let is_tls = url.scheme == Scheme::Https;
        if is_tls && is_name(name) && matches!(url.endpoint.host, Host::Ip(_)) {
            // An address has no certificate of a public CA; the name that is sent has one.
            route.options.push(("tls_name", name.to_owned()));
        }
        route.options.push(("host", host));
        return Some(work.note(field, ""));
    }
    let variables: Vec<_> = names(field.argument(1)).collect();
    if variables.first().is_some_and(|it| *it == "proxy_host") {
        return Some(work.note(field, "it is the upstream's own, as by default"));
    }
    let is_clients = ["host", "http_host"].iter().any(|it| variables.first() == Some(it));
    let only = match server_names {
        [only] if Host::from_str(only).is_ok_and(|it| matches!(it, Host::Name(_))) => Some(*only),
        _ => None,
    };
    match only.filter(|it| is_clients && url.scheme == Scheme::Http && it.contains('.')) {
        Some(name) => {
            route.options.push(("host", name.to_owned()));
            let what = "a route sends one name, and not what the client asked for";
            Some(work.note(field, what))
        }
        None => {
            let what = "a route sends the upstream's own name, not what the client asked for";
            work.left_out(field, what);
            None
        }
    }
}

/// A field that may hold the API's key. The key itself is never repeated.
fn credential(
    work: &mut Work,
    field: &Directive,
    scope: &Scope<'_>,
    route: &mut Route,
) -> Option<Note> {
    if passes_as_it_is(field) {
        return Some(work.note(field, "it passes as it is"));
    }
    let is_empty = constant(field.argument(1), scope).is_some_and(|it| it.is_empty());
    let others = scope.all("proxy_set_header").into_iter().filter(|it| it.id != field.id);
    let has_other = |it: &Directive| CREDENTIALS.contains(&&*it.argument(0).to_ascii_lowercase());
    if is_empty && others.into_iter().any(|it| has_other(it) && key(it, scope).is_some()) {
        return Some(work.note(field, "with a key of the route no other one is forwarded"));
    }
    let Some(found) = key(field, scope).filter(|_| !route.has_key()) else {
        let is_variable = !route.has_key() && field.argument(1).contains('$');
        let what = if is_empty {
            "what the client sends in it passes"
        } else if is_variable {
            "what this variable holds is not known; if it is the API's key, give the route \
             key_file, or key_env with a variable of the environment"
        } else {
            "a route has one key, of the form that APIs have"
        };
        work.left_out(field, what);
        return None;
    };
    let what = found.give_to(route);
    let name = field.argument(0).to_ascii_lowercase();
    if name != CREDENTIALS[0] {
        route.options.push(("key_field", name));
    }
    Some(work.note(field, what))
}

/// Where the API's key in a field is from.
enum Key {
    /// The field has it.
    Written,
    /// A template, such as those of `envsubst`, names this variable of the environment.
    Environment(String),
}

impl Key {
    /// Adds it to `route`; what is to be said about it.
    fn give_to(self, route: &mut Route) -> String {
        match self {
            Self::Written => {
                let file = key_file(&route.path);
                let what = format!(
                    "the key is not repeated here: write it into {file}, one line, which only \
                     narrows can read (chmod 600)"
                );
                route.options.push(("key_file", file));
                what
            }
            Self::Environment(variable) => {
                let what = format!(
                    "nginx has no such variable, so that it is taken for one of the environment; \
                     narrows reads {variable} there when it starts"
                );
                route.options.push(("key_env", variable));
                what
            }
        }
    }
}

/// The key in `field`, if it is of a form that APIs have.
fn key(field: &Directive, scope: &Scope<'_>) -> Option<Key> {
    let pieces = expand(field.argument(1), scope);
    let is_bearer = |text: &str| text.to_lowercase().starts_with("bearer ");
    let found = match (&pieces[..], field.argument(0).eq_ignore_ascii_case(CREDENTIALS[0])) {
        ([Piece::Text(text)], true) if is_bearer(text) => return Some(Key::Written),
        ([Piece::Text(_)], false) => return Some(Key::Written),
        ([Piece::Text(text), Piece::Variable(name)], true) if is_bearer(text) => (text.len(), name),
        ([Piece::Variable(name)], false) => ("bearer ".len(), name),
        _ => return None,
    };
    let (before, name) = found;
    let is_alone = before == "bearer ".len();
    (is_alone && may_be_of_environment(name, scope)).then(|| Key::Environment(name.clone()))
}

/// The name of the file for the keys of the route with this path.
fn key_file(path: &str) -> String {
    let is_plain = |it: &char| it.is_ascii_alphanumeric() || *it == '-';
    let name: String = path.trim_matches('/').replace('/', "-").chars().filter(is_plain).collect();
    format!("{}.keys", if name.is_empty() { "api" } else { &name })
}

fn other(work: &mut Work, field: &Directive, name: &str) -> Option<Note> {
    if passes_as_it_is(field) {
        return Some(work.note(field, "it passes as it is"));
    }
    if name == "accept-encoding" {
        let what = "the upstream may compress, and still every event is passed on at once";
        return Some(work.note(field, what));
    }
    let is_empty = field.argument(1).is_empty();
    if is_client_info(name.as_bytes()) && is_empty {
        return Some(work.note(field, "it is always removed"));
    }
    let what = if is_client_info(name.as_bytes()) {
        "the upstream learns nothing about the client"
    } else if is_empty {
        "narrows removes no other fields of requests"
    } else {
        "narrows adds no other fields to requests"
    };
    work.left_out(field, what);
    None
}

/// Whether the value is that of the client's field of the same name.
fn passes_as_it_is(field: &Directive) -> bool {
    let name = field.argument(0).to_ascii_lowercase().replace('-', "_");
    let value = field.argument(1);
    value == format!("$http_{name}") || value == format!("${name}")
}
