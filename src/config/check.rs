//! Checks across tables: every route has its own path and every listener its own address, every
//! forward can match, and every tcp listener has the http listener that its forwards need.

use super::admin_address::{AdminAddress, AdminConfig};
use super::check_access::check_access;
use super::check_domains::{check_domains, check_redirects};
use super::files::Files;
use super::keys::forward::ForwardUpstream;
use super::keys::listener::ListenerConfig;
use super::keys::top::Config;
use super::listen_address::ListenAddress;
use super::problem::{Problems, also_at, quoted};
use super::value::Mode;
use crate::net::listen::overlap;
use std::collections::HashMap;
use std::net::SocketAddr;

const SEVERAL_CERTIFICATES: &str = "one listener has all names of an address, in `domains`, and \
                                    several certificates, in `certificates`";

/// Notes every contradiction between parts of `config`.
pub(crate) fn check(config: &Config, problems: &mut Problems) {
    check_duplicates(config, problems);
    check_admin(config, problems);
    check_forwards(config, problems);
    check_domains(config, problems);
    check_redirects(config, problems);
    check_access(config, &Files::default(), problems);
}

/// Whether a tcp listener hands its connections at `address` to this http listener, which then has
/// no socket of its own there.
pub(super) fn shares_address(config: &Config, http: &ListenerConfig, address: SocketAddr) -> bool {
    let same = |it: &ListenerConfig| it.mode == Mode::Tcp && has_address(it, address);
    http.mode == Mode::Http && config.listeners.iter().any(same)
}

/// The http listener that `upstream = "http"` means for connections of the tcp listener `tcp` at
/// `address`: the one with this address, or else the only one that does not lead to https. An index
/// into `listeners`, or what is wrong.
pub(super) fn http_behind(
    config: &Config,
    tcp: &ListenerConfig,
    address: SocketAddr,
) -> Result<usize, String> {
    let listeners = config.listeners.iter().enumerate();
    let all: Vec<_> = listeners.filter(|(_, it)| it.mode == Mode::Http && !it.redirect).collect();
    let same = all.iter().find(|(_, it)| has_address(it, address));
    let (index, http) = match (same, all.as_slice()) {
        (Some(same), _) => *same,
        (None, [only]) => *only,
        (None, []) => return Err("there is no http listener to lead to".to_owned()),
        (None, [_, _, ..]) => {
            return Err(format!(
                "which of the {} http listeners is meant for the tcp listener at {} cannot be \
                 told; the one with the same address is, or the only one",
                all.len(),
                tcp.name()
            ));
        }
    };
    if tcp.is_tls() && http.is_tls() {
        return Err(format!(
            "the tcp listener at {} ends TLS itself, and the http listener at {} would wait for \
             TLS inside of it; only one of them may have a certificate",
            tcp.name(),
            http.name()
        ));
    }
    Ok(index)
}

/// Port 0 is a different port each time.
fn has_address(listener: &ListenerConfig, address: SocketAddr) -> bool {
    address.port() != 0 && listener.sockets().any(|it| it == address)
}

/// Notes routes with the same path, and listeners with the same address.
fn check_duplicates(config: &Config, problems: &mut Problems) {
    let mut paths = HashMap::new();
    for route in &config.routes {
        if let Some(first) = paths.insert(route.path.as_str(), &route.location) {
            let what = format!("{} is routed twice", quoted(route.path.as_str()));
            problems.add(&route.location, format!("{what}{}", also_at(first)));
        }
    }
    let mut taken = Taken::default();
    for listener in &config.listeners {
        for written in listener.addresses.iter().map(|address| Written { listener, address }) {
            let clashes = address_clashes(config, written, &mut taken);
            // Both families may have the same one.
            if let Some(first) = clashes.into_iter().flatten().next() {
                let one_for_both = *first.address == *written.address
                    && first.listener.is_tls()
                    && written.listener.is_tls();
                let help = one_for_both.then(|| SEVERAL_CERTIFICATES.to_owned());
                problems.add_with_help(&listener.location, clash(first, written), help);
            }
        }
    }
}

/// An address of a listener.
#[derive(Clone, Copy)]
struct Written<'c> {
    listener: &'c ListenerConfig,
    address: &'c ListenAddress,
}

/// The socket addresses that are taken, and by what.
#[derive(Default)]
struct Taken<'c> {
    /// With whether an http listener shares it with a tcp listener.
    addresses: HashMap<(SocketAddr, bool), Written<'c>>,
    /// By family and port: a wildcard if there is one, because the kernel refuses any other address
    /// beside it, or else the first.
    ports: HashMap<(bool, u16), (SocketAddr, Written<'c>)>,
}

/// What already has the place of each socket address of `written`, which then takes its place.
fn address_clashes<'c>(
    config: &Config,
    written: Written<'c>,
    taken: &mut Taken<'c>,
) -> [Option<Written<'c>>; 2] {
    let mut clashes = [None; 2];
    // Port 0 is a different port each time. An http listener may share a tcp listener's address.
    let sockets = written.address.sockets().filter(|it| it.port() != 0);
    for (clash, socket) in clashes.iter_mut().zip(sockets) {
        let shares = shares_address(config, written.listener, socket);
        *clash = taken.addresses.insert((socket, shares), written);
        if clash.is_none() && !shares {
            *clash = taken.take_port(socket, written);
        }
    }
    clashes
}

impl<'c> Taken<'c> {
    fn take_port(&mut self, socket: SocketAddr, written: Written<'c>) -> Option<Written<'c>> {
        let port = (socket.is_ipv4(), socket.port());
        let first = self.ports.entry(port).or_insert((socket, written));
        let is_wildcard = |it: SocketAddr| it.ip().is_unspecified();
        let (address, by) = *first;
        if is_wildcard(socket) {
            *first = (socket, written);
        }
        (address != socket && (is_wildcard(address) || is_wildcard(socket))).then_some(by)
    }
}

/// What is wrong with `second`, whose address `first` has.
fn clash(first: Written<'_>, second: Written<'_>) -> String {
    let (earlier, later) = (*first.address, *second.address);
    let what = if earlier == later {
        format!("{later} is listened on twice")
    } else {
        let is_wider = earlier.includes(later);
        let (wide, narrow) = if is_wider { (earlier, later) } else { (later, earlier) };
        format!("{wide} takes in {narrow}; only one of them can have the port")
    };
    let is_same_list = first.listener.location == second.listener.location;
    let also_at = if is_same_list { String::new() } else { also_at(&first.listener.location) };
    format!("{what}{also_at}")
}

/// Notes an admin listener at the address of another listener.
fn check_admin(config: &Config, problems: &mut Problems) {
    let Some(AdminConfig { address: AdminAddress::Tcp(address), location }) = &config.admin else {
        return;
    };
    let excludes = |one: SocketAddr, other: SocketAddr| {
        one.port() != 0 && (one == other || overlap(one, other))
    };
    let taken = |it: &&ListenerConfig| {
        it.sockets().any(|one| address.sockets().any(|other| excludes(one, other)))
    };
    if let Some(listener) = config.listeners.iter().find(taken) {
        let line = listener.location.line().map(|line| format!(" in line {line}"));
        let line = line.unwrap_or_default();
        let what = format!("{address} is taken by the listener at {}{line}", listener.name());
        problems.add(location, what);
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
            && let Some(what) = tcp.sockets().find_map(|it| http_behind(config, tcp, it).err())
        {
            problems.add(&forward.upstream_location, what);
        }
    }
    for http in &config.listeners {
        if let Some(address) = http.sockets().find(|it| shares_address(config, http, *it)) {
            check_shared(http, address, to_http.is_some(), problems);
        }
    }
}

/// Notes what keeps an http listener from serving at an address that it shares with a tcp listener.
fn check_shared(
    http: &ListenerConfig,
    address: SocketAddr,
    has_forward: bool,
    problems: &mut Problems,
) {
    if !has_forward || http.redirect {
        let what = "no forward with `upstream = \"http\"` leads to it, and its address is that \
                    of a tcp listener";
        problems.add(&http.location, format!("{address} is out of reach: {what}"));
    }
    if !http.proxy_protocol.is_empty() {
        let what = "it accepts no connections of its own";
        let advice = "say `proxy_protocol` at the tcp listener with this address";
        problems.add(&http.location, format!("{what}; {advice}"));
    }
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

    #[cfg(feature = "acme")]
    #[test]
    fn who_writes_a_listener_for_each_name_learns_that_one_may_have_several() {
        let listener = |name| format!("[[listener]]\naddress = \":443\"\ndomains = \"{name}\"\n");
        let text = format!("{}{}{MINIMAL}", listener("a.example"), listener("b.example"));
        refuse(
            &text,
            "f:5: listener.address: :443 is listened on twice; the first is in line 2; one \
             listener has all names of an address, in `domains`",
        );
    }

    #[test]
    fn an_admin_listener_has_an_address_of_its_own() {
        let with = |address: &str| format!("admin = \"{address}\"\n{MINIMAL}");
        for address in ["127.0.0.1:8080", "0.0.0.0:8080", ":8080", "localhost:8080"] {
            let taken = "is taken by the listener at 127.0.0.1:8080 in line 4";
            refuse(&with(address), &format!("f:1: admin: {address} {taken}"));
        }
        for address in ["127.0.0.2:8080", "[::]:8080", "127.0.0.1:0", ":8081", "unix:/a"] {
            assert!(read(&with(address)).is_ok(), "{address}");
        }
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
    fn what_two_families_have_twice_is_one_problem() {
        let file = |first: &str, second: &str| {
            let listener = |address| format!("[[listener]]\naddress = {address}\n");
            let route = "[[route]]\npath = \"/\"\nupstream = \"http://h/\"\n";
            format!("{}{}{route}", listener(first), listener(second))
        };
        let first = "; only one of them can have the port; the first is in line 2";
        for (one, two, what) in [
            ("\":1\"", "\"1\"", ":1 is listened on twice; the first is in line 2".to_owned()),
            ("\":1\"", "\"0.0.0.0:1\"", format!(":1 takes in 0.0.0.0:1{first}")),
            ("\"[::]:1\"", "\":1\"", format!(":1 takes in [::]:1{first}")),
            ("\"localhost:1\"", "\":1\"", format!(":1 takes in localhost:1{first}")),
            ("\"[::1]:1\"", "\"localhost:1\"", format!("localhost:1 takes in [::1]:1{first}")),
        ] {
            let want = format!("f:4: listener.address: {what}");
            assert_eq!(read(&file(one, two)).unwrap_err().to_string(), want);
        }
        let want = "f:2: listener.address: localhost:1 takes in 127.0.0.1:1; only one of them can \
                    have the port";
        let in_one_list = file("[\"localhost:1\", \"127.0.0.1:1\"]", "\":2\"");
        assert_eq!(read(&in_one_list).unwrap_err().to_string(), want);
        assert!(read(&file("\":0\"", "\"localhost:0\"")).is_ok());
        assert!(read(&file("[\"127.0.0.1:1\", \"127.0.0.2:1\"]", "\"[::1]:1\"")).is_ok());
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
        assert!(read(&file(&[(":1", tcp, ""), (":1", http, ""), (":2", http, "")])).is_ok());
        assert!(read(&file(&[(":1", tcp, ""), (":2", http, "")])).is_ok());
        let proxy = "proxy_protocol = [\"10.0.0.0/8\"]\n";
        refuse(&file(&[(one, tcp, ""), (one, http, proxy)]), "say `proxy_protocol` at the tcp");
        // A listener that leads to https is not one to lead to.
        let (names, redirect) = ("domains = [\"a.example\"]\n", "redirect = true\n");
        let three = [(one, tcp, names), (two, http, redirect), (three, http, "")];
        assert!(read(&file(&three)).is_ok());
        refuse(&file(&three[..2]), "f:3: forward.upstream: there is no http listener to lead to");
        refuse(
            &file(&[(one, tcp, names), (one, http, redirect), (two, http, "")]),
            "127.0.0.1:1 is out of reach",
        );
        let unreachable =
            file(&[(one, tcp, ""), (one, http, "")]).replace("\"http\"\n[[r", "\"tcp://h:1\"\n[[r");
        refuse(&unreachable, "127.0.0.1:1 is out of reach: no forward with `upstream = \"http\"`");
    }
}
