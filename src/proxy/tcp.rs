//! One connection in tcp mode, in up to four steps, each of which may be the last:
//!
//! 1. Choose a forward. If that depends on the name that the client asks for, its `ClientHello` is
//!    peeked at (`proxy::preface`). A client that is silent for a while, or does not speak TLS,
//!    gets the forward for clients that ask for no name.
//! 2. End TLS, if the listener has a certificate.
//! 3. Dial the upstream. A connection that is meant for the HTTP relay is handed over instead.
//! 4. Move bytes in both directions until both have ended (`proxy::tunnel`).
//!
//! What the client sent stays unread until the upstream is connected, except for TLS that ends
//! here. A refused connection has reached no upstream. Its client gets an alert if it speaks TLS,
//! and a reset otherwise.
//!
//! The forward and the limits are those of the site that is current when the connection comes.

use crate::clock::{Alarm, Deadline, Halt};
use crate::config::snapshot::Listener;
use crate::error::opening::OpeningError;
use crate::error::{Cause, DialFailure, ExchangeError, Fault};
use crate::gateway::answer::name_of;
use crate::gateway::server_name::{ForwardTable, ForwardTarget};
use crate::limits::{DEPARTURE_LOOK, SILENCE_MAX};
use crate::net::buffer::with_scratch;
use crate::net::read_limit::PlainHttp;
use crate::net::transport::Transport;
use crate::preface::alert::Alert;
use crate::preface::host_name::host_name;
use crate::proxy::challenge::pass;
use crate::proxy::connection::Connection;
use crate::proxy::context::{Client, Context, Watch, client_name};
use crate::proxy::departure::GONE;
use crate::proxy::preface::{Greeting, NoGreeting, greeting, refused};
use crate::proxy::session::Session;
use crate::proxy::site::Site;
use crate::proxy::tunnel::tunnel;
use crate::telemetry::{ConnectionRecorder, Detail, Outcome};
use crate::timeouts::{Timeouts, Timer};
use crate::tls::alpn::Alpn;
use crate::tls::fault;
use crate::tls::server::{self, Greeted};
use crate::upstream::{Dial, NewConnection};
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::Instant;
use tokio_rustls::rustls::ServerConfig;

type Target = ForwardTarget<Rc<dyn Dial>>;
type Forwards = ForwardTable<Rc<dyn Dial>>;

/// A connection whose client is known, and of which nothing is read yet but a PROXY header.
pub struct Accepted {
    /// The connection; inside TLS, if a tcp listener has ended that.
    pub transport: Transport,
    /// Who the client is.
    pub who: Client,
    /// The listener that it came to.
    pub listener: Arc<Listener>,
    /// When everything before its content has to be over: header, hello, handshake.
    pub deadline: Deadline,
}

/// A connection that a tcp listener has accepted.
///
/// What precedes the tunnel runs in a future of its own, which is dropped when the tunnel begins:
/// a tunnel may be idle for hours and should hold little memory.
pub struct Passthrough {
    context: Rc<Context>,
    alarm: Alarm,
    recorder: ConnectionRecorder,
    /// Wakes the tunnel when it is to be cut.
    watch: Watch,
}

/// What becomes of a connection that is not refused.
enum Opened {
    /// Both ends are there.
    Tunnel(Box<TunnelEnds>),
    /// It is meant for the HTTP relay.
    Http(Box<Accepted>),
    /// The client got its refusal, and the line of the log is written.
    Answered,
}

/// Both ends of a tunnel, and its limits.
struct TunnelEnds {
    client: Connection,
    upstream: Connection,
    timeouts: Arc<Timeouts>,
}

/// A connection that is refused. No upstream has seen a byte of it.
struct Refusal {
    error: ExchangeError,
    detail: Detail,
    /// The client, unless the TLS handshake has ended the connection already.
    client: Option<Transport>,
    /// The client speaks TLS, but not with us, so it can get a plain alert.
    speaks_tls: bool,
}

impl Refusal {
    fn new(error: ExchangeError, client: Option<Transport>, speaks_tls: bool) -> Self {
        Self { error, detail: (&error).into(), client, speaks_tls }
    }
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        self.context.drain.forget(self.watch);
    }
}

impl Passthrough {
    /// For a connection from `client`.
    pub fn new(context: Rc<Context>, client: SocketAddr) -> Self {
        let recorder = ConnectionRecorder::new(client, &context.metrics);
        let (alarm, watch) = (Alarm::default(), Watch::default());
        Self { context, alarm, recorder, watch }
    }

    /// Serves the connection, and records its end. A connection for the HTTP relay goes to
    /// `hand_over`, and has no record of its own.
    ///
    /// Not an `async fn`, because that would keep a place for its arguments while it runs. Spawn
    /// this future itself for the same reason, not one around it.
    pub fn run(
        self,
        accepted: Accepted,
        hand_over: impl FnOnce(Box<Accepted>),
    ) -> impl Future<Output = ()> {
        let site = self.context.site();
        let opening = Box::pin(self.begin(accepted, site));
        async move {
            let (mut this, opened) = opening.await;
            match opened {
                None | Some(Opened::Answered) => {}
                Some(Opened::Http(handover)) => hand_over(handover),
                Some(Opened::Tunnel(mut ends)) => {
                    this.watch = this.context.drain.watched().await;
                    let tunnelled = this.tunnel(&mut ends).await;
                    this.recorder.tunnelled(tunnelled);
                }
            }
        }
    }

    /// Everything before the tunnel; `None` when the connection was refused.
    async fn begin(self, accepted: Accepted, site: Rc<Site>) -> (Box<Self>, Option<Opened>) {
        let mut this = Box::new(self);
        let opened = match this.open(accepted, &site).await {
            Ok(opened) => Some(opened),
            Err(refusal) => {
                this.refuse(refusal, &site.timeouts).await;
                None
            }
        };
        (this, opened)
    }

    async fn open(&mut self, accepted: Accepted, site: &Site) -> Result<Opened, Refusal> {
        let Accepted { transport, who, listener, deadline } = accepted;
        let may_be_challenged = listener.tls.is_some() || site.forwards.depends_on_name();
        let passing = pass(&self.context, transport, &listener, who, may_be_challenged, deadline);
        let passed = Box::pin(passing).await.map_err(|client| {
            Refusal::new(refused(OpeningError::AddressNotAllowed), Some(client), false)
        });
        let Some(mut client) = passed? else { return Ok(self.answered()) };
        let mut speaks_tls = false;
        let chosen = self.choose(&mut client, &site.forwards, deadline, &mut speaks_tls).await;
        let target = match chosen {
            Ok(target) => target,
            Err(error) => return Err(Refusal::new(error, Some(client), speaks_tls)),
        };
        if let Some(config) = listener.tls_for(target) {
            speaks_tls = false;
            let secured = self.secure(client, who, config, target, deadline).await;
            client = match secured.map_err(|error| Refusal::new(error, None, speaks_tls))? {
                Greeted::Tls(client) => client,
                Greeted::PlainHttp(client, request) => {
                    return Ok(self.refuse_plain_http(client, who, request).await);
                }
            };
        }
        match (target, &listener.http) {
            (ForwardTarget::Upstream(dialer), _) => {
                match self.dial(&client, &**dialer, who, speaks_tls).await {
                    Ok(upstream) => {
                        let [client, upstream] = [client, upstream].map(Connection::new);
                        let timeouts = Arc::clone(&site.timeouts);
                        Ok(Opened::Tunnel(Box::new(TunnelEnds { client, upstream, timeouts })))
                    }
                    Err(failure) => {
                        let refusal = Refusal::new(failure.error, Some(client), speaks_tls);
                        Err(Refusal { detail: failure.into(), ..refusal })
                    }
                }
            }
            (ForwardTarget::Http, Some(listener)) => {
                self.recorder.hand_over();
                let listener = Arc::clone(listener);
                let accepted = Accepted { transport: client, who, listener, deadline };
                Ok(Opened::Http(Box::new(accepted)))
            }
            // The configuration was checked for this.
            (ForwardTarget::Http, None) => {
                let error = ExchangeError { fault: Fault::Internal, cause: Cause::NoRoute };
                Err(Refusal::new(error, Some(client), speaks_tls))
            }
        }
    }

    /// Answers a client that speaks HTTP where TLS is expected.
    async fn refuse_plain_http(
        &mut self,
        client: Transport,
        who: Client,
        request: PlainHttp,
    ) -> Opened {
        let answered = self.answered();
        let mut session = Box::new(Session::new(Rc::clone(&self.context), client, who));
        Box::pin(session.refuse_plain_http(request)).await;
        answered
    }

    /// The client got its answer, and the connection has no record of its own.
    fn answered(&mut self) -> Opened {
        self.recorder.hand_over();
        Opened::Answered
    }

    /// Finds the forward.
    async fn choose<'s>(
        &mut self,
        client: &mut Transport,
        forwards: &'s Forwards,
        deadline: Deadline,
        speaks_tls: &mut bool,
    ) -> Result<&'s Target, ExchangeError> {
        let Self { alarm, recorder, .. } = self;
        if forwards.depends_on_name() {
            let at = Instant::now() + SILENCE_MAX;
            let patience = forwards.find(None).map(|_| Deadline { at, timer: Timer::Handshake });
            match greeting(client, deadline, patience, alarm).await {
                Ok(Greeting::Hello(hello)) => {
                    *speaks_tls = true;
                    recorder.asked_for(hello.server_name);
                }
                Ok(Greeting::NotTls | Greeting::Silence) => {}
                Err(NoGreeting { error, is_tls }) => {
                    *speaks_tls = is_tls;
                    return Err(error);
                }
            }
        }
        let forward = recorder.with_server_name(|name| forwards.find(name));
        let forward = forward.ok_or(refused(OpeningError::NoForward))?;
        recorder.forward(&forward.name);
        Ok(&forward.target)
    }

    /// Shakes hands with the client, where TLS ends here.
    async fn secure(
        &mut self,
        client: Transport,
        who: Client,
        config: &Arc<ServerConfig>,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Greeted, ExchangeError> {
        let local = who.destination.or_else(|| client.local_address());
        let tcp = match client.into_plain() {
            Ok(tcp) => tcp,
            Err(client) => return Ok(Greeted::Tls(client)),
        };
        let alpn = match target {
            ForwardTarget::Http => Alpn::Http,
            ForwardTarget::Upstream(_) => Alpn::Anything,
        };
        let handshake = server::accept(config, *tcp, alpn, local.map(|it| it.ip()));
        let accepted = self.alarm.bound(deadline, handshake).await;
        let greeted = accepted.map_err(|halt| no_handshake(&halt))?;
        if let Greeted::Tls(client) = &greeted {
            let name = client.asked_name();
            self.recorder.asked_for(name.and_then(|name| host_name(name.as_bytes())));
            if let Some(name) = client_name(client) {
                self.recorder.named(name);
            }
        }
        Ok(greeted)
    }

    /// Opens a connection to the upstream, unless the client leaves before it is ready.
    ///
    /// A client that resets its connection has left. One that ends its direction has left if it
    /// speaks TLS, because no answer can be sent to half a handshake; a client without TLS may have
    /// sent its whole request.
    async fn dial(
        &mut self,
        client: &Transport,
        dialer: &dyn Dial,
        who: Client,
        speaks_tls: bool,
    ) -> Result<Transport, Box<DialFailure>> {
        let Self { alarm, recorder, .. } = self;
        let proxy_header = who.proxy_header(client);
        let mut dialing = dialer.dial(Some(&proxy_header));
        let is_tls = speaks_tls || client.is_tls();
        let has_left = || client.is_broken() || is_tls && client.has_hung_up();
        let mut next_look = Instant::now() + DEPARTURE_LOOK;
        let NewConnection { transport, times } = poll_fn(|cx| {
            if let Poll::Ready(dialed) = dialing.as_mut().poll(cx) {
                return Poll::Ready(dialed);
            }
            // The client is not read yet, so nothing wakes this task when it leaves.
            while alarm.poll(cx, next_look).is_ready() {
                if has_left() {
                    return Poll::Ready(Err(GONE.into()));
                }
                next_look = Instant::now() + DEPARTURE_LOOK;
            }
            Poll::Pending
        })
        .await?;
        recorder.connected(&dialer.metrics(), times);
        Ok(transport)
    }

    /// Not an `async fn`, like `tunnel` itself.
    fn tunnel<'s>(
        &'s mut self,
        TunnelEnds { client, upstream, timeouts }: &'s mut TunnelEnds,
    ) -> impl Future<Output = Result<(), ExchangeError>> + 's {
        let Self { context, alarm, recorder, .. } = self;
        let count = |up, down| recorder.bytes(up, down, 0);
        tunnel(client, upstream, timeouts, &context.drain, alarm, count)
    }

    /// Ends the connection: by an alert if the client understands one, by a reset if not.
    async fn refuse(&mut self, refusal: Refusal, timeouts: &Timeouts) {
        let Refusal { error, detail, client, speaks_tls } = refusal;
        let outcome = Outcome::Refused { fault: error.fault, cause: name_of(&error) };
        self.recorder.end_with(outcome, detail);
        let Some(mut client) = client else { return };
        match alert(&error).filter(|_| speaks_tls) {
            None => client.abort(),
            Some(alert) => self.end_with(alert, client, timeouts).await,
        }
    }

    /// Sends an alert so that it arrives: what the client still sends is read and discarded, for
    /// a limited time, because a close with unread bytes is a reset, which can overtake the alert.
    async fn end_with(&mut self, alert: Alert, mut client: Transport, timeouts: &Timeouts) {
        let deadline = Deadline::start(Timer::Linger, timeouts);
        let record = alert.record();
        let ending = async {
            // Of a socket that has sent nothing yet, the buffer takes a few bytes at once.
            poll_fn(|cx| client.poll_write(cx, &[IoSlice::new(&record)])).await?;
            poll_fn(|cx| client.poll_shutdown(cx)).await?;
            poll_fn(|cx| with_scratch(|scratch| client.poll_discard(cx, scratch))).await
        };
        // However it ends, the connection is over.
        let _ = self.alarm.bound(deadline, ending).await;
    }
}

/// The alert for a client whose connection goes no further.
fn alert(error: &ExchangeError) -> Option<Alert> {
    match (error.fault, error.cause) {
        (_, Cause::Opening(error)) => error.alert(),
        // A hello that has not become whole in time.
        (_, Cause::Timeout(Timer::Handshake)) => Some(Alert::DecodeError),
        (Fault::Client, _) => None,
        (Fault::Upstream | Fault::Internal, _) => Some(Alert::InternalError),
    }
}

fn no_handshake(halt: &Halt) -> ExchangeError {
    match halt {
        Halt::Io(error) => refused(OpeningError::Handshake(fault::of(error))),
        Halt::Expired(timer) => ExchangeError::expired(*timer),
    }
}
