//! Variables in the argument of a directive: [`expand`].

use super::scope::Scope;

/// Variables that are made of others, at most.
const DEPTH_MAX: usize = 5;
/// Most parts of a value. Variables that are made of others many times have no end otherwise.
const PARTS_MAX: usize = 200;

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
            let is_named = |it: &str| it.strip_prefix('$') == Some(name);
            match scope.everywhere("set").find(|it| is_named(it.argument(0))) {
                Some(set) if depth > 0 => add(set.argument(1), scope, depth - 1, left, pieces),
                _ => pieces.push(Piece::Variable(name.to_owned())),
            }
        }
        push_text(pieces, rest);
    }
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
        assert_eq!(names("$a-${b_c}$1").collect::<Vec<_>>(), ["a", "b_c", "1"]);
    }
}
