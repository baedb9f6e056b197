//! The binary from outside: exit codes and messages of `check`, and of bad arguments to `run`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../src/tls/test_pem.rs"]
mod test_pem;

use std::process::Command;
use test_pem::{CERTIFICATE, ENCRYPTED_KEY, Folder, KEY, KEY_OF_ANOTHER, KEY_OF_UNKNOWN_KIND};

const VALID: &str = r#"
[[listener]]
address = "127.0.0.1:0"
certificate = "certificate.pem"
key = "key.pem"

[[listener]]
address = "127.0.0.1:8080"

[[route]]
path = "/gpt/"
upstream = "https://api.openai.com/"
"#;

#[test]
fn check_says_ok_on_stdout_and_exits_0() {
    let want =
        "narrows.toml: ok: listening on https://127.0.0.1:0, http://127.0.0.1:8080; 1 route\n";
    let folder = folder(VALID, KEY);
    assert_eq!(
        narrows(&folder, &["check", "--config", "narrows.toml"]),
        (0, want.into(), "".into())
    );
}

#[test]
fn check_tells_what_is_wrong_on_stderr_and_exits_2() {
    let text = VALID.replace("path", "paht").replace("8080", "808080");
    let want = "\
narrows.toml:8: listener.address: \"127.0.0.1:808080\" is not an address; IP:port is allowed, \
such as \"0.0.0.0:443\" or \"[::]:443\"
narrows.toml:10: route.path: this key is missing; it has no default
narrows.toml:11: route: unknown key \"paht\"; did you mean \"path\"?
";
    let folder = folder(&text, KEY);
    assert_eq!(
        narrows(&folder, &["check", "--config", "narrows.toml"]),
        (2, "".into(), want.into())
    );
}

#[test]
fn check_loads_the_files_that_the_configuration_names() {
    let check = |key, why: &str| {
        let (code, stdout, stderr) =
            narrows(&folder(VALID, key), &["check", "--config", "narrows.toml"]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("narrows.toml:5: listener.key: "), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        assert!(stderr.contains("\"key.pem\""), "{stderr}");
    };
    check("", "holds no private key");
    check(KEY_OF_ANOTHER, "does not belong to the certificate");
    check(KEY_OF_UNKNOWN_KIND, "unknown kind");
    check(ENCRYPTED_KEY, "passphrase");
}

#[test]
fn relative_names_begin_at_the_folder_of_the_file() {
    let folder = folder(VALID, KEY);
    let config = folder.path("narrows.toml");
    let elsewhere = Folder::new();
    let (code, _, stderr) = narrows(&elsewhere, &["check", "--config", config.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn run_refuses_bad_arguments_with_exit_code_2() {
    let folder = folder(VALID, KEY);
    let refuse = |arguments: &[&str], why: &str| {
        let (code, stdout, stderr) = narrows(&folder, arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    };
    refuse(&["run"], "ROUTE");
    refuse(&["run", "/gpt/"], "there is no \"=\"");
    refuse(&["run", "/gpt=https://h/"], "did you mean \"/gpt/\"?");
    refuse(&["run", "--config", "narrows.toml", "/gpt/=https://h/"], "cannot be used with");
    refuse(&["run", "--config", "none.toml"], "none.toml:1: the file cannot be read: ");
    refuse(&["run", "/=https://h/", "--workers", "0"], "1 to 256 is allowed");
    refuse(&["run", "/=https://h/", "--ca", "key.pem"], "--ca: \"key.pem\" holds no certificate");
    refuse(
        &["run", "/=https://h/", "--certificate", "none.pem", "--key", "key.pem"],
        "--certificate: \"none.pem\" cannot be read: ",
    );
    refuse(&["run", "/=http://h/", "/=http://i/"], "ROUTE: \"/\" is routed twice");
    refuse(&["chek"], "check");
    refuse(&[], "Usage");
}

#[test]
fn version_and_help_go_to_stdout_and_exit_0() {
    let folder = Folder::new();
    let version = format!("narrows {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(narrows(&folder, &["--version"]), (0, version, "".into()));
    let (code, stdout, stderr) = narrows(&folder, &["run", "--help"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("--log-format"), "{stdout}");
}

/// A folder with a configuration, a certificate and a key.
fn folder(config: &str, key: &str) -> Folder {
    let folder = Folder::new();
    folder.write("narrows.toml", config);
    folder.write("certificate.pem", CERTIFICATE);
    folder.write("key.pem", key);
    folder
}

/// Runs the binary in `folder`: its exit code, stdout and stderr.
fn narrows(folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_narrows"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
