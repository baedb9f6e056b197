//! Checks across tables: every route has its own path and every listener its own address, every
//! forward can match, and every tcp listener has the http listener that its forwards need.

use super::keys::forward::ForwardUpstream;
use super::keys::listener::ListenerConfig;
use super::keys::top::Config;
use super::problem::{Location, Problems, quoted};
use super::value::Mode;
use std::collections::BTreeMap;

/// Notes every contradiction between parts of `config`.
pub(crate) fn check(config: &Config, problems: &mut Problems) {
    check_duplicates(config, problems);
    check_forwards(config, problems);
}

/// Whether a tcp listener with the same address hands its connections to this http listener, which
/// then has no socket of its own.
pub(super) fn shares_address(config: &Config, http: &ListenerConfig) -> bool {
    let same = |it: &&ListenerConfig| it.mode == Mode::Tcp && it.address == http.address;
    // Port 0 is a different port each time.
    http.mode == Mode::Http
        && http.address.port() != 0
        && config.listeners.iter().any(|it| same(&it))
}

/// The http listener that `upstream = "http"` means for connections of the tcp listener `tcp`: the
/// one with its address, or else the only one. An index into `listeners`, or what is wrong.
pub(super) fn http_behind(config: &Config, tcp: &ListenerConfig) -> Result<usize, String> {
    let listeners = config.listeners.iter().enumerate();
    let all: Vec<_> = listeners.filter(|(_, it)| it.mode == Mode::Http).collect();
    let has_port = tcp.address.port() != 0;
    let same = all.iter().find(|(_, it)| has_port && it.address == tcp.address);
    let (index, http) = match (same, all.as_slice()) {
        (Some(same), _) => *same,
        (None, [only]) => *only,
        (None, []) => return Err("there is no http listener to lead to".to_owned()),
        (None, [_, _, ..]) => {
            return Err(format!(
                "which of the {} http listeners is meant for the tcp listener at {} cannot be \
                 told; the one with the same address is, or the only one",
                all.len(),
                tcp.address
            ));
        }
    };
    if tcp.credentials.is_some() && http.credentials.is_some() {
        return Err(format!(
            "the tcp listener at {} ends TLS itself, and the http listener at {} would wait for \
             TLS inside of it; only one of them may have a certificate",
            tcp.address, http.address
        ));
    }
    Ok(index)
}

/// Notes routes with the same path, and listeners with the same address.
fn check_duplicates(config: &Config, problems: &mut Problems) {
    let mut paths = BTreeMap::new();
    for route in &config.routes {
        if let Some(first) = paths.insert(route.path.as_str(), &route.location) {
            let what = format!("{} is routed twice", quoted(route.path.as_str()));
            problems.add(&route.location, format!("{what}{}", also_at(first)));
        }
    }
    let mut addresses = BTreeMap::new();
    let mut ports = BTreeMap::new();
    // Port 0 is a different port each time. An http listener may share a tcp listener's address.
    for listener in config.listeners.iter().filter(|it| it.address.port() != 0) {
        let shares = shares_address(config, listener);
        if let Some(first) = addresses.insert((listener.address, shares), &listener.location) {
            let what = format!("{} is listened on twice{}", listener.address, also_at(first));
            problems.add(&listener.location, what);
        } else if !shares {
            check_overlap(listener, &mut ports, problems);
        }
    }
}

/// Notes a listener whose port is taken by a wildcard address of the same family, or the other way
/// round: the kernel refuses the second. `ports` has the listeners before it.
fn check_overlap<'c>(
    listener: &'c ListenerConfig,
    ports: &mut BTreeMap<(bool, u16), &'c ListenerConfig>,
    problems: &mut Problems,
) {
    let is_wildcard = |it: &ListenerConfig| it.address.ip().is_unspecified();
    let address = listener.address;
    let first = ports.entry((address.is_ipv4(), address.port())).or_insert(listener);
    if first.address != address && (is_wildcard(first) || is_wildcard(listener)) {
        let (wide, narrow) =
            if is_wildcard(first) { (first.address, address) } else { (address, first.address) };
        let what = format!("{wide} takes in {narrow}; only one of them can have the port");
        problems.add(&listener.location, format!("{what}{}", also_at(&first.location)));
    }
    if is_wildcard(listener) {
        *first = listener;
    }
}

/// Notes forwards that can never match, and forwards to an http listener that is ambiguous.
fn check_forwards(config: &Config, problems: &mut Problems) {
    for (index, forward) in config.forwards.iter().enumerate() {
        let pattern = &forward.server_name.pattern;
        let earlier = config.forwards[..index].iter();
        let mut covering = earlier.filter(|it| it.server_name.pattern.covers(pattern));
        if let Some(first) = covering.next() {
            let (name, by) = (quoted(&forward.server_name.text), quoted(&first.server_name.text));
            let what = format!("{name} is never reached behind {by}");
            problems.add(&forward.location, format!("{what}{}", also_at(&first.location)));
        }
    }
    let to_http = config.forwards.iter().find(|it| it.upstream == ForwardUpstream::Http);
    for tcp in config.listeners.iter().filter(|it| it.mode == Mode::Tcp) {
        if let Some(forward) = to_http
            && let Err(what) = http_behind(config, tcp)
        {
            problems.add(&forward.upstream_location, what);
        }
    }
    for http in config.listeners.iter().filter(|it| shares_address(config, it)) {
        if to_http.is_none() {
            let what = "no forward with `upstream = \"http\"` leads to it, and its address is that \
                        of a tcp listener";
            problems.add(&http.location, format!("{} is out of reach: {what}", http.address));
        }
        if !http.proxy_protocol.is_empty() {
            let what = "it accepts no connections of its own";
            let advice = "say `proxy_protocol` at the tcp listener with this address";
            problems.add(&http.location, format!("{what}; {advice}"));
        }
    }
}

/// Points to the first one, if it has a line.
fn also_at(first: &Location) -> String {
    first.line().map_or_else(String::new, |line| format!("; the first is in line {line}"))
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};

    #[test]
    fn a_repeated_path_or_address_is_refused_at_the_second() {
        let text = format!("{MINIMAL}\n{}", MINIMAL.trim_start());
        refuse(
            &text,
            "f:10: listener.address: 127.0.0.1:8080 is listened on twice; the first is in line 3",
        );
        refuse(&text, "f:13: route.path: \"/gpt/\" is routed twice; the first is in line 6");
        assert!(read(&text.replace(":8080", ":0").replacen("gpt", "a", 1)).is_ok());
    }

    #[test]
    fn a_listener_that_overlaps_a_wildcard_is_refused_at_the_second() {
        let route = "[[route]]\npath = \"/\"\nupstream = \"http://h/\"\n";
        let listener = |address: &&str| format!("[[listener]]\naddress = \"{address}\"\n");
        let file = |addresses: &[&str]| -> String {
            let listeners: String = addresses.iter().map(listener).collect();
            format!("{listeners}{route}")
        };
        let first = "; only one of them can have the port; the first is in line 2";
        for (addresses, wide, narrow) in [
            (["0.0.0.0:1", "127.0.0.1:1"], "0.0.0.0:1", "127.0.0.1:1"),
            (["127.0.0.1:1", "0.0.0.0:1"], "0.0.0.0:1", "127.0.0.1:1"),
            (["[::]:1", "[::1]:1"], "[::]:1", "[::1]:1"),
            (["[fe80::1%2]:1", "[::]:1"], "[::]:1", "[fe80::1%2]:1"),
        ] {
            let want = format!("f:4: listener.address: {wide} takes in {narrow}{first}");
            assert_eq!(read(&file(&addresses)).unwrap_err().to_string(), want);
        }
        let problems = read(&file(&["127.0.0.1:1", "0.0.0.0:1", "127.0.0.2:1"])).unwrap_err();
        assert_eq!(problems.iter().len(), 2, "{problems}");
        for apart in [
            ["0.0.0.0:1", "127.0.0.1:2"],
            ["0.0.0.0:1", "[::1]:1"],
            ["[::]:1", "0.0.0.0:1"],
            ["127.0.0.1:1", "127.0.0.2:1"],
            ["0.0.0.0:0", "127.0.0.1:0"],
        ] {
            assert!(read(&file(&apart)).is_ok(), "{apart:?}");
        }
        refuse(&file(&["[::ffff:127.0.0.1]:1"]), "f:2: listener.address: \"[::ffff:127.0.0.1]:1\"");
        // An http listener with the address of a tcp listener has no socket of its own.
        let tcp = "[[listener]]\naddress = \"0.0.0.0:1\"\nmode = \"tcp\"\n";
        let forward = "[[forward]]\nserver_name = \"*\"\nupstream = \"http\"\n";
        assert!(read(&format!("{tcp}{forward}{}", file(&["0.0.0.0:1"]))).is_ok());
        refuse(
            &format!("{tcp}{forward}{}", file(&["127.0.0.1:1"])),
            "f:8: listener.address: 0.0.0",
        );
    }

    #[test]
    fn forwards_that_contradict_each_other_or_themselves_are_refused_with_their_lines() {
        let forwards = |forwards: &[(&str, &str)]| {
            let listener = "[[listener]]\naddress = \"127.0.0.1:1\"\nmode = \"tcp\"\n";
            let forward = |(name, upstream): &(&str, &str)| {
                format!("[[forward]]\nserver_name = \"{name}\"\nupstream = \"{upstream}\n")
            };
            format!("{listener}{}", forwards.iter().map(forward).collect::<String>())
        };
        let (one, two) = ("tcp://10.0.0.5:1\"", "tcp://10.0.0.6:1\"");
        refuse(
            &forwards(&[("*", one), ("a.b", two)]),
            "f:8: forward.server_name: \"a.b\" is never reached behind \"*\"; the first is in \
             line 5",
        );
        refuse(&forwards(&[("*.b", one), ("A.B", two)]), "\"A.B\" is never reached behind \"*.b\"");
        let with_name = forwards(&[("*", "tcp://10.0.0.5:1\"\ntls_name = \"a\"\nca = \"c\"")]);
        refuse(&with_name, "f:7: forward.tls_name: the upstream is tcp://; only tls:// has use");
        refuse(&with_name, "f:8: forward.ca: the upstream is tcp://");
        let with_proxy = forwards(&[("*", "http\"\nproxy_protocol = \"v1\"")]);
        refuse(&with_proxy, "f:7: forward.proxy_protocol: the upstream is in this process");
        refuse(&with_proxy, "f:6: forward.upstream: there is no http listener to lead to");
        let bad = forwards(&[("*", "tcp://10.0.0.5:1\"\nproxy_protocol = \"v3\"")]);
        refuse(&bad, "\"v3\" is no version of PROXY headers; \"v1\" and \"v2\" are allowed");
    }

    #[test]
    fn a_tcp_listener_leads_to_the_http_listener_with_its_address_or_the_only_one() {
        let file = |listeners: &[(&str, &str, &str)]| {
            let listener = |(address, mode, more): &(&str, &str, &str)| {
                format!("[[listener]]\naddress = \"{address}\"\nmode = \"{mode}\"\n{more}")
            };
            let forward = "[[forward]]\nserver_name = \"*\"\nupstream = \"http\"\n";
            let route = "[[route]]\npath = \"/\"\nupstream = \"http://h/\"\n";
            let listeners: String = listeners.iter().map(listener).collect();
            format!("{forward}{route}{listeners}")
        };
        let (tcp, http) = ("tcp", "http");
        let (one, two, three) = ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3");
        assert!(read(&file(&[(one, tcp, ""), (one, http, ""), (two, http, "")])).is_ok());
        assert!(read(&file(&[(one, tcp, ""), (two, http, "")])).is_ok());
        assert!(read(&file(&[("127.0.0.1:0", tcp, ""), ("127.0.0.1:0", http, "")])).is_ok());
        refuse(
            &file(&[(one, tcp, ""), (two, http, ""), (three, http, "")]),
            "f:3: forward.upstream: which of the 2 http listeners is meant for the tcp listener at \
             127.0.0.1:1 cannot be told",
        );
        refuse(&file(&[(one, tcp, ""), (one, tcp, ""), (one, http, "")]), "listened on twice");
        refuse(&file(&[(one, tcp, ""), (one, http, ""), (one, http, "")]), "listened on twice");
        let files = "certificate = \"c\"\nkey = \"k\"\n";
        refuse(
            &file(&[(one, tcp, files), (one, http, files)]),
            "the tcp listener at 127.0.0.1:1 ends TLS itself",
        );
        assert!(read(&file(&[(one, tcp, files), (one, http, "")])).is_ok());
        let proxy = "proxy_protocol = [\"10.0.0.0/8\"]\n";
        refuse(&file(&[(one, tcp, ""), (one, http, proxy)]), "say `proxy_protocol` at the tcp");
        let unreachable =
            file(&[(one, tcp, ""), (one, http, "")]).replace("\"http\"\n[[r", "\"tcp://h:1\"\n[[r");
        refuse(&unreachable, "127.0.0.1:1 is out of reach: no forward with `upstream = \"http\"`");
    }
}
