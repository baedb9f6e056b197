//! The programs that are compared, as processes: narrows, and nginx and HAProxy where installed.
//!
//! Each relays `/gpt/` to `/` of one upstream and nothing else, with one worker. What nginx and
//! HAProxy need to be told for that (and for WebSocket, kept connections, bodies of any size), they
//! are; everything else is as they are installed.

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
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("narrows-conformance-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind at worst.
        let _ = fs::remove_dir_all(&self.0);
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

    /// Starts it in front of `origin`, and waits until it listens.
    pub(crate) fn start(self, origin: SocketAddr, folder: &Folder) -> Result<Relay, Fault> {
        // The kernel chooses; nobody else is given the port again so soon.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let configuration = folder.0.join(format!("{self:?}"));
        let log = folder.0.join(format!("{self:?}.log"));
        fs::write(&configuration, self.configuration(address, origin, folder))?;
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

    fn configuration(self, address: SocketAddr, origin: SocketAddr, folder: &Folder) -> String {
        match self {
            Self::Narrows => narrows_configuration(address, origin),
            Self::Nginx => nginx_configuration(address, origin, &folder.0),
            Self::Haproxy => haproxy_configuration(address, origin),
        }
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

fn narrows_configuration(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        r#"workers = 1
[[listener]]
address = "{address}"
[[route]]
path = "/gpt/"
upstream = "http://api.openai.test/"
connect = "{origin}"
"#
    )
}

fn nginx_configuration(address: SocketAddr, origin: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"worker_processes 1; daemon off; pid {folder}/nginx.pid;
events {{ worker_connections 1000; }}
http {{
  access_log off; tcp_nodelay on; client_max_body_size 0;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream api {{ server {origin}; keepalive 64; }}
  server {{
    listen {address};
    location / {{ return 404; }}
    location /gpt/ {{
      proxy_pass http://api/; proxy_set_header Host api.openai.test;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"#
    )
}

fn haproxy_configuration(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        r#"global
  nbthread 1
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option http-no-delay
frontend clients
  bind {address}
  http-request deny deny_status 404 unless {{ path_beg /gpt/ }}
  default_backend api
backend api
  http-request replace-path /gpt/(.*) /\1
  http-request set-header Host api.openai.test
  server api {origin} pool-max-conn 64
"#
    )
}
