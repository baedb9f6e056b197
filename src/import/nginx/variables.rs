//! Variables in the argument of a directive: [`expand`].

use super::scope::Scope;
use super::tree::Directive;
use crate::config::route_access::VariableName;
use crate::tls::secret::may_be_secret;
use std::str::FromStr;

/// Variables that are made of others, at most.
const DEPTH_MAX: usize = 5;
/// Most parts of a value. Variables that are made of others many times have no end otherwise.
const PARTS_MAX: usize = 200;

/// Directives besides `set` that define the variable in one of their arguments.
const DEFINING: [&str; 12] = [
    "map",
    "geo",
    "split_clients",
    "auth_request_set",
    "set_by_lua",
    "set_by_lua_block",
    "set_by_lua_file",
    "js_set",
    "js_var",
    "perl_set",
    "auth_jwt_claim_set",
    "keyval",
];

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The same for every request.
    Text(String),
    /// A variable whose value depends on the request, by its name.
    Variable(String),
}

/// The parts of `value`. A variable that `set` gives a value is replaced by that.
pub(super) fn expand(value: &str, scope: &Scope<'_>) -> Vec<Piece> {
    let (mut pieces, mut left) = (Vec::new(), PARTS_MAX);
    add(value, scope, DEPTH_MAX, &mut left, &mut pieces);
    pieces
}

/// The value, if no request changes it.
pub(super) fn constant(value: &str, scope: &Scope<'_>) -> Option<String> {
    match &expand(value, scope)[..] {
        [] => Some(String::new()),
        [Piece::Text(text)] => Some(text.clone()),
        _ => None,
    }
}

/// The names of the variables in `value`.
pub(super) fn names(value: &str) -> impl Iterator<Item = &str> {
    value.split('$').skip(1).map(|rest| split_name(rest).0)
}

fn add(value: &str, scope: &Scope<'_>, depth: usize, left: &mut usize, pieces: &mut Vec<Piece>) {
    let mut parts = value.split('$');
    push_text(pieces, parts.next().unwrap_or_default());
    for part in parts {
        *left = left.saturating_sub(1);
        if *left == 0 {
            return;
        }
        let (name, rest) = split_name(part);
        if name.is_empty() {
            // A dollar alone is one.
            push_text(pieces, "$");
        } else {
            match scope.everywhere("set").find(|it| is_named(it.argument(0), name)) {
                Some(set) if depth > 0 => add(set.argument(1), scope, depth - 1, left, pieces),
                _ => pieces.push(Piece::Variable(name.to_owned())),
            }
        }
        push_text(pieces, rest);
    }
}

/// Whether a template has the variable `name` of the environment in mind: it is upper-case, no
/// directive defines it, and no field of a message is meant, whose case nginx ignores.
pub(super) fn may_be_of_environment(name: &str, scope: &Scope<'_>) -> bool {
    const OF_NGINX: [&str; 7] =
        ["HTTP_", "ARG_", "COOKIE_", "SENT_HTTP_", "UPSTREAM_HTTP_", "UPSTREAM_COOKIE_", "REMOTE_"];
    let is_upper = VariableName::from_str(name).is_ok()
        && name.starts_with(|it: char| it.is_ascii_uppercase())
        && !name.contains(|it: char| it.is_ascii_lowercase());
    let defines = |it: &Directive| it.arguments.iter().any(|it| is_named(it, name));
    is_upper
        && !may_be_secret(name)
        && !OF_NGINX.iter().any(|it| name.starts_with(it))
        && !DEFINING.iter().any(|it| scope.everywhere(it).any(defines))
}

/// Whether `argument` is the variable `name`. Their case does not matter.
fn is_named(argument: &str, name: &str) -> bool {
    argument.strip_prefix('$').is_some_and(|it| it.eq_ignore_ascii_case(name))
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(before)) => before.push_str(text),
        Some(Piece::Variable(_)) | None => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// The name at the start of `text`, with or without braces, and what follows it.
fn split_name(text: &str) -> (&str, &str) {
    if let Some((name, rest)) = text.strip_prefix('{').and_then(|it| it.split_once('}')) {
        return (name, rest);
    }
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    text.split_at(text.find(|it| !is_name(it)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nginx::tree::parse;

    #[test]
    fn variables_that_are_set_are_replaced_and_others_stay() {
        let tree = parse("set $a b; set $c ${a}d$host; set $loop x$loop;").unwrap();
        let scope = Scope::new(&tree);
        let text = |it: &str| Piece::Text(it.to_owned());
        let variable = |it: &str| Piece::Variable(it.to_owned());
        assert_eq!(expand("x$a/$b", &scope), [text("xb/"), variable("b")]);
        assert_eq!(expand("$c$", &scope), [text("bd"), variable("host"), text("$")]);
        assert_eq!(expand("$loop", &scope).len(), 2);
        assert_eq!(constant("p-$a", &scope).as_deref(), Some("p-b"));
        assert_eq!(constant("$c", &scope), None);
        assert_eq!(constant("p-$A", &scope).as_deref(), Some("p-b"));
        assert_eq!(names("$a-${b_c}$1").collect::<Vec<_>>(), ["a", "b_c", "1"]);
    }

    #[test]
    fn a_variable_of_the_environment_is_upper_case_and_not_one_of_nginx() {
        let tree = parse("map $uri $MAPPED { a b; } set_by_lua $LUA 'x'; geo $geo { a b; }");
        let tree = tree.unwrap();
        let scope = Scope::new(&tree);
        for name in ["OPENAI_API_KEY", "KEY2", "UPSTREAM_KEY"] {
            assert!(may_be_of_environment(name, &scope), "{name}");
        }
        for name in ["openai_api_key", "Key", "MAPPED", "LUA", "GEO", "HTTP_X_KEY", "ARG_KEY", "1"]
        {
            assert!(!may_be_of_environment(name, &scope), "{name}");
        }
    }
}
