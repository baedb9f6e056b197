//! A soak: honest traffic, clients that leave, origins that fail and attackers, all at once, on one
//! relay, whose configuration changes every second. Nothing of the honest traffic may fail, every
//! byte of it is checked, a broken message never passes for a whole one, and in the end the relay
//! is as it was in the beginning.
//!
//!     cargo test --test soak                                  # a few seconds
//!     NARROWS_SOAK_SECONDS=600 cargo test --test soak         # by hand
//!
//! `NARROWS_BINARY` names a binary other than the one of this build.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![expect(unreachable_pub, reason = "the actors mark with `pub` what the scene uses")]

mod content;
mod honest;
mod hostile;
mod origin;
mod tally;
mod traffic;

use narrows::limits::PIPES_KEPT_MAX;
use narrows_kit::certificates::{certificate_file, listener_keys};
use narrows_kit::relay::Relay;
use origin::Server;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::panic;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tally::{Count, tally};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::interval;

const SECONDS_DEFAULT: u64 = 5;
/// Share of the time in which pools, lists and tickets grow to the size of this traffic.
const WARM_UP_SHARE: u32 = 5;
const HONEST_CLIENTS: u64 = 16;
const LEAVING_CLIENTS: u64 = 16;
const FAILING_CLIENTS: u64 = 8;
const ATTACKERS: u64 = 24;
/// What the relay's memory may differ by, from one rest to the next.
const GROWTH_MAX_KIB: usize = 4096;
/// What it may exceed the first rest by during the traffic: connections are at most 500, and a slow
/// reader holds a read of 64 KiB.
const PEAK_MAX_KIB: usize = 500 * (64 + 48);
/// Between two reloads of the relay.
const RELOAD_EVERY: Duration = Duration::from_secs(1);
/// Between two measurements of the relay.
const LOOK: Duration = Duration::from_millis(100);
/// How long the relay may take until the last connection is closed. All its clients are gone by
/// then: it checks once a second for those that left unread bytes, and lingers for one.
const REST_MAX: Duration = Duration::from_secs(30);

/// Longer than an honest client may be stopped for want of a processor.
const LIMITS: &str = r#"
[limits]
connections = 500
connections_per_address = 100
[timeouts]
handshake = "20s"
request_head = "20s"
keep_alive = "20s"
linger = "1s"
connect = "20s"
upstream_handshake = "20s"
response_head = "20s"
tunnel = "20s"
to_client = { read = "20s", write = "20s" }
to_upstream = { read = "20s", write = "20s" }
"#;

/// A task has panicked: a byte was wrong, or honest traffic failed.
static FAILED: AtomicBool = AtomicBool::new(false);

/// What all the actors know.
struct Soak {
    addresses: Vec<SocketAddr>,
    until: Mutex<Instant>,
}

impl Soak {
    fn goes_on_for(&self, time: Duration) {
        *self.until.lock().unwrap() = Instant::now() + time;
    }

    fn is_over(&self) -> bool {
        Instant::now() >= *self.until.lock().unwrap() || FAILED.load(Ordering::Relaxed)
    }

    fn relay_address(&self, tls: bool) -> SocketAddr {
        self.addresses[usize::from(tls)]
    }
}

fn main() -> ExitCode {
    // As a test that a filter leaves out.
    let filters: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    if !filters.is_empty() && !filters.iter().any(|it| "soak".contains(it.as_str())) {
        return ExitCode::SUCCESS;
    }
    let said = env::var("NARROWS_SOAK_SECONDS").ok().map(|it| it.parse().expect("seconds"));
    let total = Duration::from_secs(said.unwrap_or(SECONDS_DEFAULT));
    let shown = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        FAILED.store(true, Ordering::Relaxed);
        shown(info);
    }));
    run(soak(total));
    let failed = FAILED.load(Ordering::Relaxed);
    println!("soak: {}", if failed { "FAILED" } else { "passed" });
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn soak(total: Duration) {
    let server = Server::start();
    let relay = relay(&server).await;
    let until = Mutex::new(Instant::now());
    let soak = Arc::new(Soak { addresses: relay.addresses().to_vec(), until });
    let descriptors = relay.descriptors();
    println!(
        "soak of {total:?}: at the start {} KiB, {descriptors} descriptors",
        relay.resident_kib()
    );

    soak.goes_on_for(total / WARM_UP_SHARE);
    everyone(&soak, &relay, &server).await;
    rest(&relay, &server, descriptors).await;
    let warm = relay.resident_kib();
    println!("  at rest after the warm-up: {warm} KiB");

    soak.goes_on_for(total - total / WARM_UP_SHARE);
    let peak = everyone(&soak, &relay, &server).await;
    rest(&relay, &server, descriptors).await;
    let end = relay.resident_kib();
    println!("  at the peak: {} KiB, {} descriptors", peak.resident_kib, peak.descriptors);
    println!("  at rest in the end: {end} KiB, {} descriptors", relay.descriptors());
    tally::print();
    assert!(end <= warm + GROWTH_MAX_KIB, "the relay has grown from {warm} KiB to {end} KiB");
    assert!(peak.resident_kib <= warm + PEAK_MAX_KIB, "the relay has grown beyond its bound");
    if FAILED.load(Ordering::Relaxed) {
        let kept = concat!(env!("CARGO_TARGET_TMPDIR"), "/soak.log");
        fs::write(kept, relay.log_lines().join("\n")).unwrap();
        println!("  the relay's log is in {kept}");
    }
    let (status, log) = relay.stop().await;
    assert_eq!(status.code(), Some(0), "the relay's exit code");
    check_log(&log);
}

async fn relay(server: &Server) -> Relay {
    Relay::start(&configuration(server, false)).await
}

/// The relay's configuration, or a changed one that serves its clients as well: with one more
/// listener and one more route, and other limits.
fn configuration(server: &Server, changed: bool) -> String {
    let [plain, tls] = server.addresses;
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let secure = listener_keys();
    let more = if changed { [listener, "[[route]]\npath = \"/more/\"\n"] } else { [""; 2] };
    let upstream =
        if changed { format!("upstream = \"http://{plain}/\"\n") } else { String::new() };
    let limits = if changed { LIMITS.replace("20s", "21s") } else { LIMITS.to_owned() };
    let routes = format!(
        "[[route]]\npath = \"/plain/\"\nupstream = \"http://{plain}/\"\n\
         [[route]]\npath = \"/tls/\"\nupstream = \"https://localhost/\"\nconnect = \"{tls}\"\n\
         ca = {:?}\n",
        certificate_file("ca.pem")
    );
    let [more_listener, more_route] = more;
    format!(
        "workers = {WORKERS}\n{listener}{listener}{secure}{more_listener}{more_route}{upstream}\
         {routes}{limits}"
    )
}

/// What was seen at most.
#[derive(Default)]
struct Peak {
    resident_kib: usize,
    descriptors: usize,
}

/// Lets all of them act until the time is over, changes the relay's configuration to and fro, and
/// watches the relay.
async fn everyone(soak: &Arc<Soak>, relay: &Relay, server: &Server) -> Peak {
    let seeds = |count: u64| (1..=count).map(|it| it * 7919);
    // On a thread of their own, so that they wait for the relay and not for the others.
    let (known, honest) = (Arc::clone(soak), seeds(HONEST_CLIENTS));
    let honest = thread::spawn(move || {
        run(async {
            let clients = honest.map(|it| honest::clients(Arc::clone(&known), it));
            clients.collect::<JoinSet<()>>().join_all().await;
        });
    });
    let mut acts = JoinSet::new();
    for seed in seeds(LEAVING_CLIENTS) {
        acts.spawn_local(hostile::leaving(Arc::clone(soak), seed));
    }
    for seed in seeds(FAILING_CLIENTS) {
        acts.spawn_local(hostile::failing(Arc::clone(soak), seed));
    }
    for seed in seeds(ATTACKERS) {
        acts.spawn_local(hostile::attacking(Arc::clone(soak), seed));
    }
    acts.spawn_local(hostile::flooding(Arc::clone(soak), 1));
    let mut peak = Peak::default();
    let mut measurements = interval(LOOK);
    let (mut reloaded, mut changed) = (Instant::now(), false);
    while !soak.is_over() || changed {
        if reloaded.elapsed() >= RELOAD_EVERY || soak.is_over() {
            changed = !changed;
            relay.reload(&configuration(server, changed)).await;
            tally(Count::Reloads, 1);
            reloaded = Instant::now();
        }
        peak.resident_kib = peak.resident_kib.max(relay.resident_kib());
        peak.descriptors = peak.descriptors.max(relay.descriptors());
        measurements.tick().await;
    }
    // Those that wait for a limit need not wait for it now. The hook has noticed any panic.
    acts.shutdown().await;
    while !honest.is_finished() {
        measurements.tick().await;
    }
    peak
}

fn run(work: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work);
}

/// Worker threads of the relay.
const WORKERS: usize = 2;
/// Two for each empty pipe that the relay's workers keep.
const KEPT_FOR_PIPES: usize = 2 * PIPES_KEPT_MAX * WORKERS;

/// Waits until the relay has not a single connection more than in the beginning.
async fn rest(relay: &Relay, server: &Server, descriptors: usize) {
    let descriptors = descriptors + KEPT_FOR_PIPES;
    let mut measurements = interval(LOOK);
    let since = Instant::now();
    while let open = relay.descriptors()
        && open > descriptors
    {
        // Those in the relay's pools are closed by the origin.
        server.close_idle();
        let more = open - descriptors;
        assert!(since.elapsed() < REST_MAX, "{more} descriptors are open after {REST_MAX:?}");
        measurements.tick().await;
    }
}

/// Warnings are of origins that failed and of limits that were reached; nothing is an error.
fn check_log(log: &[String]) {
    const EXPECTED: [&str; 7] = [
        " INFO ",
        // That of the tests was issued by a root that is in no file of theirs.
        "reason=\"no_intermediate\"",
        "limits.connections is reached",
        "limits.connections_per_address is reached",
        "open files are running out",
        "narrows::ready",
        "fault=\"upstream\"",
    ];
    let mut causes = BTreeMap::<&str, usize>::new();
    for line in log {
        let expected = EXPECTED.iter().any(|it| line.contains(it)) && !line.contains(" ERROR ");
        assert!(expected, "not expected in the log: {line}");
        if let Some((_, cause)) = line.split_once(" cause=") {
            // What follows says where and when.
            let cause = cause.split(" step=").next().unwrap_or(cause);
            *causes.entry(cause).or_default() += 1;
        }
    }
    println!("  causes in the log: {causes:?}");
}
