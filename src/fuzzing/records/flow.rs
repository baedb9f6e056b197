//! The relay's TLS, and a peer of rustls's: a letter for each act, most with a number after it.
//!
//! | act | |
//! |---|---|
//! | `w` len | the relay writes |
//! | `p` len | the peer writes |
//! | `u` | the peer updates its keys, and asks for the same |
//! | `c` | the peer sends close_notify |
//! | `s` | the relay sends close_notify |
//! | `d` len | so many bytes of the peer's arrive |
//! | `f` n, at | a bit of record n that is on its way changes, not in its length |
//! | `x` n, `y` n | record n is lost, or comes twice |
//! | `z` n, len | a record that the peer did not send precedes record n |
//!
//! Only the first of the last four is done.

use super::protection::{APPLICATION_DATA, header};
use super::script::Script;
use super::suites::peer;
use crate::fuzzing::far_end::FarEnd;
use crate::net::memory::MemoryStream;
use crate::net::transport::Transport;
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::task::{Context, Poll, Waker};
use tokio_rustls::rustls::{Connection, ProtocolVersion, SupportedCipherSuite};

const CAPACITY: usize = 1 << 20;
/// More in a row than anyone needs are an error, and a matter of `compare`.
const UPDATES_IN_A_ROW_MAX: usize = 20;
/// The most content in each direction.
const CONTENT_MAX: usize = 1 << 19;

/// Plays a script, lets everything arrive, and checks what did.
pub(super) fn check(suite: SupportedCipherSuite, with_client: bool, script: &[u8]) {
    let mut flow = Flow::new(suite, with_client);
    let mut script = Script(script);
    while let Some(act) = script.byte() {
        flow.perform(act, &mut script);
    }
    flow.settle();
    flow.check();
}

struct Flow {
    near: Transport,
    far: MemoryStream,
    peer: Connection,
    is_tls13: bool,
    updates: usize,
    /// Records of the peer's that have not arrived.
    on_the_way: VecDeque<OnTheWay>,
    /// How much of the first one has.
    arrived: usize,
    /// Content that the relay, and the peer, has sent and received.
    ours: Content,
    theirs: Content,
    /// What the relay's reading ended with.
    end: Option<End>,
    /// The peer's close_notify has been sent, and has arrived.
    is_closed: bool,
    close_has_arrived: bool,
    /// Something was done to the records that are on their way. Once, or it might be undone.
    is_damaged: bool,
    /// Of a record that is not the peer's next one, something has arrived.
    is_spoilt: bool,
    we_have_closed: bool,
}

#[derive(Default)]
struct Content {
    sent: Vec<u8>,
    received: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Failed,
}

struct OnTheWay {
    record: Vec<u8>,
    is_wrong: bool,
    is_close: bool,
}

impl Flow {
    fn new(suite: SupportedCipherSuite, with_client: bool) -> Self {
        let (near, far) = MemoryStream::pair(CAPACITY);
        let (near, mut far) = FarEnd::tls(near, far, peer(suite, with_client));
        far.take_in();
        let (far, peer) = far.into_parts();
        let mut peer = peer.expect("it has TLS");
        peer.set_buffer_limit(None);
        Self {
            near,
            far,
            peer,
            is_tls13: suite.version().version == ProtocolVersion::TLSv1_3,
            updates: 0,
            on_the_way: VecDeque::new(),
            arrived: 0,
            ours: Content::default(),
            theirs: Content::default(),
            end: None,
            is_closed: false,
            close_has_arrived: false,
            is_damaged: false,
            is_spoilt: false,
            we_have_closed: false,
        }
    }

    fn perform(&mut self, act: u8, script: &mut Script<'_>) {
        match act {
            b'w' => self.write(script.len()),
            b'p' => self.peer_writes(script.len()),
            b'u' => self.peer_updates_keys(),
            b'c' => self.peer_closes(),
            b's' => self.close(),
            b'd' => self.deliver(script.len()),
            b'f' => {
                let (number, at) = (script.number(), script.number());
                self.change(number, at);
            }
            b'x' => self.lose(script.number()),
            b'y' => self.repeat(script.number()),
            b'z' => {
                let (number, len) = (script.number(), script.len());
                self.invent(number, len);
            }
            _ => {}
        }
    }

    fn write(&mut self, len: usize) {
        if self.we_have_closed || self.ours.sent.len() + len > CONTENT_MAX {
            return;
        }
        let content = pattern(self.ours.sent.len(), len);
        let cx = &mut Context::from_waker(Waker::noop());
        let mut left = &content[..];
        while !left.is_empty() {
            // In two pieces, as a head and its body are.
            let (first, second) = left.split_at(left.len() / 3);
            match self.near.poll_write(cx, &[IoSlice::new(first), IoSlice::new(second)]) {
                Poll::Ready(Ok(written)) => {
                    self.ours.sent.extend_from_slice(&left[..written]);
                    left = &left[written..];
                }
                Poll::Ready(Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidData);
                    assert_eq!(self.end, Some(End::Failed), "a write fails alone");
                    break;
                }
                Poll::Pending => panic!("the pipe has room"),
            }
        }
        self.peer_takes_in();
    }

    fn close(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(self.near.poll_shutdown(cx).is_ready(), "the pipe has room");
        self.we_have_closed = true;
        self.peer_takes_in();
    }

    /// The peer reads what the relay has sent.
    fn peer_takes_in(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut into = [0; 8192];
        while let Poll::Ready(Ok(len @ 1..)) = self.far.poll_read(cx, &mut into) {
            let mut bytes = &into[..len];
            while !bytes.is_empty() {
                // Nothing is read after close_notify, nor after the alert that says what was wrong.
                let read = self.peer.read_tls(&mut bytes);
                let processed = read.as_ref().map(|_| self.peer.process_new_packets());
                let is_fine = matches!(processed, Ok(Ok(_)));
                assert!(is_fine || self.is_spoilt, "the relay speaks TLS: {processed:?}");
                if !matches!(read, Ok(1..)) {
                    break;
                }
                let _ = self.peer.reader().read_to_end(&mut self.ours.received);
            }
        }
        self.collect(false);
    }

    fn peer_writes(&mut self, len: usize) {
        if self.is_closed || self.theirs.sent.len() + len > CONTENT_MAX {
            return;
        }
        let content = pattern(self.theirs.sent.len(), len);
        if let Err(error) = self.peer.writer().write_all(&content) {
            assert!(self.is_spoilt, "the relay sends no alert: {error}");
            return;
        }
        self.theirs.sent.extend(content);
        self.updates = if len > 0 { 0 } else { self.updates };
        self.collect(false);
    }

    fn peer_updates_keys(&mut self) {
        if self.is_tls13 && !self.is_closed && self.updates < UPDATES_IN_A_ROW_MAX {
            self.updates += 1;
            // An error: the relay's alert has arrived.
            let _ = self.peer.refresh_traffic_keys();
            self.collect(false);
        }
    }

    fn peer_closes(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.peer.send_close_notify();
            self.collect(true);
        }
    }

    /// Puts the records of the peer on their way.
    fn collect(&mut self, is_close: bool) {
        let mut bytes = Vec::new();
        while self.peer.wants_write() {
            self.peer.write_tls(&mut bytes).expect("memory");
        }
        let mut rest = &bytes[..];
        while let [_, _, _, high, low, ..] = *rest {
            let (record, after) = rest.split_at(5 + usize::from(u16::from_be_bytes([high, low])));
            rest = after;
            let is_close = is_close && rest.is_empty();
            self.on_the_way.push_back(OnTheWay {
                record: record.to_vec(),
                is_wrong: false,
                is_close,
            });
        }
    }

    /// Lets at most `len` bytes arrive.
    fn deliver(&mut self, mut len: usize) {
        let mut bytes = Vec::new();
        while let Some(first) = self.on_the_way.front()
            && len > 0
        {
            let rest = &first.record[self.arrived..];
            let part = rest.len().min(len);
            bytes.extend_from_slice(&rest[..part]);
            (self.arrived, len) = (self.arrived + part, len - part);
            // A header may be wrong before the rest is here.
            self.is_spoilt |= first.is_wrong && !self.close_has_arrived;
            if self.arrived == first.record.len() {
                self.close_has_arrived |= first.is_close && !self.is_spoilt;
                self.on_the_way.pop_front();
                self.arrived = 0;
            }
        }
        let cx = &mut Context::from_waker(Waker::noop());
        let _ = self.far.poll_write(cx, &[IoSlice::new(&bytes)]);
        self.read();
        self.peer_takes_in();
    }

    /// The relay reads all there is.
    fn read(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut into = [0; 3000];
        while self.end.is_none() {
            match self.near.poll_read(cx, &mut into) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.end = Some(End::Closed),
                Poll::Ready(Ok(len)) => self.theirs.received.extend_from_slice(&into[..len]),
                Poll::Ready(Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidData);
                    self.end = Some(End::Failed);
                }
            }
        }
    }

    /// A record of which nothing has arrived, to be damaged.
    fn whole(&mut self, number: usize) -> Option<usize> {
        let first = usize::from(self.arrived > 0);
        let count = self.on_the_way.len().checked_sub(first).filter(|count| *count > 0)?;
        let was_damaged = std::mem::replace(&mut self.is_damaged, true);
        (!was_damaged).then_some(first + number % count)
    }

    fn change(&mut self, number: usize, at: usize) {
        let Some(number) = self.whole(number) else { return };
        let changed = &mut self.on_the_way[number];
        let len = changed.record.len();
        // The length has a meaning of its own.
        let at = (3 + at) % (len - 2);
        let at = if at < 3 { at } else { at + 2 };
        changed.record[at] ^= 1 << (at % 8);
        changed.is_wrong = true;
    }

    fn lose(&mut self, number: usize) {
        let Some(number) = self.whole(number) else { return };
        self.on_the_way.remove(number);
        match self.on_the_way.get_mut(number) {
            Some(next) => next.is_wrong = true,
            // What the peer sends later will be it.
            None => self.on_the_way.push_back(OnTheWay {
                record: self.nonsense(30),
                is_wrong: true,
                is_close: false,
            }),
        }
    }

    fn repeat(&mut self, number: usize) {
        let Some(number) = self.whole(number) else { return };
        let record = self.on_the_way[number].record.clone();
        self.on_the_way.insert(number + 1, OnTheWay { record, is_wrong: true, is_close: false });
    }

    fn invent(&mut self, number: usize, len: usize) {
        let Some(number) = self.whole(number) else { return };
        let record = self.nonsense(len.min(1 << 14));
        self.on_the_way.insert(number, OnTheWay { record, is_wrong: true, is_close: false });
    }

    fn nonsense(&self, len: usize) -> Vec<u8> {
        [&header(APPLICATION_DATA, 0x0303, len)[..], &pattern(self.arrived, len)].concat()
    }

    /// Lets everything arrive.
    fn settle(&mut self) {
        while !self.on_the_way.is_empty() {
            self.deliver(usize::MAX);
        }
    }

    fn check(&self) {
        let Content { sent, received } = &self.theirs;
        assert!(sent.starts_with(received), "content that the peer did not send");
        let want = match (self.is_spoilt, self.close_has_arrived) {
            (true, _) => Some(End::Failed),
            (false, true) => Some(End::Closed),
            (false, false) => None,
        };
        assert_eq!(self.end, want);
        assert!(self.is_spoilt || sent == received, "{} of {}", received.len(), sent.len());
        let Content { sent, received } = &self.ours;
        assert!(sent.starts_with(received), "content that the relay did not send");
        assert!(self.is_spoilt || sent == received, "{} of {}", received.len(), sent.len());
    }
}

/// Content that shows where it belongs.
fn pattern(start: usize, len: usize) -> Vec<u8> {
    (start..start + len).map(|at| (at ^ (at >> 8)) as u8).collect()
}
