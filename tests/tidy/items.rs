//! What a document or a comment calls by name exists in the source.

use crate::assert_none;
use crate::source::{code_lines, files, read, tokens};
use std::collections::BTreeSet;

/// First parts of paths that lead out of this crate.
const FOREIGN: &[&str] = &[
    "std", "core", "alloc", "tokio", "rustls", "webpki", "socket2", "rustix", "hyper", "tracing",
    "str", "io", "u8", "u16", "u32", "u64", "usize",
];
/// Words that look like names of ours: the kernel's, of other crates, of nginx and of Caddy.
const FOREIGN_WORDS: &[&str] = &[
    "AF_UNIX",
    "IOV_MAX",
    "IPV6_V6ONLY",
    "LocalRuntime",
    "MSG_PEEK",
    "SCM_MAX_FD",
    "SCM_RIGHTS",
    "ServerNameList",
    "SubjectPublicKeyInfo",
    "TCP_INFO",
    "file_server",
    "forward_auth",
    "lb_policy",
    "libgcc_s",
    "lingering_time",
    "proxy_cookie_path",
    "proxy_redirect",
    "request_body",
    "stop_grace_period",
    "stream_close_delay",
    "tls_client_auth",
];

/// In back-ticks: `path::to::item`, `Type::method`, `some_function()`, `SomeType`, `some_name`.
#[test]
fn items_that_documents_and_comments_name_exist() {
    let sources = Sources::read();
    let mut faults = Vec::new();
    for document in files(".", "md").into_iter().filter(|it| it != "CHANGELOG.md") {
        for (number, line) in read(&document).lines().enumerate() {
            faults.extend(
                sources.missing_in(line).map(|it| format!("{document}:{}: {it}", number + 1)),
            );
        }
    }
    for file in files("src", "rs") {
        for (number, line) in read(&file).lines().enumerate() {
            let Some((_, comment)) = line.split_once("//") else { continue };
            faults.extend(
                sources.missing_in(comment).map(|it| format!("{file}:{}: {it}", number + 1)),
            );
        }
    }
    assert_none(&faults);
}

/// The files of this repository, each with the names in its code.
struct Sources {
    files: Vec<Source>,
    /// All words of the code, those in its strings among them.
    words: BTreeSet<String>,
    code: String,
}

struct Source {
    /// The parts of its path, without `src` and `mod`: `upstream`, `dial`, `race`.
    module: Vec<String>,
    names: BTreeSet<String>,
    defines: BTreeSet<String>,
}

impl Sources {
    fn read() -> Self {
        let mut sources = Self { files: Vec::new(), words: BTreeSet::new(), code: String::new() };
        const ROOTS: &[&str] = &["src", "kit", "tests", "benches", "examples"];
        for file in
            ROOTS.iter().flat_map(|it| files(it, "rs")).filter(|it| it != "tests/tidy/items.rs")
        {
            let text = read(&file);
            sources.files.push(Source::parse(&file, &text));
            for (_, line) in code_lines(&text) {
                let words = line.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
                sources.words.extend(words.map(str::to_owned));
                sources.code.push_str(line);
            }
        }
        sources
    }

    /// The names in the back-ticks of this line that are nowhere.
    fn missing_in(&self, line: &str) -> impl Iterator<Item = String> {
        let quoted = line.split('`').skip(1).step_by(2);
        let missing = quoted
            .filter(|it| is_path(it) && !self.has_path(it) || is_word(it) && !self.has_word(it));
        missing.map(|it| format!("there is no {it}"))
    }

    fn has_path(&self, quoted: &str) -> bool {
        let name = quoted.trim_end_matches("()").trim_start_matches("crate::");
        let parts: Vec<&str> = name.split("::").filter(|it| *it != "tests").collect();
        // A target of the log looks like a path.
        let is_literal = || self.code.contains(&format!("\"{name}\""));
        FOREIGN.contains(&parts[0]) || self.files.iter().any(|it| it.has(&parts)) || is_literal()
    }

    fn has_word(&self, quoted: &str) -> bool {
        self.words.contains(quoted) || FOREIGN_WORDS.contains(&quoted)
    }
}

impl Source {
    fn parse(file: &str, text: &str) -> Self {
        let path = file.trim_end_matches(".rs").split('/');
        let module = path.filter(|it| !["src", "mod", "tests", "main"].contains(it));
        let tokens = tokens(text);
        let defines = tokens.windows(2).filter_map(|pair| {
            let keyword =
                ["struct", "enum", "trait", "type", "fn", "mod", "const", "static", "impl", "for"];
            keyword.contains(&pair[0].text).then(|| pair[1].text.to_owned())
        });
        Self {
            module: module.map(str::to_owned).collect(),
            defines: defines.collect(),
            names: tokens.iter().map(|it| it.text.to_owned()).collect(),
        }
    }

    /// Whether the path is this module, something in it, or something of a type in it.
    fn has(&self, path: &[&str]) -> bool {
        let Some((last, before)) = path.split_last() else { return false };
        let is_module = self.ends_with(path);
        let is_in_module = self.names.contains(*last) && self.ends_with(before);
        let is_of_type = before.split_last().is_some_and(|(owner, folder)| {
            self.names.contains(*last) && self.defines.contains(*owner) && self.ends_with(folder)
        });
        let is_function = before.is_empty() && self.defines.contains(*last);
        is_module || (is_in_module && !before.is_empty()) || is_of_type || is_function
    }

    fn ends_with(&self, path: &[&str]) -> bool {
        self.module.len() >= path.len()
            && self.module[self.module.len() - path.len()..].iter().zip(path).all(|(a, b)| a == b)
    }
}

/// A path of at least two names, or a function with an underscore.
fn is_path(quoted: &str) -> bool {
    let name = quoted.trim_end_matches("()");
    let is_relative = ["self", "super", "Self"].iter().any(|it| name.starts_with(it));
    let is_path = name.contains("::") || (quoted.ends_with("()") && name.contains('_'));
    is_path && !is_relative && name.split("::").all(is_name)
}

/// A name of two words: `SomeType`, `some_name`.
fn is_word(quoted: &str) -> bool {
    let capitals = quoted.matches(|it: char| it.is_ascii_uppercase()).count();
    let lower = quoted.contains(|it: char| it.is_ascii_lowercase());
    let is_camel = quoted.starts_with(|it: char| it.is_ascii_uppercase()) && capitals > 1 && lower;
    is_name(quoted) && (is_camel || quoted.contains('_'))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic())
        && text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

#[test]
fn items_are_found_by_any_end_of_their_path() {
    let source = Source::parse("src/a/b.rs", "pub enum Kind { One } impl Other { fn act_so() {} }");
    let has = |name: &str| source.has(&name.split("::").collect::<Vec<_>>());
    assert!(has("a::b") && has("a::b::Kind") && has("b::Kind::One") && has("Kind::One"));
    assert!(has("Other::act_so") && has("act_so"));
    assert!(!has("c::Kind") && !has("Kind::Two") && !has("Third::One") && !has("a::b::c"));
    assert!(is_path("a::b") && is_path("A::b()") && is_path("act_so()"));
    assert!(!is_path("act()") && !is_path("::1") && !is_path("fe80::1") && !is_path("a_b"));
    assert!(is_word("a_b") && is_word("SomeType") && !is_word("Some") && !is_word("Max-Forwards"));
}
