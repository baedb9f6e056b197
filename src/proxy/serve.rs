//! One exchange, from a whole request head to the fate of both connections.

use crate::error::{Answer, Cause, ExchangeError};
use crate::h1::body::BodyReader;
use crate::h1::exchange::{Exchange, Fate};
use crate::h1::forward::{NewTarget, put_request_head};
use crate::h1::head::{RequestHead, Version};
use crate::h1::request::{Decided, Method, Request, decide};
use crate::h1::target::{has_dot_segments, resolve_dot_segments};
use crate::net::buffer::Buffer;
use crate::net::transport::Transport;
use crate::ops::Outcome;
use crate::proxy::context::Context;
use crate::proxy::pump::{PumpError, Pumped, pump};
use crate::proxy::record::Recorder;
use crate::proxy::respond::Manner;
use crate::proxy::session::{Arrived, Next, Session, refused};
use crate::proxy::side::Side;
use crate::proxy::tunnel::tunnel;
use crate::route::Route;
use std::borrow::Cow;
use std::future::poll_fn;
use std::task::Poll;

/// A request that is ready to leave.
struct Prepared {
    request: Request,
    /// Index of its upstream.
    upstream: usize,
    /// The head as the upstream gets it.
    head: Buffer,
}

/// A request that will not leave.
struct Refusal {
    why: Why,
    /// What is known of the request; without it the connection cannot go on.
    request: Option<Request>,
}

enum Why {
    Error(ExchangeError),
    /// OPTIONS with Max-Forwards: 0 asks us, not the upstream (RFC 9110, section 7.6.2).
    LastHop,
}

/// What we can do for a client that asks with OPTIONS how far it has come.
const LAST_HOP: Answer = Answer {
    status: 204,
    reason: "No Content",
    code: "",
    message: "",
    fields: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
};

impl Session {
    /// Takes one request through its life.
    pub(super) async fn serve(&mut self, arrived: Arrived) -> Next {
        let Arrived { span, mut recorder } = arrived;
        let head = &self.client.inbox.bytes()[span.start..span.end];
        let prepared = prepare(&self.context, head, &mut recorder);
        self.client.inbox.consume(span.end);
        match prepared {
            Ok(prepared) => self.exchange(prepared, recorder).await,
            Err(refusal) => self.refuse(refusal, recorder).await,
        }
    }

    async fn refuse(&mut self, refusal: Refusal, mut recorder: Recorder) -> Next {
        let manner = match refusal.request {
            Some(request) => {
                let read = self.skip_body(&request);
                self.manner(&request, read)
            }
            None => Manner { close: true, head_only: false, tell_keep_alive: false },
        };
        match refusal.why {
            Why::Error(error) => self.answer_error(recorder, error, manner).await,
            Why::LastHop => {
                recorder.answered(LAST_HOP.status);
                let sent = self.respond(&LAST_HOP, manner).await;
                recorder.end(Outcome::Completed);
                if sent.is_err() || manner.close { Next::End } else { Next::Request }
            }
        }
    }

    /// Whether the body of a request that is not forwarded is here to its end; it is dropped then.
    fn skip_body(&mut self, request: &Request) -> bool {
        let mut reader = BodyReader::new(request.body);
        while !reader.is_finished() {
            match reader.walk(self.client.inbox.bytes()) {
                Ok(walk) if walk.consumed > 0 => self.client.inbox.consume(walk.consumed),
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }

    fn manner(&self, request: &Request, request_read: bool) -> Manner {
        Manner {
            close: !request.persistent || !request_read || self.context.drain.has_begun(),
            head_only: request.method == Method::Head,
            tell_keep_alive: request.version == Version::Http10,
        }
    }

    async fn exchange(&mut self, prepared: Prepared, mut recorder: Recorder) -> Next {
        let Prepared { request, upstream: index, head } = prepared;
        let transport = match self.connection(index, &mut recorder).await {
            Ok(transport) => transport,
            Err(error) => return self.give_up(&request, error, recorder).await,
        };
        let mut upstream = Side::new(transport);
        upstream.outbox.queue_buffer(head);
        let mut exchange = Exchange::new(request);
        let Self { context, client, alarm, .. } = self;
        let pumped =
            pump(context, client, &mut upstream, &mut exchange, &mut recorder, alarm).await;
        match pumped {
            Ok(Pumped::Answered) => {
                recorder.end(Outcome::Completed);
                self.settle(&exchange, index, upstream).await
            }
            Ok(Pumped::Switched) => self.switch(upstream, recorder).await,
            Err(PumpError { error, status_spent }) => {
                upstream.transport.abort();
                if status_spent {
                    recorder.fail(&error, false);
                    return Next::Abort;
                }
                self.fail(&exchange, error, recorder).await
            }
        }
    }

    /// An open connection to the upstream, while the client is watched.
    async fn connection(
        &mut self,
        index: usize,
        recorder: &mut Recorder,
    ) -> Result<Transport, ExchangeError> {
        let upstream = &self.context.upstreams[index];
        if let Some(transport) = upstream.checkout() {
            recorder.connected(true);
            return Ok(transport);
        }
        let mut dialing = upstream.dial();
        let client = &mut self.client;
        let dialed = poll_fn(|cx| {
            client.watch(cx)?;
            dialing.as_mut().poll(cx)
        });
        let transport = dialed.await?;
        recorder.connected(false);
        Ok(transport)
    }

    /// There is no connection to the upstream.
    async fn give_up(
        &mut self,
        request: &Request,
        error: ExchangeError,
        recorder: Recorder,
    ) -> Next {
        let read = self.skip_body(request);
        let manner = self.manner(request, read);
        self.answer_error(recorder, error, manner).await
    }

    /// The exchange failed before a response head reached the client.
    async fn fail(
        &mut self,
        exchange: &Exchange,
        error: ExchangeError,
        recorder: Recorder,
    ) -> Next {
        let manner = self.manner(exchange.request(), exchange.request_ended());
        self.answer_error(recorder, error, manner).await
    }

    /// Decides what becomes of both connections after a complete response.
    async fn settle(&mut self, exchange: &Exchange, index: usize, mut upstream: Side) -> Next {
        let surplus = !upstream.inbox.bytes().is_empty();
        match exchange.upstream_fate(surplus) {
            Fate::Keep => self.context.upstreams[index].give_back(upstream.transport),
            Fate::Close if exchange.request_ended() => {
                // One try is enough: it is a courtesy to a peer that has said all it had to say.
                poll_fn(|cx| Poll::Ready(upstream.transport.poll_shutdown(cx).is_ready())).await;
            }
            // It must not take the part of the request that it has for the whole.
            Fate::Close => upstream.transport.abort(),
        }
        match exchange.client_fate() {
            Fate::Keep => Next::Request,
            Fate::Close => Next::End,
        }
    }

    async fn switch(&mut self, mut upstream: Side, mut recorder: Recorder) -> Next {
        let timeouts = &self.context.snapshot.timeouts;
        let ended = tunnel(&mut self.client, &mut upstream, timeouts, &mut self.alarm).await;
        recorder.bytes(ended.to_upstream, ended.to_client);
        match ended.error {
            None => {
                recorder.end(Outcome::Switched);
                Next::End
            }
            Some(error) => {
                upstream.transport.abort();
                recorder.fail(&error, false);
                Next::Abort
            }
        }
    }
}

/// Everything that can be decided about a request before an upstream is involved.
fn prepare(context: &Context, head: &[u8], recorder: &mut Recorder) -> Result<Prepared, Refusal> {
    let unknown = |error| Refusal { why: Why::Error(refused(error)), request: None };
    let limits = &context.snapshot.limits.head;
    let head = RequestHead::parse(head, limits).map_err(|error| unknown(error.into()))?;
    recorder.method(head.method);
    let decided = decide(&head).map_err(unknown)?;
    let request = decided.request;
    let known = |why| Refusal { why, request: Some(request) };
    if request.max_forwards == Some(0) {
        return Err(known(Why::LastHop));
    }
    let path = resolved(&decided).map_err(|error| known(Why::Error(error)))?;
    let route = find_route(context, &decided, &path).map_err(|error| known(Why::Error(error)))?;
    recorder.route(&route.name);
    let target = NewTarget {
        replacement: &route.replacement,
        rest: &path[route.path.len()..],
        query: decided.query,
    };
    let mut out = Buffer::take();
    put_request_head(&mut out, &head, &request, &target, &route.host);
    Ok(Prepared { request, upstream: route.upstream, head: out })
}

/// The path without dot segments: an upstream resolves them, so routes must not be matched before.
fn resolved<'b>(decided: &Decided<'b>) -> Result<Cow<'b, [u8]>, ExchangeError> {
    if !has_dot_segments(decided.path) {
        return Ok(Cow::Borrowed(decided.path));
    }
    let mut path = Vec::with_capacity(decided.path.len());
    resolve_dot_segments(decided.path, &mut path).map_err(|error| refused(error.into()))?;
    Ok(Cow::Owned(path))
}

/// The route of `path`. Dot segments that lead out of the route in which the client began are a
/// probe, not a path.
fn find_route<'c>(
    context: &'c Context,
    decided: &Decided<'_>,
    path: &[u8],
) -> Result<&'c Route, ExchangeError> {
    let routes = &context.snapshot.routes;
    let route = routes.find(path);
    let begun = routes.find(decided.path);
    match (route, begun) {
        (Some(route), Some(begun)) if route.path != begun.path => Err(leaves_route()),
        (None, Some(_)) => Err(leaves_route()),
        (Some(route), _) => Ok(route),
        (None, None) => Err(ExchangeError::client(Cause::NoRoute)),
    }
}

fn leaves_route() -> ExchangeError {
    refused(crate::h1::target::TargetError::AboveRoot.into())
}
