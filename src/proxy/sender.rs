//! From whom a request comes: the other end of its connection, or behind a trusted proxy the client
//! that its head names.
//!
//! The rules are those of the listener at this moment, so that a reload that takes an address out
//! of `allow` applies to the next request of a connection that is open already.

use crate::error::{Cause, ExchangeError};
use crate::gateway::client_address::Sender;
use crate::h1::limits::HeadLimits;
use crate::proxy::context::Context;
use crate::telemetry::ExchangeRecorder;

/// The sender of the request whose whole head is `head`. The recorder gets to know it.
pub(super) fn sender(
    recorder: &mut ExchangeRecorder,
    context: &Context,
    head: &[u8],
    limits: &HeadLimits,
) -> Sender {
    let rules = context.address_rules();
    let Some(rules) = &*rules else { return recorder.client().ip().into() };
    let client = rules.client(recorder.peer(), head, limits);
    recorder.is_of(client);
    Sender { address: client.ip(), is_allowed: rules.allows(client.ip()) }
}

/// Counts the exchange for a client behind a trusted proxy, until it ends. Others are counted by
/// their connection.
///
/// # Errors
/// The client has as many exchanges as `limits.connections_per_address` allows.
pub(super) fn take_place(
    recorder: &mut ExchangeRecorder,
    context: &Context,
) -> Result<(), ExchangeError> {
    let client = recorder.client();
    if client == recorder.peer() {
        return Ok(());
    }
    match context.admission.place(client.ip()) {
        Ok(place) => {
            place.into_iter().for_each(|place| recorder.holds(Some(place)));
            Ok(())
        }
        Err(_limit) => Err(ExchangeError::client(Cause::TooManyOfAddress)),
    }
}
