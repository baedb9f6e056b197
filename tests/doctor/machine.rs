//! What is wrong on this machine: configuration, files, certificates, ports, limits.

use crate::patient::{Diagnosis, free_address, leave_out};
use crate::servers::{UNAUTHORIZED, http};
use narrows_kit::certificates::certificate_file;
use narrows_kit::folder::Folder;
use narrows_kit::programs::narrows;
use narrows_kit::relay::Relay;
use rustix::process::geteuid;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// A user without any right.
const NOBODY: &str = "65534";

#[test]
fn a_configuration_that_is_wrong_is_a_failure_with_its_lines() {
    let folder = Folder::new("doctor");
    let found = Diagnosis::of_file(&folder.path, "[[route]]\nproxy_pass = \"x\"\n");
    found.exits(1).has("configuration", "failure", "unknown key", "upstream = ");
    found.has("upstreams", "skipped", "not valid", "");
}

#[test]
fn arguments_that_are_wrong_exit_with_2() {
    let found = Diagnosis::of(&["/gpt/=https://api.example/", "--serve", "127.0.0.1:1"]);
    assert!(found.exits(2).text.contains("--url"), "{}", found.text);
    Diagnosis::of(&["/a/=http://127.0.0.1:1/", "/a/=http://127.0.0.1:1/"]).exits(2);
    Diagnosis::of(&[]).exits(2);
}

#[test]
fn a_port_that_another_program_has_is_named_with_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let found = listening_at(&taken.local_addr().unwrap().to_string());
    let pid = format!("(pid {})", std::process::id());
    found.exits(1).has("port", "failure", &pid, "stop ");
}

#[tokio::test]
async fn our_own_relay_is_recognized_whatever_its_file_is_called() {
    let upstream = http(UNAUTHORIZED);
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nupstream = \
         \"http://{upstream}/\"\n"
    );
    let relay = Relay::start(&toml).await;
    let address = relay.address().to_string();
    let found = listening_at(&address);
    let pid = format!("narrows (pid {}) listens here", relay.pid());
    found.exits(0).has("port", "ok", &pid, "").has("open files", "ok", "at most", "");
    let folder = Folder::new("renamed");
    let file = folder.path.join("gateway");
    symlink(narrows(), &file).unwrap();
    let relay = Relay::start(&toml).program(file).await;
    let found = listening_at(&relay.address().to_string());
    let pid = format!("narrows (pid {}, called gateway) listens here", relay.pid());
    found.exits(0).has("port", "ok", &pid, "");
}

#[test]
fn an_address_of_another_machine_is_named() {
    let found = listening_at("192.0.2.1:8080");
    found.exits(1).has("port", "failure", "does not have the address", "ip address");
}

#[test]
fn a_port_of_root_is_named() {
    let Some(mut nobody) = as_nobody() else { return };
    let route = format!("/=http://{}/", http(UNAUTHORIZED));
    let found = Diagnosis::by(nobody.args(["--listen", "127.0.0.1:1", &route]));
    if !found.text.contains("\"free\"") {
        found.exits(1).has("port", "failure", "only root", "setcap");
    }
}

#[test]
fn own_certificates_are_judged() {
    for (name, key, verdict, what, remedy) in [
        ("authority", "authority", "ok", "for localhost", ""),
        ("expired", "expired", "failure", "expired on 2021-01-01", "renew it"),
        ("not-yet-valid", "not-yet-valid", "failure", "not valid before", "clock"),
        ("chain-leaf", "chain-leaf", "warning", "one certificate", "fullchain.pem"),
        ("authority", "impostor", "failure", "does not belong to", "privkey.pem"),
        ("authority", "encrypted", "failure", "passphrase", "put a file there"),
    ] {
        let found = showing(&format!("{name}.pem"), &format!("{key}.key"));
        found.has("certificate", verdict, what, remedy);
        found.exits(i32::from(verdict == "failure"));
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let found = showing("no-such.pem", "authority.key");
    found.exits(1).has("file", "failure", "no such file", "correct its name");
    found.has("certificate", "skipped", "a file cannot be read", "");
}

#[test]
fn a_key_that_everyone_can_read_is_a_warning() {
    let folder = Folder::new("doctor");
    let key = fs::read(certificate_file("authority.key")).unwrap();
    let key = folder.write("own.key", key);
    for (mode, verdict) in [(0o644, "warning"), (0o600, "ok")] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let found = showing("authority.pem", key.to_str().unwrap());
        found.exits(0).has("file", verdict, "can", if mode == 0o644 { "chmod" } else { "" });
    }
}

#[test]
fn a_key_that_cannot_be_read_is_named_with_its_owner() {
    let Some(mut nobody) = as_nobody() else { return };
    let folder = Folder::new("doctor");
    let key = folder.write("own.key", fs::read(certificate_file("authority.key")).unwrap());
    let certificate = fs::read(certificate_file("authority.pem")).unwrap();
    let certificate = folder.write("own.pem", certificate);
    fs::set_permissions(&key, Permissions::from_mode(0o000)).unwrap();
    let route = format!("/=http://{}/", http(UNAUTHORIZED));
    nobody.arg("--certificate").arg(&certificate).arg("--key").arg(&key);
    let found = Diagnosis::by(nobody.args(["--listen", "127.0.0.1:0", &route]));
    found.exits(1).has("file", "failure", "may not read it (owner", "chmod 640");
}

#[test]
fn few_descriptors_are_a_warning_and_very_few_a_failure() {
    for (limit, verdict, code) in [(1000, "warning", 0), (128, "failure", 1)] {
        let route = format!("/=http://{}/", http(UNAUTHORIZED));
        let shell = format!("ulimit -n {limit} && exec \"$0\" doctor --json \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &shell]).arg(narrows()).args(["--listen", "127.0.0.1:0", &route]);
        let found = Diagnosis::by(&mut command);
        found.exits(code).has("open files", verdict, &format!("at most {limit}"), "LimitNOFILE");
    }
}

#[test]
fn a_certificate_that_is_awaited_is_a_warning() {
    let folder = Folder::new("doctor");
    let authority = format!("https://{}/dir", free_address());
    let route = format!("/=http://{}/", http(UNAUTHORIZED));
    let state = folder.path.join("state");
    let found = Diagnosis::of(&[
        "--listen",
        "127.0.0.1:0",
        "--domain",
        "relay.example",
        "--state",
        state.to_str().unwrap(),
        "--acme-directory",
        &authority,
        &route,
    ]);
    found.exits(1).has("certificate", "warning", "not there yet", "start narrows");
    found.has("tcp", "failure", "refused", "");
}

#[test]
fn text_has_a_summary_and_nothing_secret() {
    let folder = Folder::new("doctor");
    let upstream = http(UNAUTHORIZED);
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/c4nary/\"\nupstream = \
         \"http://{upstream}/c4nary/\"\n"
    );
    let file = folder.write("narrows.toml", toml);
    let url = format!("http://{upstream}/c4nary/");
    for form in [&[][..], &["--json"]] {
        let mut command = Command::new(narrows());
        command.arg("doctor").arg(&file).args(["--url", &url]).args(form);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("c4nary") && !text.contains('\x1b'), "{text}");
        assert!(
            form.len() == 1 || text.contains("Begin with the first failure: arrival: "),
            "{text}"
        );
    }
}

fn listening_at(address: &str) -> Diagnosis {
    let route = format!("/=http://{}/", http(UNAUTHORIZED));
    Diagnosis::of(&["--listen", address, &route])
}

/// Of a listener that shows a pair of `certs/`, or of elsewhere.
fn showing(certificate: &str, key: &str) -> Diagnosis {
    let [certificate, key] = [certificate, key].map(certificate_file);
    let [certificate, key] = [&certificate, &key].map(|it| it.to_str().unwrap());
    let route = format!("/=http://{}/", http(UNAUTHORIZED));
    let listen = ["--listen", "127.0.0.1:0"];
    Diagnosis::of(&[&listen[..], &["--certificate", certificate, "--key", key, &route]].concat())
}

/// `narrows doctor --json` as a user without rights, if this one is not.
fn as_nobody() -> Option<Command> {
    let doctor = ["doctor", "--json"];
    if !geteuid().is_root() {
        let mut command = Command::new(narrows());
        command.args(doctor);
        return Some(command);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(narrows());
    let mut probe = Command::new("setpriv");
    probe.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(narrows());
    if !probe.arg("--version").output().is_ok_and(|it| it.status.success()) {
        leave_out("another user may not run this build");
        return None;
    }
    command.args(doctor);
    Some(command)
}
