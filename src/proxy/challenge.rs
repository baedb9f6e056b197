//! Authorities that verify our names come to the port of the clients (RFC 8737):
//! [`pass`] answers them.
//!
//! Their `ClientHello` tells them apart: it offers the protocol of a challenge, and no other. So
//! the hello of every client is peeked at while a challenge is under way, and only then.

use crate::clock::{Alarm, Deadline};
use crate::config::snapshot::Listener;
use crate::limits::SILENCE_MAX;
use crate::net::transport::Transport;
use crate::proxy::context::{Client, Context};
use crate::proxy::preface::{Greeting, greeting};
use crate::telemetry::targets::CLIENT;
use crate::timeouts::Timer;
use crate::tls::challenges::answer;
use std::net::SocketAddr;
use tokio::time::Instant;

/// The connection of a client as it came. `None`: an authority has opened it to ask for a challenge
/// that is under way, and has had its answer. Authorities ask from any address.
///
/// # Errors
/// The address is not allowed, and the client can get no answer in HTTP. This is its connection.
pub async fn pass(
    context: &Context,
    transport: Transport,
    listener: &Listener,
    who: Client,
    may_be_challenged: bool,
    deadline: Deadline,
) -> Result<Option<Transport>, Transport> {
    let transport = if may_be_challenged && !context.challenges.is_empty() {
        let unchallenged = unless_challenged(context, transport, who.address, deadline);
        match Box::pin(unchallenged).await {
            Some(transport) => transport,
            None => return Ok(None),
        }
    } else {
        transport
    };
    if listener.closes_at(who.address.ip()) { Err(transport) } else { Ok(Some(transport)) }
}

async fn unless_challenged(
    context: &Context,
    mut transport: Transport,
    client: SocketAddr,
    deadline: Deadline,
) -> Option<Transport> {
    let mut alarm = Alarm::default();
    let patience = Deadline { at: Instant::now() + SILENCE_MAX, timer: Timer::Handshake };
    let greeted = greeting(&mut transport, deadline, Some(patience), &mut alarm).await;
    // What is wrong with it is found again: by the handshake, or where forwards are chosen.
    let Ok(Greeting::Hello(hello)) = greeted else { return Some(transport) };
    let Some(config) = context.challenges.tls_alpn(&hello) else { return Some(transport) };
    let tcp = match transport.into_plain() {
        Ok(tcp) => *tcp,
        Err(transport) => return Some(transport),
    };
    let name = hello.server_name.as_deref();
    match alarm.bound(deadline, answer(config, tcp)).await {
        Ok(()) => tracing::debug!(target: CLIENT, %client, name, "a challenge was answered"),
        Err(_) => tracing::debug!(target: CLIENT, %client, name, "a challenge was broken off"),
    }
    None
}
