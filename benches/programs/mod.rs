//! The programs that benchmarks compare, as processes: narrows, and nginx and HAProxy where
//! installed.
//!
//! Not here: what they are told to do (the benchmarks).

use crate::Fault;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io, process};

/// Longest wait for a relay to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// What HAProxy is told in front of its own proxies: one worker, and nothing held back.
pub(crate) const HAPROXY_DEFAULTS: &str = "\
global
  nbthread 1
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option http-no-delay
";

/// A program that can be started as a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Narrows,
    Nginx,
    Haproxy,
}

/// A running relay. It ends when this is dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    child: Child,
}

/// A folder of this run, removed at its end.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    /// For the benchmark of this name.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("narrows-{name}-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind at worst.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Program {
    /// Those that this machine has, narrows first.
    pub(crate) fn installed() -> Vec<Self> {
        let all = [Self::Narrows, Self::Nginx, Self::Haproxy];
        all.into_iter().filter(|program| program.version().is_some()).collect()
    }

    /// The name with the version that is installed, if it is.
    pub(crate) fn version(self) -> Option<String> {
        let (name, marker, option) = match self {
            Self::Narrows => ("narrows", "narrows ", "--version"),
            Self::Nginx => ("nginx", "nginx/", "-v"),
            Self::Haproxy => ("HAProxy", "version ", "-v"),
        };
        let output = Command::new(self.path()).arg(option).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).ok()?;
        let version = text.split_once(marker)?.1;
        let end = version.find(|it: char| !it.is_ascii_digit() && it != '.');
        Some(format!("{name} {}", &version[..end.unwrap_or(version.len())]))
    }

    fn path(self) -> PathBuf {
        let name = match self {
            Self::Narrows => return env!("CARGO_BIN_EXE_narrows").into(),
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        };
        // Debian keeps servers where an ordinary user's PATH does not lead.
        let system = Path::new("/usr/sbin").join(name);
        if system.exists() { system } else { name.into() }
    }

    /// Starts it with what `configure` says for the address and port that it is to listen on, and
    /// waits until it does.
    pub(crate) fn start(
        self,
        folder: &Folder,
        configure: impl FnOnce(SocketAddr) -> io::Result<String>,
    ) -> Result<Relay, Fault> {
        // The kernel chooses; nobody else is given the port again so soon.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let name = format!("{self:?}-{}", address.port());
        let configuration = folder.path.join(&name);
        let log = folder.path.join(format!("{name}.log"));
        fs::write(&configuration, configure(address)?)?;
        let mut command = Command::new(self.path());
        match self {
            Self::Narrows => command.args(["run", "--config"]),
            Self::Nginx => command.args(["-e", "stderr", "-c"]),
            Self::Haproxy => command.args(["-db", "-f"]),
        };
        command.arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&log)?).spawn()?;
        let mut relay = Relay { address, child };
        let listens = relay.listens()?;
        if listens { Ok(relay) } else { Err(fs::read_to_string(log)?.into()) }
    }
}

impl Relay {
    /// Whether it accepts, sooner or later.
    fn listens(&mut self) -> io::Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.child.try_wait()?.is_none() {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        Ok(false)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Asked first: nginx has to end its workers. It is not reaped yet, so the number is its.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
