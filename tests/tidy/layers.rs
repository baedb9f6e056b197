//! The order of the modules, and which of them do no I/O.

use crate::assert_none;
use crate::graph::{Edge, Graph};
use crate::source::{code_lines, files, production_of, read};

/// The top-level modules, from the ground up. A module uses only those above it in this list.
const LAYERS: &[&str] = &[
    // HTTP/1.1, and nothing of ours.
    "h1",
    // What others share.
    "limits",
    "timeouts",
    // Bytes before HTTP.
    "preface",
    // Decisions: what follows from it.
    "error",
    "gateway",
    // Waiting: who does it, and when.
    "clock",
    "task",
    "net",
    "tls",
    "telemetry",
    // Certificates from a CA: no I/O either, but what `tls` reads of a certificate.
    "acme",
    // What the operator said, in our words or in those of another program.
    "config",
    "import",
    "cli",
    // Waiting again, for upstreams and clients.
    "upstream",
    "proxy",
    "worker",
    "control",
    // What a request would meet, step by step.
    "doctor",
    // The binary, and the properties that fuzzing checks.
    "main",
    "fuzzing",
];

/// Modules that know no socket, task, clock, file or log.
const SANS_IO: &[&str] =
    &["limits", "timeouts", "h1", "preface", "error", "gateway", "acme", "import"];
/// Those that need `std` all the same: for JSON, keys and certificates, or for `config`.
const WITH_STD: &[&str] = &["acme", "import"];

const IO: &[&str] = &[
    "tokio",
    "rustls",
    "tracing",
    "socket2",
    "rustix",
    "std::net::Tcp",
    "std::net::Udp",
    "std::io",
    "std::fs",
    "std::thread",
    "Instant",
    "SystemTime",
    "async fn",
];

#[test]
fn modules_use_only_those_below_them() {
    let graph = Graph::of_the_crate();
    let tops = graph.modules().filter(|it| !it.is_empty() && !it.contains("::"));
    let unlisted = tops.filter(|it| !LAYERS.contains(it));
    let mut faults: Vec<String> =
        unlisted.map(|it| format!("give {it} a row in LAYERS in tests/tidy/layers.rs")).collect();
    let gone = LAYERS.iter().filter(|it| **it != "fuzzing" && !graph.has_module(it));
    faults.extend(gone.map(|it| format!("LAYERS: there is no module {it}")));
    faults.extend(graph.edges().iter().filter(|it| leads_up(it)).map(|it| {
        format!("{}: {} is above {}, and may not be used there", it.place, it.to, it.from)
    }));
    assert_none(&faults);
}

fn leads_up(edge: &Edge) -> bool {
    layer(&edge.to) > layer(&edge.from)
}

/// The row of a module. The crate's root, which only declares and re-exports, has none.
fn layer(module: &str) -> Option<usize> {
    let top = module.split("::").next();
    LAYERS.iter().position(|it| Some(*it) == top)
}

#[test]
fn sans_io_modules_stay_sans_io() {
    let mut faults = Vec::new();
    for module in SANS_IO {
        let (file, folder) = (format!("src/{module}.rs"), format!("src/{module}"));
        for file in [file, folder].iter().flat_map(|it| files(it, "rs")) {
            for (number, line) in code_lines(&production_of(&file)) {
                let used = IO.iter().filter(|word| line.contains(**word));
                faults.extend(used.map(|it| format!("{file}:{number}: {it} in a sans-IO module")));
            }
        }
    }
    assert_none(&faults);
}

/// `purity/` compiles them once more without `std`, which proves more than a search for words.
#[test]
fn every_sans_io_module_is_compiled_without_std() {
    let purity = read("purity/src/lib.rs");
    let missing = SANS_IO
        .iter()
        .filter(|it| !WITH_STD.contains(it) && !purity.contains(&format!("pub mod {it};")));
    assert_none(&missing.map(|it| format!("purity/src/lib.rs lacks {it}")).collect::<Vec<_>>());
}

#[test]
fn an_edge_leads_up_if_it_reaches_a_later_row() {
    let edge = |from: &str, to: &str| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        place: String::new(),
    };
    assert!(leads_up(&edge("h1::head", "net")));
    assert!(!leads_up(&edge("net", "h1::head")));
    assert!(!leads_up(&edge("net::tcp", "net::buffer")));
}
