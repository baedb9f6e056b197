//! Opening a connection to an upstream: [`Dial`], and [`NetworkDialer`], which does so over the
//! network.
//!
//! `addresses` says which addresses to try, `attempt` opens a connection to one of them,
//! from TCP to the end of TLS, and `happy_eyeballs` races these attempts. Here a refused
//! connection is tried again, for a server that is just restarting.

mod addresses;
mod attempt;
mod happy_eyeballs;

use crate::config::reach::Reach;
use crate::config::snapshot::{UpstreamConfig, UpstreamTls};
use crate::error::{Cause, DialFailure, DialStep, SocketError};
use crate::limits::REFUSED_PAUSES;
use crate::net::transport::Transport;
use crate::preface::proxy_header::{self, ProxyVersion};
use crate::telemetry::metrics::UpstreamMetrics;
use crate::telemetry::{DialTimes, dial_failed, dial_succeeded};
use crate::timeouts::Timeouts;
use crate::upstream::dial::addresses::AddressSource;
use crate::upstream::dial::attempt::Secured;
use crate::upstream::resolver::Resolver;
use bytes::{Bytes, BytesMut};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::{Instant, sleep};
use tracing::Level;

/// A way to open connections. The network is one; tests bring their own.
pub trait Dial {
    /// Opens one connection, ready for a request. It begins with `proxy_header` if there is one and
    /// the upstream wants it.
    ///
    /// Boxed, because an allocation is nothing beside the round trip that a dial costs at least.
    fn dial(&self, proxy_header: Option<&ProxyHeader>) -> Dialing;

    /// Whether each connection names its client in a PROXY header, and so is of no use to another
    /// client.
    fn sends_proxy_header(&self) -> bool {
        false
    }

    /// What counts the connections to this upstream.
    fn metrics(&self) -> Rc<UpstreamMetrics> {
        Rc::default()
    }
}

/// A connection being opened. It owns what it needs, so that it may outlive the client that caused
/// it.
pub type Dialing = Pin<Box<dyn Future<Output = Dialed<NewConnection>>>>;

/// A connection that was just opened.
#[derive(Debug)]
pub struct NewConnection {
    /// The connection, after its handshake.
    pub transport: Transport,
    /// How long that took.
    pub times: DialTimes,
}

/// One that took no time, as in tests.
impl From<Transport> for NewConnection {
    fn from(transport: Transport) -> Self {
        Self { transport, times: DialTimes::default() }
    }
}

/// The client on whose behalf a connection is opened, as a PROXY header names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client's address.
    pub source: SocketAddr,
    /// The address that the client connected to, if that is known.
    pub destination: Option<SocketAddr>,
}

/// Dials over the network.
#[derive(Clone, Debug)]
pub struct NetworkDialer {
    tls: Option<UpstreamTls>,
    proxy_protocol: Option<ProxyVersion>,
    addresses: Rc<AddressSource>,
    timeouts: Arc<Timeouts>,
    /// `host:port`, for the log.
    label: Rc<str>,
    metrics: Rc<UpstreamMetrics>,
}

impl NetworkDialer {
    /// A dialer for one upstream, whose name `resolver` looks up.
    pub fn new(
        upstream: &UpstreamConfig,
        timeouts: Arc<Timeouts>,
        resolver: &Arc<Resolver>,
        metrics: Rc<UpstreamMetrics>,
    ) -> Self {
        let UpstreamConfig { reach, tls, label, .. } = upstream;
        let Reach { ref connect, family, proxy_protocol, .. } = *reach;
        let addresses = AddressSource::new(connect, family, Arc::clone(&timeouts), resolver);
        let (tls, label) = (tls.clone(), Rc::from(&**label));
        Self { tls, proxy_protocol, addresses: Rc::new(addresses), timeouts, label, metrics }
    }

    /// The bytes that precede everything else.
    fn header(&self, proxy_header: &ProxyHeader) -> Option<Bytes> {
        let ProxyHeader { source, destination } = *proxy_header;
        // Every socket knows where its client connected to; only connections in memory do not.
        let destination = destination.unwrap_or(source);
        let mut header = BytesMut::new();
        proxy_header::encode(self.proxy_protocol?, source, destination, &mut header);
        Some(header.freeze())
    }

    /// One try of a dial that has begun at `begun`.
    async fn dial_once(self, header: Option<Bytes>, begun: Instant) -> Dialed<NewConnection> {
        let asked = Instant::now();
        let addresses = self.addresses.addresses().await;
        let answered = Instant::now();
        let failed = |error| DialFailure::at(DialStep::Lookup, None, answered - asked, error);
        let addresses = addresses.map_err(failed)?;
        let attempts =
            addresses.iter().map(|address| self.logged_attempt(*address, header.clone()));
        let Secured { transport, tls } = happy_eyeballs::race(attempts).await?;
        let lookup = self.addresses.has_name().then(|| answered - asked);
        let others = lookup.unwrap_or_default() + tls.unwrap_or_default();
        let tcp = begun.elapsed().saturating_sub(others);
        Ok(NewConnection { transport, times: DialTimes { lookup, tcp, tls } })
    }

    async fn logged_attempt(&self, address: SocketAddr, header: Option<Bytes>) -> Dialed<Secured> {
        let begun = Instant::now();
        let attempted = attempt::open(address, header, self.tls.as_ref(), &self.timeouts).await;
        match &attempted {
            Ok(_) => dial_succeeded(&self.label, address, begun.elapsed()),
            Err(failure) => dial_failed(Level::DEBUG, &self.label, failure),
        }
        attempted
    }
}

impl Dial for NetworkDialer {
    fn dial(&self, proxy_header: Option<&ProxyHeader>) -> Dialing {
        let (dialer, begun) = (self.clone(), Instant::now());
        let header = proxy_header.and_then(|it| self.header(it));
        let opening = self.metrics.opening();
        Box::pin(async move {
            let dialed = retry_refused(|| dialer.clone().dial_once(header.clone(), begun)).await;
            opening.end(&dialed);
            dialed
        })
    }

    fn metrics(&self) -> Rc<UpstreamMetrics> {
        Rc::clone(&self.metrics)
    }

    fn sends_proxy_header(&self) -> bool {
        self.proxy_protocol.is_some()
    }
}

/// What comes of a dial.
pub type Dialed<T> = Result<T, Box<DialFailure>>;

/// Dials again after a pause while the connection is refused, a few times.
async fn retry_refused<T, F>(dial: impl Fn() -> F) -> Dialed<T>
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExchangeError;
    use crate::timeouts::Timer;
    use std::time::Duration;

    const REFUSED: ExchangeError =
        ExchangeError::upstream(Cause::Unreachable(SocketError::ConnectionRefused));

    #[tokio::test(start_paused = true)]
    async fn a_server_that_restarts_is_waited_for_and_one_that_is_gone_is_not() {
        let begun = Instant::now();
        let up_after = |milliseconds| async move {
            let is_up = begun.elapsed() >= Duration::from_millis(milliseconds);
            if is_up { Ok(begun.elapsed().as_millis()) } else { Err(REFUSED.into()) }
        };
        assert_eq!(retry_refused(|| up_after(250)).await, Ok(300));
        assert_eq!(retry_refused(|| up_after(9999)).await, Err(REFUSED.into()));
        assert_eq!(begun.elapsed(), Duration::from_millis(1000));
        let expired = ExchangeError::expired(Timer::Connect);
        let expires = || async { Err::<(), _>(expired.into()) };
        assert_eq!(retry_refused(expires).await, Err(expired.into()));
        assert_eq!(begun.elapsed(), Duration::from_millis(1000), "only a refusal is waited for");
    }
}
