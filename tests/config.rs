//! The binary from outside: exit codes and messages of `check`, and of bad arguments to `run`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod import;
mod mistakes;

use narrows_kit::folder::Folder;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const CERTIFICATE: &str = include_str!("../certs/authority.pem");
const KEY: &str = include_str!("../certs/authority.key");
const KEY_OF_ANOTHER: &str = include_str!("../certs/impostor.key");
const ENCRYPTED_KEY: &str = include_str!("../certs/encrypted.key");
const KEY_OF_UNKNOWN_KIND: &str = include_str!("../certs/ed448.key");
/// A variable that the binary has in its environment, with a key.
const KEY_VARIABLE: &str = "NARROWS_TESTS_KEY";

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
fn check_prints_ok_on_stdout_and_exits_0() {
    let want = "\
narrows.toml: ok: listening on https://127.0.0.1:0, http://127.0.0.1:8080; 1 route
listeners
  https://127.0.0.1:0    certificate for localhost, ";
    let folder = folder(VALID, KEY);
    for arguments in [&["check", "--config", "narrows.toml"][..], &["check", "narrows.toml"]] {
        let (code, stdout, stderr) = narrows(&folder, arguments);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout.starts_with(want), "{stdout}");
        let rest = " days left
  http://127.0.0.1:8080
routes
  /gpt/  ->  https://api.openai.com/
";
        assert!(stdout.ends_with(rest), "{stdout}");
    }
}

#[test]
fn check_takes_the_arguments_of_run_and_stdin() {
    let folder = folder(VALID, KEY);
    let (code, stdout, stderr) =
        narrows(&folder, &["check", "--listen", ":8080", "/gpt/=http://api.example.com/"]);
    assert_eq!(code, 0, "{stderr}");
    let first = "arguments: ok: listening on http://:8080; 1 route\n";
    assert!(stdout.starts_with(first), "{stdout}");
    let warnings: Vec<_> = stderr.lines().filter(|it| it.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 2, "{stderr}");
    assert!(stderr.contains("in clear text"), "{stderr}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
    command.args(["check", "-"]).current_dir(&folder);
    command.stdin(File::open(folder.path.join("narrows.toml")).unwrap());
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("stdin: ok: listening on https://127.0.0.1:0, "), "{stdout}");
}

/// Without a warning, too: it is what a new user starts from.
#[test]
fn the_configuration_of_packages_is_valid_and_so_are_its_commented_out_examples() {
    const SHIPPED: &str = include_str!("../packaging/narrows.toml");
    let is_example = |line: &str| line.starts_with(|it: char| it == '[' || it.is_ascii_lowercase());
    let uncommented = |line: &'static str| line.strip_prefix('#').filter(|it| is_example(it));
    let whole: String =
        SHIPPED.lines().map(|it| format!("{}\n", uncommented(it).unwrap_or(it))).collect();
    for (text, listeners) in [(SHIPPED, 1), (&*whole, 3)] {
        let (code, stdout, stderr) = narrows(&folder(text, KEY), &["check", "narrows.toml"]);
        assert_eq!((code, &*stderr), (0, ""), "{text}");
        let shown = stdout.lines().filter(|it| it.starts_with("  http"));
        assert_eq!(shown.count(), listeners, "{stdout}");
    }
}

/// What they do is tried by tests/guide/check.py, which needs more than this machine may have.
#[test]
fn configurations_and_commands_of_the_readmes_and_guides_are_valid() {
    let (mut configurations, mut commands) = (0, 0);
    for (document, text) in documents() {
        for block in text.split("\n```").skip(1).step_by(2) {
            let (language, code) = block.split_once('\n').unwrap();
            let runs = code.lines().filter_map(|it| it.strip_prefix("narrows run "));
            if language == "toml" {
                let folder = folder(code, KEY);
                for name in ["fullchain.pem", "origin.pem"] {
                    folder.write(name, CERTIFICATE);
                }
                for name in ["privkey.pem", "origin.key"] {
                    folder.write(name, KEY);
                }
                folder.write("cloudflare.txt", "173.245.48.0/20\n");
                folder.write("openai.key", "sk-test\n");
                let only_mine = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(folder.path.join("openai.key"), only_mine).unwrap();
                let (code, _, stderr) = narrows(&folder, &["check", "narrows.toml"]);
                assert_eq!((code, &*stderr), (0, ""), "{document}");
                configurations += 1;
            }
            for arguments in runs.filter(|_| language == "sh") {
                let words: Vec<_> = ["check"].into_iter().chain(arguments.split(' ')).collect();
                let (code, _, stderr) = narrows(&Folder::new("config"), &words);
                assert_eq!((code, &*stderr), (0, ""), "{document}: {arguments}");
                commands += 1;
            }
        }
    }
    assert!(configurations >= 10 && commands >= 4, "{configurations} {commands}");
}

/// The READMEs, the guides and their like: names and texts.
fn documents() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let guides = std::fs::read_dir(root.join("docs/guide")).unwrap();
    let guides = guides.map(|it| it.unwrap().path());
    let others = ["README.md", "README.zh-CN.md", "docs/scaling.md"].map(|it| root.join(it));
    let texts = others.into_iter().chain(guides);
    texts.map(|it| (it.display().to_string(), std::fs::read_to_string(&it).unwrap())).collect()
}

#[test]
fn a_route_without_a_command_is_answered_with_the_command_that_was_meant() {
    let (code, stdout, stderr) =
        narrows(&Folder::new("config"), &["/gpt/=https://api.openai.com/"]);
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    let want = "did you mean `narrows run /gpt/=https://api.openai.com/`?";
    assert!(stderr.contains(want), "{stderr}");
}

#[test]
fn check_lists_problems_on_stderr_and_exits_2() {
    let text = VALID.replace("path", "paht").replace("8080", "808080");
    let want = "\
error: listener.address: \"127.0.0.1:808080\" is not an address to listen on
 --> narrows.toml:8:11
  |
8 | address = \"127.0.0.1:808080\"
  |           ^^^^^^^^^^^^^^^^^^
  |
  = help: IP:port, \":443\" (every address) and \"localhost:8080\" are allowed

error: route.path: this key is missing; it has no default
  --> narrows.toml:10:1
   |
10 | [[route]]
   | ^^^^^^^^^
   |
   = help: write path = \"/gpt/\"

error: route: unknown key \"paht\"
  --> narrows.toml:11:1
   |
11 | paht = \"/gpt/\"
   | ^^^^
   |
   = help: did you mean \"path\"?

3 problems in narrows.toml
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
        assert!(stderr.starts_with("error: listener.key: "), "{stderr}");
        assert!(stderr.contains("\n --> narrows.toml:5:7\n"), "{stderr}");
        assert!(stderr.ends_with("\n1 problem in narrows.toml\n"), "{stderr}");
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
    let config = folder.path.join("narrows.toml");
    let elsewhere = Folder::new("config");
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
    refuse(&["run", "--config", "none.toml"], "error: the file cannot be read: ");
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
    let folder = Folder::new("config");
    let (code, stdout, stderr) = narrows(&folder, &["--version"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let version = concat!("narrows ", env!("CARGO_PKG_VERSION"), " (");
    let about = stdout.strip_prefix(version).and_then(|it| it.strip_suffix(")\n")).unwrap();
    // The commit, the date, the target; the first two may be unknown.
    let parts: Vec<_> = about.split(", ").collect();
    assert_eq!(parts.len(), 3, "{stdout}");
    assert!(parts[2].starts_with(std::env::consts::ARCH), "{stdout}");
    let (code, stdout, stderr) = narrows(&folder, &["run", "--help"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("--log-format"), "{stdout}");
}

/// Whatever has become of a file of keys or certificates, and wherever it is named or pasted: what
/// is said of it shows none of it.
#[test]
fn no_message_shows_a_part_of_a_key() {
    let both = format!("{KEY}{CERTIFICATE}");
    let mut mangled: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, text: String| mangled.push((what.into(), text.into_bytes()));
    for (what, text) in [("key", KEY), ("certificate", CERTIFICATE), ("both", &both)] {
        for (how, instead) in [("blanks", " "), ("escapes", "\\n"), ("nothing", ""), ("tabs", "\t")]
        {
            add(&format!("{what}: line breaks became {how}"), text.replace('\n', instead));
            let cut = text.replace('\n', instead).replace("-----END", "");
            add(&format!("{what}: and without an end"), cut);
        }
        add(&format!("{what}: without a beginning"), text.replacen("-----BEGIN", "", 1));
        add(&format!("{what}: fewer hyphens"), text.replace("-----", "----"));
        add(&format!("{what}: no hyphens"), text.replace('-', ""));
        add(
            &format!("{what}: without markers"),
            text.lines().filter(|it| !it.starts_with('-')).collect(),
        );
        add(&format!("{what}: a character that is wrong"), text.replace('A', "*"));
        add(&format!("{what}: other marks"), text.replace('\n', "\u{2028}"));
        add(&format!("{what}: half of it"), text[..text.len() / 2].into());
        add(&format!("{what}: as TOML"), format!("key = \"\"\"\n{text}\"\"\"\n"));
        add(&format!("{what}: as a number of TOML"), format!("workers = {text}"));
        add(&format!("{what}: as a workers of TOML"), format!("workers = \"\"\"{text}\"\"\""));
    }
    for (what, bytes) in &mangled {
        check_silence(what, bytes);
    }
    let line = KEY.lines().nth(1).unwrap();
    let value = KEY.replace('\n', "\\n");
    for text in [
        VALID.replace("key.pem", &value),
        VALID.replace("certificate.pem", &value),
        VALID.replace("127.0.0.1:0", &value),
        VALID.replace("/gpt/", &value),
        VALID.replace("https://api.openai.com/", &value),
        VALID.replace("https://api.openai.com/", line),
        VALID.replace("path", line.trim_matches(|it: char| !it.is_ascii_alphanumeric())),
        format!("{VALID}ca = \"{value}\"\n"),
        format!("{VALID}warm = \"{value}\"\n"),
    ] {
        let folder = folder(&text, KEY);
        silent(
            "a key in the configuration",
            narrows(&folder, &["check", "--config", "narrows.toml"]),
        );
    }
}

/// Names `bytes` in every place where a file is named.
#[track_caller]
fn check_silence(what: &str, bytes: &[u8]) {
    let folder = folder(VALID, KEY);
    folder.write("mangled", bytes);
    folder.write("none.pem", "");
    // In each place at once, because a process takes its time.
    let mut named = VALID.replace("key.pem", "mangled");
    named.push_str("ca = \"mangled\"\n[[listener]]\naddress = \"127.0.0.1:8081\"\n");
    named.push_str("certificate = \"mangled\"\nkey = \"key.pem\"\n");
    folder.write("named.toml", named);
    // With a certificate that is none, so that nothing begins to serve.
    let run = ["run", "/=https://h/", "--certificate", "none.pem", "--key", "mangled"];
    let arguments = [&["check", "--config", "named.toml"][..], &["check", "--config", "mangled"]];
    for arguments in arguments.into_iter().chain([&run[..]]) {
        silent(&format!("{what}, {arguments:?}"), narrows(&folder, arguments));
    }
}

#[track_caller]
fn silent(what: &str, (_, stdout, stderr): (i32, String, String)) {
    let lines = [KEY, CERTIFICATE].into_iter().flat_map(str::lines);
    let secrets = lines.filter(|line| !line.starts_with('-'));
    for window in secrets.flat_map(|line| line.as_bytes().windows(8)) {
        let window = str::from_utf8(window).unwrap();
        assert!(!stdout.contains(window) && !stderr.contains(window), "{what}: {stdout}{stderr}");
    }
}

#[test]
fn check_warns_about_an_odd_certificate_and_refuses_an_expired_one() {
    let [expired, expired_key, leaf, leaf_key] =
        ["expired.pem", "expired.key", "server.pem", "server.key"].map(certs);
    let check = |certificate: &str, key: &str| {
        let folder = folder(VALID, key);
        folder.write("certificate.pem", certificate);
        narrows(&folder, &["check", "--config", "narrows.toml"])
    };
    let (code, stdout, stderr) = check(&expired, &expired_key);
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    let what = "error: listener.certificate: the certificate expired on 2021-01-01\n";
    assert!(stderr.contains(&format!("{what} --> narrows.toml:4:15\n")), "{stderr}");
    let (code, stdout, stderr) = check(&leaf, &leaf_key);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("narrows.toml: ok: "), "{stdout}");
    let warning = "warning: listener.certificate: the file holds one certificate";
    assert!(stderr.starts_with(warning), "{stderr}");
    assert_eq!(stderr.matches("warning: ").count(), 1, "{stderr}");
}

#[test]
fn a_swapped_key_and_certificate_are_one_problem() {
    let folder = folder(VALID, CERTIFICATE);
    folder.write("certificate.pem", KEY);
    let (code, _, stderr) = narrows(&folder, &["check", "--config", "narrows.toml"]);
    assert_eq!((code, stderr.matches("error: ").count()), (2, 1), "{stderr}");
    assert!(stderr.contains("they have to change places"), "{stderr}");
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    let folder = folder(&VALID.replace("https://api", "https://user:pa55word@api"), KEY);
    let config = ["check", "--config", "narrows.toml"];
    for arguments in [&config[..], &["run", "/gpt/=https://user:pa55word@api.openai.com/"]] {
        let (code, stdout, stderr) = narrows(&folder, arguments);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("user information"), "{stderr}");
        assert!(!stderr.contains("pa55word") && !stdout.contains("pa55word"), "{stderr}");
    }
}

/// A file of `certs`.
fn certs(name: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A folder with a configuration, a certificate and a key.
fn folder(config: &str, key: &str) -> Folder {
    let folder = Folder::new("config");
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
        .env(KEY_VARIABLE, "sk-0123456789")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
