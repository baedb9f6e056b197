//! The programs that benchmarks compare, as processes: narrows, and nginx and HAProxy where
//! installed.
//!
//! Not here: their configurations (the benchmarks).

use crate::folder::Folder;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

/// Longest wait for a relay to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// The configuration of HAProxy before its proxies: one worker, and nothing held back.
pub const HAPROXY_DEFAULTS: &str = "\
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
pub enum Program {
    /// The one of this build, or of `NARROWS_BINARY`.
    Narrows,
    /// As Debian installs it.
    Nginx,
    /// As Debian installs it.
    Haproxy,
}

/// Where narrows is: `NARROWS_BINARY`, or the binary that cargo built for this test or benchmark.
pub fn narrows() -> PathBuf {
    let named = ["NARROWS_BINARY", "CARGO_BIN_EXE_narrows"].into_iter().find_map(env::var_os);
    // A test binary that is run without cargo: `target/debug/deps/it-…`.
    named.map_or_else(beside_this_program, PathBuf::from)
}

fn beside_this_program() -> PathBuf {
    let program = env::current_exe().expect("the path of this program");
    let folder = program.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    folder.join("narrows")
}

/// A running relay. It ends when this is dropped.
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl Program {
    /// Those that this machine has, narrows first.
    pub fn installed() -> Vec<Self> {
        let all = [Self::Narrows, Self::Nginx, Self::Haproxy];
        all.into_iter().filter(|program| program.version().is_some()).collect()
    }

    /// The name with the version that is installed, if it is.
    pub fn version(self) -> Option<String> {
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
            Self::Narrows => return narrows(),
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        };
        // Debian keeps servers where an ordinary user's PATH does not lead.
        let system = Path::new("/usr/sbin").join(name);
        if system.exists() { system } else { name.into() }
    }

    /// Starts it with the configuration that `configure` makes for its address, and waits until it
    /// listens.
    pub fn start(
        self,
        folder: &Folder,
        configure: impl FnOnce(SocketAddr) -> io::Result<String>,
    ) -> io::Result<Relay> {
        // The kernel chooses, and does not give the port to anyone else so soon.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let name = format!("{self:?}-{}", address.port());
        let configuration = folder.write(&name, configure(address)?);
        let log = folder.path.join(format!("{name}.log"));
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
        if listens { Ok(relay) } else { Err(io::Error::other(fs::read_to_string(log)?)) }
    }
}

impl Relay {
    /// The process that was started. It may have started others.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it accepts within [`PATIENCE`].
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
        // Asked first: nginx has to end its workers. The number is its own until it is reaped.
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
