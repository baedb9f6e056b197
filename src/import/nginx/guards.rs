//! What limits who may use a location: [`apply`].
//!
//! Addresses become `allow`. Everything else that asks clients for something becomes a token, which
//! is what narrows has in place of passwords and questions to other servers.

use super::scope::Scope;
use super::tree::Directive;
use super::variables::names;
use super::work::Work;
use crate::config::network::Network;
use crate::config::token_digest::TokenDigest;
use crate::import::draft::Route;
use std::str::FromStr;

const TOKEN: &str =
    "clients need a token of a [[client]] in its place; narrows token NAME makes one";
/// Shorter tokens can be guessed, and a new one is needed.
const TOKEN_BYTES_MIN: usize = 16;

/// Variables of conditions that say nothing about who the client is.
const HARMLESS: &[&str] = &[
    "http_user_agent",
    "request_method",
    "http_referer",
    "invalid_referer",
    "host",
    "http_host",
    "scheme",
    "server_port",
    "https",
    "request_uri",
    "uri",
    "args",
    "query_string",
    "http_origin",
    "http_upgrade",
    "request_filename",
    "http_x_forwarded_proto",
    "content_length",
    "content_type",
];

/// Gives `route` the guards of its location.
pub(super) fn apply(work: &mut Work, scope: &Scope<'_>, route: &mut Route) {
    addresses(work, scope, route);
    let mut guards: Vec<&Directive> = Vec::new();
    for name in ["auth_basic", "auth_request", "auth_jwt"] {
        guards.extend(scope.last(name).filter(|it| it.argument(0) != "off"));
    }
    for name in ["access_by_lua", "rewrite_by_lua", "js_access"] {
        for ending in ["", "_block", "_file"] {
            guards.extend(scope.all(&format!("{name}{ending}")));
        }
    }
    for condition in scope.everywhere("if") {
        if let Some(digest) = token(condition) {
            route.needs_token = true;
            let note = work.note(condition, "the client with this token; its digest is enough");
            work.account_inside(condition);
            route.tokens.push((digest, note));
        } else if refuses(condition) {
            guards.push(condition);
        } else if answers_preflights(condition) {
            route.cors = true;
            route.notes.push(work.note(condition, "preflights of browsers are answered"));
            work.account_inside(condition);
        }
    }
    for guard in guards {
        route.needs_token = true;
        work.account_inside(guard);
        let note = work.note(guard, TOKEN);
        work.draft.left_out.push(note.clone());
        route.notes.push(note);
    }
}

/// `allow` and `deny`: the first that fits decides, so that a list of those who may is one that
/// ends in `deny all`.
fn addresses(work: &mut Work, scope: &Scope<'_>, route: &mut Route) {
    let Some(level) = scope.innermost_with(&["allow", "deny"]) else { return };
    let rules: Vec<_> = level.iter().filter(|it| ["allow", "deny"].contains(&&*it.name)).collect();
    let all = rules.iter().position(|it| it.argument(0) == "all").unwrap_or(rules.len());
    let (before, ends_in_deny) =
        (&rules[..all], rules.get(all).is_some_and(|it| it.name == "deny"));
    if before.iter().all(|it| it.name == "allow") && !ends_in_deny {
        for rule in rules {
            work.always(rule, "all addresses may use it, as by default");
        }
        return;
    }
    let allow: Option<Vec<String>> = before
        .iter()
        .filter(|it| it.argument(0) != "unix:")
        .map(|it| if it.name == "allow" { network(it.argument(0)) } else { None })
        .collect();
    match allow.filter(|it| ends_in_deny && !it.is_empty()) {
        Some(allow) => {
            for rule in rules {
                route.notes.push(work.note(rule, ""));
            }
            route.allow = Some(allow);
        }
        None => {
            let what = "`allow` cannot say who may use this, so that the route is a comment; \
                        remove the # to open it to everyone";
            for rule in rules {
                let note = work.note(rule, what);
                work.draft.left_out.push(note.clone());
                route.closed.push(note);
            }
        }
    }
}

/// A range as it is written, or without the bits after its prefix, which nginx ignores.
pub(super) fn network(text: &str) -> Option<String> {
    match Network::from_str(text) {
        Ok(_) => Some(text.to_owned()),
        Err(invalid) => invalid.meant.filter(|it| Network::from_str(it).is_ok()),
    }
}

/// The digest of the token that an `if` asks for, if it is of the usual form:
/// `if ($http_authorization != "Bearer TOKEN") { return 401; }`.
fn token(condition: &Directive) -> Option<String> {
    let (last, before) = condition.arguments.split_last()?;
    let words = if last == ")" { before } else { &condition.arguments };
    let [variable, "!=", value] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return None;
    };
    let token = match variable.trim_start_matches('(') {
        "$http_authorization" => value.trim_end_matches(')').strip_prefix("Bearer ")?,
        "$http_x_api_key" | "$http_api_key" => value.trim_end_matches(')'),
        _ => return None,
    };
    let is_usable = token.len() >= TOKEN_BYTES_MIN && !token.contains('$');
    (returns_refusal(condition) && is_usable).then(|| TokenDigest::of(token.as_bytes()).to_string())
}

/// Whether an `if` refuses clients by what they are or have.
fn refuses(condition: &Directive) -> bool {
    let mut variables = condition.arguments.iter().flat_map(|it| names(it));
    returns_refusal(condition) && variables.any(|it| !HARMLESS.contains(&it))
}

fn returns_refusal(condition: &Directive) -> bool {
    condition.all("return").any(|it| it.argument(0).starts_with('4'))
}

fn answers_preflights(condition: &Directive) -> bool {
    let words = condition.arguments.join(" ");
    let is_about = words.contains("$request_method") && words.contains("OPTIONS");
    is_about && condition.all("return").any(|it| it.argument(0).starts_with('2'))
}
