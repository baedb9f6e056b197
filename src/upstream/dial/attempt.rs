//! One attempt to open a connection: TCP to one address, then TLS with the upstream's name
//! verified.

use crate::clock::Deadline;
use crate::config::snapshot::UpstreamTls;
use crate::error::{Cause, DialFailure, DialStep, ExchangeError, Fault, SocketError};
use crate::limits::{DESCRIPTOR_PAUSE, TCP_USER_TIMEOUT};
use crate::net::descriptors::{ask_for_some, is_lack, is_spare};
use crate::net::listen::keepalive;
use crate::net::transport::Transport;
use crate::timeouts::{Timeouts, Timer};
use crate::tls::client;
use bytes::Bytes;
use rustix::io::Errno;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};

/// A connection that is open.
pub(super) struct Secured {
    pub(super) transport: Transport,
    /// How long the handshake took; `None` without TLS.
    pub(super) tls: Option<Duration>,
}

/// Opens a connection to `address`, which begins with `header`.
///
/// # Errors
/// The step that failed, and why.
pub(super) async fn open(
    address: SocketAddr,
    header: Option<Bytes>,
    tls: Option<&UpstreamTls>,
    timeouts: &Timeouts,
) -> Result<Secured, Box<DialFailure>> {
    let begun = Instant::now();
    let failed =
        |step, begun: Instant, error| DialFailure::at(step, Some(address), begun.elapsed(), error);
    let tcp = connect(address, header, timeouts).await;
    let tcp = tcp.map_err(|error| failed(DialStep::Connect, begun, error))?;
    let Some(tls) = tls else { return Ok(Secured { transport: Transport::from(tcp), tls: None }) };
    let begun = Instant::now();
    let secured = secure(tcp, tls, timeouts).await;
    let transport = secured.map_err(|error| failed(DialStep::Tls, begun, error))?;
    Ok(Secured { transport, tls: Some(begun.elapsed()) })
}

async fn connect(
    address: SocketAddr,
    header: Option<Bytes>,
    timeouts: &Timeouts,
) -> Result<TcpStream, ExchangeError> {
    let deadline = Deadline::start(Timer::Connect, timeouts);
    let connecting = async {
        let mut tcp = socket(address).await?.connect(address).await?;
        if let Some(header) = header {
            tcp.write_all(&header).await?;
        }
        Ok::<_, io::Error>(tcp)
    };
    match timeout_at(deadline.at, connecting).await {
        Ok(Ok(tcp)) => {
            tune(&tcp);
            Ok(tcp)
        }
        Ok(Err(error)) => Err(unreachable(&error, address)),
        Err(_elapsed) => Err(ExchangeError::expired(Timer::Connect)),
    }
}

/// A socket whose descriptor is not one of the last: then idle connections are closed first.
async fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    match socket_now(address) {
        Err(error) if is_lack(&error) => {
            ask_for_some();
            sleep(DESCRIPTOR_PAUSE).await;
            socket_now(address)
        }
        opened => opened,
    }
}

fn socket_now(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if is_spare(&socket) { Err(Errno::MFILE.into()) } else { Ok(socket) }
}

async fn secure(
    tcp: TcpStream,
    tls: &UpstreamTls,
    timeouts: &Timeouts,
) -> Result<Transport, ExchangeError> {
    let deadline = Deadline::start(Timer::UpstreamHandshake, timeouts);
    match timeout_at(deadline.at, client::connect(&tls.config, &tls.server_name, tcp)).await {
        Ok(Ok(transport)) => Ok(transport),
        Ok(Err(fault)) => Err(ExchangeError::upstream(Cause::Tls(fault))),
        Err(_elapsed) => Err(ExchangeError::expired(Timer::UpstreamHandshake)),
    }
}

/// The upstream cannot be reached, unless it is this machine that can reach no one.
fn unreachable(error: &io::Error, address: SocketAddr) -> ExchangeError {
    const OURS: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    // No port is left for this address (connect(2)). For IPv6 it may also mean that we have none.
    let no_port = |errno| errno == Errno::ADDRNOTAVAIL && address.is_ipv4();
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let error = SocketError::from(errno);
    if OURS.contains(&errno) || no_port(errno) {
        return ExchangeError { fault: Fault::Internal, cause: Cause::Exhausted(error) };
    }
    ExchangeError::upstream(Cause::Unreachable(error))
}

/// Best effort: without these options a connection works, but slower, or its death shows later.
fn tune(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let socket = SockRef::from(tcp);
    let _ = socket.set_tcp_keepalive(&keepalive());
    let _ = socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{TCP_KEEPALIVE, TCP_KEEPALIVE_PROBES};

    #[tokio::test]
    async fn the_kernel_gives_up_a_peer_that_vanishes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune(&tcp);
        let socket = SockRef::from(&tcp);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(TCP_USER_TIMEOUT));
        assert!(socket.keepalive().unwrap() && tcp.nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), TCP_KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), TCP_KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), TCP_KEEPALIVE_PROBES);
    }

    #[test]
    fn resources_exhausted_here_are_not_the_upstreams_fault() {
        let fault = |errno: Errno, address: &str| {
            unreachable(&errno.into(), address.parse().unwrap()).fault
        };
        assert_eq!(fault(Errno::MFILE, "[::1]:443"), Fault::Internal);
        assert_eq!(fault(Errno::ADDRNOTAVAIL, "127.0.0.1:443"), Fault::Internal);
        assert_eq!(fault(Errno::ADDRNOTAVAIL, "[::1]:443"), Fault::Upstream);
        assert_eq!(fault(Errno::CONNREFUSED, "127.0.0.1:443"), Fault::Upstream);
    }
}
