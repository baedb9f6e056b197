//! The program under test, as a process of its own.

use super::origin::Origin;
use super::peer::Peer;
use super::{GUARD, certificate_file, client, within};
use narrows::control::raise_descriptor_limit;
use rustix::process::{Pid, Signal, kill_process};
use std::env;
use std::fmt::Write;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::watch;

/// A running `narrows`. Dropped, it is stopped, and killed when it does not stop at once.
pub struct Relay {
    /// Taken by `stop` and by `drop`, whichever comes first.
    child: Option<Child>,
    pid: Pid,
    log: Arc<Log>,
    /// Ends with the process's stderr.
    log_reader: Option<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    tls: bool,
    configuration: PathBuf,
}

/// A relay about to start: add to its configuration, then `.await` it.
#[must_use = "await it"]
pub struct Setup {
    toml: String,
    arguments: Vec<&'static str>,
    open_files: Option<u32>,
}

impl Relay {
    /// An HTTPS listener with `certs/server.pem`, and a route `/gpt/` to `origin` under the name
    /// `api.openai.test`, by HTTPS or HTTP as the origin has it.
    pub fn to(origin: &Origin) -> Setup {
        let listener = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\n",
            certificate_file("server.pem"),
            certificate_file("server.key"),
        );
        Setup::new(listener + &route_to(origin))
    }

    /// As [`Relay::to`], but the listener speaks HTTP without TLS.
    pub fn plain_to(origin: &Origin) -> Setup {
        let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n".to_owned();
        Setup::new(listener + &route_to(origin))
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

    /// As [`Relay::connect`], for a relay that may turn the client away.
    pub async fn try_connect(&self) -> io::Result<Peer> {
        if self.tls {
            client::connect_tls_as("localhost", self.address()).await
        } else {
            Ok(client::connect_plain(self.address()).await)
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its descriptors that are open now.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the relay runs").count()
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
        // One that is closed meanwhile has no target any more.
        let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|it| it.to_string_lossy().starts_with("pipe:")).count() / 2
    }

    /// Its memory now (resident set), in KiB.
    pub fn resident_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the relay runs");
    }

    /// What it has logged so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
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

    /// Waits until it has ended, by whatever cause: status, and all it has logged.
    pub async fn ended(&mut self) -> (ExitStatus, Vec<String>) {
        let mut child = self.child.take().expect("nobody has waited before");
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        let status = within("the relay to end", waiting).await.unwrap().unwrap();
        self.log_reader.take().map(JoinHandle::join);
        (status, self.log_lines())
    }
}

impl Setup {
    fn new(toml: String) -> Self {
        Self { toml, arguments: Vec::new(), open_files: None }
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

    /// With no more open files than this.
    pub fn open_files(mut self, count: u32) -> Self {
        self.open_files = Some(count);
        self
    }

    /// Appends to the configuration. The text begins inside the last table, the route's, so
    /// `tls_name = "…"` extends the route and `[timeouts]` begins a table of its own.
    pub fn with(mut self, toml: &str) -> Self {
        self.toml.push_str(toml);
        self.toml.push('\n');
        self
    }

    /// The program of this build, or `NARROWS_BINARY`; by way of a shell where a limit has to be
    /// set before it starts.
    fn program(&self) -> Command {
        let built = env!("CARGO_BIN_EXE_narrows").into();
        let program = env::var_os("NARROWS_BINARY").unwrap_or(built);
        let Some(count) = self.open_files else { return Command::new(program) };
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {count} && exec \"$0\" \"$@\"")]).arg(program);
        shell
    }

    async fn spawn(self) -> Relay {
        // Floods take more descriptors than a user has at first.
        let _as_many_as_there_are = raise_descriptor_limit();
        // One worker, unless the test says otherwise: then what a worker keeps is seen by all.
        let workers = if self.toml.contains("workers = ") { "" } else { "workers = 1\n" };
        // No connection before a request needs it, unless the test says otherwise: then an origin
        // sees just what a test makes happen.
        let toml = if self.toml.contains("warm = ") {
            self.toml.clone()
        } else {
            self.toml.replace("[[route]]\n", "[[route]]\nwarm = 0\n")
        };
        let configuration = write_configuration(&format!("{workers}{toml}"));
        let mut child = self
            .program()
            .args(["run", "--config"])
            .arg(&configuration)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let (log, log_reader) = Log::collect(child.stderr.take().unwrap());
        let tls = self.toml.contains("certificate = ");
        // In its place before the wait, so that a relay that never gets ready is stopped, too.
        let mut relay = Relay {
            child: Some(child),
            pid,
            log,
            log_reader: Some(log_reader),
            addresses: Vec::new(),
            tls,
            configuration,
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

impl Drop for Relay {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.configuration);
        let Some(mut child) = self.child.take() else { return };
        if thread::panicking() {
            eprintln!("the relay logged {:#?}", self.log_lines());
        }
        let _gone = kill_process(self.pid, Signal::TERM);
        let (ended, wait_for_end) = mpsc::channel();
        let waiting = thread::spawn(move || {
            let _status = child.wait();
            let _nobody_waits = ended.send(());
        });
        // A test that has said all it has to say does not wait for the relay's drain. Until its
        // end is announced, the process is not reaped and its number still its own.
        if wait_for_end.recv_timeout(STOP_PATIENCE).is_err() {
            let _gone = kill_process(self.pid, Signal::KILL);
        }
        let _ended = waiting.join();
    }
}

/// How long a relay that is dropped, not stopped, may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// The lines of a stderr, collected by a thread so that the relay never blocks on it.
struct Log {
    lines: Mutex<Vec<String>>,
    /// Told at each line; its sender goes away with the collector.
    news: watch::Receiver<()>,
}

impl Log {
    fn collect(stderr: ChildStderr) -> (Arc<Self>, JoinHandle<()>) {
        let (sender, news) = watch::channel(());
        let log = Arc::new(Self { lines: Mutex::default(), news });
        let collector = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                collector.lines.lock().unwrap().push(line);
                sender.send_replace(());
            }
        });
        (log, reader)
    }

    /// The first line that contains `part`, or `None` when stderr ended without one.
    async fn wait_for(&self, part: &str) -> Option<String> {
        let mut news = self.news.clone();
        let found = async {
            loop {
                news.borrow_and_update();
                let over = news.has_changed().is_err();
                let line = self.lines.lock().unwrap().iter().find(|it| it.contains(part)).cloned();
                if line.is_some() || over {
                    return line;
                }
                // An error says that the collector ended: the turn after it looks once more.
                let _ended = news.changed().await;
            }
        };
        let waiting = tokio::time::timeout(GUARD, found).await;
        waiting.unwrap_or_else(|_elapsed| {
            // A copy: to panic with the lock in hand would poison it for the relay's drop.
            let lines = self.lines.lock().unwrap().clone();
            panic!("waited {GUARD:?} for {part:?} in the relay's log, which is {lines:#?}")
        })
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

fn write_configuration(toml: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("relay-{}-{number}.toml", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, toml).unwrap();
    path
}

/// Every `127.0.0.1:PORT` in a line.
fn addresses_in(line: &str) -> Vec<SocketAddr> {
    const HOST: &str = "127.0.0.1:";
    let ports = line.split(HOST).skip(1).filter_map(|rest| {
        let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<u16>().ok()
    });
    ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
}
