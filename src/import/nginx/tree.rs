//! The directives of a configuration of nginx, as a tree: [`parse`].

use super::token::{Token, Tokens};
use crate::import::Refused;

/// Most blocks inside each other. nginx's own nest five deep; locations and conditions a few more.
const DEPTH_MAX: usize = 32;
/// Most directives of a text. Each may become a note, and a person has to read them.
const DIRECTIVES_MAX: usize = 10_000;
/// Most words of a directive.
const WORDS_MAX: usize = 1000;

/// Directives that often begin a line. In the middle of another one they show that its `;` is
/// missing.
const BEGINNINGS: &[&str] = &[
    "add_header",
    "client_max_body_size",
    "include",
    "listen",
    "location",
    "proxy_buffering",
    "proxy_http_version",
    "proxy_pass",
    "proxy_read_timeout",
    "proxy_set_header",
    "proxy_ssl_server_name",
    "server_name",
    "ssl_certificate",
    "ssl_certificate_key",
];

/// `name arguments… ;` or `name arguments… { block }`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// Different for each.
    pub(super) id: usize,
    /// The line that it begins in, counted from 1.
    pub(super) line: usize,
    /// Its first word.
    pub(super) name: String,
    /// The others.
    pub(super) arguments: Vec<String>,
    /// Its block, if it has one.
    pub(super) block: Option<Vec<Self>>,
}

impl Directive {
    /// The argument at `index`, or nothing.
    pub(super) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// What is in its block.
    pub(super) fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The directives of this name in its block.
    pub(super) fn all<'d>(&'d self, name: &'d str) -> impl Iterator<Item = &'d Self> {
        self.children().iter().filter(move |it| it.name == name)
    }

    /// Whether its block has a directive of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }
}

/// The directives of `text`.
pub(super) fn parse(text: &str) -> Result<Vec<Directive>, Refused> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut tokens, mut count) = (Tokens::new(text), 0);
    // Blocks that are open, each with its directive, and the one that is read.
    let mut open: Vec<(Directive, Vec<Directive>)> = Vec::new();
    let mut current: Vec<Directive> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let (mut first_line, mut last_line) = (1, 1);
    while let Some((token, line)) = tokens.next()? {
        match token {
            Token::Word(_) if words.len() == WORDS_MAX => {
                return refuse(first_line, "this has more than 1000 words; is a \";\" missing?");
            }
            Token::Word(word) if line > last_line && begins_another(&words, &word) => {
                return refuse(last_line, "\";\" is missing at the end of this line");
            }
            Token::Word(word) => {
                last_line = line;
                first_line = if words.is_empty() { line } else { first_line };
                words.push(word);
            }
            Token::End => {
                let directive = directive(&mut words, &mut count, first_line, line)?;
                current.push(directive);
            }
            Token::Open => {
                let mut directive = directive(&mut words, &mut count, first_line, line)?;
                if directive.name.ends_with("_by_lua_block") {
                    tokens.skip_code()?;
                    directive.block = Some(Vec::new());
                    current.push(directive);
                } else if open.len() == DEPTH_MAX {
                    return refuse(line, "this is inside of more than 32 blocks");
                } else {
                    open.push((directive, std::mem::take(&mut current)));
                }
            }
            Token::Close => {
                current = close(&mut open, current, &words, line)?;
            }
        }
    }
    match (words.is_empty(), open.last()) {
        (false, _) => refuse(first_line, "this line has no \";\" and no block"),
        (true, Some((directive, _))) => refuse(directive.line, "the block has no \"}\""),
        (true, None) => Ok(current),
    }
}

/// Whether `word`, which begins a line, begins a directive, although that of `words` has no end.
fn begins_another(words: &[String], word: &str) -> bool {
    !words.is_empty() && BEGINNINGS.contains(&word)
}

/// The directive that `words` are.
fn directive(
    words: &mut Vec<String>,
    count: &mut usize,
    first_line: usize,
    line: usize,
) -> Result<Directive, Refused> {
    let mut arguments = std::mem::take(words);
    if arguments.is_empty() {
        return refuse(line, "a name has to come before \";\" and \"{\"");
    }
    if *count == DIRECTIVES_MAX {
        return refuse(line, "the file has more than 10000 directives");
    }
    *count += 1;
    let name = arguments.remove(0);
    Ok(Directive { id: *count - 1, line: first_line, name, arguments, block: None })
}

/// Ends the innermost block; the directives around it.
fn close(
    open: &mut Vec<(Directive, Vec<Directive>)>,
    block: Vec<Directive>,
    words: &[String],
    line: usize,
) -> Result<Vec<Directive>, Refused> {
    if !words.is_empty() {
        return refuse(line, "\";\" is missing before this \"}\"");
    }
    let Some((mut directive, mut around)) = open.pop() else {
        return refuse(line, "this \"}\" ends no block");
    };
    directive.block = Some(block);
    around.push(directive);
    Ok(around)
}

fn refuse<T>(line: usize, what: &'static str) -> Result<T, Refused> {
    Err(Refused::Syntax { line, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_have_names_arguments_blocks_and_lines() {
        let tree = parse("\u{feff}a b\n  c;\nd e {\n  f;\n  g { }\n}\nh;").unwrap();
        assert_eq!(told(&tree), "1a(b c) 3d(e){4f() 5g(){}} 7h()");
    }

    #[test]
    fn code_in_a_block_is_not_read() {
        let tree = parse("access_by_lua_block {\n if a == '{' then b = {1} end\n}\nc;").unwrap();
        assert_eq!(told(&tree), "1access_by_lua_block(){} 4c()");
    }

    #[test]
    fn what_breaks_the_grammar_is_refused_with_its_line() {
        refuse("a;\nb", 2, "no \";\"");
        refuse("a {\nb;\n", 1, "no \"}\"");
        refuse("a;\n}\n", 2, "ends no block");
        refuse("a {\nb\n}\n", 3, "\";\" is missing");
        refuse("server {\nlisten 80\nlocation / {\n}\n}", 2, "at the end of this line");
        refuse("location / {\nproxy_pass\nhttp://a\nproxy_buffering off;\n}", 3, "at the end");
        refuse("a;\n;\n", 2, "a name");
        refuse("\n{ }", 2, "a name");
        refuse(&"a {\n".repeat(40), 33, "more than 32 blocks");
        refuse(&"a;\n".repeat(10_001), 10_001, "more than 10000");
        refuse(&"a ".repeat(1002), 1, "more than 1000 words");
    }

    #[track_caller]
    fn refuse(text: &str, at: usize, why: &str) {
        match parse(text) {
            Err(Refused::Syntax { line, what }) => {
                assert!(line == at && what.contains(why), "{line}: {what}");
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn told(tree: &[Directive]) -> String {
        let each = tree.iter().map(|it| {
            let block = it.block.as_ref().map_or(String::new(), |it| format!("{{{}}}", told(it)));
            format!("{}{}({}){block}", it.line, it.name, it.arguments.join(" "))
        });
        each.collect::<Vec<_>>().join(" ")
    }
}
