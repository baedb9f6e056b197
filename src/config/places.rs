//! From offsets in a document to locations in the file that it is, or is a part of: [`Places`].

use super::parts::Parts;
use super::problem::Location;
use super::source::{Source, Text};
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Where in the file a document is.
pub(super) struct Places {
    source: Arc<Source>,
    text: Arc<Text>,
    /// What has been taken out of the document, if anything has.
    parts: Option<Arc<Parts>>,
    /// Where the part that is being read begins.
    part: Option<usize>,
    /// Dotted names that have been used. There are few, and many locations.
    names: RefCell<HashSet<Arc<str>>>,
}

impl Places {
    /// The document is the text of this file, or what is left of it without `parts`.
    pub(super) fn new(source: &Arc<Source>, parts: Option<Arc<Parts>>) -> Self {
        let text = source.text().unwrap_or_default();
        Self { source: Arc::clone(source), text, parts, part: None, names: RefCell::default() }
    }

    /// The file.
    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Its text.
    pub(super) fn text(&self) -> &Arc<Text> {
        &self.text
    }

    /// Whether something has been taken out.
    pub(super) fn has_parts(&self) -> bool {
        self.parts.is_some()
    }

    /// The tables that the one at `offset` stands for, as places in `text`, which is that of the
    /// file.
    pub(super) fn run_at<'t>(
        &self,
        offset: usize,
        text: &'t str,
    ) -> Option<impl Iterator<Item = Range<usize>> + use<'t>> {
        let parts = self.parts.as_ref().filter(|_| self.part.is_none())?;
        parts.run_at(offset, text)
    }

    /// How many tables the one at `offset` stands for.
    pub(super) fn run_len(&self, offset: usize) -> usize {
        self.run_at(offset, self.text.as_str()).map_or(1, Iterator::count)
    }

    /// Offsets are those in the part that begins here, until [`Places::leave`].
    pub(super) fn enter(&mut self, part: usize) {
        self.part = Some(part);
    }

    /// Offsets are those in the document again.
    pub(super) fn leave(&mut self) {
        self.part = None;
    }

    /// The location of a place, and the key that is there.
    pub(super) fn location(&self, place: Range<usize>, key: &str) -> Location {
        Location::in_file(&self.source, self.in_file(place), self.name(key))
    }

    /// What is written there.
    pub(super) fn raw(&self, place: Range<usize>) -> &str {
        self.text.as_str().get(self.in_file(place)).unwrap_or_default()
    }

    /// The name, which is in memory once.
    pub(super) fn name(&self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.borrow().get(name) {
            return Arc::clone(known);
        }
        let name = Arc::from(name);
        self.names.borrow_mut().insert(Arc::clone(&name));
        name
    }

    fn in_file(&self, place: Range<usize>) -> Range<usize> {
        let start = match (self.part, &self.parts) {
            (Some(part), _) => part + place.start,
            (None, Some(parts)) => parts.in_file(place.start),
            (None, None) => place.start,
        };
        start..start + place.len()
    }
}
