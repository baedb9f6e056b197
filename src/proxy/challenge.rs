//! Authorities that verify our names come to the port of the clients (RFC 8737):
//! [`unless_challenged`] answers them.
//!
//! Their `ClientHello` tells them apart: it offers the protocol of a challenge, and no other. So
//! the hello of every client is peeked at while a challenge is under way, and only then.

use crate::clock::{Alarm, Deadline};
use crate::limits::SILENCE_MAX;
use crate::net::transport::Transport;
use crate::proxy::context::Context;
use crate::proxy::preface::{Greeting, greeting};
use crate::telemetry::targets::CLIENT;
use crate::timeouts::Timer;
use crate::tls::challenges::answer;
use std::net::SocketAddr;
use tokio::time::Instant;

/// The connection as it came, unless an authority has opened it and `challenges` has the name that
/// it asks for. That one is answered, which ends it.
///
/// To be called only if challenges are under way.
pub async fn unless_challenged(
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
