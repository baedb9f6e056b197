//! Networks that are broken. Each test starts itself once more in namespaces of its own, where it
//! may break what it likes: routes, /etc/hosts and /etc/resolv.conf.

use crate::patient::{Diagnosis, leave_out};
use crate::servers::{UNAUTHORIZED, http};
use narrows_kit::folder::Folder;
use rustix::process::geteuid;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::{env, thread};

/// Set inside.
const INSIDE: &str = "NARROWS_DOCTOR_INSIDE";
/// Where packets vanish: no one reads the far end, and no address is asked for.
const HOLE: &str = "ip link add hole type veth peer name far && ip link set far up && \
                    ip link set hole arp off up && ip address add 198.51.100.2/24 dev hole";
/// Lets the system give up sooner.
const SOON: &str = "options timeout:1 attempts:1\n";

#[test]
fn a_dead_nameserver_beside_a_good_one_is_named() {
    let network = Network { setup: HOLE, name: "a_dead_nameserver_beside_a_good_one_is_named" };
    let Some(network) = network.enter() else { return };
    network.resolv_conf("nameserver 198.51.100.53\nnameserver 127.0.0.1\noptions timeout:2\n");
    name_server(Answers::Addresses);
    let found = Diagnosis::of_route(&upstream_at("api.test"), &[]);
    found.exits(0).has("nameserver", "warning", "no answer within", "remove it from");
    found.has("nameserver", "ok", "1 IPv4", "");
}

#[test]
fn nameservers_that_are_all_dead_are_named() {
    let network = Network { setup: HOLE, name: "nameservers_that_are_all_dead_are_named" };
    let Some(network) = network.enter() else { return };
    network.resolv_conf(&format!("nameserver 198.51.100.53\n{SOON}"));
    let found = Diagnosis::of_route("http://api.test/", &[]);
    found.exits(1).has("nameserver", "failure", "no answer within", "put one that works");
    found.has("name", "failure", "no nameserver answers", "step nameserver");
}

#[test]
fn a_nameserver_that_takes_questions_and_says_nothing_is_named() {
    let name = "a_nameserver_that_takes_questions_and_says_nothing_is_named";
    let Some(network) = (Network { setup: "true", name }).enter() else { return };
    network.resolv_conf(&format!("nameserver 127.0.0.1\n{SOON}"));
    name_server(Answers::Nothing);
    let found = Diagnosis::of_route("http://api.test/", &[]);
    found.exits(1).has("nameserver", "failure", "no answer within 2 s", "put one that works");
    found.has("name", "failure", "no nameserver answers", "step nameserver");
}

#[test]
fn nameservers_that_do_not_listen_or_fail_are_named() {
    let name = "nameservers_that_do_not_listen_or_fail_are_named";
    let Some(network) = (Network { setup: "true", name }).enter() else { return };
    network.resolv_conf(&format!("nameserver 127.0.0.2\nnameserver 127.0.0.1\n{SOON}"));
    name_server(Answers::Failure);
    let found = Diagnosis::of_route("http://api.test/", &[]);
    found.exits(1).has("nameserver", "warning", "nothing answers there", "remove it");
    found.has("nameserver", "warning", "SERVFAIL", "remove it");
}

#[test]
fn a_nameserver_that_drops_questions_about_ipv6_is_named() {
    let name = "a_nameserver_that_drops_questions_about_ipv6_is_named";
    let Some(network) = (Network { setup: "true", name }).enter() else { return };
    network.resolv_conf(&format!("nameserver 127.0.0.1\n{SOON}"));
    name_server(Answers::OnlyAboutIpv4);
    let found = Diagnosis::of_route(&upstream_at("api.test"), &[]);
    found.has("nameserver", "warning", "silent about IPv6", "family = \"4\"");
}

#[test]
fn a_name_that_does_not_exist_is_named() {
    let network = Network { setup: "true", name: "a_name_that_does_not_exist_is_named" };
    let Some(network) = network.enter() else { return };
    network.resolv_conf(&format!("nameserver 127.0.0.1\n{SOON}"));
    name_server(Answers::NoSuchName);
    let found = Diagnosis::of_route("http://api.openia.test/", &[]);
    found.exits(1).has("name", "failure", "does not exist", "how the name is written");
    found.has("nameserver", "ok", "does not know the name", "");
}

#[test]
fn names_that_lead_nowhere_are_named() {
    let network = Network { setup: HOLE, name: "names_that_lead_nowhere_are_named" };
    let Some(network) = network.enter() else { return };
    network.hosts("0.0.0.0 filtered.test\n198.18.0.7 fake.test\n");
    let found = Diagnosis::of_route("http://filtered.test:1/", &[]);
    found.exits(1).has("name", "warning", "leads to this machine", "/etc/hosts");
    let found = Diagnosis::of_route("http://fake.test:1/", &[]);
    found.exits(1).has("name", "warning", "198.18.0.7", "fake-ip");
}

#[test]
fn a_black_hole_of_ipv6_is_named() {
    let setup = "ip link add hole type veth peer name far && ip link set far up && \
                 ip link set hole arp off up && ip address add 2001:db8::2/64 dev hole nodad";
    let Some(network) = (Network { setup, name: "a_black_hole_of_ipv6_is_named" }).enter() else {
        return;
    };
    network.hosts("127.0.0.1 api.test\n2001:db8::1 api.test\n");
    let found = Diagnosis::of_route(&upstream_at("api.test"), &[]);
    found.has("tcp", "warning", "packets vanish", "family = \"4\"");
    found.has("http", "ok", "401", "");
}

#[test]
fn a_machine_without_ipv6_is_well() {
    let network = Network { setup: "true", name: "a_machine_without_ipv6_is_well" };
    let Some(network) = network.enter() else { return };
    network.hosts("127.0.0.1 api.test\n2001:db8::1 api.test\n");
    let found = Diagnosis::of_route(&upstream_at("api.test"), &[]);
    found.has("tcp", "ok", "has no IPv6, and does without", "");
}

#[test]
fn blocked_egress_is_named() {
    let setup = "ip link add hole type veth peer name far && ip link set far up && \
                 ip link set hole arp off up && ip address add 198.51.100.2/24 dev hole && \
                 ip route add prohibit 203.0.113.0/25 && \
                 ip route add unreachable 203.0.113.128/25";
    let Some(_network) = (Network { setup, name: "blocked_egress_is_named" }).enter() else {
        return;
    };
    for (address, what, remedy) in [
        ("198.51.100.1", "packets vanish", "pass outgoing connections"),
        ("203.0.113.1", "forbidden by a rule", "nft list ruleset"),
        ("203.0.113.200", "no way to this host", "firewall lets this machine out"),
        ("192.0.2.1", "this machine has no IPv4", "ip route"),
    ] {
        let found = Diagnosis::of_route(&format!("https://{address}/"), &[]);
        found.exits(1).has("tcp", "failure", what, remedy);
    }
}

/// What the network of a test is like.
struct Network {
    /// Commands that break it.
    setup: &'static str,
    /// The test itself.
    name: &'static str,
}

/// A test that is inside of its network.
struct Inside(Folder);

impl Network {
    /// Outside: runs the test inside, and has no more to do.
    fn enter(&self) -> Option<Inside> {
        if env::var_os(INSIDE).is_some() {
            return Some(Inside(Folder::new("doctor")));
        }
        // Root needs no user namespace, and may not be allowed one.
        let kinds = if geteuid().is_root() { "-mn" } else { "-rmn" };
        let unshare = |script: &str| {
            let mut command = Command::new("unshare");
            command.args([kinds, "sh", "-ec", script]);
            command
        };
        let mut probe = unshare("ip link set lo up && ip link add hole type veth peer name far");
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        if !probe.status().is_ok_and(|it| it.success()) {
            leave_out("there are no namespaces for networks here");
            return None;
        }
        let script = format!("ip link set lo up\n{}\nexec \"$0\" \"$@\"", self.setup);
        let test = format!("namespaces::{}", self.name);
        let mut command = unshare(&script);
        command.arg(env::current_exe().unwrap()).args(["--exact", &test, "--nocapture"]);
        let output = command.env(INSIDE, "1").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        None
    }
}

impl Inside {
    fn resolv_conf(&self, text: &str) {
        self.cover("/etc/resolv.conf", text);
    }

    fn hosts(&self, text: &str) {
        self.cover("/etc/hosts", text);
    }

    /// Mounts a file over another.
    fn cover(&self, path: &str, text: &str) {
        let file = self.0.write(&path.replace('/', "-"), text);
        let mounted = Command::new("mount").arg("--bind").arg(file).arg(path).status();
        assert!(mounted.unwrap().success());
    }
}

/// An API on this machine, by a name.
fn upstream_at(name: &str) -> String {
    format!("http://{name}:{}/", http(UNAUTHORIZED).port())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// 127.0.0.1 for every name.
    Addresses,
    /// The same, and nothing to questions about IPv6.
    OnlyAboutIpv4,
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    Nothing,
}

/// A nameserver at 127.0.0.1.
fn name_server(answers: Answers) {
    const A: u8 = 1;
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut message) {
            // The type is the last word but one of the question; what comes after it is EDNS.
            let end = 12 + message[12..len].iter().position(|it| *it == 0).unwrap() + 5;
            let is_four = message[end - 3] == A;
            let mut reply = message[..end].to_vec();
            reply[2] |= 0x80;
            reply[3] = match answers {
                Answers::Addresses | Answers::OnlyAboutIpv4 => 0x80,
                Answers::NoSuchName => 0x83,
                Answers::Failure => 0x82,
                Answers::Nothing => continue,
            };
            // One question, and nothing else yet.
            reply[6..12].fill(0);
            if is_four && reply[3] == 0x80 {
                reply[7] = 1;
                reply.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01");
            }
            if is_four || answers != Answers::OnlyAboutIpv4 {
                let _sent = socket.send_to(&reply, from);
            }
        }
    });
}
