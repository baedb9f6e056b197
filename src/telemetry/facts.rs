//! What a recorder remembers of exchanges alone, or of connections alone: [`Facts`].

use super::lap::Lap;
use super::metrics::{ClientMetrics, Entered};
use super::record::{ConnectionFacts, DialTimes, ExchangeFacts, MethodName, Subject};
use super::waits::Waits;
use crate::gateway::client_limits::Permit;
use crate::gateway::event_stream::EventCounter;
use crate::gateway::request_id::RequestId;
use crate::net::admission::Place;
use std::mem::take;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of exchanges alone, or of connections alone.
pub trait Facts: Default + 'static {
    /// All of it, at the end, which is `now`.
    fn take(&mut self, now: Instant) -> Subject;
}

/// What is known so far of exchanges alone.
#[derive(Debug, Default)]
pub struct ExchangeLaps {
    pub(super) id: Option<RequestId>,
    pub(super) method: MethodName,
    pub(super) status: Option<u16>,
    pub(super) reused: Option<bool>,
    pub(super) request: Option<Lap>,
    pub(super) head: Option<Lap>,
    pub(super) first_byte: Option<Lap>,
    pub(super) is_event_stream: bool,
    pub(super) events: Option<EventCounter>,
    pub(super) waits: Waits,
}

/// What few exchanges have.
#[derive(Default)]
pub(super) struct Rare {
    /// The time to open a connection that was waited for.
    pub(super) dial: Option<DialTimes>,
    /// The client whose token it has, and its place among those that the client may have.
    pub(super) client: Option<Entered<ClientMetrics>>,
    pub(super) permit: Option<Permit>,
    /// Its place among those of its client's address, behind a trusted proxy.
    pub(super) place: Option<Place>,
    /// The line of the API's key that it gets.
    pub(super) key: Option<u32>,
}

impl Facts for ExchangeLaps {
    fn take(&mut self, now: Instant) -> Subject {
        self.waits.end(now);
        Subject::Exchange(ExchangeFacts {
            id: self.id,
            method: self.method,
            status: self.status,
            reused: self.reused,
            request: self.request.map(Duration::from),
            head: self.head.map(Duration::from),
            first_byte: self.first_byte.map(Duration::from),
            is_event_stream: self.is_event_stream,
            events: self.events.map(|counter| counter.events()),
            longest_gap: self.waits.longest_gap(),
            client: self.waits.client(),
        })
    }
}

impl Facts for ConnectionFacts {
    fn take(&mut self, _now: Instant) -> Subject {
        Subject::Connection(take(self))
    }
}
