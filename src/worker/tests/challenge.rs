//! Authorities that verify names, on listeners of both modes.

use super::alone;
use super::{GUARD, listen};
use crate::config::Config;
use crate::config::snapshot::{Listener, Snapshot};
use crate::net::admission::Admission;
use crate::telemetry::{LogFormat, logged};
use crate::tls::challenges::Challenges;
use crate::tls::testing::der_of;
use crate::tls::testing::memory::{Schemes, Trusting};
use crate::upstream::registry::Registry;
use crate::worker::{Socket, SocketId, Worker};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tracing::Level;

const CHALLENGE: &[&str] = &["acme-tls/1"];

#[test]
fn an_authority_is_answered_on_each_listener_where_clients_speak_tls() {
    let log = logged(LogFormat::Text, Level::DEBUG, || {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async { timeout(GUARD, scene()).await.unwrap() });
    });
    let answered = log.lines().filter(|it| it.contains("a challenge was answered"));
    let answered: Vec<_> = answered.collect();
    assert_eq!(answered.len(), 6, "{log}");
    let is_quiet = |it: &&str| it.contains("DEBUG") && it.contains("name=\"a.test\"");
    assert!(answered.iter().all(is_quiet), "{log}");
}

async fn scene() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let challenges = Arc::new(Challenges::default());
    let snapshot = snapshot(origin.local_addr().unwrap());
    let mut worker = worker(&snapshot, &challenges).await;
    let [https, tcp, guarded_https, guarded_tcp] =
        [0, 1, 2, 3].map(|at| open(&mut worker, &snapshot.listeners[at]));
    let (certificate, key) = der_of("wildcard");
    challenges.set_tls_alpn("a.test", certificate.clone(), key).unwrap();
    // Also where `allow` has no address of this machine.
    for address in [https, https, tcp, tcp, guarded_https, guarded_tcp] {
        let mut tls = connect(address, "a.test", CHALLENGE).await.unwrap();
        let (_, session) = tls.get_ref();
        assert_eq!(session.alpn_protocol(), CHALLENGE.first().map(|it| it.as_bytes()));
        assert_eq!(*session.peer_certificates().unwrap()[0], *certificate);
        assert_eq!(tls.read(&mut [0]).await.unwrap(), 0, "an end in order");
    }
    for address in [guarded_https, guarded_tcp] {
        assert!(connect(address, "a.test", &["http/1.1"]).await.is_err());
        assert!(connect(address, "b.test", CHALLENGE).await.is_err());
    }
    // Others go on as always: clients, also those of the name, and challenges of someone else.
    expect_http(https, "a.test").await;
    for protocols in [&["acme-tls/1", "http/1.1"][..], &["http/1.1"], &[]] {
        expect_forwarded(&origin, tcp, "a.test", protocols).await;
    }
    expect_forwarded(&origin, tcp, "b.test", CHALLENGE).await;
    challenges.clear("a.test");
    assert!(challenges.is_empty());
    expect_forwarded(&origin, tcp, "a.test", CHALLENGE).await;
    assert!(connect(https, "a.test", CHALLENGE).await.is_err());
}

/// What a client without TLS, and with a challenge under way, is told in plain HTTP.
async fn expect_http(address: SocketAddr, name: &'static str) {
    let mut client = connect(address, name, &["http/1.1"]).await.unwrap();
    let request = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404 "), "{answer:?}");
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(request).await.unwrap();
    answer.clear();
    plain.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
}

/// The upstream gets the hello as it came.
async fn expect_forwarded(
    origin: &TcpListener,
    address: SocketAddr,
    name: &'static str,
    protocols: &[&str],
) {
    let connecting = connect(address, name, protocols);
    let forwarding = async {
        let (mut forwarded, _) = origin.accept().await.unwrap();
        let mut first = [0; 6];
        forwarded.read_exact(&mut first).await.unwrap();
        assert_eq!((first[0], first[5]), (22, 1), "a ClientHello");
    };
    let (connected, ()) = tokio::join!(connecting, forwarding);
    assert!(connected.is_err(), "the upstream leaves");
}

async fn connect(
    address: SocketAddr,
    name: &'static str,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(Schemes::All)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name.try_into().unwrap(), tcp).await
}

/// An https listener, and one in tcp mode that looks at names and ends no TLS; and the same for
/// clients of elsewhere.
fn snapshot(origin: SocketAddr) -> Snapshot {
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         certificate = \"certs/server.pem\"\nkey = \"certs/server.key\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\nallow = [\"192.0.2.7\"]\n\
         certificate = \"certs/server.pem\"\nkey = \"certs/server.key\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\nallow = [\"192.0.2.7\"]\n\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{origin}/\"\nwarm = 0\n\
         [[forward]]\nserver_name = \"*.test\"\nupstream = \"tcp://{origin}\"\n"
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    Snapshot::load(Config::parse("narrows.toml", folder, &text).unwrap()).unwrap()
}

async fn worker(snapshot: &Snapshot, challenges: &Arc<Challenges>) -> Worker {
    let admission = Arc::new(Admission::new(100, snapshot.limits.per_address));
    let registry = Arc::new(Registry::new(1));
    Worker::new(snapshot, admission, registry, Arc::clone(challenges)).await
}

fn open(worker: &mut Worker, listener: &Arc<Listener>) -> SocketAddr {
    let socket = listen(listener.address, 1, GUARD).unwrap().remove(0);
    let address = socket.local_addr().unwrap();
    let opened = alone([socket]);
    let listener = Arc::clone(listener);
    worker.listen(Socket { id: SocketId::unique(), address, listener, opened }).unwrap();
    address
}
