//! The way of a request to one server: name, TCP, TLS, HTTP ([`travel`]). Each family is tried on
//! its own; then a request goes over the first connection that stands.

use super::answer;
use super::clock::Said;
use super::finding::Finding;
use super::http::{Client, Response};
use super::name::{self, Found, Missing, look_up};
use super::server::Server;
use super::tcp::{self, Connected, Other, Tried, connect, connect_to};
use super::times::{self, Times};
use super::tls::{self, Seen, Trouble};
use crate::config::url::Host;
use crate::config::value::{Family, KeyExchange};
use crate::error::{SocketError, TlsFault};
use crate::net::transport::Transport;
use crate::tls::inspection::{Inspector, Shaken};
use crate::upstream::resolver::Resolver;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
const RESPONSE_MAX: Duration = Duration::from_secs(10);
/// For the time of a server whose certificate may have been refused because ours is wrong.
const DATE_MAX: Duration = Duration::from_secs(3);

const FAMILIES: [(&str, Family); 2] = [("IPv4", Family::V4), ("IPv6", Family::V6)];

/// What came of it.
#[derive(Default)]
pub(super) struct Travelled {
    pub(super) findings: Vec<Finding>,
    pub(super) said: Option<Said>,
    pub(super) reached: Option<Reached>,
}

/// A server that has responded.
pub(super) struct Reached {
    address: SocketAddr,
    inspector: Option<Inspector>,
    pub(super) response: Response,
}

/// A connection that stands.
struct Way {
    transport: Transport,
    address: SocketAddr,
    /// How long TCP and TLS took.
    took: Duration,
}

/// Goes to `server`, as a request of a client would.
pub(super) async fn travel(server: &Server, resolver: &Arc<Resolver>) -> Travelled {
    let mut travelled = Travelled::default();
    let findings = &mut travelled.findings;
    let inspector = match server.reach.is_tls.then(|| server.inspector(server.reach.key_exchange)) {
        None => None,
        Some(Ok(inspector)) => Some(inspector),
        Some(Err(error)) => {
            let why = format!("its files cannot be used: {error}");
            findings.push(Finding::skipped("tls", &server.name, why));
            return travelled;
        }
    };
    let begun = Instant::now();
    let found = names(server, resolver).await;
    let looked_up = begun.elapsed();
    findings.extend(finding_of_name(server, &found, looked_up));
    let tried = connect_both(server, &found).await;
    let others = [other(&tried[1]), other(&tried[0])];
    let of_tcp = [0, 1].map(|at| finding_of_tcp(server, at, &found[at], &tried[at], others[at]));
    let [four, six] = tried.map(|it| secure(server, inspector.as_ref(), it.connected));
    let secured = <[_; 2]>::from(tokio::join!(four, six));
    let now = SystemTime::now();
    let mut ways = Vec::new();
    let mut doubted = None;
    for (at, (tcp, secured)) in of_tcp.into_iter().zip(secured).enumerate() {
        findings.extend(tcp);
        let Some(Secured { way, seen, took, address }) = secured else { continue };
        if let Some(seen) = seen {
            let about = format!("{}, {}", server.name, FAMILIES[at].0);
            findings.push(tls::verdict(&about, &seen, now).took(took));
            doubted = doubted.or(blames_clock(&seen).then_some(address));
        }
        ways.extend(way);
    }
    match ways.into_iter().next() {
        Some(way) => {
            let address = way.address;
            let response =
                request(server, inspector.as_ref(), way, looked_up, &mut travelled).await;
            travelled.reached = response.map(|it| Reached { address, inspector, response: it });
        }
        None => travelled.said = date_in_plain(server, doubted).await,
    }
    travelled
}

/// A new connection to what was reached before.
pub(super) async fn open(server: &Server, reached: &Reached) -> Option<Client> {
    let connected = connect_to(reached.address, server.reach.proxy_protocol).await.ok()?;
    let transport = match &reached.inspector {
        None => connected.tcp.into(),
        Some(inspector) => shake(inspector, server, connected.tcp).await.ok()?.transport,
    };
    Some(Client::new(transport))
}

/// Whether a name that a certificate is ordered for is in the DNS.
pub(super) async fn own_name(host: Host, resolver: Arc<Resolver>) -> Travelled {
    let begun = Instant::now();
    let [four, six] = FAMILIES.map(|(_, it)| look_up(&host, it, Family::Auto, &resolver));
    let (four, six) = tokio::join!(four, six);
    let finding = name::verdict(&host, true, &four, &six, begun.elapsed());
    Travelled { findings: vec![finding.took(begun.elapsed())], ..Travelled::default() }
}

async fn names(server: &Server, resolver: &Arc<Resolver>) -> [Found; 2] {
    let reach = &server.reach;
    let [four, six] =
        FAMILIES.map(|(_, it)| look_up(&reach.connect.host, it, reach.family, resolver));
    tokio::join!(four, six).into()
}

/// Nothing, if it is an address.
fn finding_of_name(server: &Server, found: &[Found; 2], took: Duration) -> Option<Finding> {
    let host = &server.reach.connect.host;
    let is_name = host.address().is_err();
    let verdict = || name::verdict(host, server.is_ours, &found[0], &found[1], took);
    is_name.then(|| verdict().took(took))
}

async fn connect_both(server: &Server, found: &[Found; 2]) -> [Tried; 2] {
    let (port, header) = (server.reach.connect.port, server.reach.proxy_protocol);
    let [four, six] = found.each_ref().map(|it| it.as_deref().unwrap_or_default());
    tokio::join!(connect(four, port, header), connect(six, port, header)).into()
}

fn other(tried: &Tried) -> Other {
    match (&tried.connected, tried.number) {
        (Some(_), _) => Other::Works,
        (None, 0) => Other::Absent,
        (None, _) => Other::Fails,
    }
}

fn finding_of_tcp(
    server: &Server,
    at: usize,
    found: &Found,
    tried: &Tried,
    other: Other,
) -> Option<Finding> {
    let family = FAMILIES[at].0;
    match found {
        Ok(_) => Some(tcp::verdict(&server.name, family, tried, other)),
        // The step of the name has said so.
        Err(_) if other == Other::Absent => None,
        Err(Missing::Unwanted) => None,
        Err(Missing::Fault(_) | Missing::Late) => {
            let about = format!("{}, {family}", server.name);
            Some(Finding::skipped("tcp", &about, format!("the name has no {family} address")))
        }
    }
}

/// What came of a connection.
struct Secured {
    way: Option<Way>,
    /// Nothing without TLS.
    seen: Option<Seen>,
    took: Duration,
    address: SocketAddr,
}

async fn secure(
    server: &Server,
    inspector: Option<&Inspector>,
    connected: Option<Connected>,
) -> Option<Secured> {
    let Connected { tcp, address, took } = connected?;
    let Some(inspector) = inspector else {
        let way = Some(Way { transport: tcp.into(), address, took });
        return Some(Secured { way, seen: None, took, address });
    };
    let begun = Instant::now();
    let shaken = shake(inspector, server, tcp).await;
    let of_tls = begun.elapsed();
    // At once, because the other family may show something else to the same inspector.
    let shown = inspector.shown();
    let trouble = shaken.as_ref().err().copied();
    let classic_works = match trouble {
        Some(trouble) if is_cut(trouble) => works_without_hybrid(server, address).await,
        Some(_) | None => false,
    };
    let name = server.reach.tls_name.to_string();
    let outcome = shaken.as_ref().map(|it| it.version).map_err(|it| *it);
    let seen = Seen { name, is_ours: server.is_ours, outcome, shown, classic_works };
    let way = shaken.ok().map(|it| Way { transport: it.transport, address, took: took + of_tls });
    Some(Secured { way, seen: Some(seen), took: of_tls, address })
}

async fn shake(inspector: &Inspector, server: &Server, tcp: TcpStream) -> Result<Shaken, Trouble> {
    let name = server.reach.tls_name.server_name();
    match timeout(HANDSHAKE_MAX, inspector.connect(&name, tcp)).await {
        Ok(shaken) => shaken.map_err(Trouble::Fault),
        Err(_elapsed) => Err(Trouble::Late),
    }
}

fn is_cut(trouble: Trouble) -> bool {
    let reset = TlsFault::Socket(SocketError::ConnectionReset);
    matches!(trouble, Trouble::Late | Trouble::Fault(TlsFault::Closed))
        || trouble == Trouble::Fault(reset)
}

async fn works_without_hybrid(server: &Server, address: SocketAddr) -> bool {
    if server.reach.key_exchange == KeyExchange::Classic {
        return false;
    }
    let Ok(classic) = server.inspector(KeyExchange::Classic) else { return false };
    let Ok(connected) = connect_to(address, server.reach.proxy_protocol).await else {
        return false;
    };
    shake(&classic, server, connected.tcp).await.is_ok()
}

fn blames_clock(seen: &Seen) -> bool {
    use TlsFault::{CertificateExpired, CertificateNotYetValid};
    let faults = [CertificateExpired, CertificateNotYetValid].map(Trouble::Fault);
    seen.outcome.is_err_and(|it| faults.contains(&it))
}

/// A request, and the same on a connection that is warm, and on one that resumes a session.
async fn request(
    server: &Server,
    inspector: Option<&Inspector>,
    way: Way,
    looked_up: Duration,
    travelled: &mut Travelled,
) -> Option<Response> {
    let message = server.request.as_ref()?;
    let mut client = Client::new(way.transport);
    let (answered, took) = ask(&mut client, message).await;
    let response = match answered {
        Ok(response) => response,
        Err(trouble) => {
            travelled.findings.push(answer::missing(&server.name, trouble).took(took));
            return None;
        }
    };
    let about = &server.name;
    travelled.findings.push(answer::verdict(about, &response, inspector.is_some()).took(took));
    travelled.said = said(server, &response);
    let cold = looked_up + way.took + took;
    let warm = match response.persists {
        true => Some(ask(&mut client, message).await).filter(|it| it.0.is_ok()).map(|it| it.1),
        false => None,
    };
    let resumed = resumed(server, inspector, way.address, message).await;
    travelled.findings.push(times::verdict(about, Times { cold, resumed, warm }));
    Some(response)
}

async fn ask(client: &mut Client, message: &[u8]) -> (Result<Response, answer::Trouble>, Duration) {
    let begun = Instant::now();
    let answered = match timeout(RESPONSE_MAX, client.ask(message)).await {
        Ok(answered) => answered.map_err(answer::Trouble::Unanswered),
        Err(_elapsed) => Err(answer::Trouble::Late),
    };
    (answered, begun.elapsed())
}

fn said(server: &Server, response: &Response) -> Option<Said> {
    let (server, here) = (server.name.clone(), SystemTime::now());
    response.head.date.map(|date| Said { server, date, here })
}

/// How long a request takes that resumes a session; whether it could.
async fn resumed(
    server: &Server,
    inspector: Option<&Inspector>,
    address: SocketAddr,
    message: &[u8],
) -> Option<(bool, Duration)> {
    let inspector = inspector?;
    let begun = Instant::now();
    let connected = connect_to(address, server.reach.proxy_protocol).await.ok()?;
    let shaken = shake(inspector, server, connected.tcp).await.ok()?;
    let (answered, _) = ask(&mut Client::new(shaken.transport), message).await;
    answered.ok().map(|_| (shaken.is_resumed, begun.elapsed()))
}

/// The time that the server at this address says without TLS. No certificate vouches for it, but a
/// person reads it.
async fn date_in_plain(server: &Server, address: Option<SocketAddr>) -> Option<Said> {
    const HTTP: u16 = 80;
    let address = SocketAddr::new(address?.ip(), HTTP);
    let asking = async {
        let connected = connect_to(address, None).await.ok()?;
        let host = server.reach.endpoint.host.to_string();
        let message = super::server::request("GET", "/", &host);
        let (answered, _) = ask(&mut Client::new(connected.tcp.into()), &message).await;
        said(server, &answered.ok()?)
    };
    timeout(DATE_MAX, asking).await.ok().flatten()
}
