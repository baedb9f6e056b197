//! Whether a client may have one more exchange, and what the log says of it.

use crate::clock::since_start;
use crate::error::{Cause, ExchangeError};
use crate::gateway::client_limits::LimitReached;
use crate::gateway::credentials::Credentials;
use crate::gateway::plan::{ForwardedRequest, OwnAnswer};
use crate::proxy::site::Route;
use crate::telemetry::ExchangeRecorder;
use std::rc::Rc;

/// Counts a request for the client whose token it has. The exchange keeps its place until it ends.
///
/// # Errors
/// The client has as much as it may.
pub(super) fn admit<U>(
    request: &ForwardedRequest<'_, U>,
    recorder: &mut ExchangeRecorder,
) -> Result<(), ExchangeError> {
    let Some(Credentials { client, key, .. }) = &request.credentials else { return Ok(()) };
    if let Some(client) = client {
        let acquired = client.rules.as_ref().map(|it| it.used.acquire(&it.limits, since_start));
        let (permit, error) = match acquired.unwrap_or(Ok(None)) {
            Ok(permit) => (permit, None),
            Err(LimitReached::Exchanges) => (None, Some(Cause::ClientExchanges)),
            Err(LimitReached::Rate(seconds)) => (None, Some(Cause::ClientRate(seconds))),
        };
        recorder.of_client(&client.name, permit);
        if let Some(cause) = error {
            return Err(ExchangeError::client(cause));
        }
    }
    key.iter().for_each(|key| recorder.key(key.line));
    Ok(())
}

/// The recorder gets to know what the request was for that we answer ourselves, and whose it was.
pub(super) fn note_answer(
    recorder: &mut ExchangeRecorder,
    answer: &OwnAnswer<'_>,
    route: Option<&Rc<Route>>,
) {
    note(recorder, answer.method, route);
    if let Some(client) = answer.client {
        recorder.of_client(&client.name, None);
    }
}

/// The recorder gets to know what the request is for.
pub(super) fn note(recorder: &mut ExchangeRecorder, method: &[u8], route: Option<&Rc<Route>>) {
    recorder.method(method);
    if let Some(route) = route {
        recorder.route(&route.upstream.metrics);
    }
}
