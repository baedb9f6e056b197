//! Limits of time by name: [`Timer`] is a row of the `[timeouts]` table, [`Timeouts`] is the table.
//!
//! Not here: the clock (`clock`), and what an expiry means to the peers (`error`).

use core::time::Duration;

/// The name of a time limit: a row of `[timeouts]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Accept to the end of the TLS handshake with a client, or of its `ClientHello` in tcp mode. A
    /// PROXY header before it is included.
    Handshake,
    /// First byte to the end of a request head.
    RequestHead,
    /// Silence between two requests of one client.
    KeepAlive,
    /// Lookup of an upstream's name.
    Lookup,
    /// TCP connection to an upstream, for each of its addresses.
    Connect,
    /// TCP connection to the end of the TLS handshake with an upstream.
    UpstreamHandshake,
    /// End of the request to the final response head.
    ResponseHead,
    /// Silence in both directions of a tunnel, after an upgrade or in tcp mode.
    Tunnel,
    /// Silence after a response that ends the connection.
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
    /// From accept to the end of the TLS handshake, or of the `ClientHello` in tcp mode, with a
    /// PROXY header before it. A total, so a handshake that trickles still ends.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head. It bounds slow-header attacks, so
    /// it is a total and not an idle limit: a client that sends one byte a second still loses.
    pub request_head: Duration,
    /// Between two requests of one client, and before its first.
    pub keep_alive: Duration,
    /// Lookup of an upstream's name. Longer than the 5 s after which the system's resolver turns
    /// from its first nameserver to the second.
    pub lookup: Duration,
    /// TCP connection to an upstream, for each of its addresses.
    pub connect: Duration,
    /// From the TCP connection to the end of the TLS handshake with an upstream.
    pub upstream_handshake: Duration,
    /// From the end of the request to the final response head. Long: a model may think.
    pub response_head: Duration,
    /// Silence in both directions after an upgrade, or of a connection in tcp mode.
    pub tunnel: Duration,
    /// Silence of a client after our last response, until its connection is closed; what it sends
    /// is discarded, so that the response is not lost to a reset (RFC 9112, section 9.6).
    pub linger: Duration,
    /// Gap between two reads of the client's body.
    pub to_upstream_read: Duration,
    /// Gap in the upstream's acceptance of what we send.
    pub to_upstream_write: Duration,
    /// Gap between two reads of the upstream's response body.
    pub to_client_read: Duration,
    /// Gap in the client's acceptance of what we send.
    pub to_client_write: Duration,
    /// How long running exchanges may go on once their listener is to end, for which a stop is one
    /// reason. Below the 90 s after which systemd kills, together with the time that the last bytes
    /// of what is cut may take.
    pub stop: Duration,
    /// From the signal to stop until we do: connections are accepted as before, and whoever asks
    /// for our readiness learns of it. Zero, because only a load balancer needs it.
    pub stop_delay: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            lookup: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            upstream_handshake: Duration::from_secs(10),
            response_head: Duration::from_secs(600),
            tunnel: Duration::from_secs(600),
            linger: Duration::from_secs(2),
            to_upstream_read: Duration::from_secs(60),
            to_upstream_write: Duration::from_secs(600),
            to_client_read: Duration::from_secs(600),
            to_client_write: Duration::from_secs(60),
            stop: Duration::from_secs(30),
            stop_delay: Duration::ZERO,
        }
    }
}

impl Timeouts {
    /// For tests: no two limits of an exchange are equal, so that a time identifies its limit.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn distinct() -> Self {
        let seconds = Duration::from_secs;
        Self {
            request_head: seconds(11),
            keep_alive: seconds(13),
            response_head: seconds(17),
            tunnel: seconds(19),
            linger: seconds(2),
            to_upstream_read: seconds(23),
            to_upstream_write: seconds(29),
            to_client_read: seconds(31),
            to_client_write: seconds(37),
            ..Self::default()
        }
    }

    /// The limit that `timer` names.
    pub fn of(&self, timer: Timer) -> Duration {
        match timer {
            Timer::Handshake => self.handshake,
            Timer::RequestHead => self.request_head,
            Timer::KeepAlive => self.keep_alive,
            Timer::Lookup => self.lookup,
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
