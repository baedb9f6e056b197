//! Who may connect: [`Admission`] counts client connections, in total and by address.
//!
//! All workers share it. It is touched when a connection is accepted and when it ends, never on the
//! data path. Only clients behind a trusted proxy, which share its connections, are counted by
//! their exchanges. No more addresses are remembered than there are connections.
//!
//! Not here: how a client is turned away (`worker`).

use crate::limits::{
    DESCRIPTORS_OF_REFUSALS, PLACES_FREE_DIVISOR, WRONG_TOKEN_CONNECTIONS_DIVISOR,
};
use crate::net::block::Block;
use crate::net::wrong_tokens::{Pace, WrongTokens};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;

/// How many connections one address may have at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimit {
    /// The maximum.
    pub connections: usize,
    /// Whether this applies to loopback addresses, too. A client on the same machine is often
    /// another proxy or the end of a tunnel, which makes many clients look like one.
    pub counts_loopback: bool,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The limit on all connections.
    Connections,
    /// The limit of open files, which has no room for another connection and its upstream.
    OpenFiles,
    /// The limit on the connections of one address.
    Address,
}

impl LimitReached {
    /// The name of its key in `[limits]`, if it has one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::OpenFiles => "open_files",
            Self::Address => "connections_per_address",
        }
    }
}

/// The counts, against their limits.
#[derive(Debug)]
pub struct Admission {
    connections_max: AtomicUsize,
    /// Connections that the limit of open files has room for.
    room: AtomicUsize,
    of_address: AtomicUsize,
    counts_loopback: AtomicBool,
    connections: AtomicUsize,
    addresses: Mutex<HashMap<Block, usize>>,
    wrong_tokens: WrongTokens,
    crowded: watch::Sender<()>,
    /// Clients over a limit that have not left yet.
    refusals: AtomicUsize,
}

/// Without any limit.
impl Default for Admission {
    fn default() -> Self {
        let of_address = AddressLimit { connections: usize::MAX, counts_loopback: false };
        Self::new(usize::MAX, of_address)
    }
}

impl Admission {
    /// Without any connection.
    pub fn new(connections_max: usize, of_address: AddressLimit) -> Self {
        let (connections, addresses, wrong_tokens, crowded, refusals) = Default::default();
        Self {
            connections_max: connections_max.into(),
            room: usize::MAX.into(),
            of_address: of_address.connections.into(),
            counts_loopback: of_address.counts_loopback.into(),
            connections,
            addresses,
            wrong_tokens,
            crowded,
            refusals,
        }
    }

    /// Changes how many connections the limit of open files has room for. It is `usize::MAX` at
    /// first.
    pub fn set_room(&self, room: usize) {
        self.room.store(room, Ordering::Relaxed);
    }

    /// How many connections the limit of open files has room for.
    pub fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    /// Whether connections that wait for a request are to give way, so that there is a descriptor
    /// for the next client.
    pub fn is_crowded(&self) -> bool {
        let room = self.room();
        self.connections() > room - (room / PLACES_FREE_DIVISOR).max(1).min(room)
    }

    /// A descriptor for a client over a limit, in which it may take its time to read that. `None`:
    /// all are for admitted clients and their upstreams.
    pub fn refuse_slowly(self: &Arc<Self>) -> Option<Refusal> {
        let before = self.refusals.fetch_add(1, Ordering::Relaxed);
        let refusal = Refusal(Arc::clone(self));
        let places = self.room().saturating_mul(2).saturating_add(DESCRIPTORS_OF_REFUSALS);
        (2 * self.connections() + before < places).then_some(refusal)
    }

    /// Asks all workers to look for connections that give way.
    pub fn ask_for_places(&self) {
        self.crowded.send_replace(());
    }

    /// Changes with each [`Admission::ask_for_places`].
    pub fn asked_for_places(&self) -> watch::Receiver<()> {
        self.crowded.subscribe()
    }

    /// Changes the limits. Connections above a lower one stay, and count until they end.
    pub fn set_limits(&self, connections_max: usize, of_address: AddressLimit) {
        // Relaxed: a connection that comes at this moment may meet either limit.
        self.connections_max.store(connections_max, Ordering::Relaxed);
        self.of_address.store(of_address.connections, Ordering::Relaxed);
        self.counts_loopback.store(of_address.counts_loopback, Ordering::Relaxed);
    }

    /// Takes a permit for a connection whose client is not known yet: see [`Permit::count_for`].
    ///
    /// # Errors
    /// [`LimitReached::Connections`] or [`LimitReached::OpenFiles`]: all permits are taken.
    pub fn acquire(self: &Arc<Self>) -> Result<Permit, LimitReached> {
        // Relaxed: the count orders nothing but itself.
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let permit = Permit { admission: Arc::clone(self), counted: None };
        if before >= self.connections_max.load(Ordering::Relaxed) {
            return Err(LimitReached::Connections);
        }
        if before < self.room() { Ok(permit) } else { Err(LimitReached::OpenFiles) }
    }

    /// Counts an exchange for its client, behind a proxy whose own connections do not count. `None`
    /// if the limit does not apply to this address.
    ///
    /// # Errors
    /// [`LimitReached::Address`]: this address has as many as it may.
    pub fn place(self: &Arc<Self>, address: IpAddr) -> Result<Option<Place>, LimitReached> {
        let block = self.enter(address)?;
        Ok(block.map(|block| Place { admission: Arc::clone(self), block }))
    }

    /// When the answer to a wrong token from `address` is sent. Those that wait hold no more than
    /// a small part of the connections.
    pub fn pace(&self, address: IpAddr, now: Instant) -> Pace<'_> {
        let connections = self.connections_max.load(Ordering::Relaxed).min(self.room());
        let waiting_max = (connections / WRONG_TOKEN_CONNECTIONS_DIVISOR).max(1);
        self.wrong_tokens.pace(address, now, waiting_max)
    }

    /// How many connections there are now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts one more for `address`. `None` if the limit does not apply to it.
    fn enter(&self, address: IpAddr) -> Result<Option<Block>, LimitReached> {
        let block = Block::of(address);
        if block.is_loopback() && !self.counts_loopback.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let connections = self.of_address.load(Ordering::Relaxed);
        let mut addresses = self.addresses();
        let count = addresses.entry(block).or_default();
        if *count >= connections {
            return Err(LimitReached::Address);
        }
        *count += 1;
        Ok(Some(block))
    }

    /// Counts one less.
    fn leave(&self, block: Block) {
        if let Entry::Occupied(mut count) = self.addresses().entry(block) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<Block, usize>> {
        // Nothing in here panics between two states, so that a poisoned count is still right.
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit of one connection, released when it is dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    /// The address that it counts for, once that is known.
    counted: Option<Block>,
}

impl Permit {
    /// Counts the connection for the address of its client: the socket's peer, or the client that a
    /// trusted proxy names. To be called once.
    ///
    /// # Errors
    /// [`LimitReached::Address`]: this address has as many connections as it may. The permit is
    /// released.
    pub fn count_for(mut self, address: IpAddr) -> Result<Self, LimitReached> {
        self.counted = self.admission.enter(address)?;
        Ok(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.connections.fetch_sub(1, Ordering::Relaxed);
        self.counted.iter().for_each(|block| self.admission.leave(*block));
    }
}

/// A client over a limit that has not left yet.
#[derive(Debug)]
pub struct Refusal(Arc<Admission>);

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.refusals.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of one exchange among those of its client's address, until it is dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    block: Block,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.leave(self.block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn admission(all: usize, of_address: usize, counts_loopback: bool) -> Arc<Admission> {
        let limit = AddressLimit { connections: of_address, counts_loopback };
        Arc::new(Admission::new(all, limit))
    }

    fn admit(admission: &Arc<Admission>, address: &str) -> Result<Permit, LimitReached> {
        admission.acquire().and_then(|permit| permit.count_for(address.parse().unwrap()))
    }

    /// Connects once from each address. All but the last have to get in.
    #[track_caller]
    fn last_of(limit: usize, addresses: &[&str]) -> Option<LimitReached> {
        let admission = admission(100, limit, true);
        let (last, first) = addresses.split_last().unwrap();
        let _permits: Vec<_> = first.iter().map(|it| admit(&admission, it).unwrap()).collect();
        admit(&admission, last).err()
    }

    #[test]
    fn an_address_has_as_many_permits_as_its_limit_whatever_others_have() {
        assert_eq!(last_of(2, &["192.0.2.1", "192.0.2.1"]), None);
        assert_eq!(
            last_of(2, &["192.0.2.1", "192.0.2.1", "192.0.2.1"]),
            Some(LimitReached::Address)
        );
        assert_eq!(last_of(1, &["192.0.2.1", "192.0.2.2"]), None);
        assert_eq!(last_of(1, &["127.0.0.1", "127.0.0.2"]), None);
    }

    #[test]
    fn a_prefix_of_64_bits_is_one_address() {
        let [one, other] = ["2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"];
        assert_eq!(last_of(1, &[one, other]), Some(LimitReached::Address));
        assert_eq!(last_of(1, &[one, "2001:db8:0:1::1"]), None);
        assert_eq!(last_of(1, &["::1", "::2"]), None, "this machine, and another");
    }

    #[test]
    fn an_ipv4_address_counts_as_itself_also_when_it_is_written_as_ipv6() {
        assert_eq!(last_of(1, &["192.0.2.1", "::ffff:192.0.2.1"]), Some(LimitReached::Address));
        assert_eq!(last_of(1, &["::ffff:192.0.2.1", "::ffff:192.0.2.2"]), None);
    }

    #[test]
    fn a_released_permit_can_be_acquired_again_and_leaves_no_trace() {
        let admission = admission(3, 1, true);
        for _ in 0..3 {
            let permit = admit(&admission, "192.0.2.1").unwrap();
            assert_eq!(admit(&admission, "192.0.2.1").unwrap_err(), LimitReached::Address);
            assert_eq!(admission.connections(), 1, "a client that is turned away holds none");
            drop(permit);
            assert_eq!(admission.connections(), 0);
            assert!(admission.addresses().is_empty());
        }
    }

    #[test]
    fn an_exchange_behind_a_proxy_counts_like_a_connection_until_it_ends() {
        let admission = admission(3, 2, false);
        let address = IpAddr::from([192, 0, 2, 1]);
        let _connection = admit(&admission, "192.0.2.1").unwrap();
        let place = admission.place(address).unwrap().unwrap();
        assert_eq!(admission.place(address).unwrap_err(), LimitReached::Address);
        assert_eq!(admit(&admission, "192.0.2.1").unwrap_err(), LimitReached::Address);
        assert_eq!(admission.connections(), 1, "an exchange is not another connection");
        drop(place);
        assert!(admission.place(address).unwrap().is_some());
        assert!(admission.place([127, 0, 0, 1].into()).unwrap().is_none(), "it is not counted");
        assert_eq!(admission.addresses().len(), 1);
    }

    #[test]
    fn the_limit_of_all_connections_comes_first() {
        let admission = admission(2, 2, true);
        let _one = admit(&admission, "192.0.2.1").unwrap();
        let _two = admission.acquire().unwrap();
        assert_eq!(admit(&admission, "192.0.2.1").unwrap_err(), LimitReached::Connections);
        assert_eq!(admission.addresses().len(), 1, "an address without a permit is not remembered");
    }

    #[test]
    fn the_room_for_connections_is_a_limit_of_its_own_and_crowded_before_it_is_reached() {
        let admission = admission(40, 40, true);
        admission.set_room(32);
        let mut permits = Vec::new();
        for count in 1..=32 {
            permits.push(admission.acquire().unwrap());
            assert_eq!(admission.is_crowded(), count > 30, "{count}");
        }
        assert_eq!(admission.acquire().unwrap_err(), LimitReached::OpenFiles);
        admission.set_limits(8, AddressLimit { connections: 40, counts_loopback: true });
        assert_eq!(admission.acquire().unwrap_err(), LimitReached::Connections);
        permits.truncate(30);
        assert!(!admission.is_crowded());
        for room in [0, 1, 15] {
            admission.set_room(room);
            assert!(admission.is_crowded(), "{room}");
        }
        permits.clear();
        assert!(!admission.is_crowded());
    }

    #[test]
    fn clients_that_are_refused_take_descriptors_that_no_admitted_client_may_need() {
        let admission = admission(40, 40, true);
        admission.set_room(8);
        let permits: Vec<_> = (0..8).map(|_| admission.acquire().unwrap()).collect();
        let slow = || std::iter::from_fn(|| admission.refuse_slowly()).take(100);
        assert_eq!(slow().collect::<Vec<_>>().len(), DESCRIPTORS_OF_REFUSALS);
        assert_eq!(slow().count(), 100, "each has left before the next comes");
        drop(permits);
        assert_eq!(slow().collect::<Vec<_>>().len(), DESCRIPTORS_OF_REFUSALS + 16);
    }

    #[test]
    fn loopback_is_not_counted_unless_the_limit_says_so() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let free = admission(100, 1, false);
            let _one = admit(&free, address).unwrap();
            assert!(admit(&free, address).is_ok(), "{address}");
            assert!(free.addresses().is_empty(), "{address}");
            let counted = admission(100, 1, true);
            let _one = admit(&counted, address).unwrap();
            assert_eq!(admit(&counted, address).unwrap_err(), LimitReached::Address, "{address}");
        }
    }

    #[test]
    fn a_lower_limit_cuts_no_connection_and_admits_the_next_when_enough_have_ended() {
        let admission = admission(10, 3, true);
        let mut permits: Vec<_> = (0..3).map(|_| admit(&admission, "192.0.2.1").unwrap()).collect();
        let lower = |connections| AddressLimit { connections, counts_loopback: true };
        admission.set_limits(10, lower(2));
        for _ in 0..2 {
            assert_eq!(admit(&admission, "192.0.2.1").unwrap_err(), LimitReached::Address);
            permits.pop();
        }
        permits.push(admit(&admission, "192.0.2.1").unwrap());
        admission.set_limits(2, lower(9));
        assert_eq!(admit(&admission, "192.0.2.2").unwrap_err(), LimitReached::Connections);
        admission.set_limits(3, lower(9));
        permits.push(admit(&admission, "192.0.2.2").unwrap());
        drop(permits);
        assert_eq!(admission.connections(), 0);
        assert!(admission.addresses().is_empty());
    }

    #[test]
    fn loopback_is_counted_from_the_time_that_the_limit_says_so() {
        let admission = admission(10, 1, false);
        let before = admit(&admission, "127.0.0.1").unwrap();
        admission.set_limits(10, AddressLimit { connections: 1, counts_loopback: true });
        let _counted = admit(&admission, "127.0.0.1").unwrap();
        drop(before);
        assert_eq!(admit(&admission, "127.0.0.1").unwrap_err(), LimitReached::Address);
    }

    #[test]
    fn workers_that_count_at_the_same_time_lose_no_count() {
        let admission = admission(1000, 10, true);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for last in 0..2000_u32 {
                        let _permit = admit(&admission, &format!("192.0.2.{}", last % 5));
                    }
                });
            }
        });
        assert_eq!(admission.connections(), 0);
        assert!(admission.addresses().is_empty());
    }
}
