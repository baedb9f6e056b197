//! What TLS handshakes cost, on the server's side and on the client's, without a socket.
//!
//!     cargo bench --bench handshakes
//!
//! All cases take turns, so that a machine that is slow for a while is slow for all of them. Times
//! are medians, and move with the machine; what counts are the ratios.

use narrows::tls::alpn::Alpn;
use narrows::tls::certificates::Certificates;
use narrows::tls::client::{self, ClientSide};
use narrows::tls::credential_file::{Chain, PrivateKey};
use narrows::tls::identity::Identity;
use narrows::tls::key_exchange::KeyExchange;
use narrows::tls::server;
use narrows_kit::certificates::certificate_file;
use narrows_kit::issuer::{Issuer, KeyKind, Pair};
use std::error::Error;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

/// What goes wrong here ends the benchmark.
type Fault = Box<dyn Error>;

/// Handshakes of each case. 100 of them are for warming up.
const ROUNDS: usize = 2100;
const WARM: usize = 100;
/// Names of the listener that has many.
const NAMES: usize = 1000;

struct Case {
    name: &'static str,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// What each side took.
    times: [Vec<Duration>; 2],
}

fn main() -> Result<(), Fault> {
    let one = listener(Vec::new())?;
    let issuer = Issuer::new("many");
    let names: Vec<_> = (0..NAMES).map(|number| format!("{number}.relay.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let many = names.iter().map(|name| issuer.server(&[name], KeyKind::Ecdsa));
    let many = listener(many.collect())?;
    let in_one = listener(vec![issuer.server(&names, KeyKind::Ecdsa)])?;
    let (hybrid, classic) = (client(KeyExchange::Hybrid)?, client(KeyExchange::Classic)?);
    let mut cases = [
        Case::new("1 name, X25519", &one, &classic),
        Case::new("1,000 certificates, X25519", &many, &classic),
        Case::new("1,000 names in 2 certificates, X25519", &in_one, &classic),
        Case::new("1 name, X25519MLKEM768", &one, &hybrid),
    ];
    for round in 0..ROUNDS {
        for case in &mut cases {
            case.shake_hands(round >= WARM)?;
        }
    }
    println!("us, median of {} handshakes      server  client", ROUNDS - WARM);
    for case in &mut cases {
        let [server, client] = case.times.each_mut().map(|times| median(times));
        println!("{:<38} {server:>7.1} {client:>7.1}", case.name);
    }
    Ok(())
}

/// A listener for `localhost`, and for others.
fn listener(others: Vec<Pair>) -> Result<Arc<ServerConfig>, Fault> {
    let chain = Chain::read(&certificate_file("server.pem"))?;
    let own = Identity::new(chain, PrivateKey::read(&certificate_file("server.key"))?)?;
    let mut identities = vec![Rc::new(own)];
    for Pair { certificate, key, .. } in others {
        let file = Path::new("generated.pem");
        let chain = Chain::parse(file, certificate.as_bytes())?;
        let key = PrivateKey::parse(file, key.as_bytes())?;
        identities.push(Rc::new(Identity::new(chain, key)?));
    }
    Ok(server::config(Certificates::new(&identities, &[]).into(), None, Alpn::Http, None)?)
}

fn client(key_exchange: KeyExchange) -> Result<Arc<ClientConfig>, Fault> {
    let ca = Chain::read(&certificate_file("ca.pem"))?;
    let side = ClientSide { ca: Some(&ca), identity: None, key_exchange, alpn: Alpn::Http };
    let mut config = ClientConfig::clone(&*client::config(side)?);
    config.resumption = Resumption::disabled();
    Ok(config.into())
}

impl Case {
    fn new(name: &'static str, server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Self {
        let (server, client) = (Arc::clone(server), Arc::clone(client));
        Self { name, server, client, times: Default::default() }
    }

    fn shake_hands(&mut self, counts: bool) -> Result<(), Fault> {
        let (mut of_server, mut of_client) = (Duration::ZERO, Duration::ZERO);
        let begun = Instant::now();
        let name = ServerName::try_from("localhost")?;
        let mut client = ClientConnection::new(Arc::clone(&self.client), name)?;
        of_client += begun.elapsed();
        let begun = Instant::now();
        let mut server = ServerConnection::new(Arc::clone(&self.server))?;
        of_server += begun.elapsed();
        while client.is_handshaking() || server.is_handshaking() {
            let (begun, mut wire) = (Instant::now(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut wire)?;
            }
            of_client += begun.elapsed();
            let begun = Instant::now();
            let mut sent = &*wire;
            while !sent.is_empty() {
                server.read_tls(&mut sent)?;
                server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire)?;
            }
            of_server += begun.elapsed();
            let begun = Instant::now();
            let mut sent = &*wire;
            while !sent.is_empty() {
                client.read_tls(&mut sent)?;
                client.process_new_packets()?;
            }
            of_client += begun.elapsed();
        }
        if counts {
            self.times[0].push(of_server);
            self.times[1].push(of_client);
        }
        Ok(())
    }
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
