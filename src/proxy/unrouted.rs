//! What is answered before a route is looked for: challenges of ACME, and every request on a
//! listener that leads to https.

use crate::gateway::answer::{Reply, ResponseOptions};
use crate::gateway::client_address::Sender;
use crate::gateway::own_response::OwnHead;
use crate::gateway::plan::OwnAnswer;
use crate::gateway::redirect::{Challenge, Redirect, redirect};
use crate::h1::head_reader::HeadSpan;
use crate::proxy::client_connection::ClientConnection;
use crate::proxy::context::Context;
use std::sync::Arc;

/// What is said.
enum Said {
    /// The key authorization of a challenge.
    KeyAuthorization(Arc<str>),
    /// Where to ask instead.
    Location(String),
}

/// Queues the answer to the request whose head is at `span`, if it needs no route, and says how it
/// is sent. `None`: it is for a route, and nothing has been consumed. Challenges are answered to
/// anyone, because authorities ask from any address.
pub(super) fn answer(
    client: &mut ClientConnection,
    context: &Context,
    span: HeadSpan,
    from: Sender,
) -> Option<(Reply, ResponseOptions)> {
    let leads_to_https = client.about.leads_to_https();
    if !leads_to_https && context.challenges.is_empty() {
        return None;
    }
    let (site, draining) = (context.site(), context.drain.is_announced());
    let ClientConnection { io, recorder, .. } = client;
    let (head, behind) = io.read_buffer.bytes()[span.start..].split_at(span.end - span.start);
    let challenge = Challenge::parse(head, behind, &site.head_limits, draining);
    let known = challenge.and_then(|it| Some((context.challenges.http(it.token)?, it)));
    let redirected =
        || redirect(head, behind, &site.https_names, &site.head_limits, draining, from);
    let (said, method, options, body_bytes) = match (known, leads_to_https) {
        (Some((key, it)), _) => {
            (Ok(Said::KeyAuthorization(key)), it.method, it.options, it.body_bytes)
        }
        (None, false) => return None,
        (None, true) => match redirected() {
            Ok(Redirect { method, location, options, body_bytes }) => {
                (Ok(Said::Location(location)), method, options, body_bytes)
            }
            Err(OwnAnswer { method, reply, options, body_bytes, .. }) => {
                (Err(reply), method, options, body_bytes)
            }
        },
    };
    recorder.method(method);
    io.read_buffer.consume(span.end + body_bytes);
    let reply = match said {
        Ok(said) => put(client, &said, options),
        Err(reply) => reply,
    };
    Some((reply, options))
}

fn put(client: &mut ClientConnection, said: &Said, options: ResponseOptions) -> Reply {
    let id = client.recorder.request_id();
    let (status, reason, media_type, body, fields) = match said {
        Said::KeyAuthorization(key) => {
            (200, "OK", "application/octet-stream", &**key, String::new())
        }
        Said::Location(url) => (308, "Permanent Redirect", "", "", format!("Location: {url}\r\n")),
    };
    let head = OwnHead { status, reason, media_type, length: body.len(), id, fields: &fields };
    client.queue_own(&head, body.as_bytes(), options)
}
