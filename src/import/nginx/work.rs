//! What has been translated, and what is left: [`Work`].

use super::known::shown;
use super::tree::Directive;
use crate::import::draft::Draft;
use crate::import::note::Note;
use std::collections::BTreeSet;

/// A draft, and the directives that it accounts for. What is not accounted for in the end is
/// explained, so that nothing is dropped silently.
#[derive(Default)]
pub(super) struct Work {
    pub(super) draft: Draft,
    accounted: BTreeSet<usize>,
}

impl Work {
    /// Whether `directive` needs no more explanation.
    pub(super) fn is_accounted(&self, directive: &Directive) -> bool {
        self.accounted.contains(&directive.id)
    }

    /// Accounts for `directive`; the note that says what became of it.
    #[cold]
    pub(super) fn note(&mut self, directive: &Directive, what: impl Into<String>) -> Note {
        self.accounted.insert(directive.id);
        Note::new(directive.line, &shown(directive), what)
    }

    /// Accounts for `directive`, which needs no key.
    #[cold]
    pub(super) fn always(&mut self, directive: &Directive, what: impl Into<String>) {
        let note = self.note(directive, what);
        self.draft.always.push(note);
    }

    /// Accounts for `directive`, which cannot be said.
    #[cold]
    pub(super) fn left_out(&mut self, directive: &Directive, what: impl Into<String>) {
        let note = self.note(directive, what);
        self.draft.left_out.push(note);
    }

    /// The same with everything in its block.
    pub(super) fn left_out_whole(&mut self, directive: &Directive, what: impl Into<String>) {
        self.left_out(directive, what);
        self.account_inside(directive);
    }

    /// Accounts for what is in the block of `directive`; a note about that speaks of it all.
    pub(super) fn account_inside(&mut self, directive: &Directive) {
        for inner in directive.children() {
            self.accounted.insert(inner.id);
            self.account_inside(inner);
        }
    }
}
