//! Configurations of other programs, translated: text in, the text of a narrows.toml and remarks
//! out.
//!
//! [`nginx`] reads the other program's grammar and fills a `draft` of the configuration; `write`
//! makes TOML of it, with a comment for each line that was translated. What cannot be said in
//! narrows is never dropped silently: it is a [`Note`] of its own, for stderr and for the end of
//! the file. No note repeats a value, because it may be a secret.
//!
//! Every result loads: it is parsed before it is handed out, and refused otherwise.
//!
//! Not here: files, and what is printed where (`cli`).

mod draft;
pub mod nginx;
mod note;
mod write;

pub use note::Note;

use crate::config::Config;
use std::path::Path;

/// A translated configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The text of a narrows.toml.
    pub toml: String,
    /// What it does not say, in the order of the lines.
    pub left_out: Vec<Note>,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The text does not follow the grammar, from this line on.
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The text follows the grammar, but is not a configuration of that program.
    Foreign,
    /// Nothing in it can be said in narrows. Why, by line.
    Nothing(Vec<Note>),
    /// The result would not load, for these reasons.
    Contradiction(Vec<String>),
}

/// The result, if it loads.
fn checked(draft: &draft::Draft) -> Result<Imported, Refused> {
    let left_out = note::grouped(&draft.left_out);
    if draft.routes.iter().all(|it| it.is_closed()) && draft.forwards.is_empty() {
        return Err(Refused::Nothing(left_out));
    }
    let toml = write::toml(draft);
    match Config::parse("narrows.toml", Path::new(""), &toml) {
        Ok(_) => Ok(Imported { toml, left_out }),
        Err(problems) => {
            let problems = problems.iter().map(ToString::to_string).collect();
            Err(Refused::Contradiction(problems))
        }
    }
}
