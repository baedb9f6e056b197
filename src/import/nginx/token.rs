//! The tokens of nginx's grammar: [`Tokens`].
//!
//! As nginx reads them: words end at a blank, `;` or `{`; quotes count only where a word begins;
//! `#` begins a comment only there as well; a backslash escapes the next character; `{` after `$`
//! belongs to a variable.

use crate::import::Refused;
use std::iter::Peekable;
use std::str::Chars;

/// Longest word, as in nginx, whose buffer is 4096 bytes.
const WORD_BYTES_MAX: usize = 4096;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, without its quotes and escapes.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// Reads a text token by token.
pub(super) struct Tokens<'t> {
    rest: Peekable<Chars<'t>>,
    /// The line of what comes next.
    line: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { rest: text.chars().peekable(), line: 1 }
    }

    /// The next token and its line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Token, usize)>, Refused> {
        self.skip_blanks();
        let line = self.line;
        let Some(first) = self.rest.peek().copied() else { return Ok(None) };
        let token = match first {
            ';' => self.take(Token::End),
            '{' => self.take(Token::Open),
            '}' => self.take(Token::Close),
            '"' | '\'' => Token::Word(self.quoted(first)?),
            _ => Token::Word(self.word()?),
        };
        Ok(Some((token, line)))
    }

    /// Skips the Lua code of a block, up to its `}`. Braces in strings and comments do not count.
    pub(super) fn skip_code(&mut self) -> Result<(), Refused> {
        let start = self.line;
        let mut depth = 1;
        while let Some(character) = self.advance() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                '"' | '\'' => self.skip_string(character),
                '-' if self.rest.peek() == Some(&'-') => self.skip_line(),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(Refused::Syntax { line: start, what: "the block of code that begins here has no end" })
    }

    fn take(&mut self, token: Token) -> Token {
        self.advance();
        token
    }

    fn advance(&mut self) -> Option<char> {
        let character = self.rest.next();
        self.line += usize::from(character == Some('\n'));
        character
    }

    fn skip_blanks(&mut self) {
        while let Some(character) = self.rest.peek() {
            match character {
                '#' => self.skip_line(),
                it if is_blank(*it) => {
                    self.advance();
                }
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        while self.rest.peek().is_some_and(|it| *it != '\n') {
            self.advance();
        }
    }

    /// Up to a quote, or to the end of the line, where a string of Lua has to end.
    fn skip_string(&mut self, quote: char) {
        while let Some(character) = self.rest.peek().copied() {
            if character == '\n' {
                return;
            }
            self.advance();
            if character == '\\' {
                self.advance();
            } else if character == quote {
                return;
            }
        }
    }

    fn word(&mut self) -> Result<String, Refused> {
        let line = self.line;
        let (mut word, mut after_dollar) = (String::new(), false);
        while let Some(character) = self.rest.peek().copied() {
            let is_end = is_blank(character) || character == ';';
            if is_end || (character == '{' && !after_dollar) {
                break;
            }
            after_dollar = character == '$';
            self.advance();
            self.push(&mut word, character, line)?;
        }
        Ok(word)
    }

    fn quoted(&mut self, quote: char) -> Result<String, Refused> {
        let line = self.line;
        let mut word = String::new();
        self.advance();
        loop {
            match self.advance() {
                None => {
                    return Err(Refused::Syntax {
                        line,
                        what: "the quote that begins here has no end",
                    });
                }
                Some(character) if character == quote => break,
                Some(character) => self.push(&mut word, character, line)?,
            }
        }
        match self.rest.peek() {
            Some(it) if is_blank(*it) || ";{)".contains(*it) => Ok(word),
            None => Ok(word),
            Some(_) => Err(Refused::Syntax {
                line: self.line,
                what: "a blank, \";\", \"{\" or \")\" has to follow a closing quote",
            }),
        }
    }

    /// Adds `character`, or what an escape that begins with it means.
    fn push(&mut self, word: &mut String, character: char, line: usize) -> Result<(), Refused> {
        if word.len() > WORD_BYTES_MAX {
            let what = "the word that begins here is longer than 4096 bytes; is a quote missing?";
            return Err(Refused::Syntax { line, what });
        }
        if character != '\\' {
            word.push(character);
            return Ok(());
        }
        match self.advance() {
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(it @ ('"' | '\'' | '\\')) => word.push(it),
            Some(it) => word.extend(['\\', it]),
            None => word.push('\\'),
        }
        Ok(())
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_blanks_semicolons_and_braces() {
        check("a b;c{d}\r\ne;", "a b ; c { d}|e ;");
        check("a\u{feff}b;", "a\u{feff}b ;");
        check("} a;", "} a ;");
    }

    #[test]
    fn quotes_and_comments_count_only_where_a_word_begins() {
        check("a \"b; {c} # d\" 'e\"f';", "a b; {c} # d e\"f ;");
        check("a b\"c;", "a b\"c ;");
        check("a b#c; # d\ne;", "a b#c ;|e ;");
        check("if ($a ~ \"x\") {", "if ($a ~ x ) {");
    }

    #[test]
    fn a_backslash_escapes_and_a_brace_after_a_dollar_is_a_part_of_the_word() {
        check(r#"a "b\"c" \; d\{e;"#, r#"a b"c \; d\{e ;"#);
        check(r"~ \.php$ {", r"~ \.php$ {");
        check("a ${b}c;", "a ${b}c ;");
        check("a \"x\\ty\";", "a x\ty ;");
    }

    #[test]
    fn what_does_not_end_is_refused_with_its_line() {
        let refused = |text: &str| read(text).unwrap_err();
        let line = |refused| match refused {
            Refused::Syntax { line, .. } => line,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(line(refused("a;\nb \"c\n;")), 2);
        assert_eq!(line(refused("a;\n\nb \"c\"d;")), 3);
        assert_eq!(line(refused(&format!("a\n{}", "x".repeat(5000)))), 2);
        assert_eq!(line(refused(&format!("'{}", "x".repeat(5000)))), 1);
    }

    #[test]
    fn code_is_skipped_to_its_brace() {
        let mut tokens = Tokens::new("a = { '}', \"}\\\"\" } -- }\n if b then c() end } d;");
        tokens.skip_code().unwrap();
        assert_eq!(tokens.next().unwrap(), Some((Token::Word("d".to_owned()), 2)));
        assert!(Tokens::new("{").skip_code().is_err());
    }

    /// The tokens with blanks between them, and a bar where a line begins.
    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(read(text).unwrap(), want);
    }

    fn read(text: &str) -> Result<String, Refused> {
        let (mut tokens, mut told, mut last) = (Tokens::new(text), String::new(), 1);
        while let Some((token, line)) = tokens.next()? {
            let separator = if line > last { "|" } else { " " };
            last = line;
            told += if told.is_empty() { "" } else { separator };
            told += match &token {
                Token::Word(word) => word,
                Token::End => ";",
                Token::Open => "{",
                Token::Close => "}",
            };
        }
        Ok(told)
    }
}
