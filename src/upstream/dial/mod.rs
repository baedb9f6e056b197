//! Opening a connection to an upstream: TCP to one of its addresses, TLS with its name verified.
//!
//! Happy eyeballs (RFC 8305), with one difference: an attempt has succeeded when TLS is done, not
//! when TCP is. A path that lets TCP connect and then swallows the handshake is a real report, and
//! races that stop at TCP never leave it.

use crate::clock::Deadline;
use crate::config::snapshot::{UpstreamConfig, UpstreamTls};
use crate::error::{Cause, DialFailure, ExchangeError, Fault, LookupFault, SocketError, Step};
use crate::limits::{ATTEMPT_STAGGER, REFUSED_PAUSES, TCP_USER_TIMEOUT};
use crate::net::listen::keepalive;
use crate::net::transport::Transport;
use crate::preface::proxy_header::{self, Version};
use crate::telemetry::{dial_failed, dial_succeeded};
use crate::timeouts::{Timeouts, Timer};
use crate::tls::client;
use crate::upstream::dial::resolve::Names;
use crate::upstream::resolver::Resolver;
use crate::upstream::{Dial, Dialing, ProxyHeader};
use bytes::{Bytes, BytesMut};
use rustix::io::Errno;
use socket2::SockRef;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Level;

/// Dials over the network.
#[derive(Clone, Debug)]
pub struct NetworkDialer {
    tls: Option<UpstreamTls>,
    announces: Option<Version>,
    names: Rc<Names>,
    timeouts: Arc<Timeouts>,
    /// `host:port`, for the log.
    label: Rc<str>,
}

impl NetworkDialer {
    /// A dialer for one upstream, whose name `resolver` looks up.
    pub fn new(
        upstream: &UpstreamConfig,
        timeouts: Arc<Timeouts>,
        resolver: &Arc<Resolver>,
    ) -> Self {
        let UpstreamConfig { address, family, tls, proxy_protocol: announces, label, .. } =
            upstream;
        let names = Rc::new(Names::new(address, *family, Arc::clone(&timeouts), resolver));
        let (tls, label) = (tls.clone(), Rc::from(&**label));
        Self { tls, announces: *announces, names, timeouts, label }
    }
}

impl Dial for NetworkDialer {
    fn dial(&self, proxy_header: Option<&ProxyHeader>) -> Dialing {
        let dialer = self.clone();
        let header = proxy_header.and_then(|it| self.header(it));
        Box::pin(insist(move || dialer.clone().dial_once(header.clone())))
    }

    fn sends_proxy_header(&self) -> bool {
        self.announces.is_some()
    }
}

impl NetworkDialer {
    /// The PROXY header that stands before everything else.
    fn header(&self, proxy_header: &ProxyHeader) -> Option<Bytes> {
        let ProxyHeader { source, destination } = *proxy_header;
        // Only a connection that is no socket does not know where it arrived.
        let destination = destination.unwrap_or(source);
        let mut header = BytesMut::new();
        proxy_header::encode(self.announces?, source, destination, &mut header);
        Some(header.freeze())
    }

    async fn dial_once(self, header: Option<Bytes>) -> Dialed<Transport> {
        let begun = Instant::now();
        let addresses = self.names.addresses().await;
        let failed = |error| DialFailure::at(Step::Lookup, None, begun.elapsed(), error);
        let addresses = addresses.map_err(failed)?;
        let label = Rc::clone(&self.label);
        let attempts = addresses.iter().map(|it| {
            let (attempt, label) = (attempt(self.clone(), *it, header.clone()), Rc::clone(&label));
            let (address, begun) = (*it, Instant::now());
            async move {
                let attempted = attempt.await;
                match &attempted {
                    Ok(_) => dial_succeeded(&label, address, begun.elapsed()),
                    Err(failure) => dial_failed(Level::DEBUG, &label, failure),
                }
                attempted
            }
        });
        race(attempts).await
    }
}

type Dialed<T> = Result<T, Box<DialFailure>>;

/// Dials again after a pause while the connection is refused, a few times.
async fn insist<T, F>(dial: impl Fn() -> F) -> Dialed<T>
where
    F: Future<Output = Dialed<T>>,
{
    const REFUSED: Cause = Cause::Unreachable(SocketError::ConnectionRefused);
    for pause in REFUSED_PAUSES {
        match dial().await {
            Err(failure) if failure.error.cause == REFUSED => sleep(pause).await,
            ended => return ended,
        }
    }
    dial().await
}

/// Starts the attempts one after the other, a moment apart or as soon as one has failed, and gives
/// the first that succeeds; the others are dropped. When all fail, the failure that says most is
/// given, and of several the first: its address is the one that the resolver put first.
async fn race<T, F>(attempts: impl Iterator<Item = F>) -> Dialed<T>
where
    F: Future<Output = Dialed<T>>,
{
    let mut waiting = attempts;
    let mut running: Vec<Option<Pin<Box<F>>>> = Vec::new();
    let mut first_error = None;
    let mut next_start = pin!(sleep(ATTEMPT_STAGGER));
    poll_fn(|cx| {
        loop {
            if let Some(done) = poll_running(cx, &mut running, &mut first_error) {
                return Poll::Ready(Ok(done));
            }
            let idle = running.iter().all(Option::is_none);
            let due = running.is_empty() || idle || next_start.as_mut().poll(cx).is_ready();
            if !due {
                return Poll::Pending;
            }
            match waiting.next() {
                Some(attempt) => {
                    running.push(Some(Box::pin(attempt)));
                    next_start.as_mut().reset(Instant::now() + ATTEMPT_STAGGER);
                }
                None if idle => {
                    let none = || {
                        ExchangeError::upstream(Cause::NameNotResolved(LookupFault::Failed)).into()
                    };
                    return Poll::Ready(Err(first_error.take().unwrap_or_else(none)));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

fn poll_running<T, F>(
    cx: &mut Context<'_>,
    running: &mut [Option<Pin<Box<F>>>],
    first_error: &mut Option<Box<DialFailure>>,
) -> Option<T>
where
    F: Future<Output = Dialed<T>>,
{
    for place in running {
        let Some(attempt) = place else { continue };
        match attempt.as_mut().poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(done)) => return Some(done),
            Poll::Ready(Err(error)) => {
                if first_error.as_ref().is_none_or(|first| weight(&error) > weight(first)) {
                    *first_error = Some(error);
                }
                *place = None;
            }
        }
    }
    None
}

/// How much a failure says about the upstream. That this machine has no way to the addresses of one
/// family says nothing, and a handshake that failed says more than a connection that did.
fn weight(failure: &DialFailure) -> u8 {
    const NO_WAY: [SocketError; 3] = [
        SocketError::NetworkUnreachable,
        SocketError::AddressNotAvailable,
        SocketError::FamilyNotSupported,
    ];
    match (failure.step, failure.error.cause) {
        (_, Cause::Unreachable(errno)) if NO_WAY.contains(&errno) => 0,
        (Some(Step::Tls), _) => 2,
        (Some(Step::Lookup | Step::Connect) | None, _) => 1,
    }
}

/// One address, from TCP to TLS done.
async fn attempt(
    dialer: NetworkDialer,
    address: SocketAddr,
    header: Option<Bytes>,
) -> Dialed<Transport> {
    let timeouts = &dialer.timeouts;
    let begun = Instant::now();
    let failed = |error| DialFailure::at(Step::Connect, Some(address), begun.elapsed(), error);
    let deadline = Deadline::start(Timer::Connect, timeouts);
    let connecting = async {
        let mut tcp = TcpStream::connect(address).await?;
        if let Some(header) = header {
            tcp.write_all(&header).await?;
        }
        Ok::<_, io::Error>(tcp)
    };
    let tcp = match timeout_at(deadline.at, connecting).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => return Err(failed(unreachable(&error, address))),
        Err(_elapsed) => return Err(failed(ExchangeError::expired(Timer::Connect))),
    };
    tune(&tcp);
    match &dialer.tls {
        None => Ok(Transport::from(tcp)),
        Some(tls) => {
            let begun = Instant::now();
            let failed = |error| DialFailure::at(Step::Tls, Some(address), begun.elapsed(), error);
            secure(tcp, tls, timeouts).await.map_err(failed)
        }
    }
}

/// An upstream that cannot be reached, unless it is ourselves who cannot reach anybody.
fn unreachable(error: &io::Error, address: SocketAddr) -> ExchangeError {
    const OURS: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    // No port is left for this address (connect(2)). Of IPv6 it may also mean that we have none.
    let no_port = |errno| errno == Errno::ADDRNOTAVAIL && address.is_ipv4();
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let error = SocketError::from(errno);
    if OURS.contains(&errno) || no_port(errno) {
        return ExchangeError { fault: Fault::Internal, cause: Cause::Exhausted(error) };
    }
    ExchangeError::upstream(Cause::Unreachable(error))
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
    match timeout_at(deadline.at, client::connect(&tls.config, &tls.server_name, tcp)).await {
        Ok(Ok(transport)) => Ok(transport),
        Ok(Err(fault)) => Err(ExchangeError::upstream(Cause::Tls(fault))),
        Err(_elapsed) => Err(ExchangeError::expired(Timer::UpstreamHandshake)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{TCP_KEEPALIVE, TCP_KEEPALIVE_PROBES};
    use std::time::Duration;

    const REFUSED: ExchangeError =
        ExchangeError::upstream(Cause::Unreachable(SocketError::ConnectionRefused));

    /// Races attempts that end after so many milliseconds; gives what won and when.
    async fn check(
        attempts: &[(u64, Result<u8, ExchangeError>)],
    ) -> (Result<u8, ExchangeError>, u64) {
        let begun = Instant::now();
        let attempts = attempts.iter().map(|&(milliseconds, result)| async move {
            sleep(Duration::from_millis(milliseconds)).await;
            result.map_err(Box::from)
        });
        let result = race(attempts).await.map_err(|failure| failure.error);
        (result, begun.elapsed().as_millis() as u64)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_address_wins_when_it_is_quick() {
        assert_eq!(check(&[(100, Ok(1)), (1, Ok(2))]).await, (Ok(1), 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_is_overtaken_after_the_stagger() {
        assert_eq!(check(&[(5000, Ok(1)), (10, Ok(2))]).await, (Ok(2), 260));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_address_makes_the_next_one_start_at_once() {
        assert_eq!(check(&[(10, Err(REFUSED)), (10, Ok(2))]).await, (Ok(2), 20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overtaken_address_may_still_win() {
        assert_eq!(check(&[(300, Ok(1)), (100, Ok(2))]).await, (Ok(1), 300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_restarts_is_waited_for_and_one_that_is_gone_is_not() {
        let begun = Instant::now();
        let up_after = |milliseconds| async move {
            let is_up = begun.elapsed() >= Duration::from_millis(milliseconds);
            if is_up { Ok(begun.elapsed().as_millis()) } else { Err(REFUSED.into()) }
        };
        assert_eq!(insist(|| up_after(250)).await, Ok(300));
        assert_eq!(insist(|| up_after(9999)).await, Err(REFUSED.into()));
        assert_eq!(begun.elapsed(), Duration::from_millis(1000));
        let expired = ExchangeError::expired(Timer::Connect);
        let expires = || async { Err::<(), _>(expired.into()) };
        assert_eq!(insist(expires).await, Err(expired.into()));
        assert_eq!(begun.elapsed(), Duration::from_millis(1000), "only a refusal is waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_first_failure_is_told() {
        let slow = ExchangeError::expired(Timer::UpstreamHandshake);
        assert_eq!(check(&[(10, Err(REFUSED)), (5, Err(slow))]).await, (Err(REFUSED), 15));
        assert_eq!(check(&[(900, Err(slow)), (5, Err(REFUSED))]).await, (Err(REFUSED), 900));
        let none = ExchangeError::upstream(Cause::NameNotResolved(LookupFault::Failed));
        assert_eq!(check(&[]).await, (Err(none), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_cannot_be_reached_from_here_does_not_hide_why_the_other_failed() {
        let no_way = SocketError::NetworkUnreachable;
        let no_way = ExchangeError::upstream(Cause::Unreachable(no_way));
        assert_eq!(check(&[(0, Err(no_way)), (5, Err(REFUSED))]).await, (Err(REFUSED), 5));
        assert_eq!(check(&[(0, Err(no_way)), (5, Err(no_way))]).await, (Err(no_way), 5));
    }

    #[tokio::test]
    async fn a_peer_that_vanishes_is_given_up_by_the_kernel() {
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
    fn what_runs_out_here_is_no_fault_of_the_upstreams() {
        let fault = |errno: Errno, address: &str| {
            unreachable(&errno.into(), address.parse().unwrap()).fault
        };
        assert_eq!(fault(Errno::MFILE, "[::1]:443"), Fault::Internal);
        assert_eq!(fault(Errno::ADDRNOTAVAIL, "127.0.0.1:443"), Fault::Internal);
        assert_eq!(fault(Errno::ADDRNOTAVAIL, "[::1]:443"), Fault::Upstream);
        assert_eq!(fault(Errno::CONNREFUSED, "127.0.0.1:443"), Fault::Upstream);
    }
}

pub mod resolve;
