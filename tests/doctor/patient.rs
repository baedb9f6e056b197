//! A run of doctor, and what it has found: [`Diagnosis`].

use narrows_kit::programs::narrows;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

/// What doctor has found.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    pub(crate) code: Option<i32>,
    /// All that was written.
    pub(crate) text: String,
    findings: Vec<serde_json::Value>,
}

impl Diagnosis {
    /// Asks for one in JSON.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let mut command = Command::new(narrows());
        Self::by(command.args(["doctor", "--json"]).args(arguments))
    }

    /// Of a configuration file in this folder.
    pub(crate) fn of_file(folder: &Path, toml: &str) -> Self {
        let file = folder.join("narrows.toml");
        std::fs::write(&file, toml).unwrap();
        Self::of(&[file.to_str().unwrap()])
    }

    /// Of a route to this URL, with a listener at a free port.
    pub(crate) fn of_route(upstream: &str, more: &[&str]) -> Self {
        let route = format!("/gpt/={upstream}");
        Self::of(&[&["--listen", "127.0.0.1:0", &route], more].concat())
    }

    /// Runs a command that ends in `narrows doctor --json`.
    pub(crate) fn by(command: &mut Command) -> Self {
        Self::read(command.output().unwrap())
    }

    pub(crate) fn read(output: Output) -> Self {
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let document: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_default();
        let findings = document["findings"].as_array().cloned().unwrap_or_default();
        Self { code: output.status.code(), text: stdout + &stderr, findings }
    }

    /// Asserts that a step ended so, and that its words and its remedy contain these.
    #[track_caller]
    pub(crate) fn has(&self, step: &str, verdict: &str, what: &str, remedy: &str) -> &Self {
        let has = |it: &serde_json::Value, key: &str, part: &str| {
            it[key].as_str().unwrap_or_default().contains(part)
        };
        let is_it = |it: &&serde_json::Value| {
            it["step"] == step && it["verdict"] == verdict && has(it, "what", what)
        };
        let found = self.findings.iter().find(is_it);
        let found =
            found.unwrap_or_else(|| panic!("no {verdict} of {step}: {what}: {}", self.text));
        assert!(has(found, "remedy", remedy), "{remedy} is not in {found}");
        self
    }

    /// What was found about one server.
    pub(crate) fn about(&self, server: SocketAddr) -> Self {
        let server = server.to_string();
        let is_it = |it: &&serde_json::Value| it["about"].as_str().unwrap().starts_with(&server);
        let findings = self.findings.iter().filter(is_it).cloned().collect();
        Self { code: self.code, text: self.text.clone(), findings }
    }

    /// Asserts that nothing has failed, or that something has.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }
}

/// An address that is free: the kernel chooses, and does not give it to another so soon.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Leaves a test out, or fails it in CI.
pub(crate) fn leave_out(why: &str) {
    assert!(std::env::var_os("NARROWS_DOCTOR").is_none(), "{why}");
    eprintln!("left out: {why}");
}
