//! Which directives apply in a block: [`Scope`].

use super::tree::Directive;

/// A block and those around it. nginx inherits: what the inner block does not set, the next one
/// around it may; a directive that may repeat is inherited only if the inner block has none.
#[derive(Clone)]
pub(super) struct Scope<'t> {
    /// The innermost one last.
    levels: Vec<&'t [Directive]>,
}

impl<'t> Scope<'t> {
    /// The outermost block.
    pub(super) fn new(outermost: &'t [Directive]) -> Self {
        Self { levels: vec![outermost] }
    }

    /// A block inside of this one.
    pub(super) fn with(&self, block: &'t [Directive]) -> Self {
        let mut levels = self.levels.clone();
        levels.push(block);
        Self { levels }
    }

    /// The innermost block.
    pub(super) fn own(&self) -> &'t [Directive] {
        self.levels.last().copied().unwrap_or_default()
    }

    /// The directives of this name in the innermost block that has any.
    #[cold]
    pub(super) fn all(&self, name: &str) -> Vec<&'t Directive> {
        let of = |level: &&'t [Directive]| level.iter().filter(|it| it.name == name).collect();
        let levels = self.levels.iter().rev().map(of);
        levels.into_iter().find(|it: &Vec<_>| !it.is_empty()).unwrap_or_default()
    }

    /// The one that applies of those that must not repeat.
    #[cold]
    pub(super) fn last(&self, name: &str) -> Option<&'t Directive> {
        self.all(name).pop()
    }

    /// The innermost block that has one of these.
    pub(super) fn innermost_with(&self, names: &[&str]) -> Option<&'t [Directive]> {
        let has = |level: &&&[Directive]| level.iter().any(|it| names.contains(&it.name.as_str()));
        self.levels.iter().rev().find(has).copied()
    }

    /// Those of this name in every block, the innermost first.
    pub(super) fn everywhere(&self, name: &str) -> impl Iterator<Item = &'t Directive> {
        let levels = self.levels.iter().rev();
        levels.flat_map(|it| it.iter()).filter(move |it| it.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nginx::tree::parse;

    #[test]
    fn what_a_block_lacks_is_inherited() {
        let tree = parse("a 1; b 1; b 2; c { a 3; d { b 4; } }").unwrap();
        let outer = Scope::new(&tree);
        let inner = outer.with(tree[3].children());
        let innermost = inner.with(tree[3].children()[1].children());
        let told = |it: Vec<&Directive>| {
            it.iter().map(|it| it.argument(0).to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(outer.all("b")), "1 2");
        assert_eq!(told(inner.all("b")), "1 2");
        assert_eq!(told(innermost.all("b")), "4");
        assert_eq!(innermost.last("a").unwrap().argument(0), "3");
        assert_eq!(innermost.everywhere("a").count(), 2);
        assert!(innermost.last("e").is_none());
    }
}
