//! Who may be connected: the limits of connections, and the PROXY header that says who the client
//! is.

use crate::clock::{Alarm, Deadline};
use crate::config::snapshot::Listener;
use crate::config::value::Mode;
use crate::error::opening::OpeningError;
use crate::error::{Cause, ExchangeError};
use crate::gateway::answer::name_of;
use crate::limits::REFUSALS_MAX;
use crate::net::admission::{Admission, LimitReached, Permit};
use crate::net::transport::Transport;
use crate::proxy::preface::{must_send_proxy_header, read_proxy_header};
use crate::proxy::tcp::Accepted;
use crate::proxy::{Context, Session};
use crate::task::spawn;
use crate::telemetry::targets::{CLIENT, WORKER};
use crate::timeouts::Timer;
use crate::worker::listening::Listening;
use crate::worker::live::LiveGuard;
use crate::worker::serve::{Guard, serve};
use crate::worker::warnings::{Warnings, is_due, is_news};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::Instant;

/// Pause between two searches for connections that give way, each of which wakes all of them.
const CROWD_SEARCHED_EVERY: Duration = Duration::from_secs(1);

/// Admits the connections of a worker, or turns them away.
pub(super) struct Admitter {
    pub(super) warnings: Warnings,
    pub(super) admission: Arc<Admission>,
    /// Connections over a limit that are being answered.
    refusals: Cell<usize>,
    /// When connections were last asked to give way.
    searched: Cell<Option<Instant>>,
}

impl Admitter {
    pub(super) fn new(admission: Arc<Admission>) -> Self {
        let (warnings, refusals, searched) = Default::default();
        Self { warnings, admission, refusals, searched }
    }

    /// Serves a connection that `peer` has opened to the socket `at`, or turns it away.
    pub(super) fn admit(
        self: &Rc<Self>,
        transport: Transport,
        peer: SocketAddr,
        at: &Rc<Listening>,
    ) {
        let listener = at.listener();
        tracing::trace!(target: CLIENT, client = %peer, "connected");
        self.warnings.connected(self.admission.connections(), self.admission.room());
        let sends_proxy_header = must_send_proxy_header(&listener.proxy_protocol, peer);
        let acquired = self.admission.acquire().and_then(|permit| match sends_proxy_header {
            // Counted for the client, when it is known.
            true => Ok(permit),
            false => counted(permit, &listener, peer),
        });
        if self.admission.is_crowded() && is_due(&self.searched, CROWD_SEARCHED_EVERY) {
            self.admission.ask_for_places();
        }
        let permit = match acquired {
            Ok(permit) => permit,
            Err(limit) => return self.turn_away(&at.context, transport, peer, &listener, limit),
        };
        let (context, live) = (Rc::clone(&at.context), at.live.enter());
        let deadline = Deadline::start(Timer::Handshake, &context.site().timeouts);
        let accepted = Accepted { transport, who: peer.into(), listener, deadline };
        if sends_proxy_header {
            spawn_local(Rc::clone(self).admit_announced(context, accepted, permit, live));
        } else {
            serve(context, accepted, Guard::new(permit, live));
        }
    }

    /// Closes a connection at once, because its descriptor is one of the last.
    pub(super) fn drop_unanswered(&self, tcp: TcpStream, peer: SocketAddr, at: &Listening) {
        at.context.metrics.refused(LimitReached::OpenFiles.name());
        self.warnings.limit_reached(LimitReached::OpenFiles, peer);
        drop(tcp);
    }

    /// Waits for the PROXY header of a connection, and counts the connection for the client that it
    /// names.
    async fn admit_announced(
        self: Rc<Self>,
        context: Rc<Context>,
        mut accepted: Accepted,
        permit: Permit,
        live: LiveGuard,
    ) {
        let Accepted { transport, who, listener, deadline } = &mut accepted;
        let (peer, mut alarm) = (who.address, Alarm::default());
        match read_proxy_header(transport, peer, *deadline, &mut alarm).await {
            Ok(client) => *who = client,
            Err(error) => return self.no_proxy_header(&context, accepted, &error),
        }
        match counted(permit, listener, who.address) {
            Ok(permit) => serve(context, accepted, Guard::new(permit, live)),
            Err(limit) => {
                let Accepted { transport, who, listener, .. } = accepted;
                self.turn_away(&context, transport, who.address, &listener, limit);
            }
        }
    }

    /// Ends a connection without the PROXY header that it has to begin with. A peer that has to
    /// send one is the operator's own proxy, so the operator should know, but not by a line for
    /// each of its clients. A connection without a byte is a health check; proxies and platforms
    /// make one every second.
    fn no_proxy_header(&self, context: &Context, accepted: Accepted, error: &ExchangeError) {
        let Accepted { mut transport, who, .. } = accepted;
        let peer = who.address;
        let (told, what) = match error.cause {
            Cause::Opening(OpeningError::Nothing) => {
                tracing::debug!(target: WORKER, %peer, "a peer connected and left without a byte");
                return;
            }
            Cause::Opening(OpeningError::BadProxyHeader(_)) => {
                (&self.warnings.malformed_proxy_headers, "a malformed PROXY header came")
            }
            _ => (&self.warnings.missing_proxy_headers, "no PROXY header came"),
        };
        let (cause, reason) = (name_of(error), error.reason());
        context.metrics.refused(reason.unwrap_or(cause));
        if is_news(told) {
            tracing::warn!(target: WORKER, %peer, cause, reason, "{what}");
        }
        transport.abort();
    }

    /// Closes a connection over a limit, with a 503 where that costs little: not behind TLS, and
    /// not for more than [`REFUSALS_MAX`] at a time.
    fn turn_away(
        self: &Rc<Self>,
        context: &Rc<Context>,
        transport: Transport,
        client: SocketAddr,
        listener: &Listener,
        limit: LimitReached,
    ) {
        context.metrics.refused(limit.name());
        self.warnings.limit_reached(limit, client);
        let hears_http = listener.mode == Mode::Http && listener.tls.is_none();
        if !hears_http || self.refusals.get() >= REFUSALS_MAX {
            return;
        }
        let (refusal, context) = (RefusalGuard::begin(self), Rc::clone(context));
        let slowly = self.admission.refuse_slowly();
        spawn(async move {
            Session::new(context, transport, client).turn_away(slowly.is_some()).await;
            drop((refusal, slowly));
        });
    }
}

/// Counts a connection for its client. The clients of a trusted proxy are counted by their
/// exchanges.
fn counted(
    permit: Permit,
    listener: &Listener,
    client: SocketAddr,
) -> Result<Permit, LimitReached> {
    let rules = listener.address_rules.as_ref();
    match rules.is_some_and(|rules| rules.trusts(client.ip())) {
        true => Ok(permit),
        false => permit.count_for(client.ip()),
    }
}

/// A connection over a limit that is being answered.
struct RefusalGuard(Rc<Admitter>);

impl RefusalGuard {
    fn begin(admitter: &Rc<Admitter>) -> Self {
        admitter.refusals.set(admitter.refusals.get() + 1);
        Self(Rc::clone(admitter))
    }
}

impl Drop for RefusalGuard {
    fn drop(&mut self) {
        self.0.refusals.set(self.0.refusals.get() - 1);
    }
}
