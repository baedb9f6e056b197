//! The relay's TLS and rustls's buffered one, each with a peer that seals the same records: a
//! letter for each act, most with numbers after it.
//!
//! | act | |
//! |---|---|
//! | number first | the records arrive in parts of so many bytes, 0: whole |
//! | `a` len, padding | content |
//! | `r` type, len, bytes | a record of any type |
//! | `h` len, bytes | a piece of a message of the handshake |
//! | `k` 0 or 1 | a key update; 1 asks for one |
//! | `l` level, description | an alert |
//! | `j` type, len, bytes | a record that is not sealed |
//! | `f` at | a bit of the next record changes, behind its version: rustls ignores the rest |
//! | `w` len | the relay writes |
//! | `s` | the relay sends close_notify |
//! | `e` | the peer sends a FIN |
//!
//! In TLS 1.2, the messages of a client are pieces of one `ClientHello` after the other: the relay
//! declines each without reading it.

use super::protection::{ALERT, APPLICATION_DATA, HANDSHAKE, Record, header};
use super::raw_peer::{KEY_UPDATE, KEY_UPDATE_REQUESTED, RawPeer, client_hello};
use super::script::Script;
use super::subject::{Ending, Outcome, Subject};
use crate::limits::CLIENT_MESSAGE_BYTES_MAX;
use std::iter::Cycle;
use std::vec::IntoIter;
use tokio_rustls::rustls::SupportedCipherSuite;

/// A warning (RFC 5246, section 7.2.2).
const NO_RENEGOTIATION: [u8; 2] = [1, 100];
/// More without content are an error to the relay, whatever else is between them.
const UPDATES_MAX: usize = 32;
/// Bytes of the peer's in all.
const BYTES_MAX: usize = 1 << 19;

/// Plays a script twice, and compares.
pub(super) fn check(suite: SupportedCipherSuite, with_client: bool, script: &[u8]) {
    let ours = play(Subject::ours(suite, with_client), with_client, Script(script));
    let rustls = play(Subject::rustls(suite, with_client), with_client, Script(script));
    assert_eq!(ours.content.len(), rustls.content.len(), "{ours:?} {rustls:?}");
    assert_eq!(ours.content, rustls.content);
    assert_eq!(ours.end, rustls.end);
    assert_eq!(without_last_alert(ours), without_last_alert(rustls));
}

/// Which alert says what is wrong depends on how far a message is read, and rustls reports some
/// errors without one. A key update that is due precedes an alert. A message that is in order is
/// answered, or not, if one in the same record is too long.
fn without_last_alert(outcome: Outcome) -> Vec<(u8, Vec<u8>)> {
    let mut answers = outcome.answers;
    if outcome.end == Some(Ending::Failed) {
        answers.pop_if(|(kind, content)| *kind == ALERT && content[0] == 2);
        answers.pop_if(|(kind, content)| *kind == ALERT && content[..] == NO_RENEGOTIATION);
        answers.pop_if(|(kind, _)| *kind == HANDSHAKE);
    }
    answers
}

struct Player {
    subject: Subject,
    peer: RawPeer,
    outcome: Outcome,
    step: usize,
    changes_at: Option<usize>,
    /// Key updates since the last content.
    updates: usize,
    /// Bytes of a client's messages of the handshake.
    said: usize,
    sent: usize,
    /// How much came back up to the relay's close_notify.
    closed_at: Option<usize>,
    with_client: bool,
    /// The bytes of messages of a client of TLS 1.2.
    hello: Cycle<IntoIter<u8>>,
}

fn play((subject, peer): (Subject, RawPeer), with_client: bool, mut script: Script<'_>) -> Outcome {
    let step = match script.number() {
        0 => usize::MAX,
        step => step,
    };
    let mut player = Player {
        with_client,
        subject,
        peer,
        outcome: Outcome::default(),
        step,
        changes_at: None,
        updates: 0,
        said: 0,
        sent: 0,
        closed_at: None,
        hello: client_hello().into_iter().cycle(),
    };
    while let Some(act) = script.byte() {
        player.perform(act, &mut script);
    }
    player.write(b"end");
    // The relay's direction has ended after its close_notify.
    if let Some(closed_at) = player.closed_at {
        player.outcome.answers.truncate(closed_at);
    }
    player.outcome
}

impl Player {
    fn perform(&mut self, act: u8, script: &mut Script<'_>) {
        let is_tls13 = self.peer.is_tls13();
        // cargo-fuzz turns on that rustls asserts that no fatal alert follows a close_notify.
        let may_fail = !cfg!(fuzzing) || self.closed_at.is_none();
        let record = match act {
            b'r' | b'h' | b'k' | b'l' | b'j' | b'f' if !may_fail => return,
            b'a' => {
                let (content, padding) = (vec![b'x'; script.len()], script.len());
                let record = Record { padding, ..Record::of(APPLICATION_DATA, &content) };
                let is_too_large = content.len() + padding > 1 << 14;
                if content.len() > 1 << 15 || padding > 1 << 13 || is_too_large && !may_fail {
                    return;
                }
                let record = self.peer.seal_record(&record);
                self.updates *= usize::from(content.is_empty());
                return self.give(record);
            }
            b'r' => {
                let (kind, len) = (script.byte().unwrap_or_default(), script.number());
                self.seal(kind, script.bytes(len))
            }
            b'h' => {
                let len = script.number();
                self.seal(HANDSHAKE, script.bytes(len))
            }
            b'k' if is_tls13 && self.updates < UPDATES_MAX => {
                self.updates += 1;
                match script.number() {
                    0 => self.peer.update_keys(KEY_UPDATE),
                    _ => self.peer.update_keys(KEY_UPDATE_REQUESTED),
                }
            }
            b'l' => self.peer.seal(ALERT, script.bytes(2)),
            b'j' => {
                let (kind, len) = (script.byte().unwrap_or_default(), script.number());
                let bytes = script.bytes(len);
                [&header(kind, 0x0303, bytes.len())[..], bytes].concat()
            }
            b'f' => return self.changes_at = Some(script.number()),
            b'w' => {
                let content = vec![b'y'; script.len()];
                return self.write(&content);
            }
            b's' => return self.close(),
            b'e' => return self.subject.end(&mut self.outcome),
            _ => return,
        };
        self.give(record);
    }

    fn write(&mut self, content: &[u8]) {
        if self.closed_at.is_none() {
            self.subject.write(content, &mut self.peer, &mut self.outcome);
        }
    }

    fn close(&mut self) {
        if self.closed_at.is_none() {
            self.subject.close(&mut self.peer, &mut self.outcome);
            self.closed_at = Some(self.outcome.answers.len());
            self.changes_at = self.changes_at.filter(|_| !cfg!(fuzzing));
        }
    }

    /// rustls accepts a record of the handshake without content in TLS 1.3, too.
    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        if kind == HANDSHAKE && content.is_empty() && self.peer.is_tls13() {
            return Vec::new();
        }
        if kind != HANDSHAKE || !self.with_client {
            return self.peer.seal(kind, content);
        }
        self.said += content.len();
        if self.peer.is_tls13() {
            return self.peer.seal(kind, content);
        }
        let piece: Vec<u8> = self.hello.by_ref().take(content.len()).collect();
        self.peer.seal(kind, &piece)
    }

    fn give(&mut self, mut record: Vec<u8>) {
        if record.is_empty() {
            return;
        }
        if let Some(at) = self.changes_at.take() {
            let at = 3 + at % (record.len() - 3);
            record[at] ^= 1 << (at % 8);
        }
        self.sent += record.len();
        // A longer message is an error to the relay alone.
        if self.said > CLIENT_MESSAGE_BYTES_MAX || self.sent > BYTES_MAX {
            return;
        }
        for part in record.chunks(self.step) {
            self.subject.give(part, &mut self.peer, &mut self.outcome);
        }
    }
}
