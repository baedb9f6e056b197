//! What is different between two configurations, in numbers: for the log line of a reload.

use crate::config::Config;
use crate::config::admin_address::AdminConfig;
use crate::config::clients::ClientsConfig;
use crate::config::snapshot::{Listener, Snapshot};
use crate::config::value::NamedFile;
use crate::gateway::access::RouteAccess;
use crate::gateway::route::Route;
use crate::upstream::registry::Identity;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// The differences, such as `routes: 1 added, 2 changed; timeouts`; `none` if there are none.
pub(super) fn changes(old: &Snapshot, new: &Snapshot) -> String {
    let listeners =
        |it: &Snapshot| numbered(it.listeners.iter().map(|it| (key_of(it), it.clone())));
    let routes = |it: &Snapshot| it.routes.iter().map(|it| (it.path.clone(), it.clone())).collect();
    let forwards =
        |it: &Snapshot| it.forwards.iter().map(|it| (it.name.clone(), it.clone())).collect();
    let upstreams = |it: &Snapshot| {
        let upstreams = it.routes.iter().map(|it| &it.upstream);
        upstreams.map(|it| (Identity::from(it), Arc::clone(it))).collect()
    };
    let domains = |it: &Snapshot| {
        let names = it.managed.iter().flat_map(|it| &it.names);
        names.map(|name| (name.clone(), ())).collect()
    };
    let parts = [
        count("listeners", &listeners(old), &listeners(new), is_same_listener),
        clients(&old.config.clients, &new.config.clients),
        count("routes", &routes(old), &routes(new), is_same_route),
        count("forwards", &forwards(old), &forwards(new), |old, new| old == new),
        count("upstreams", &upstreams(old), &upstreams(new), |old, new| old == new),
        count("domains", &domains(old), &domains(new), |(), ()| true),
    ];
    let parts = parts.into_iter().chain(settings(&old.config, &new.config));
    let parts: Vec<_> = parts.flatten().collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
}

/// What is not counted but only named. A new key has to be named here, or counted above.
fn settings(old: &Config, new: &Config) -> [Option<String>; 5] {
    let Config { admin, acme, timeouts, limits, log, .. } = old;
    let Config {
        source: _,
        digest: _,
        // A line of its own says what a change of it needs.
        workers: _,
        admin: new_admin,
        listeners: _,
        clients: _,
        routes: _,
        forwards: _,
        acme: new_acme,
        acme_location: _,
        timeouts: new_timeouts,
        limits: new_limits,
        log: new_log,
    } = new;
    let address = |it: &Option<AdminConfig>| it.as_ref().map(|it| it.address.clone());
    let changed = |name: &str, is_changed: bool| is_changed.then(|| name.to_owned());
    [
        changed("acme", acme != new_acme),
        changed("admin", address(admin) != address(new_admin)),
        changed("timeouts", timeouts != new_timeouts),
        changed("limits", limits != new_limits),
        changed("log", log != new_log),
    ]
}

/// How many were added, removed and changed; `None` if none was.
fn count<K: Eq + Hash, V>(
    what: &str,
    old: &HashMap<K, V>,
    new: &HashMap<K, V>,
    is_same: impl Fn(&V, &V) -> bool,
) -> Option<String> {
    let stay = new.iter().filter_map(|(key, new)| Some((old.get(key)?, new)));
    let (stay, changed) = stay.fold((0, 0), |(stay, changed), (old, new)| {
        (stay + 1, changed + usize::from(!is_same(old, new)))
    });
    let numbers =
        [(new.len() - stay, "added"), (old.len() - stay, "removed"), (changed, "changed")];
    let numbers = numbers.into_iter().filter(|(count, _)| *count > 0);
    let numbers: Vec<_> = numbers.map(|(count, word)| format!("{count} {word}")).collect();
    (!numbers.is_empty()).then(|| format!("{what}: {}", numbers.join(", ")))
}

/// Several listeners may have the port 0, and are told apart by their order.
fn numbered<K: Clone + Eq + Hash, V>(all: impl Iterator<Item = (K, V)>) -> HashMap<(K, usize), V> {
    let mut seen = HashMap::new();
    let number = |(key, value): (K, V)| {
        let number = seen.entry(key.clone()).or_insert(0);
        *number += 1;
        ((key, *number), value)
    };
    all.map(number).collect()
}

/// A tcp listener and the http listener that it leads to may have one address.
fn key_of(listener: &Listener) -> impl Clone + Eq + Hash + use<> {
    (listener.address, listener.has_socket)
}

fn is_same_listener(old: &Arc<Listener>, new: &Arc<Listener>) -> bool {
    let tls = |it: &Listener| it.tls.as_ref().map(Arc::as_ptr);
    let rules = |it: &Listener| (it.mode, it.redirect);
    rules(old) == rules(new)
        && old.proxy_protocol == new.proxy_protocol
        && old.address_rules == new.address_rules
        && tls(old) == tls(new)
}

/// The limits that all routes share are not a change of each of them.
fn is_same_route<U: Clone + PartialEq>(old: &Route<U>, new: &Route<U>) -> bool {
    let (timeouts, head_limits) = (Arc::clone(&old.timeouts), old.head_limits);
    let access = old.access.clone();
    let rules = (rules_of(old.access.as_deref()), rules_of(new.access.as_deref()));
    *old == Route { timeouts, head_limits, access, ..new.clone() } && rules.0 == rules.1
}

/// The rules of a route. The clients are the same for all of them.
fn rules_of(access: Option<&RouteAccess>) -> RouteAccess {
    let access = access.cloned().unwrap_or_default();
    RouteAccess { clients: Arc::default(), needs_token: false, ..access }
}

/// Clients by their names, wherever in the file they are.
fn clients(old: &ClientsConfig, new: &ClientsConfig) -> Option<String> {
    if Arc::ptr_eq(&old.all, &new.all) && old.files == new.files {
        return None;
    }
    let path = |it: Option<&NamedFile>| it.map(|it| it.path.clone());
    count("clients", &old.by_name(), &new.by_name(), |(old, old_file), (new, new_file)| {
        old == new && path(*old_file) == path(*new_file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const BEFORE: &str = r#"
        [[listener]]
        address = "127.0.0.1:0"
        [[listener]]
        address = "127.0.0.1:0"
        [[route]]
        path = "/a/"
        upstream = "http://a.example/"
        [[route]]
        path = "/b/"
        upstream = "http://b.example/"
        [[forward]]
        server_name = "a.example"
        upstream = "tcp://a.example:1"
    "#;

    #[test]
    fn what_is_added_removed_and_changed_is_counted() {
        check("", "", "none");
        check("\"/a/\"", "\"/a/\"\nwarm = 3", "routes: 1 changed; upstreams: 1 changed");
        check("/a/\"", "/c/\"", "routes: 1 added, 1 removed");
        check("http://b.example/", "http://b.example/v1/", "routes: 1 changed");
        check(
            "http://b.example/",
            "http://c.example/",
            "routes: 1 changed; upstreams: 1 added, 1 removed",
        );
        check("tcp://a.example:1", "tcp://a.example:2", "forwards: 1 changed");
        let another = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/a/\"";
        check("[[route]]\n        path = \"/a/\"", another, "listeners: 1 added");
        let mode = "address = \"127.0.0.1:0\"\nmode = \"tcp\"";
        check("address = \"127.0.0.1:0\"", mode, "listeners: 1 changed");
        let domains = "address = \"127.0.0.1:0\"\ndomains = [\"a.example\", \"127.0.0.1\"]";
        let ordered = "listeners: 1 changed; domains: 2 added";
        check("address = \"127.0.0.1:0\"", domains, ordered);
        check("[[route]]", "[acme]\nprofile = \"shortlived\"\n[[route]]", "acme");
        let client = |digit: &str| {
            let digits = "0123456789abcdef".repeat(3) + &digit.repeat(16);
            format!("[[client]]\nname = \"{digit}\"\ntoken = \"sha256:{digits}\"\n[[forward]]")
        };
        check("[[forward]]", &client("1"), "clients: 1 added");
        check("\"/a/\"", "\"/a/\"\nwebsocket = false", "routes: 1 changed");
        let limits = "\n[timeouts]\nconnect = \"1s\"\n[limits]\nconnections = 9\n[[forward]]";
        check("[[forward]]", limits, "timeouts; limits");
        for log in ["level = \"debug\"", "format = \"json\""] {
            check("[[forward]]", &format!("[log]\n{log}\n[[forward]]"), "log");
        }
        check_from(BEFORE, &format!("admin = \"127.0.0.1:9145\"\n{BEFORE}"), "admin");
    }

    #[test]
    fn a_name_that_is_added_is_one_change_whatever_becomes_of_certificates() {
        let with = |domains| BEFORE.replacen(":0\"", &format!(":0\"\ndomains = [{domains}]"), 1);
        let before = with("\"a.example\"");
        let after = with("\"a.example\", \"b.example\"");
        check_from(&before, &after, "listeners: 1 changed; domains: 1 added");
        check_from(&after, &before, "listeners: 1 changed; domains: 1 removed");
    }

    #[track_caller]
    fn check(replaced: &str, by: &str, want: &str) {
        check_from(BEFORE, &BEFORE.replacen(replaced, by, 1), want);
    }

    #[track_caller]
    fn check_from(before: &str, toml: &str, want: &str) {
        let load = |toml: &str| Config::parse("narrows.toml", Path::new("."), toml).unwrap();
        let old = Snapshot::load(load(before)).unwrap();
        let new = Snapshot::load_after(load(toml), &old).unwrap();
        assert_eq!(changes(&old, &new), want, "{toml}");
    }
}
