//! Which file of `src` uses which: the module tree, the paths that each file writes, and the files
//! that define what they name.
//!
//! A path is followed through `use` and `pub use` to the module that defines its last name, so a
//! re-export hides no edge and adds none. Tests are left out: what is under `#[cfg(test)]`, and
//! files that are reached only from there.

use crate::module::Module;
use crate::source::{read, root};
use std::collections::BTreeMap;

/// A use of one module by another.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Where, for the message: file, line, and the path as it is written.
    pub(crate) place: String,
}

/// All modules of the crate, by path (`a::b`; the root's is empty).
#[derive(Default)]
pub(crate) struct Graph {
    modules: BTreeMap<String, Module>,
}

/// What a path leads to.
#[derive(Debug, Eq, PartialEq)]
enum Target {
    Module(String),
    /// The module that defines the item.
    Item(String),
}

impl Graph {
    /// Reads the library, from `src/lib.rs` down, and the binary.
    pub(crate) fn of_the_crate() -> Self {
        let mut graph = Self::default();
        graph.read("", "src/lib.rs", "src");
        graph.read("main", "src/main.rs", "src");
        graph
    }

    fn read(&mut self, path: &str, file: &str, folder: &str) {
        let module = Module::parse(file, &read(file));
        let children: Vec<String> = module.children.iter().cloned().collect();
        self.modules.insert(path.to_owned(), module);
        for child in children {
            let below = format!("{folder}/{child}");
            let candidates = [format!("{below}.rs"), format!("{below}/mod.rs")];
            let file = candidates.iter().find(|it| root().join(it).exists());
            let file = file.unwrap_or_else(|| panic!("{path}: no file of module {child}"));
            self.read(&join(path, &child), file, &below);
        }
    }

    #[cfg(test)]
    fn of_sources(sources: &[(&str, &str)]) -> Self {
        let modules = sources.iter().map(|(path, source)| {
            let file = format!("{}.rs", path.replace("::", "/"));
            ((*path).to_owned(), Module::parse(&file, source))
        });
        Self { modules: modules.collect() }
    }

    pub(crate) fn has_module(&self, path: &str) -> bool {
        self.modules.contains_key(path)
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// Every use of another module, once for each pair and line.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (from, module) in &self.modules {
            for written in &module.paths {
                let to = match self.resolve(from, &written.path, 0) {
                    Some(Target::Item(to)) => to,
                    Some(Target::Module(to)) if written.path.last().unwrap() == "*" => to,
                    _ => continue,
                };
                let offers_own_child = written.is_reexport && is_below(&to, from);
                if to != *from && !offers_own_child {
                    let path = written.path.join("::");
                    let place = format!("{}:{}: {path}", module.file, written.line);
                    edges.push(Edge { from: from.clone(), to, place });
                }
            }
        }
        edges
    }

    /// Types that have methods in another file than their own, with a place of some.
    pub(crate) fn scattered_methods(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for module in self.modules.values() {
            let elsewhere = module.methods.iter().filter(|(_, it)| !module.defines.contains(it));
            found.extend(
                elsewhere.map(|(line, name)| (name.clone(), format!("{}:{line}", module.file))),
            );
        }
        found
    }

    /// Follows a path as it is written in `module`. None for other crates, locals and generics.
    fn resolve(&self, module: &str, path: &[String], depth: usize) -> Option<Target> {
        const DEPTH_MAX: usize = 8;
        let (first, rest) = path.split_first()?;
        let here = self.modules.get(module)?;
        if depth == DEPTH_MAX {
            return None;
        }
        match first.as_str() {
            "crate" => self.descend("", rest, depth),
            "narrows" if module == "main" => self.descend("", rest, depth),
            "self" => self.descend(module, rest, depth),
            "super" => {
                let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
                if rest.first().is_some_and(|it| it == "super") {
                    self.resolve(parent, rest, depth)
                } else {
                    self.descend(parent, rest, depth)
                }
            }
            first if here.children.contains(first) => self.descend(module, path, depth),
            first => {
                let meant = here.names.get(first).filter(|meant| meant[0] != first)?;
                let whole: Vec<String> = meant.iter().chain(rest).cloned().collect();
                self.resolve(module, &whole, depth + 1)
            }
        }
    }

    /// Follows `path` from inside `module`: child modules, then re-exports, then its own items.
    fn descend(&self, module: &str, path: &[String], depth: usize) -> Option<Target> {
        let here = self.modules.get(module)?;
        let Some((first, rest)) = path.split_first() else {
            return Some(Target::Module(module.to_owned()));
        };
        if first == "*" || first == "self" {
            return Some(Target::Module(module.to_owned()));
        }
        if here.children.contains(first) {
            return self.descend(&join(module, first), rest, depth);
        }
        if here.names.contains_key(first) && !here.defines.contains(first) {
            return self.resolve(module, path, depth + 1);
        }
        let through_glob = here.globs.iter().filter(|_| !here.defines.contains(first));
        for glob in through_glob {
            if let Some(Target::Module(other)) = self.resolve(module, glob, depth + 1)
                && self.modules[&other].defines.contains(first)
            {
                return Some(Target::Item(other));
            }
        }
        Some(Target::Item(module.to_owned()))
    }
}

fn join(module: &str, child: &str) -> String {
    if module.is_empty() { child.to_owned() } else { format!("{module}::{child}") }
}

fn is_below(module: &str, folder: &str) -> bool {
    folder.is_empty() || module.strip_prefix(folder).is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn a_path_leads_to_the_file_that_defines_its_name() {
    let graph = Graph::of_sources(&[
        ("", "mod a; mod b; pub use a::deep::Thing;"),
        ("a", "mod deep; pub use deep::{Thing, other as renamed}; pub fn own() {}"),
        ("a::deep", "pub struct Thing; use super::own; fn f() { super::super::b::g(); }"),
        (
            "b",
            "use crate::{a::{self, renamed}, Thing as Alias};
             fn g() { a::deep::x(); a::own(); Alias::new(); std::mem::drop(1); }
             #[cfg(test)] mod tests { use crate::c::Nothing; }",
        ),
    ]);
    let found: Vec<String> =
        graph.edges().iter().map(|it| format!("{} {} {}", it.from, it.to, it.place)).collect();
    assert_eq!(
        found,
        [
            "a::deep a a/deep.rs:1: super::own",
            "a::deep b a/deep.rs:1: super::super::b::g",
            "b a::deep b.rs:1: crate::a::renamed",
            "b a::deep b.rs:1: crate::Thing",
            "b a::deep b.rs:2: a::deep::x",
            "b a b.rs:2: a::own",
            "b a::deep b.rs:2: Alias::new",
        ]
    );
}
