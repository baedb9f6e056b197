//! One worker thread: a local runtime, its own listeners, its own upstreams, and a task for each
//! connection. Nothing of the data path is shared with another worker.

mod accept;
mod live;

use crate::clock::{Alarm, Deadline};
use crate::config::snapshot::{Listener, Snapshot, UpstreamConfig};
use crate::config::value::Mode;
use crate::error::opening::OpeningError;
use crate::error::{Cause, ExchangeError};
use crate::limits::{ACCEPT_BACKOFF, DRAIN_CUT_MAX, DRAIN_MAX, REFUSALS_MAX};
use crate::net::admission::{Admission, LimitReached, Permit};
use crate::net::read_limit::PlainHttp;
use crate::net::transport::Transport;
use crate::proxy::preface::{must_announce, read_proxy_header};
use crate::proxy::tcp::{Accepted, Passthrough};
use crate::proxy::{Client, Context, Session, Site};
use crate::telemetry::{handshake_failed, write_gathered_lines};
use crate::timeouts::Timer;
use crate::tls::alpn::Alpn;
use crate::tls::fault;
use crate::tls::server::{self, Greeted};
use crate::upstream::commons::Commons;
use crate::upstream::dial::NetworkDialer;
use crate::upstream::{Preconnect, Upstream};
use crate::worker::accept::is_about_one_connection;
use crate::worker::live::{Live, LiveGuard};
use crate::worker::warnings::{Warnings, is_news};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout_at};

/// What a worker starts with.
pub struct Setup {
    /// What the operator configured.
    pub snapshot: Arc<Snapshot>,
    /// This worker's listeners, in the order of `snapshot.sockets()`.
    pub listeners: Vec<std::net::TcpListener>,
    /// Client connections of all workers, against their limits.
    pub admission: Arc<Admission>,
    /// Connections that the limit of open files has room for.
    pub room: usize,
    /// What all workers know of the upstreams.
    pub commons: Arc<Commons>,
    /// Whether the worker is to stop.
    pub stop: watch::Receiver<Stop>,
}

/// What a worker is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// To serve.
    Never,
    /// To end when its exchanges have ended, or have had [`DRAIN_MAX`] and are cut.
    WhenDone,
    /// To cut what is left.
    AtOnce,
}

/// Runs a worker on the calling thread until it is told to stop and its exchanges have ended, or
/// were cut after [`DRAIN_MAX`]. Calls `ready` once all listeners accept.
///
/// # Errors
/// The runtime cannot be built, or a listener cannot be registered with it.
pub fn run(setup: Setup, ready: impl FnOnce()) -> io::Result<()> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    builder.on_thread_park(write_gathered_lines);
    let runtime = builder.build_local(LocalOptions::default())?;
    let ended = runtime.block_on(async {
        let Setup { snapshot, listeners, admission, room, commons, mut stop } = setup;
        let worker = Rc::new(Worker::new(&snapshot, admission, room, &commons));
        for (socket, listener) in listeners.into_iter().zip(snapshot.sockets()) {
            let socket = TcpListener::from_std(socket)?;
            spawn_local(Rc::clone(&worker).accept(socket, Arc::clone(listener)));
        }
        ready();
        // An error means that nobody is left to tell us anything: stop as well.
        let _ = stop.wait_for(|stop| *stop >= Stop::WhenDone).await;
        worker.context.drain.begin();
        worker.wait_for_rest(&mut stop).await;
        Ok(())
    });
    // Nothing that still runs is waited for.
    runtime.shutdown_background();
    ended
}

struct Worker {
    context: Rc<Context>,
    admission: Arc<Admission>,
    /// Connections over a limit that are being told so.
    refusals: Cell<usize>,
    warnings: Warnings,
    live: Live,
    /// Connections that the limit of open files has room for.
    room: usize,
}

impl Worker {
    fn new(snapshot: &Snapshot, admission: Arc<Admission>, room: usize, commons: &Commons) -> Self {
        let dialer = |upstream: &Arc<UpstreamConfig>| {
            NetworkDialer::new(upstream, Arc::clone(&snapshot.timeouts), &commons.resolver)
        };
        let upstream = |config: &Arc<UpstreamConfig>| {
            let health = commons.health(config);
            Upstream::sharing(Box::new(dialer(config)), health, config.connection_age)
        };
        let site = Site::new(snapshot, upstream, |forward| Rc::new(dialer(forward)));
        let context = Rc::new(Context::new(site));
        let (refusals, warnings, live) = Default::default();
        Self { context, admission, refusals, warnings, live, room }
    }

    /// Waits for the exchanges that still run, and cuts those that take longer than a stop may;
    /// what had come of them then arrives.
    async fn wait_for_rest(&self, stop: &mut watch::Receiver<Stop>) {
        let mut at_once = pin!(stop.wait_for(|stop| *stop >= Stop::AtOnce));
        for time in [DRAIN_MAX, DRAIN_CUT_MAX] {
            tokio::select! {
                () = self.live.none() => return,
                () = sleep(time) => self.context.drain.cut(),
                _ = at_once.as_mut() => return,
            }
        }
    }

    /// Accepts until told to stop, and what is in the queue then: to close it would reset them.
    async fn accept(self: Rc<Self>, socket: TcpListener, listener: Arc<Listener>) {
        let _accepting = self.live.enter();
        let mut drained = pin!(self.context.drain.begun());
        loop {
            let accepted = poll_fn(|cx| match socket.poll_accept(cx) {
                Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
                Poll::Pending => drained.as_mut().poll(cx).map(|()| None),
            });
            match accepted.await {
                Some(Ok((tcp, address))) => self.admit(plain(tcp), address, &listener),
                Some(Err(error)) => self.accept_failed(&error).await,
                None => break,
            }
        }
        // The runtime's word is of its last round; connections may have come since, and would be
        // reset when the listener closes.
        let Ok(socket) = socket.into_std() else { return };
        while let Ok((tcp, address)) = socket.accept() {
            if let Ok(()) = tcp.set_nonblocking(true)
                && let Ok(tcp) = TcpStream::from_std(tcp)
            {
                self.admit(plain(tcp), address, &listener);
            }
        }
    }

    async fn accept_failed(&self, error: &io::Error) {
        if is_about_one_connection(error) {
            return;
        }
        if is_news(&self.warnings.descriptors) {
            tracing::error!(%error, "cannot accept connections; trying on");
        }
        sleep(ACCEPT_BACKOFF).await;
    }

    fn admit(self: &Rc<Self>, transport: Transport, peer: SocketAddr, listener: &Arc<Listener>) {
        tracing::trace!(target: "narrows::client", client = %peer, "connected");
        self.warnings.connected(self.admission.connections(), self.room);
        let announces = must_announce(&listener.proxy_protocol, peer);
        let acquired = self.admission.acquire().and_then(|permit| match announces {
            // Counted for the client, when it is known.
            true => Ok(permit),
            false => permit.count_for(peer.ip()),
        });
        let permit = match acquired {
            Ok(permit) => permit,
            Err(limit) => return self.turn_away(transport, peer, listener, limit),
        };
        let (worker, live) = (Rc::clone(self), self.live.enter());
        let deadline = Deadline::start(Timer::Handshake, &self.context.site().timeouts);
        let (who, listener) = (peer.into(), Arc::clone(listener));
        let mut accepted = Accepted { transport, who, listener, deadline };
        if !announces {
            return worker.begin(accepted, Guard { permit, live });
        }
        spawn_local(async move {
            let Accepted { transport, who, .. } = &mut accepted;
            match read_proxy_header(transport, peer, deadline, &mut Alarm::default()).await {
                Ok(announced) => *who = announced,
                Err(error) => return worker.no_proxy_header(accepted, &error),
            }
            match permit.count_for(who.address.ip()) {
                Ok(permit) => worker.begin(accepted, Guard { permit, live }),
                Err(limit) => {
                    let Accepted { transport, who, listener, .. } = accepted;
                    worker.turn_away(transport, who.address, &listener, limit);
                }
            }
        });
    }

    /// Whoever announces is the operator's own, and should know how to. Told now and then, because
    /// each client of a proxy that does not would be a line. A connection without a byte is a
    /// health check, as proxies and platforms make them every second.
    fn no_proxy_header(&self, accepted: Accepted, error: &ExchangeError) {
        let Accepted { mut transport, who, .. } = accepted;
        let peer = who.address;
        let (told, what) = match error.cause {
            Cause::Opening(OpeningError::Nothing) => {
                tracing::debug!(%peer, "a peer connected and left without a byte");
                return;
            }
            Cause::Opening(OpeningError::BadProxyHeader(_)) => {
                (&self.warnings.malformed_proxy_headers, "a malformed PROXY header came")
            }
            _ => (&self.warnings.missing_proxy_headers, "no PROXY header came"),
        };
        if is_news(told) {
            tracing::warn!(%peer, cause = error.name(), reason = error.reason(), "{what}");
        }
        transport.abort();
    }

    /// Serves a connection whose client is known. Two kinds of tasks: one would be as large as the
    /// larger of them.
    fn begin(self: Rc<Self>, accepted: Accepted, guard: Guard) {
        match accepted.listener.mode {
            Mode::Http => self.secure_and_serve(accepted, guard),
            Mode::Tcp => {
                let context = Rc::clone(&self.context);
                let client = accepted.who.address;
                let passthrough = Passthrough::new(context, client);
                let hand_over = move |http: Box<Accepted>| self.secure_and_serve(*http, guard);
                spawn_local(passthrough.run(accepted, hand_over));
            }
        }
    }

    /// Serves a connection of an http listener. Its handshake is a task of its own, because it
    /// takes more memory than all that follows.
    fn secure_and_serve(self: Rc<Self>, accepted: Accepted, guard: Guard) {
        // While the client shakes hands, so do we.
        let preconnect = self.preconnect();
        let Accepted { transport, who, listener, deadline } = accepted;
        if listener.tls.is_none() {
            return self.serve(transport, who, preconnect, guard);
        }
        spawn_local(async move {
            match secure(transport, &who, &listener, deadline).await {
                Some(Greeted::Tls(transport)) => self.serve(transport, who, preconnect, guard),
                Some(Greeted::PlainHttp(transport, request)) => {
                    self.refuse(transport, request, who, guard);
                }
                None => {}
            }
        });
    }

    /// Tells a client that it has to speak HTTPS. In a task of its own, as are exchanges.
    fn refuse(&self, transport: Transport, request: PlainHttp, who: Client, guard: Guard) {
        let mut session = Session::new(Rc::clone(&self.context), transport, who);
        spawn_local(async move {
            session.refuse_plain_http(request).await;
            drop(guard);
        });
    }

    fn serve(
        &self,
        transport: Transport,
        who: Client,
        preconnect: Option<Preconnect>,
        guard: Guard,
    ) {
        let session = Session::new(Rc::clone(&self.context), transport, who);
        let mut session = session.with_preconnect(preconnect);
        spawn_local(async move {
            session.run().await;
            drop(guard);
        });
    }

    /// Of a connection to the upstream, where there is only one that it can be.
    fn preconnect(&self) -> Option<Preconnect> {
        self.context.site().sole_upstream.as_ref().and_then(Upstream::preconnect)
    }

    /// Over a limit: a word about it where it costs little, which behind TLS it does not.
    fn turn_away(
        self: &Rc<Self>,
        transport: Transport,
        client: SocketAddr,
        listener: &Listener,
        limit: LimitReached,
    ) {
        self.warnings.limit_reached(limit, client);
        let hears_http = listener.mode == Mode::Http && listener.tls.is_none();
        if !hears_http || self.refusals.get() >= REFUSALS_MAX {
            return;
        }
        let refusal = Refusal::begin(self);
        spawn_local(async move {
            Session::new(Rc::clone(&refusal.0.context), transport, client).turn_away().await;
        });
    }
}

fn plain(tcp: TcpStream) -> Transport {
    Transport::from(tcp)
}

/// What a connection holds for as long as it lasts, whichever of its tasks it is at.
struct Guard {
    #[expect(dead_code, reason = "held, not read")]
    permit: Permit,
    #[expect(dead_code, reason = "held, not read")]
    live: LiveGuard,
}

/// Shakes hands with a client, where the listener wants that.
async fn secure(
    transport: Transport,
    who: &Client,
    listener: &Listener,
    deadline: Deadline,
) -> Option<Greeted> {
    let Some(config) = &listener.tls else { return Some(Greeted::Tls(transport)) };
    let tcp = match transport.into_plain() {
        Ok(tcp) => *tcp,
        Err(transport) => return Some(Greeted::Tls(transport)),
    };
    let begun = Instant::now();
    // Boxed: it is the largest future of a connection, and over when the others begin.
    let handshake = Box::pin(server::accept(config, tcp, Alpn::Http));
    let error = match timeout_at(deadline.at, handshake).await {
        Ok(Ok(greeted)) => return Some(greeted),
        Ok(Err(error)) => {
            let fault = OpeningError::Handshake(fault::of(&error));
            ExchangeError::client(Cause::Opening(fault))
        }
        Err(_elapsed) => ExchangeError::expired(deadline.timer),
    };
    handshake_failed(who.address, &error, begun.elapsed());
    None
}

/// A connection that is told that there are too many, for as long as that lasts.
struct Refusal(Rc<Worker>);

impl Refusal {
    fn begin(worker: &Rc<Worker>) -> Self {
        worker.refusals.set(worker.refusals.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.refusals.set(self.0.refusals.get() - 1);
    }
}

#[cfg(test)]
mod tests;
mod warnings;
