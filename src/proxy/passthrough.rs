//! One connection of a tcp listener: who it is for, a connection to there, and the bytes of both.
//!
//! Nothing is read of a client before its upstream is known; what has to be seen for that is only
//! looked at (`opening`). So whatever is refused has reached no upstream.

use crate::config::snapshot::Listener;
use crate::deadline::{Alarm, Deadline, Halt, Timer};
use crate::error::opening::OpeningError;
use crate::error::{Cause, ExchangeError, Peer};
use crate::limits::{DEPARTURE_LOOK, SILENCE_MAX};
use crate::net::buffer::with_scratch;
use crate::net::transport::Transport;
use crate::ops::{ConnectionEnd, ConnectionRecord};
use crate::proxy::context::{Client, Context};
use crate::proxy::opening::{Greeting, NoGreeting, greeting, identify, refused};
use crate::proxy::side::{GONE, Side};
use crate::proxy::tunnel::tunnel;
use crate::route::ForwardTarget;
use crate::tls::acceptor;
use crate::tls::alert::Alert;
use crate::tls::host_name::host_name;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread::panicking;
use tokio::time::Instant;

/// A connection that the HTTP relay is to serve.
pub struct Handover {
    /// The connection, nothing of it read, inside of TLS where the tcp listener ends that.
    pub transport: Transport,
    /// Who the client is.
    pub who: Client,
    /// Of which http listener the connection is from now on: an index into `Snapshot::listeners`.
    pub listener: usize,
}

/// Takes a connection that `listener`, an index into `Snapshot::listeners`, has accepted from
/// `peer` through its life, and writes its line of the log. One that belongs to the HTTP relay is
/// given back, and has no line of its own.
pub async fn pass(
    context: Rc<Context>,
    listener: usize,
    transport: Transport,
    peer: SocketAddr,
) -> Option<Handover> {
    let listener = &context.snapshot.listeners[listener];
    let deadline = Deadline::start(Timer::Handshake, &context.snapshot.timeouts);
    let (client, alarm) = (Side::new(transport), Alarm::default());
    let recorder = Recorder::new(peer);
    let mut connection = Connection { client, alarm, recorder, speaks_tls: false };
    let (target, who) = match connection.open(&context, listener, peer, deadline).await {
        Ok(opened) => opened,
        Err(error) => {
            connection.refuse(&context, &error).await;
            return None;
        }
    };
    connection.client.transport = match (&listener.tls, connection.client.transport) {
        (Some(config), Transport::Tcp(tcp)) => {
            // Boxed, because it is large and gone before the long part of the connection's life.
            let accepting = Box::pin(acceptor::accept(config, tcp));
            match connection.alarm.bound(deadline, accepting).await {
                Ok(transport) => transport,
                Err(halt) => {
                    connection.recorder.refuse(&no_handshake(&halt));
                    return None;
                }
            }
        }
        (_, transport) => transport,
    };
    if let Some(name) = connection.client.transport.asked_name() {
        connection.speaks_tls = false;
        connection.recorder.record.server_name = host_name(name.as_bytes());
    }
    match target {
        ForwardTarget::Http => {
            connection.recorder.is_open = false;
            Some(Handover { transport: connection.client.transport, who, listener: listener.http? })
        }
        ForwardTarget::Upstream(index) => {
            match connection.dial(&context, index, who).await {
                Ok(upstream) => connection.tunnel(&context, upstream).await,
                Err(error) => connection.refuse(&context, &error).await,
            }
            None
        }
    }
}

struct Connection {
    client: Side,
    alarm: Alarm,
    recorder: Recorder,
    /// The client has begun with TLS, which does not end here.
    speaks_tls: bool,
}

impl Connection {
    /// Finds out who is there and where to go.
    async fn open(
        &mut self,
        context: &Context,
        listener: &Listener,
        peer: SocketAddr,
        deadline: Deadline,
    ) -> Result<(ForwardTarget, Client), ExchangeError> {
        let Self { client, alarm, .. } = self;
        let transport = &mut client.transport;
        let who = identify(listener, transport, peer, deadline, alarm).await?;
        self.recorder.record.client = who.address;
        let forwards = &context.snapshot.forwards;
        if forwards.depends_on_name() {
            let at = Instant::now() + SILENCE_MAX;
            let patience = forwards.find(None).map(|_| Deadline { at, timer: Timer::Handshake });
            match greeting(transport, deadline, patience, alarm).await {
                Ok(Greeting::Hello(hello)) => {
                    self.speaks_tls = true;
                    self.recorder.record.server_name = hello.server_name;
                }
                Ok(Greeting::NotTls | Greeting::Silence) => {}
                Err(NoGreeting { error, is_tls }) => {
                    self.speaks_tls = is_tls;
                    return Err(error);
                }
            }
        }
        let name = self.recorder.record.server_name.as_deref();
        let forward = forwards.find(name).ok_or(refused(OpeningError::NoForward))?;
        self.recorder.record.forward = Some(Arc::clone(&forward.name));
        Ok((forward.target, who))
    }

    /// A connection to the upstream, unless the client leaves before it is ready.
    ///
    /// A reset is a departure. The end of the client's direction is one only of a client that
    /// speaks TLS, because there it leaves nothing to be answered; others may have said all they
    /// have to say, and wait.
    async fn dial(
        &mut self,
        context: &Context,
        index: usize,
        who: Client,
    ) -> Result<Transport, ExchangeError> {
        let Self { client, alarm, speaks_tls, .. } = self;
        let transport = &client.transport;
        let announcement = who.announcement(transport);
        let mut dialing = context.forward_dialers[index].dial(Some(&announcement));
        let is_tls = *speaks_tls || transport.is_tls();
        let has_left = || transport.is_broken() || is_tls && transport.has_hung_up();
        let mut next_look = Instant::now() + DEPARTURE_LOOK;
        let upstream = poll_fn(|cx| {
            if let Poll::Ready(dialed) = dialing.as_mut().poll(cx) {
                return Poll::Ready(dialed);
            }
            // Nothing is read of the client yet, so its departure wakes nobody.
            while alarm.poll(cx, next_look).is_ready() {
                if has_left() {
                    return Poll::Ready(Err(GONE));
                }
                next_look = Instant::now() + DEPARTURE_LOOK;
            }
            Poll::Pending
        })
        .await?;
        self.recorder.record.connect = Some(self.recorder.started.elapsed());
        Ok(upstream)
    }

    async fn tunnel(&mut self, context: &Context, upstream: Transport) {
        let mut upstream = Side::new(upstream);
        let Self { client, alarm, recorder, .. } = self;
        let record = &mut recorder.record;
        let count = |up, down| (record.to_upstream, record.to_client) = (up, down);
        let timeouts = &context.snapshot.timeouts;
        let ended = tunnel(client, &mut upstream, timeouts, alarm, count).await;
        recorder.end(match ended {
            Ok(()) => ConnectionEnd::Closed,
            Err(error) => ConnectionEnd::Aborted { fault: error.peer, cause: error.name() },
        });
    }

    /// Ends a connection of which no upstream has seen a byte: by an alert where the client may
    /// understand one, by a reset otherwise.
    async fn refuse(&mut self, context: &Context, error: &ExchangeError) {
        self.recorder.refuse(error);
        match alert(error).filter(|_| self.speaks_tls) {
            None => self.client.transport.abort(),
            Some(alert) => self.end_with(alert, context).await,
        }
    }

    /// Sends an alert so that it arrives: what the client still sends is read and thrown away, for
    /// a limited time, because a close with unread bytes is a reset, which can overtake the alert.
    async fn end_with(&mut self, alert: Alert, context: &Context) {
        let deadline = Deadline::start(Timer::Linger, &context.snapshot.timeouts);
        let Self { client: Side { transport, .. }, alarm, .. } = self;
        let record = alert.record();
        let ending = async {
            // Of a socket that has sent nothing yet, the buffer takes a few bytes at once.
            poll_fn(|cx| transport.poll_write(cx, &[IoSlice::new(&record)])).await?;
            poll_fn(|cx| transport.poll_shutdown(cx)).await?;
            poll_fn(|cx| with_scratch(|scratch| transport.poll_discard(cx, scratch))).await
        };
        // However it ends, the connection is over.
        let _ = alarm.bound(deadline, ending).await;
    }
}

/// What a client is told whose connection goes no further.
fn alert(error: &ExchangeError) -> Option<Alert> {
    match (error.peer, error.cause) {
        (_, Cause::Opening(error)) => error.alert(),
        // A hello that has not become whole in time.
        (_, Cause::Timeout(Timer::Handshake)) => Some(Alert::DecodeError),
        (Peer::Client, _) => None,
        (Peer::Upstream | Peer::Narrows, _) => Some(Alert::InternalError),
    }
}

fn no_handshake(halt: &Halt) -> ExchangeError {
    match halt {
        Halt::Io(_) => refused(OpeningError::Handshake),
        Halt::Expired(timer) => ExchangeError::expired(*timer),
    }
}

/// The record of a connection, while it is being filled in.
struct Recorder {
    started: Instant,
    record: ConnectionRecord,
    /// Its line is not written: each connection has exactly one.
    is_open: bool,
}

impl Recorder {
    fn new(client: SocketAddr) -> Self {
        let record = ConnectionRecord::new(client);
        Self { started: Instant::now(), record, is_open: true }
    }

    fn end(&mut self, end: ConnectionEnd) {
        self.record.total = self.started.elapsed();
        self.record.end = end;
        self.record.emit();
        self.is_open = false;
    }

    fn refuse(&mut self, error: &ExchangeError) {
        self.end(ConnectionEnd::Refused { fault: error.peer, cause: error.name() });
    }
}

/// A connection whose task is dropped has its line, too: a stop came before its end, or a panic.
impl Drop for Recorder {
    fn drop(&mut self) {
        if self.is_open {
            let cause = if panicking() { "panic" } else { "stopped" };
            self.end(ConnectionEnd::Aborted { fault: Peer::Narrows, cause });
        }
    }
}
