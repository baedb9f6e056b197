//! A relay before it starts: its configuration and its command line.

use super::Relay;
use super::log::Log;
use crate::folder::Folder;
use crate::programs::narrows;
use rustix::process::{Pid, Resource, Rlimit, geteuid, getrlimit, setrlimit};
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicUsize;

/// A relay about to start: add to its configuration, then `.await` it.
#[must_use = "await it"]
pub struct Setup {
    toml: String,
    arguments: Vec<&'static str>,
    environment: Vec<(&'static str, String)>,
    open_files: Option<u32>,
    program: PathBuf,
    sockets: Vec<OwnedFd>,
    /// Commands of the shell before it, and a program that starts it.
    shell: String,
    under: &'static str,
    reads_stdin: bool,
    /// Whether it runs at `trace`.
    logs_all: bool,
}

impl Setup {
    pub(super) fn new(toml: String) -> Self {
        let (arguments, environment, sockets, shell) = Default::default();
        let (open_files, program, under) = (None, narrows(), "");
        let (reads_stdin, logs_all) = (false, true);
        Self {
            toml,
            arguments,
            environment,
            open_files,
            program,
            sockets,
            shell,
            under,
            reads_stdin,
            logs_all,
        }
    }

    /// With several workers; one is the default of tests.
    pub fn workers(mut self, count: usize) -> Self {
        self.toml.insert_str(0, &format!("workers = {count}\n"));
        self
    }

    /// Further arguments of the command line, such as `--log-level=trace`.
    pub fn argument(mut self, argument: &'static str) -> Self {
        self.arguments.push(argument);
        self
    }

    /// At the level of its configuration. Others run at `trace`, and all that they log is searched
    /// for [`secrets`](crate::secrets); tests see the lines from `info` on, unless they set a
    /// level.
    pub fn at_its_own_level(mut self) -> Self {
        self.logs_all = false;
        self
    }

    /// With this variable in its environment.
    pub fn environment(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// With no more open files than this.
    pub fn open_files(mut self, count: u32) -> Self {
        self.open_files = Some(count);
        self
    }

    /// From this file, a copy of narrows that a test may replace.
    pub fn program(mut self, file: PathBuf) -> Self {
        self.program = file;
        self
    }

    /// With these sockets, as systemd passes them (`LISTEN_FDS`). Two at most.
    pub fn sockets(mut self, sockets: impl IntoIterator<Item = impl Into<OwnedFd>>) -> Self {
        self.sockets = sockets.into_iter().map(Into::into).collect();
        self
    }

    /// Every write to a file fails, as on a disk that is full.
    pub fn full_disk(mut self) -> Self {
        self.shell.push_str("trap '' XFSZ && ulimit -f 0 && ");
        self
    }

    /// By way of this program with its arguments, which becomes narrows.
    pub fn under(mut self, program: &'static str) -> Self {
        self.under = program;
        self
    }

    /// Without root's right to write where the permissions of files forbid it.
    pub fn no_override(mut self) -> Self {
        if geteuid().is_root() {
            self.under = "setpriv --bounding-set=-dac_override,-dac_read_search,-fowner";
        }
        self
    }

    /// With its configuration on stdin.
    pub fn on_stdin(mut self) -> Self {
        self.reads_stdin = true;
        self
    }

    /// Appends to the configuration. The text begins inside the last table, the route's, so
    /// `tls_name = "…"` extends the route and `[timeouts]` begins a table of its own.
    pub fn with(mut self, toml: &str) -> Self {
        self.toml.push_str(toml);
        self.toml.push('\n');
        self
    }

    /// The command, by way of a shell for what has to be set before it starts.
    fn command(&mut self) -> Command {
        let mut before = std::mem::take(&mut self.shell);
        if let Some(count) = self.open_files {
            before.push_str(&format!("ulimit -n {count} && "));
        }
        let mut sockets = std::mem::take(&mut self.sockets).into_iter();
        if sockets.len() > 0 {
            // A process can be given three descriptors, and the shell gives them other numbers.
            let count = sockets.len();
            before.push_str("exec 3<&0 4<&1 0</dev/null 1>&2 && export LISTEN_PID=$$ && ");
            before.push_str(&format!("export LISTEN_FDS={count} && "));
        }
        let mut shell = Command::new("sh");
        let under = self.under;
        shell.args(["-c", &format!("{before}exec {under} \"$0\" \"$@\"")]).arg(&self.program);
        let mut stream = || sockets.next().map_or_else(Stdio::null, Stdio::from);
        shell.stdin(stream()).stdout(stream());
        shell.envs(self.environment.iter().map(|(name, value)| (name, value)));
        shell
    }

    async fn spawn(mut self) -> Relay {
        raise_descriptor_limit();
        let folder = Folder::new("relay");
        let configuration = folder.write("narrows.toml", completed(&self.toml));
        let mut command = self.command();
        command.args(["run", "--config"]);
        if self.reads_stdin {
            command.arg("-").stdin(File::open(&configuration).unwrap());
        } else {
            command.arg(&configuration);
        }
        let level = |it: &&str| it.starts_with("--log-level");
        let logs_all =
            self.logs_all && !self.arguments.iter().any(level) && !self.toml.contains("log = {");
        if logs_all {
            command.arg("--log-level=trace");
        }
        let mut child = command.args(&self.arguments).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (log, log_reader) = Log::collect(child.stderr.take().unwrap(), logs_all);
        let tls = self.toml.contains("certificate = ");
        // Made before the wait, so that a relay that never gets ready is stopped, too.
        let mut relay = Relay {
            child: Some(child),
            pid,
            successor: None,
            hand_overs: 0,
            log,
            log_reader: Some(log_reader),
            addresses: Vec::new(),
            tls,
            folder,
            reloads: AtomicUsize::new(0),
        };
        let Some(line) = relay.log.wait_for("ready").await else {
            panic!("the relay ended before it was ready: {:#?}", relay.log_lines());
        };
        relay.addresses = addresses_in(&line);
        assert!(!relay.addresses.is_empty(), "no address in {line:?}");
        relay
    }
}

impl IntoFuture for Setup {
    type Output = Relay;
    type IntoFuture = Pin<Box<dyn Future<Output = Relay>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.spawn())
    }
}

/// The configuration `toml` with what tests want unless they say otherwise.
pub(super) fn completed(toml: &str) -> String {
    // One worker: all clients share what a worker keeps.
    let workers = if toml.contains("workers = ") { "" } else { "workers = 1\n" };
    // No connection before a request needs it: an origin sees only what the test makes happen.
    let toml = if toml.contains("warm = ") {
        toml.to_owned()
    } else {
        toml.replace("[[route]]\n", "[[route]]\nwarm = 0\n")
    };
    format!("{workers}{toml}")
}

/// Floods take more descriptors than a user has at first.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where the kernel refuses, the tests that need more will say so.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The address of every URL in a line.
fn addresses_in(line: &str) -> Vec<SocketAddr> {
    let urls = line.split("://").skip(1);
    urls.filter_map(|rest| rest.split(['"', ' ']).next()?.parse().ok()).collect()
}
