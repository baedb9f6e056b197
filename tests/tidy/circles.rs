//! Calls go down only: no circle of files, in any folder.

use crate::assert_none;
use crate::graph::{Edge, Graph};

use std::collections::{BTreeMap, BTreeSet};

/// Types with methods elsewhere, for a reason.
const ELSEWHERE: &[&str] = &[
    // Its tables are below the file that reads it.
    "Config",
];

/// In each folder, what uses what among the files and folders in it, `mod.rs` being one of them.
///
/// A circle of files, however far apart, is a circle in the folder that holds them all.
#[test]
fn nothing_uses_itself_in_a_circle() {
    let mut faults = Vec::new();
    let mut folders: BTreeMap<String, Vec<Edge>> = BTreeMap::new();
    for edge in Graph::of_the_crate().edges() {
        let (folder, from, to) = in_their_folder(&edge);
        let edges = folders.entry(folder).or_default();
        // The first place is enough.
        if !edges.iter().any(|it| it.from == from && it.to == to) {
            edges.push(Edge { from, to, place: edge.place });
        }
    }
    for edges in folders.values() {
        for edge in in_circles(edges) {
            faults.push(format!("{}: {} uses {} in a circle", edge.place, edge.from, edge.to));
        }
    }
    assert_none(&faults);
}

/// A method can be called without naming its file, so it would hide a circle from the check above.
#[test]
fn methods_are_in_the_file_of_their_type() {
    let scattered = Graph::of_the_crate().scattered_methods();
    let unknown = scattered.iter().filter(|(name, _)| !ELSEWHERE.contains(&&**name));
    let faults = unknown.map(|(name, place)| format!("{place}: methods of {name}, not its file"));
    let mut faults: Vec<String> = faults.collect();
    let is_stale = |it: &&&str| !scattered.iter().any(|(name, _)| name == **it);
    let stale = ELSEWHERE.iter().filter(is_stale);
    faults.extend(stale.map(|it| format!("ELSEWHERE: {it} has no methods elsewhere: remove it")));
    assert_none(&faults);
}

/// The innermost folder that holds both ends, and which of its members they are (in).
fn in_their_folder(edge: &Edge) -> (String, String, String) {
    let from: Vec<&str> = edge.from.split("::").collect();
    let to: Vec<&str> = edge.to.split("::").collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let member = |path: &[&str]| match path.get(common) {
        Some(_) => path[..=common].join("::"),
        None => format!("{}::mod", path.join("::")),
    };
    (from[..common].join("::"), member(&from), member(&to))
}

/// The edges whose far end leads back to their near end.
fn in_circles(edges: &[Edge]) -> Vec<&Edge> {
    edges.iter().filter(|edge| reaches(edges, &edge.to, &edge.from)).collect()
}

fn reaches(edges: &[Edge], from: &str, to: &str) -> bool {
    let mut open = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            open.extend(edges.iter().filter(|it| it.from == at).map(|it| &*it.to));
        }
    }
    false
}

#[test]
fn circles_are_found_in_the_folder_that_holds_them() {
    let edge = |from: &str, to: &str| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        place: String::new(),
    };
    let folder = |from, to| in_their_folder(&edge(from, to));
    let named = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(folder("a::b::c", "a::d"), named("a", "a::b", "a::d"));
    assert_eq!(folder("a::b", "a"), named("a", "a::b", "a::mod"));
    assert_eq!(folder("a::b", "c"), named("", "a", "c"));

    let edges = [edge("a", "b"), edge("b", "c"), edge("c", "b"), edge("c", "d")];
    assert_eq!(in_circles(&edges), [&edges[1], &edges[2]]);
}
