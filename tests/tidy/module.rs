//! One file of `src`, parsed as far as the checks need: what it declares, defines, brings in by
//! `use`, and which paths it writes. What is under `#[cfg(test)]` is left out.

use crate::source::{Token, tokens};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: String,
    pub(crate) children: BTreeSet<String>,
    pub(crate) defines: BTreeSet<String>,
    /// Names brought in by `use`, with their paths as written.
    pub(crate) names: BTreeMap<String, Vec<String>>,
    pub(crate) globs: Vec<Vec<String>>,
    pub(crate) paths: Vec<Written>,
    /// Lines of `impl Name`, not of traits.
    pub(crate) methods: Vec<(usize, String)>,
}

/// A path as it is written.
pub(crate) struct Written {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
    pub(crate) is_reexport: bool,
}

impl Module {
    pub(crate) fn parse(file: &str, source: &str) -> Self {
        const DEFINITIONS: &[&str] = &[
            "struct",
            "enum",
            "union",
            "trait",
            "fn",
            "const",
            "static",
            "type",
            "mod",
            "macro_rules",
        ];
        let tokens = without_tests(&tokens(source));
        let mut module = Self { file: file.to_owned(), ..Self::default() };
        let mut at = 0;
        while at < tokens.len() {
            let text = |offset: usize| tokens.get(at + offset).map_or("", |it| it.text);
            let before = at.checked_sub(1).map_or("", |it| tokens[it].text);
            if text(0) == "use" && before != "::" {
                at = module.parse_use(&tokens, at, matches!(before, "pub" | ")"));
            } else if text(0) == "mod" && text(2) == ";" {
                module.children.insert(text(1).to_owned());
                at += 3;
            } else if text(0) == "impl" && matches!(before, "" | ";" | "}") {
                let name = name_of_inherent_impl(&tokens, at + 1);
                module.methods.extend(name.map(|it| (tokens[at].line, it)));
                at += 1;
            } else if DEFINITIONS.contains(&text(0)) {
                let name = if text(1) == "!" { text(2) } else { text(1) };
                module.defines.insert(name.to_owned());
                at += 1;
            } else if is_name(text(0)) && text(1) == "::" && before != "::" {
                at = module.parse_path(&tokens, at);
            } else {
                at += 1;
            }
        }
        module
    }

    /// `a::b::c` in code; gives where it ends.
    fn parse_path(&mut self, tokens: &[Token<'_>], start: usize) -> usize {
        let mut path = vec![tokens[start].text.to_owned()];
        let mut at = start + 1;
        while at + 1 < tokens.len() && tokens[at].text == "::" && is_name(tokens[at + 1].text) {
            path.push(tokens[at + 1].text.to_owned());
            at += 2;
        }
        self.paths.push(Written { line: tokens[start].line, path, is_reexport: false });
        at
    }

    /// `use a::{b, c::*};` gives where it ends.
    fn parse_use(&mut self, tokens: &[Token<'_>], start: usize, is_reexport: bool) -> usize {
        let mut prefixes: Vec<Vec<String>> = Vec::new();
        let mut path: Vec<String> = Vec::new();
        let mut alias = None;
        let mut at = start + 1;
        loop {
            let token = tokens.get(at).map_or(";", |it| it.text);
            match token {
                "::" => {}
                "{" => prefixes.push(path.clone()),
                "as" => {
                    at += 1;
                    alias = Some(tokens[at].text.to_owned());
                }
                "," | "}" | ";" => {
                    let prefix = prefixes.last().cloned().unwrap_or_default();
                    if path.len() > prefix.len() {
                        let line = tokens[at.min(tokens.len()) - 1].line;
                        self.bring_in(path, alias.take(), line, is_reexport);
                    }
                    path = prefix;
                    if token == "}" {
                        prefixes.pop();
                        // Shorter than any prefix, so that what follows adds nothing.
                        path = prefixes.last().cloned().unwrap_or_default();
                    }
                    if token == ";" {
                        return at + 1;
                    }
                }
                name => path.push(name.to_owned()),
            }
            at += 1;
        }
    }

    fn bring_in(
        &mut self,
        mut path: Vec<String>,
        alias: Option<String>,
        line: usize,
        is_reexport: bool,
    ) {
        // `use a::{self, b}` brings in `a`.
        path.pop_if(|last| last == "self");
        let Some(last) = path.last() else { return };
        if last == "*" {
            self.globs.push(path.clone());
        } else {
            self.names.insert(alias.unwrap_or(last.clone()), path.clone());
        }
        self.paths.push(Written { line, path, is_reexport });
    }
}

/// The tokens without the items under `#[cfg(test)]`.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_attribute =
            tokens[at].text == "#" && tokens.get(at + 1).is_some_and(|it| it.text == "[");
        if !is_attribute {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let end = end_of_group(tokens, at + 1);
        let words: Vec<&str> = tokens[at..end].iter().map(|it| it.text).collect();
        let is_test = words[2] == "cfg" && words.contains(&"test") && !words.contains(&"fuzzing");
        at = if is_test && !words.contains(&"not") { end_of_item(tokens, end) } else { end };
    }
    kept
}

/// The place behind the bracket that closes the one at `open`.
fn end_of_group(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The place behind an item, a field or a statement that begins at `start`.
fn end_of_item(tokens: &[Token<'_>], start: usize) -> usize {
    const ITEMS: &[&str] = &["fn", "mod", "use", "impl", "struct", "enum", "trait", "type"];
    let (mut at, mut is_use, mut is_item) = (start, false, false);
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            "{" if is_item && !is_use => return end_of_group(tokens, at),
            "(" | "[" | "{" => {
                at = end_of_group(tokens, at);
                continue;
            }
            ")" | "]" | "}" => return at,
            word => {
                is_use |= word == "use";
                is_item |= ITEMS.contains(&word);
            }
        }
        at += 1;
    }
    at
}

/// The type in `impl<T> Type<T> where .. {`; None for `impl Trait for Type`.
fn name_of_inherent_impl(tokens: &[Token<'_>], start: usize) -> Option<String> {
    let mut name = None;
    let mut depth = 0_usize;
    for (token, before) in tokens[start..].iter().zip(&tokens[start - 1..]) {
        match token.text {
            "<" => depth += 1,
            ">" if before.text != "-" => depth = depth.checked_sub(1)?,
            "where" | "{" if depth == 0 => break,
            "for" | "+" | ";" | "," | ")" | "=" if depth == 0 => return None,
            text if depth == 0 && is_name(text) => name = Some(text.to_owned()),
            _ => {}
        }
    }
    name
}

fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
}

#[test]
fn items_for_tests_alone_are_left_out() {
    let left = |source: &str| {
        let tokens = tokens(source);
        without_tests(&tokens).iter().map(|it| it.text).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(left("a; #[cfg(test)] use x::{y, z}; b"), "a ; b");
    assert_eq!(left("#[cfg(test)] pub fn f<A, B>(c: [u8; 2]) -> D { e; } g"), "g");
    assert_eq!(left("S { #[cfg(test)] a: B<C>, d }"), "S { d }");
    assert_eq!(left("#[cfg(any(test, fuzzing))] mod a; b"), "mod a ; b");
}

#[test]
fn methods_of_traits_are_told_from_those_of_types() {
    let source =
        "impl A { } impl<T: B<C>> D<T> where T: E { } impl F for G { } impl<'a> a::H<'a> { }
                  fn f(it: impl I) -> impl J { }";
    let methods = Module::parse("a.rs", source).methods;
    let names: Vec<&str> = methods.iter().map(|(_, name)| &**name).collect();
    assert_eq!(names, ["A", "D", "H"]);
}
