//! The program under test, as a process of its own.

mod former;
mod log;
mod setup;

pub use former::Former;
pub use setup::Setup;

use crate::certificates::{certificate_file, listener_keys};
use crate::folder::Folder;
use crate::origin::Origin;
use crate::peer::Peer;
use crate::{client, within};
use log::Log;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::{self, DirEntry};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The beginning of a listener.
const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
/// How long a relay that is dropped, not stopped, may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// A running `narrows`. When it is dropped it is stopped, and killed if it does not stop soon.
pub struct Relay {
    /// Taken by [`ended`](Self::ended) or by `drop`, whichever comes first.
    child: Option<Child>,
    /// The process that serves.
    pid: Pid,
    /// The same, if it is not our child: after a hand-over.
    successor: Option<Former>,
    hand_overs: usize,
    log: Arc<Log>,
    /// Ends with the process's stderr.
    log_reader: Option<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    tls: bool,
    /// Holds its configuration.
    folder: Folder,
    /// How often it was asked to reload.
    reloads: AtomicUsize,
}

impl Relay {
    /// An HTTPS listener with `certs/server.pem`, and a route `/gpt/` to `origin` under the name
    /// `api.openai.test`, by HTTPS or HTTP as the origin has it.
    pub fn to(origin: &Origin) -> Setup {
        Setup::new(format!("{LISTENER}{}{}", listener_keys(), route_to(origin)))
    }

    /// As [`Relay::to`], but its clients speak HTTP without TLS.
    pub fn plain_to(origin: &Origin) -> Setup {
        Setup::new(format!("{LISTENER}{}", route_to(origin)))
    }

    /// A relay with this configuration. Its listeners should be at `127.0.0.1:0`.
    pub fn start(toml: &str) -> Setup {
        Setup::new(toml.to_owned())
    }

    /// Where the first listener is.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where all listeners are, in the order in which the ready line names them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connects a client to the first listener, by TLS if the configuration has a certificate.
    pub async fn connect(&self) -> Peer {
        if self.tls {
            client::connect_tls(self.address()).await
        } else {
            client::connect_plain(self.address()).await
        }
    }

    /// As [`Relay::connect`], for a relay that may refuse the client.
    pub async fn try_connect(&self) -> io::Result<Peer> {
        if self.tls {
            client::connect_tls_as("localhost", self.address()).await
        } else {
            Ok(client::connect_plain(self.address()).await)
        }
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its descriptors that are open now.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the relay runs").count()
    }

    /// Lets it open no further descriptor, or as many as `count`.
    pub fn limit_open_files(&self, count: u64) {
        let limits = Rlimit { current: Some(count), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Some(self.pid), Resource::Nofile, limits).expect("the relay runs");
    }

    /// Waits until it has no more descriptors open than this.
    pub async fn wait_for_descriptors(&self, most: usize) {
        let closed = async {
            while self.descriptors() > most {
                tokio::task::yield_now().await;
            }
        };
        within("descriptors to be closed", closed).await;
    }

    /// Its pipes that are open now, in both of their ends.
    pub fn pipes(&self) -> usize {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the relay runs");
        // One that was closed meanwhile has no target.
        let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|it| it.to_string_lossy().starts_with("pipe:")).count() / 2
    }

    /// For each of its threads that poll: how many descriptors it polls now. The order stays.
    pub fn polled(&self) -> Vec<usize> {
        let folder = |name| format!("/proc/{}/{name}", self.pid());
        let entries = fs::read_dir(folder("fd")).expect("the relay runs").map(Result::unwrap);
        let is_poller = |it: &DirEntry| {
            fs::read_link(it.path()).is_ok_and(|it| it.as_os_str() == "anon_inode:[eventpoll]")
        };
        let mut pollers: Vec<(u32, BTreeSet<String>)> = Vec::new();
        for entry in entries.filter(is_poller) {
            let name = entry.file_name().into_string().unwrap();
            let info = fs::read_to_string(format!("{}/{name}", folder("fdinfo"))).unwrap();
            let polled = info.lines().filter(|it| it.starts_with("tfd:")).map(str::to_owned);
            pollers.push((name.parse().unwrap(), polled.collect()));
        }
        // Several descriptors may be of one poller: they have the same content.
        pollers.sort();
        let mut seen = BTreeSet::new();
        pollers.retain(|(_, polled)| seen.insert(polled.clone()));
        pollers.iter().map(|(_, polled)| polled.len()).collect()
    }

    /// Whether it has a thread of this name, of at most 15 bytes.
    pub fn has_thread(&self, name: &str) -> bool {
        let threads =
            fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().map(Result::unwrap);
        // One that ends meanwhile has no name.
        let mut names = threads.filter_map(|it| fs::read_to_string(it.path().join("comm")).ok());
        names.any(|it| it.trim_end() == name)
    }

    /// Its memory now (resident set), in KiB.
    pub fn resident_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Its own memory now, without what it has of files, in bytes. `None`: it has huge pages, so
    /// that the number says little.
    pub fn anonymous_bytes(&self) -> Option<usize> {
        let sums = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap();
        let sum = |name: &str| -> usize {
            let value = sums.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            value.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
        };
        (sum("AnonHugePages:") == 0).then(|| sum("Pss_Anon:"))
    }

    /// The file of its configuration.
    pub fn configuration_file(&self) -> PathBuf {
        self.folder.path.join("narrows.toml")
    }

    /// Its configuration, as it was written or replaced last.
    pub fn configuration(&self) -> String {
        fs::read_to_string(self.configuration_file()).unwrap()
    }

    /// Makes it hand over to a new process, and follows that one. Gives the old one.
    pub async fn hand_over(&mut self) -> Former {
        self.signal(Signal::USR2);
        self.handed_over().await
    }

    /// Waits for the end of a hand-over that has begun.
    pub async fn handed_over(&mut self) -> Former {
        const SERVES: &str = "a new process serves";
        self.hand_overs += 1;
        self.wait_for_log_lines(SERVES, self.hand_overs).await;
        let lines = self.log_lines();
        let line = lines.iter().rfind(|it| it.contains(SERVES)).unwrap();
        let pid = line.split("pid=").nth(1).unwrap().parse().unwrap();
        let former = self.successor.take().unwrap_or_else(|| Former::new(self.pid));
        self.pid = Pid::from_raw(pid).unwrap();
        self.successor = Some(Former::new(self.pid));
        former
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the relay runs");
    }

    /// Replaces its configuration, completed as at the start, and waits until it is served. Returns
    /// the line that says so.
    pub async fn reload(&self, toml: &str) -> String {
        self.configure(toml);
        self.signal(Signal::HUP);
        let number = self.reloads.fetch_add(1, Ordering::Relaxed) + 1;
        self.wait_for_log(&format!(" narrows::server: reloaded number={number} ")).await
    }

    /// Replaces its configuration, completed as at the start. It does not know of that yet.
    pub fn configure(&self, toml: &str) {
        self.folder.write("narrows.toml", setup::completed(toml));
    }

    /// What it has logged so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for a log line that contains `part`, from now or before, and returns it.
    pub async fn wait_for_log(&self, part: &str) -> String {
        self.log.wait_for(part).await.expect("the relay ended before it logged that")
    }

    /// Waits until so many log lines contain `part`.
    pub async fn wait_for_log_lines(&self, part: &str, count: usize) {
        let logged = async {
            while self.log_lines().iter().filter(|line| line.contains(part)).count() < count {
                tokio::task::yield_now().await;
            }
        };
        within(&format!("{count} lines with {part:?}"), logged).await;
    }

    /// Asks it to stop and waits until it has: status, and all it has logged.
    pub async fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Asserts that no secret is in what it has logged.
    fn has_told_nothing(&self) {
        let leaks = self.log.leaks();
        assert!(leaks.is_empty(), "secrets are in the log: {leaks:#?}");
    }

    /// Waits until it has ended, for any reason: the status of the process that was started first,
    /// and all that was logged.
    pub async fn ended(&mut self) -> (ExitStatus, Vec<String>) {
        let mut child = self.child.take().expect("no one has waited before");
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        let status = within("the relay to end", waiting).await.unwrap().unwrap();
        if let Some(successor) = self.successor.take() {
            successor.ended().await;
        }
        self.log_reader.take().map(JoinHandle::join);
        self.has_told_nothing();
        (status, self.log_lines())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if thread::panicking() {
            eprintln!("the relay logged {:#?}", self.log_lines());
        }
        let first = Pid::from_child(&child);
        let is_followed = self.successor.is_some();
        let _gone = kill_process(first, Signal::TERM);
        if let Some(successor) = self.successor.take() {
            successor.kill();
        }
        let (ended, wait_for_end) = mpsc::channel();
        let waiting = thread::spawn(move || {
            let _status = child.wait();
            let _no_one_waits = ended.send(());
        });
        // A test that is done does not wait for the relay's drain. Until its end is announced, the
        // process is not reaped, so the number is still its own.
        if wait_for_end.recv_timeout(STOP_PATIENCE).is_err() {
            let _gone = kill_process(first, Signal::KILL);
        }
        let _ended = waiting.join();
        if !is_followed {
            self.log_reader.take().map(JoinHandle::join);
        }
        if !thread::panicking() {
            self.has_told_nothing();
        }
    }
}

fn route_to(origin: &Origin) -> String {
    let mut route = "[[route]]\npath = \"/gpt/\"\n".to_owned();
    let scheme = if origin.is_tls() { "https" } else { "http" };
    writeln!(route, "upstream = \"{scheme}://api.openai.test/\"").unwrap();
    writeln!(route, "connect = \"{}\"", origin.address()).unwrap();
    if origin.is_tls() {
        writeln!(route, "ca = {:?}", certificate_file("ca.pem")).unwrap();
    }
    route
}
