//! An admitted connection, from its first byte to its end.

use crate::clock::{Deadline, in_turns};
use crate::config::snapshot::Listener;
use crate::config::value::Mode;
use crate::error::opening::OpeningError;
use crate::error::{Cause, ExchangeError};
use crate::gateway::answer::name_of;
use crate::net::admission::Permit;
use crate::net::read_limit::PlainHttp;
use crate::net::transport::Transport;
use crate::proxy::challenge::pass;
use crate::proxy::tcp::{Accepted, Passthrough};
use crate::proxy::{Client, Context, Session};
use crate::task::spawn;
use crate::telemetry::handshake_failed;
use crate::tls::alpn::Alpn;
use crate::tls::fault;
use crate::tls::server::{self, Greeted};
use crate::upstream::Upstream;
use crate::worker::live::LiveGuard;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

/// What a connection holds for as long as it lasts, whichever of its tasks it is in.
pub(super) struct Guard {
    _permit: Permit,
    _live: LiveGuard,
}

impl Guard {
    pub(super) fn new(permit: Permit, live: LiveGuard) -> Self {
        Self { _permit: permit, _live: live }
    }
}

/// Serves a connection whose client is known. The two modes are two kinds of tasks: one task for
/// both would be as large as the larger of them.
pub(super) fn serve(context: Rc<Context>, accepted: Accepted, guard: Guard) {
    match accepted.listener.mode {
        Mode::Http => serve_http(context, accepted, guard),
        Mode::Tcp => {
            let passthrough = Passthrough::new(Rc::clone(&context), accepted.who.address);
            let hand_over = move |http: Box<Accepted>| serve_http(context, *http, guard);
            spawn_local(passthrough.run(accepted, hand_over));
        }
    }
}

/// Serves a connection of an http listener. Its handshake is a task of its own, because it takes
/// more memory than all that follows.
fn serve_http(context: Rc<Context>, accepted: Accepted, guard: Guard) {
    let Accepted { transport, who, listener, deadline } = accepted;
    if listener.redirect {
        let session = Session::new(context, transport, who).leading_to_https();
        return run(session, guard);
    }
    // While the client shakes hands, so do we.
    let rules = listener.address_rules.as_ref();
    let preconnect = match rules.is_none_or(|rules| rules.admit_peer(who.address.ip())) {
        true => context.site().sole_upstream.as_ref().and_then(Upstream::preconnect),
        false => None,
    };
    if listener.tls.is_none() {
        return run(Session::new(context, transport, who).with_preconnect(preconnect), guard);
    }
    spawn_local(async move {
        match secure(&context, transport, &who, &listener, deadline).await {
            Some(Greeted::Tls(transport)) => {
                run(Session::new(context, transport, who).with_preconnect(preconnect), guard);
            }
            Some(Greeted::PlainHttp(transport, request)) => {
                refuse_plain_http(context, transport, request, who, guard);
            }
            None => {}
        }
    });
}

fn run(mut session: Session, guard: Guard) {
    spawn_local(async move {
        in_turns(pin!(session.run())).await;
        drop(guard);
    });
}

/// Answers a client that speaks HTTP on an HTTPS port, in a task of its own, as exchanges are.
fn refuse_plain_http(
    context: Rc<Context>,
    transport: Transport,
    request: PlainHttp,
    who: Client,
    guard: Guard,
) {
    let mut session = Session::new(context, transport, who);
    spawn(async move {
        session.refuse_plain_http(request).await;
        drop(guard);
    });
}

/// Shakes hands with a client, where the listener wants that. One that is not allowed is closed
/// before, unless it is an authority that asks for a challenge.
async fn secure(
    context: &Context,
    transport: Transport,
    who: &Client,
    listener: &Listener,
    deadline: Deadline,
) -> Option<Greeted> {
    let Some(config) = &listener.tls else { return Some(Greeted::Tls(transport)) };
    let passing = pass(context, transport, listener, *who, true, deadline);
    let Ok(passed) = Box::pin(passing).await else {
        let error = ExchangeError::client(Cause::Opening(OpeningError::AddressNotAllowed));
        refused(context, who, &error, Duration::ZERO);
        return None;
    };
    let transport = passed?;
    let tcp = match transport.into_plain() {
        Ok(tcp) => *tcp,
        Err(transport) => return Some(Greeted::Tls(transport)),
    };
    let local = who.destination.or_else(|| tcp.socket().local_addr().ok());
    let begun = Instant::now();
    // Boxed: it is the largest future of a connection, and over when the others begin.
    let handshake = Box::pin(server::accept(config, tcp, Alpn::Http, local.map(|it| it.ip())));
    let error = match timeout_at(deadline.at, handshake).await {
        Ok(Ok(greeted)) => return Some(greeted),
        Ok(Err(error)) => {
            let fault = OpeningError::Handshake(fault::of(&error));
            ExchangeError::client(Cause::Opening(fault))
        }
        Err(_elapsed) => ExchangeError::expired(deadline.timer),
    };
    refused(context, who, &error, begun.elapsed());
    None
}

fn refused(context: &Context, who: &Client, error: &ExchangeError, took: Duration) {
    context.metrics.refused(error.reason().unwrap_or(name_of(error)));
    handshake_failed(who.address, error, took);
}
