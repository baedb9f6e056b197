//! Opening a connection to an upstream: its name, TCP to one of its addresses, TLS with its name
//! verified. Each step has its own limit of time and its own error.

use crate::config::snapshot::{UpstreamConfig, UpstreamTls};
use crate::config::url::Host;
use crate::deadline::{Deadline, Timeouts, Timer};
use crate::error::{Cause, ExchangeError};
use crate::limits::TCP_USER_TIMEOUT;
use crate::net::listen::keepalive;
use crate::net::tcp::MeteredTcp;
use crate::net::transport::Transport;
use crate::tls::connector;
use crate::upstream::{Dial, Dialing};
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout_at;

/// Dials over the network.
#[derive(Clone, Debug)]
pub struct NetworkDialer {
    upstream: Arc<UpstreamConfig>,
    timeouts: Arc<Timeouts>,
}

impl NetworkDialer {
    /// A dialer for one upstream.
    pub fn new(upstream: Arc<UpstreamConfig>, timeouts: Arc<Timeouts>) -> Self {
        Self { upstream, timeouts }
    }
}

impl Dial for NetworkDialer {
    fn dial(&self) -> Dialing {
        let Self { upstream, timeouts } = self.clone();
        Box::pin(async move {
            let tcp = connect(&upstream, &timeouts).await?;
            tune(&tcp);
            match &upstream.tls {
                None => Ok(Transport::Tcp(MeteredTcp::new(tcp))),
                Some(tls) => secure(tcp, tls, &timeouts).await,
            }
        })
    }
}

/// Tries the addresses in the resolver's order (RFC 6724), each under `timeouts.connect`.
async fn connect(
    upstream: &UpstreamConfig,
    timeouts: &Timeouts,
) -> Result<TcpStream, ExchangeError> {
    let mut last = ExchangeError::upstream(Cause::NameNotResolved);
    for address in resolve(upstream, timeouts).await? {
        let deadline = Deadline::start(Timer::Connect, timeouts);
        last = match timeout_at(deadline.at, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => ExchangeError::upstream(Cause::Unreachable(error.kind())),
            Err(_elapsed) => ExchangeError::expired(Timer::Connect),
        };
    }
    Err(last)
}

async fn resolve(
    upstream: &UpstreamConfig,
    timeouts: &Timeouts,
) -> Result<Vec<SocketAddr>, ExchangeError> {
    let port = upstream.address.port;
    let name = match &upstream.address.host {
        Host::Ip(address) => return Ok(vec![SocketAddr::new(*address, port)]),
        Host::Name(name) => name,
    };
    let deadline = Deadline::start(Timer::Connect, timeouts);
    match timeout_at(deadline.at, lookup_host((name.as_ref(), port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(_)) => Err(ExchangeError::upstream(Cause::NameNotResolved)),
        Err(_elapsed) => Err(ExchangeError::expired(Timer::Connect)),
    }
}

/// Best effort, all of it: a connection without these options works, only later or longer.
fn tune(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let socket = SockRef::from(tcp);
    let _ = socket.set_tcp_keepalive(&keepalive());
    let _ = socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
}

async fn secure(
    tcp: TcpStream,
    tls: &UpstreamTls,
    timeouts: &Timeouts,
) -> Result<Transport, ExchangeError> {
    let deadline = Deadline::start(Timer::UpstreamHandshake, timeouts);
    match timeout_at(deadline.at, connector::connect(&tls.config, &tls.server_name, tcp)).await {
        Ok(Ok(transport)) => Ok(transport),
        Ok(Err(fault)) => Err(ExchangeError::upstream(Cause::Tls(fault))),
        Err(_elapsed) => Err(ExchangeError::expired(Timer::UpstreamHandshake)),
    }
}
