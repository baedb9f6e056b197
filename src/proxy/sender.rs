//! From whom a request comes: the other end of its connection, or behind a trusted proxy the client
//! that its head names.
//!
//! The rules are those of the listener at this moment, so that a reload that takes an address out
//! of `allow` applies to the next request of a connection that is open already.

use crate::error::{Cause, ExchangeError};
use crate::gateway::client_address::Sender;
use crate::h1::head_reader::HeadSpan;
use crate::h1::limits::HeadLimits;
use crate::proxy::client_connection::ClientConnection;
use crate::proxy::context::Context;
use crate::telemetry::ExchangeRecorder;

/// The sender of the request whose head is at `span` of the client's read buffer. The recorder gets
/// to know it.
pub(super) fn sender(
    client: &mut ClientConnection,
    context: &Context,
    span: HeadSpan,
    limits: &HeadLimits,
) -> Sender {
    let ClientConnection { io, recorder, about, .. } = client;
    let name_is_checked = io.transport.is_tls() || about.destination().is_some();
    let rules = context.address_rules();
    let Some(rules) = &*rules else {
        return Sender { name_is_checked, ..recorder.client().ip().into() };
    };
    let peer = recorder.peer();
    let client = rules.client(peer, &io.read_buffer.bytes()[span.start..span.end], limits);
    recorder.is_of(client);
    let name_is_checked = name_is_checked || rules.trusts(peer.ip());
    Sender { address: client.ip(), is_allowed: rules.allows(client.ip()), name_is_checked }
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
