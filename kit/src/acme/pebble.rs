//! Debian's Pebble, an independent directory, with the DNS server of its package.
//!
//! It is strict, refuses every fifth nonce, and validates at the ports that it is told. Every name
//! leads to 127.0.0.1.

use super::forward::Forward;

use crate::certificates::certificate_file;
use crate::connection::Connection;
use crate::folder::Folder;
use crate::http::Framing;
use crate::{GUARD, within};
use serde_json::json;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::{env, thread};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::yield_now;

/// Says that a machine without Pebble fails the tests, in place of leaving them out.
const INSIST: &str = "NARROWS_PEBBLE";
/// Between our choice of a port and its bind, another process may take it.
const ATTEMPTS: usize = 5;
/// Below those that the kernel gives: no socket that is bound to port 0 or connects takes one of
/// these, so that who listens at one of them, once it is ours, is Pebble.
const PORTS: Range<u16> = 10_000..32_768;

/// Pebble, and the way from its validator to the server that it validates.
pub struct Pebble {
    /// Where it validates TLS-ALPN-01.
    pub tls_alpn: Forward,
    /// Where it validates HTTP-01.
    pub http: Forward,
    url: String,
    root: String,
    folder: Folder,
    processes: [Process; 2],
}

/// How it is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The key identifier and the key, in base64url, of the only account that may come.
    pub external_account: Option<(&'static str, &'static str)>,
}

/// A process that ends with the test. If the test fails, what it wrote is shown.
struct Process {
    child: Child,
    written: watch::Receiver<String>,
}

impl Process {
    /// Waits until it listens there. Whether it did before it ended.
    async fn listens(&mut self, port: u16) -> bool {
        let listens = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                if self.child.try_wait().unwrap().is_some() {
                    return false;
                }
                yield_now().await;
            }
            true
        };
        within("Pebble to listen", listens).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
        if thread::panicking() {
            eprint!("{}", *self.written.borrow());
        }
    }
}

impl Pebble {
    /// Starts it, if the machine has it. One that does not and has to (`NARROWS_PEBBLE=1`) fails.
    pub async fn start(options: Options) -> Option<Self> {
        if Command::new("pebble").arg("-help").output().is_err() {
            let insists = env::var_os(INSIST).is_some_and(|it| it == "1");
            assert!(!insists, "{INSIST}=1, and there is no program pebble: install the package");
            eprintln!("skipped: there is no program pebble (Debian: apt-get install pebble)");
            return None;
        }
        let (tls_alpn, http) = (Forward::new().await, Forward::new().await);
        for _ in 0..ATTEMPTS {
            let folder = Folder::new("pebble");
            let ports = free_ports();
            if let Some(mut processes) = spawn(&folder, ports, &tls_alpn, &http, options)
                && processes[1].listens(ports[0]).await
                && processes[1].listens(ports[1]).await
            {
                let root = root(ports[1]).await;
                let url = format!("https://localhost:{}/dir", ports[0]);
                return Some(Self { tls_alpn, http, url, root, folder, processes });
            }
        }
        panic!("Pebble did not start in {ATTEMPTS} attempts");
    }

    /// The URL of the directory; `certs/ca.pem` has the root of its own HTTPS.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The root of the certificates that it issues, as PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Waits until it has made a certificate.
    ///
    /// An order that is read at the moment at which its certificate is made blocks this version
    /// (2.4.0) for ever, once in some ten thousand times: it locks the order for reading twice, and
    /// who waits to write to it comes between.
    pub async fn has_issued(&self) {
        let mut written = self.processes[1].written.clone();
        let line = written.wait_for(|it| it.contains("Issued certificate serial"));
        within("Pebble to make a certificate", line).await.expect("Pebble, which runs");
    }

    /// Where its configuration is; a place for a test's files, too.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }
}

/// For the directory, its management, DNS, and the management of DNS.
fn free_ports() -> [u16; 4] {
    let mut listeners = Vec::new();
    for attempt in 0_u32.. {
        let chance = RandomState::new().hash_one(attempt) % u64::try_from(PORTS.len()).unwrap();
        let port = PORTS.start + u16::try_from(chance).unwrap();
        listeners.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        if listeners.len() == 4 {
            break;
        }
    }
    let ports: Vec<_> = listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();
    ports.try_into().unwrap()
}

fn spawn(
    folder: &Folder,
    [directory, management, dns, dns_management]: [u16; 4],
    tls_alpn: &Forward,
    http: &Forward,
    options: Options,
) -> Option<[Process; 2]> {
    let local = |port: u16| format!("127.0.0.1:{port}");
    let mut pebble = json!({
        "listenAddress": local(directory),
        "managementListenAddress": local(management),
        "certificate": certificate_file("server.pem"),
        "privateKey": certificate_file("server.key"),
        "httpPort": http.port(),
        "tlsPort": tls_alpn.port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": options.external_account.is_some(),
    });
    if let Some((key_id, key)) = options.external_account {
        pebble["externalAccountMACKeys"] = json!({ key_id: key });
    }
    let file = folder.write("pebble.json", json!({ "pebble": pebble }).to_string());
    let names = [
        "-dns01",
        &local(dns),
        "-management",
        &local(dns_management),
        "-defaultIPv4",
        "127.0.0.1",
        "-defaultIPv6",
        "",
        "-http01",
        "",
        "-https01",
        "",
        "-tlsalpn01",
        "",
    ];
    let mut server = Command::new("pebble-challtestsrv");
    let server = started(server.args(names), "Starting management server")?;
    let mut pebble = Command::new("pebble");
    pebble.arg("-config").arg(file).args(["-dnsserver", &local(dns), "-strict"]);
    pebble.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "20")]);
    let pebble = started(pebble.env("PEBBLE_AUTHZREUSE", "0"), "ACME directory available")?;
    Some([server, pebble])
}

/// Starts a program, and waits until it writes a line with `sign`. `None` if it ends before.
fn started(command: &mut Command, sign: &'static str) -> Option<Process> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program of the package pebble");
    let (seen, wait) = mpsc::channel();
    let written = watch::Sender::new(String::new());
    let outputs: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    for output in outputs {
        let (seen, written) = (seen.clone(), written.clone());
        // To its end, so that the program never waits for a reader.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.contains(sign) {
                    let _no_one_waits = seen.send(());
                }
                written.send_modify(|it| *it += &(line + "\n"));
            }
        });
    }
    drop(seen);
    let process = Process { child, written: written.subscribe() };
    wait.recv_timeout(GUARD).is_ok().then_some(process)
}

/// Asks its management for the root of what it issues.
async fn root(management: u16) -> String {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, management));
    let request = "GET /roots/0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = async {
        let mut connection = Connection::open_tls(address).await?;
        connection.send(request).await?;
        let head = connection.read_head().await?;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let Framing::Length(length) = Framing::of(&head) else { panic!("no length in {head}") };
        connection.read_exactly(length).await
    };
    let root = within("Pebble's management to answer", answer).await;
    String::from_utf8(root.expect("a whole answer")).unwrap()
}
