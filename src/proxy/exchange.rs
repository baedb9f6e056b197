//! One exchange, from a whole request head to the reuse or the end of both connections.
//!
//! The request's head stays in the client's read buffer until there is a connection to the
//! upstream. The plan is a function of these bytes (`gateway::plan`), so nothing else has to be
//! kept while the client waits.

use crate::error::{Cause, DialFailure, ExchangeError};
use crate::gateway::access::KeyTurn;
use crate::gateway::answer::{Reply, ResponseOptions};
use crate::gateway::exchange::{Exchange, Persistence};
use crate::gateway::plan::{ForwardedRequest, OwnAnswer, Plan, plan};
use crate::h1::head_reader::HeadSpan;
use crate::limits::{CLIENT_LOOK_EVERY, CLIENT_LOOKS};
use crate::net::buffer::Buffer;
use crate::net::date::unix_seconds;
use crate::proxy::attempt::Attempt;
use crate::proxy::client_connection::{ClientConnection, Next, Unserved};
use crate::proxy::client_limits::{admit, note, note_answer};
use crate::proxy::context::{About, Context};
use crate::proxy::declined::{Declined, declined};
use crate::proxy::departure::watch_after_head;
use crate::proxy::download::Pumped;
use crate::proxy::keys::{at_rest, put_refusal, sent_with_next_key};
use crate::proxy::pump::{InFlight, pump};
use crate::proxy::sender::{sender, take_place};
use crate::proxy::site::Route;
use crate::proxy::tunnel::tunnel;
use crate::proxy::unrouted;
use crate::telemetry::{ExchangeRecorder, Outcome};
use crate::upstream::Upstream;
use crate::upstream::connection::UpstreamConnection;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use tokio::time::Instant;

/// A request that is being forwarded.
struct Forwarding {
    request: InFlight,
    sending: Sending,
}

/// How far the sending of a request is.
enum Sending {
    /// There is no connection for it yet. As many bytes at the front of the client's read buffer
    /// are its head.
    Waits { head_bytes: u32 },
    /// It is sent on a connection, for the first or the second time.
    Begun(Attempt),
}

/// Serves the request whose head is at `span` of the client's read buffer.
///
/// No `async fn`, because that would keep its arguments twice as long as the exchange lasts.
///
/// # Errors
/// There is no response from the upstream: the answer is ours.
pub(super) fn exchange<'s>(
    client: &'s mut ClientConnection,
    context: &'s Context,
    span: HeadSpan,
) -> impl Future<Output = Result<Next, Box<Unserved>>> + 's {
    let mut begun = begin(client, context, span, true);
    async move {
        if let Err(Declined { later: Some(span), .. }) = begun {
            begun = Box::pin(begin_later(client, context, span)).await;
        }
        let Forwarding { request, sending } = begun.as_mut().map_err(|it| it.to_unserved())?;
        let attempt = loop {
            let head_bytes = match sending {
                Sending::Begun(attempt) => break attempt,
                Sending::Waits { head_bytes } => *head_bytes,
            };
            match connection(client, &request.route.upstream.connections, head_bytes).await {
                Ok(connection) => {
                    let attempt = first_attempt(client, request, head_bytes, connection)?;
                    *sending = Sending::Begun(attempt);
                }
                Err(dial) => return Err(unsent(client, context, request, head_bytes, dial)),
            }
        };
        loop {
            let (error, sent) = match pump(client, context, request, &mut attempt.io).await {
                Ok(Pumped::Answered) => {
                    client.recorder.end(Outcome::Completed);
                    return Ok(begun.map_or(Next::End, settle));
                }
                Ok(Pumped::Switched) => {
                    // In a box, because every exchange would be as large as a tunnel otherwise.
                    let tunnel = Box::pin(switch(client, context, &request.route, attempt));
                    return Ok(tunnel.await);
                }
                Ok(Pumped::Doubted) => match doubted(client, request, attempt) {
                    Some(failed) => failed,
                    None => continue,
                },
                Err(error) => failed(error, request, attempt),
            };
            attempt.io.transport.abort();
            let Some(sent) = sent else { return fail(context, &request.exchange, error, None) };
            match fresh_connection(client, &request.route.upstream.connections, 0).await {
                Ok(connection) => *attempt = second_attempt(client, request, connection, sent),
                Err(dial) => return fail(context, &request.exchange, dial.error, Some(dial)),
            }
        }
    }
}

/// Begins when the client has fewer exchanges, or declines.
async fn begin_later(
    client: &mut ClientConnection,
    context: &Context,
    mut span: HeadSpan,
) -> Result<Forwarding, Declined> {
    let mut looks = CLIENT_LOOKS;
    loop {
        client.pause(context, Instant::now() + CLIENT_LOOK_EVERY).await;
        client.recorder.holds(None);
        looks -= 1;
        match begin(client, context, span, looks > 0) {
            Err(Declined { later: Some(next), .. }) => span = next,
            begun => return begun,
        }
    }
}

/// Makes a plan for the request, and sends it where an idle connection is at hand.
fn begin(
    client: &mut ClientConnection,
    context: &Context,
    span: HeadSpan,
    may_look_again: bool,
) -> Result<Forwarding, Declined> {
    // An exchange keeps to the site that is served at its head.
    let site = context.site();
    let from = sender(client, context, span, &site.head_limits);
    if let Some(own) = unrouted::answer(client, context, span, from) {
        return Err(Declined::answered(own.0, own.1));
    }
    let ClientConnection { io, recorder, about, preconnect, .. } = client;
    io.read_buffer.consume(span.start);
    let (head, behind) = io.read_buffer.bytes().split_at(span.end - span.start);
    let draining = context.drain.is_announced();
    match plan(head, behind, &site.routes, &site.head_limits, draining, unix_seconds, from) {
        Plan::Forward(forwarded) => {
            let route = Rc::clone(forwarded.route);
            note(recorder, forwarded.method(), Some(&route));
            let taken = take_place(recorder, context);
            if let Err(error) = taken.and_then(|()| admit(&forwarded, recorder)) {
                let request = forwarded.request;
                return Err(Declined::by(error, io, head.len(), request, draining, may_look_again));
            }
            if let Some(rest) = at_rest(&route) {
                let options = declined(io, head.len(), &forwarded.request, draining);
                return Err(Declined::answered(put_refusal(client, &rest, options), options));
            }
            remember(about, &forwarded, io.transport.is_tls());
            let (head_bytes, turn) = (head.len(), turn(&forwarded));
            let sending = match at_once(&route.upstream.connections, &forwarded, &turn, recorder) {
                Some(attempt) => Sending::Begun(attempt),
                // Heads are far below 4 GiB.
                None => Sending::Waits { head_bytes: head_bytes as u32 },
            };
            let request = InFlight::new(&forwarded.request, route, turn);
            if let Sending::Begun(_) = &sending {
                *preconnect = None;
                io.read_buffer.consume(head_bytes);
            }
            Ok(Forwarding { request, sending })
        }
        Plan::Answer(answer, route) => {
            note_answer(recorder, &answer, route);
            let OwnAnswer { reply, options, body_bytes, .. } = answer;
            io.read_buffer.consume(span.end - span.start + body_bytes);
            Err(Declined::answered(reply, options))
        }
    }
}

/// Remembers what a later answer to this client needs.
fn remember<U>(about: &mut About, request: &ForwardedRequest<'_, U>, is_tls: bool) {
    if request.route.origins.is_some() {
        about.remember_authority(request.authority);
        about.remember_https(!is_tls && request.came_by_https());
    }
    let (token, token_for_urls) = request.tokens_to_repeat();
    about.remember_token(token, token_for_urls);
}

/// The request on its way, if a connection is available at once.
fn at_once<U>(
    upstream: &Upstream,
    request: &ForwardedRequest<'_, U>,
    turn: &KeyTurn,
    recorder: &mut ExchangeRecorder,
) -> Option<Attempt> {
    let connection = idle_connection(upstream)?;
    let attempt = Attempt::first(connection, written(request), turn);
    recorder.connected(upstream.metrics(), attempt.reused, None);
    Some(attempt)
}

/// A connection that is available at once.
fn idle_connection(upstream: &Upstream) -> Option<UpstreamConnection> {
    if upstream.sends_proxy_header() { None } else { upstream.take_idle() }
}

fn turn<U>(request: &ForwardedRequest<'_, U>) -> KeyTurn {
    KeyTurn::with(request.route.keys(), request.credentials.as_ref().and_then(|it| it.key))
}

fn written<U>(request: &ForwardedRequest<'_, U>) -> Buffer {
    let mut head = Buffer::take();
    request.put_head(head.to_append());
    head
}

/// Waits for an open connection to the upstream, while the client is watched.
async fn connection(
    client: &mut ClientConnection,
    upstream: &Upstream,
    head_bytes: u32,
) -> Result<UpstreamConnection, Box<DialFailure>> {
    if upstream.sends_proxy_header() {
        return fresh_connection(client, upstream, head_bytes).await;
    }
    let checked_out = watched(client, upstream.checkout(), head_bytes).await;
    client.preconnect = None;
    checked_out
}

/// An unused connection: another one from the pool may be just as dead, or announced for another
/// client.
fn fresh_connection(
    client: &mut ClientConnection,
    upstream: &Upstream,
    head_bytes: u32,
) -> impl Future<Output = Result<UpstreamConnection, Box<DialFailure>>> {
    let dialing = upstream.dial(&client.who().proxy_header(&client.io.transport));
    let dialing = watched(client, dialing, head_bytes);
    async move { dialing.await.map(UpstreamConnection::fresh) }
}

/// Waits for a connection while the client is watched: one that leaves needs none.
fn watched<T>(
    client: &mut ClientConnection,
    mut connecting: impl Future<Output = Result<T, Box<DialFailure>>> + Unpin,
    head_bytes: u32,
) -> impl Future<Output = Result<T, Box<DialFailure>>> {
    poll_fn(move |cx| {
        watch_after_head(&mut client.io, cx, head_bytes as usize)?;
        Pin::new(&mut connecting).poll(cx)
    })
}

/// Writes the head for the connection that was waited for: the same bytes along the same route.
fn first_attempt(
    client: &mut ClientConnection,
    request: &mut InFlight,
    head_bytes: u32,
    connection: UpstreamConnection,
) -> Result<Attempt, Box<Unserved>> {
    let ClientConnection { io, recorder, .. } = client;
    let head = &io.read_buffer.bytes()[..head_bytes as usize];
    let forwarded = ForwardedRequest::again(head, &request.route, unix_seconds);
    let forwarded = forwarded.map_err(|error| {
        Unserved::boxed(Reply::Error(error), ResponseOptions::malformed(head), None)
    })?;
    let times = connection.times;
    // Another key may be in use by now.
    request.upload.turn = turn(&forwarded);
    let key = forwarded.credentials.as_ref().and_then(|it| it.key);
    key.iter().for_each(|key| recorder.key(key.line));
    let attempt = Attempt::first(connection, written(&forwarded), &request.upload.turn);
    io.read_buffer.consume(head_bytes as usize);
    let counted = request.route.upstream.connections.metrics();
    recorder.connected(counted, attempt.reused, times);
    Ok(attempt)
}

/// The error, and what was sent of the request, if it may be sent again.
fn failed(
    error: ExchangeError,
    request: &InFlight,
    attempt: &mut Attempt,
) -> (ExchangeError, Option<Buffer>) {
    let InFlight { exchange, route, .. } = request;
    (error, attempt.take_sent_after(error, exchange, &route.upstream.connections))
}

/// As [`failed`], if the response is about the silence before the request, or refuses a key that
/// another one can stand in for. Otherwise it is passed on after all.
fn doubted(
    client: &mut ClientConnection,
    request: &mut InFlight,
    attempt: &mut Attempt,
) -> Option<(ExchangeError, Option<Buffer>)> {
    let sent = match request.upload.turn.is_to_go_on() {
        true => {
            let sent = attempt.io.write_buffer.take_copy();
            let turn = &mut request.upload.turn;
            sent_with_next_key(turn, &request.route, sent, &mut client.recorder)
        }
        false => attempt.take_sent_after_408(client.recorder.elapsed()),
    };
    if sent.is_none() {
        request.exchange.accept_response();
        return None;
    }
    Some((ExchangeError::upstream(Cause::ClosedEarly), sent))
}

/// Sends what was sent before on another connection.
fn second_attempt(
    client: &mut ClientConnection,
    request: &mut InFlight,
    connection: UpstreamConnection,
    sent: Buffer,
) -> Attempt {
    let times = connection.times;
    let attempt = Attempt::second(connection, sent, &request.upload.turn);
    let counted = request.route.upstream.connections.metrics();
    client.recorder.repeated();
    client.recorder.connected(counted, attempt.reused, times);
    request.exchange.start_again();
    request.upload.start_again();
    attempt
}

/// There is no connection for the request.
fn unsent(
    client: &mut ClientConnection,
    context: &Context,
    request: &InFlight,
    head_bytes: u32,
    dial: Box<DialFailure>,
) -> Box<Unserved> {
    let (facts, draining) = (request.exchange.request(), context.drain.is_announced());
    let options = declined(&mut client.io, head_bytes as usize, facts, draining);
    Unserved::boxed(Reply::Error(dial.error), options, Some(dial))
}

/// The exchange failed, and is not tried again.
fn fail(
    context: &Context,
    exchange: &Exchange,
    error: ExchangeError,
    dial: Option<Box<DialFailure>>,
) -> Result<Next, Box<Unserved>> {
    if exchange.has_response_head() {
        return Ok(Next::Cut(error));
    }
    let (request, is_read) = (exchange.request(), exchange.request_ended());
    let options = ResponseOptions::new(request, is_read, context.drain.is_announced());
    Err(Unserved::boxed(Reply::Error(error), options, dial))
}

/// What becomes of both connections after a complete response.
fn settle(Forwarding { request, sending }: Forwarding) -> Next {
    let InFlight { exchange, route, .. } = request;
    if let Sending::Begun(attempt) = sending {
        attempt.settle(&exchange, &route.upstream.connections);
    }
    match exchange.client_persistence() {
        Persistence::Keep => Next::Request,
        Persistence::Close => Next::End,
    }
}

/// The exchange ends as a tunnel.
async fn switch(
    client: &mut ClientConnection,
    context: &Context,
    route: &Route,
    attempt: &mut Attempt,
) -> Next {
    let ClientConnection { io, recorder, alarm, .. } = client;
    let count = |up, down| recorder.bytes(up, down, 0);
    let upstream = &mut attempt.io;
    match tunnel(io, upstream, &route.timeouts, &context.drain, alarm, count).await {
        Ok(()) => {
            recorder.end(Outcome::Switched);
            Next::End
        }
        Err(error) => {
            recorder.fail(&error, false);
            Next::Abort
        }
    }
}
