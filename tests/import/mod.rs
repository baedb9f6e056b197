//! `narrows import`: configurations as people publish them, in our own words, and exactly what
//! becomes of each: `tests/import/*.conf` and the `.toml` beside it.
//!
//! `UPDATE_IMPORT=1 cargo test --test config` rewrites the results. Read the difference as someone
//! who will run it on a server.

use super::{CERTIFICATE, KEY, narrows};
use narrows_kit::folder::Folder;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn every_configuration_becomes_exactly_this_file() {
    let mut faults = String::new();
    for file in files() {
        let (code, toml, _) = import(&file);
        assert_eq!(code, 0, "{}", file.display());
        let expected = file.with_extension("toml");
        if std::env::var_os("UPDATE_IMPORT").is_some() {
            fs::write(&expected, &toml).unwrap();
        }
        let want = fs::read_to_string(&expected).unwrap_or_default();
        if toml != want {
            faults += &format!("{} is now\n{toml}\n", expected.display());
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// The files and variables that it names are there, or all that `check` says is that they are not.
#[test]
fn every_result_is_valid_with_and_without_the_files_it_names() {
    for file in files() {
        let (_, toml, _) = import(&file);
        let mut named = 0;
        let with_files: String = toml.lines().map(|it| with_our_file(it, &mut named)).collect();
        let folder = Folder::new("import");
        folder.write("certificate.pem", CERTIFICATE);
        folder.write("key.pem", KEY);
        folder.write("api.keys", "sk-0123456789\n");
        folder.write("clients.tokens", format!("sha256:{}\n", "0123456789abcdef".repeat(4)));
        folder.write("narrows.toml", &with_files);
        let (code, _, stderr) = narrows(&folder, &["check", "narrows.toml"]);
        assert_eq!(code, 0, "{}: {stderr}", file.display());
        let folder = Folder::new("import");
        folder.write("narrows.toml", &toml);
        let (code, _, stderr) = narrows(&folder, &["check", "narrows.toml"]);
        assert_eq!(code, if named > 0 { 2 } else { 0 }, "{}: {stderr}", file.display());
        let errors: Vec<_> = stderr.lines().filter(|it| it.starts_with("error: ")).collect();
        let is_missing = |it: &&str| {
            it.contains("cannot be read: No such file or directory")
                || it.contains("the environment has no variable")
        };
        assert!(errors.iter().all(is_missing), "{}: {stderr}", file.display());
    }
}

#[test]
fn what_was_left_out_is_on_stderr_and_at_the_end_of_the_file() {
    for file in files() {
        let (_, toml, stderr) = import(&file);
        let name = file.file_name().unwrap().to_str().unwrap();
        let told = stderr.lines().filter_map(|it| it.strip_prefix(&format!("warning: {name}:")));
        let end = toml.split("# Left out").nth(1).unwrap_or_default();
        let notes = end.lines().skip(1).filter_map(|it| it.strip_prefix("# "));
        assert!(told.eq(notes), "{name}: {stderr}");
    }
}

/// Keys, tokens and passwords of the files in this folder, and what is often one.
#[test]
fn no_secret_of_a_configuration_is_in_what_is_printed() {
    for file in files() {
        let (_, toml, stderr) = import(&file);
        for secret in ["not-a-real-key", "friends-token", "AIza", "secret}"] {
            let is_shown = toml.contains(secret) || stderr.contains(secret);
            assert!(!is_shown, "{}: {secret}", file.display());
        }
    }
}

#[test]
fn a_configuration_is_read_from_stdin_too() {
    let text = "server { listen 80; location / { proxy_pass https://api.openai.com; } }";
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
    command.args(["import", "nginx", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let toml = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && toml.starts_with("# Made from stdin by"), "{toml}");
}

#[test]
fn what_is_not_a_configuration_of_nginx_is_refused_with_exit_code_2() {
    refuse("server {\n  listen 80;\n", "error: f:1: the block has no \"}\"");
    refuse("server {\n  listen 80\n}\n", "error: f:3: \";\" is missing before this \"}\"");
    refuse("[[listener]]\naddress = \":80\"\n", "error: f:1: this line has no \";\" and no block");
    refuse("struct point {\n  int x;\n}\n", "error: f: this is not a configuration of nginx");
    refuse("", "error: f: this is not a configuration of nginx");
    refuse("server { listen 80; root /; }", "error: no location with proxy_pass in it can be");
    let code = narrows(&Folder::new("import"), &["import", "nginx", "missing"]);
    assert_eq!((code.0, &*code.1), (2, ""));
    assert!(code.2.starts_with("error: missing cannot be read: No such file"), "{}", code.2);
    let (code, _, stderr) = narrows(&Folder::new("import"), &["import", "apache", "f"]);
    assert!(code == 2 && stderr.contains("nginx"), "{stderr}");
}

#[track_caller]
fn refuse(text: &str, why: &str) {
    let folder = Folder::new("import");
    folder.write("f", text);
    let (code, stdout, stderr) = narrows(&folder, &["import", "nginx", "f"]);
    assert_eq!((code, &*stdout), (2, ""), "{stderr}");
    assert!(stderr.lines().any(|it| it.starts_with(why)), "{stderr}");
}

/// The line with a file or a variable of ours in place of the one it names.
fn with_our_file(line: &str, named: &mut usize) -> String {
    let mut line = line.to_owned();
    let keys = [
        ("certificate", "certificate.pem"),
        ("key", "key.pem"),
        ("client_ca", "certificate.pem"),
        ("ca", "certificate.pem"),
        ("client_certificate", "certificate.pem"),
        ("client_key", "key.pem"),
        ("key_file", "api.keys"),
        ("token_file", "clients.tokens"),
        ("key_env", super::KEY_VARIABLE),
    ];
    for (key, file) in keys {
        for before in ["", "  { ", ", "] {
            let start = format!("{before}{key} = \"");
            let at = if before == ", " { line.find(&start) } else { Some(0) };
            let Some(at) = at.filter(|at| line[*at..].starts_with(&start)) else { continue };
            let value = at + start.len();
            let end = value + line[value..].find('"').unwrap();
            line.replace_range(value..end, file);
            *named += 1;
        }
    }
    line + "\n"
}

/// Exit code, stdout and stderr for a file, named as in its folder.
fn import(file: &Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_narrows"))
        .args(["import", "nginx"])
        .arg(file.file_name().unwrap())
        .current_dir(file.parent().unwrap())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "conf")).collect();
    files.sort();
    assert!(files.len() >= 30);
    files
}
