//! Time limits that know their names: [`Timer`], [`Timeouts`], [`Deadline`] for one phase,
//! [`IdleClock`] for the gaps of one direction, and the lazily re-armed [`Alarm`] below both.
//!
//! A connection owns one [`Alarm`], and so one entry in the runtime's timer wheel. Moving a
//! deadline into the future costs a store: the alarm is left to fire early and is armed again
//! then. Only a deadline nearer than the armed one is registered at once.
//!
//! Not here: what an expiry means to the peers (`error`).

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The name of a time limit: a row of `[timeouts]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Accept to the end of the TLS handshake with a client.
    Handshake,
    /// First byte to the end of a request head.
    RequestHead,
    /// Silence between two requests of one client.
    KeepAlive,
    /// Name to TCP connection, for each address.
    Connect,
    /// TCP connection to the end of the TLS handshake with an upstream.
    UpstreamHandshake,
    /// End of the request to the final response head.
    ResponseHead,
    /// Silence in both directions of a tunnel.
    Tunnel,
    /// Reading on after a response that ends the connection.
    Linger,
    /// A gap between bytes of the client's request body.
    ToUpstreamRead,
    /// A gap in the upstream's acceptance of the request body.
    ToUpstreamWrite,
    /// A gap between bytes of the upstream's response.
    ToClientRead,
    /// A gap in the client's acceptance of the response.
    ToClientWrite,
}

/// Limits of time: the `[timeouts]` table of the configuration, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Accept to TLS done, in total: a handshake that trickles still ends.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head. Bounds slow-header attacks, so it
    /// is a total, not an idle limit: a client that sends one byte a second still loses.
    pub request_head: Duration,
    /// Between two requests of one client, and before its first.
    pub keep_alive: Duration,
    /// Name to TCP connection, for each address tried.
    pub connect: Duration,
    /// TCP connected to TLS done, with an upstream.
    pub upstream_handshake: Duration,
    /// From the end of the request to the final response head. Long: a model may think.
    pub response_head: Duration,
    /// Silence in both directions after an upgrade.
    pub tunnel: Duration,
    /// How long a connection is read on, and the bytes thrown away, after our last response on
    /// it, so that the response is not lost to a reset (RFC 9112, section 9.6).
    pub linger: Duration,
    /// Gap between two reads of the client's body.
    pub to_upstream_read: Duration,
    /// Gap in the upstream's acceptance of what we send.
    pub to_upstream_write: Duration,
    /// Gap between two reads of the upstream's response body.
    pub to_client_read: Duration,
    /// Gap in the client's acceptance of what we send.
    pub to_client_write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            connect: Duration::from_secs(5),
            upstream_handshake: Duration::from_secs(10),
            response_head: Duration::from_secs(600),
            tunnel: Duration::from_secs(600),
            linger: Duration::from_secs(2),
            to_upstream_read: Duration::from_secs(60),
            to_upstream_write: Duration::from_secs(600),
            to_client_read: Duration::from_secs(600),
            to_client_write: Duration::from_secs(60),
        }
    }
}

impl Timeouts {
    /// The limit that `timer` names.
    pub fn of(&self, timer: Timer) -> Duration {
        match timer {
            Timer::Handshake => self.handshake,
            Timer::RequestHead => self.request_head,
            Timer::KeepAlive => self.keep_alive,
            Timer::Connect => self.connect,
            Timer::UpstreamHandshake => self.upstream_handshake,
            Timer::ResponseHead => self.response_head,
            Timer::Tunnel => self.tunnel,
            Timer::Linger => self.linger,
            Timer::ToUpstreamRead => self.to_upstream_read,
            Timer::ToUpstreamWrite => self.to_upstream_write,
            Timer::ToClientRead => self.to_client_read,
            Timer::ToClientWrite => self.to_client_write,
        }
    }
}
