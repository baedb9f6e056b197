//! Scripts of what both peers of a relay do. Bytes are what a peer sends; what is not a byte
//! follows a `~`.

use crate::net::memory::End;
use std::mem;

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    /// The client that connected last.
    Client,
    /// The upstream, on the connection that it accepted last.
    Upstream,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Bytes, in one write.
    Say(Actor, Vec<u8>),
    /// The actor ends its direction, or both with a reset.
    End(Actor, End),
    /// The actor stops reading, or goes on.
    Pause(Actor),
    /// Another client connects.
    Connect,
    /// From now on dials fail, or work again.
    FailDials,
    /// From now on connections hold only a few bytes.
    Narrow,
    /// From now on connections have TLS, from the first one if a script begins with this.
    Tls,
    /// The worker is asked to stop.
    Drain,
    /// All peers and the relay do what can be done now.
    Settle,
    /// So many seconds pass.
    Sleep(u64),
}

/// Most bytes that a script sends in all, repeats included.
const SAID_BYTES_MAX: usize = 512 * 1024;
/// How often `~#` has its bytes sent in all.
const REPEATS: usize = 64;

/// Reads a script. The client speaks first. Any bytes are a script.
///
/// | escape | effect |
/// |---|---|
/// | `~c`, `~u` | all do what can be done; then the client, or the upstream, speaks |
/// | `~C`, `~U` | the client, or the upstream, speaks at once |
/// | `~\|` | all do what can be done |
/// | `~,` | cuts the bytes into two writes |
/// | `~E`, `~X`, `~R` | ends the speaker's direction in order, without notice, or by a reset |
/// | `~#` | sends the last bytes 63 times more |
/// | `~p` | pauses the speaker's reading, or ends the pause |
/// | `~k` | another client connects, and speaks |
/// | `~f` | makes dials fail, or work again |
/// | `~n` | makes new connections narrow |
/// | `~t` | gives new connections TLS; at the beginning of a script, all |
/// | `~d` | asks the worker to stop |
/// | `~s`, `~S` | a second, or a minute, passes |
/// | `~~` | a tilde |
pub(super) fn read(script: &[u8]) -> Vec<Act> {
    let mut reader =
        ScriptReader { actor: Actor::Client, text: Vec::new(), acts: Vec::new(), said: 0 };
    let mut rest = script;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'~', [escape, behind @ ..]) => {
                rest = behind;
                reader.escape(*escape);
            }
            (byte, _) => reader.text.push(*byte),
        }
    }
    reader.end_text();
    reader.acts
}

struct ScriptReader {
    actor: Actor,
    text: Vec<u8>,
    acts: Vec<Act>,
    said: usize,
}

impl ScriptReader {
    fn escape(&mut self, escape: u8) {
        if escape == b'~' {
            return self.text.push(b'~');
        }
        self.end_text();
        let actor = self.actor;
        match escape {
            b'c' | b'u' => {
                self.actor = if escape == b'c' { Actor::Client } else { Actor::Upstream };
                self.acts.push(Act::Settle);
            }
            b'C' => self.actor = Actor::Client,
            b'U' => self.actor = Actor::Upstream,
            b'|' => self.acts.push(Act::Settle),
            b',' => {}
            b'E' => self.acts.push(Act::End(actor, End::Clean)),
            b'X' => self.acts.push(Act::End(actor, End::Cut)),
            b'R' => self.acts.push(Act::End(actor, End::Reset)),
            b'p' => self.acts.push(Act::Pause(actor)),
            b'k' => {
                self.actor = Actor::Client;
                self.acts.extend([Act::Settle, Act::Connect]);
            }
            b'f' => self.acts.push(Act::FailDials),
            b'n' => self.acts.push(Act::Narrow),
            b't' => self.acts.push(Act::Tls),
            b'd' => self.acts.push(Act::Drain),
            b's' => self.acts.push(Act::Sleep(1)),
            b'S' => self.acts.push(Act::Sleep(60)),
            b'#' => {
                if let Some(Act::Say(actor, text)) = self.acts.last().cloned() {
                    self.say(actor, text.repeat(REPEATS - 1));
                }
            }
            other => self.text.extend([b'~', other]),
        }
    }

    fn end_text(&mut self) {
        let text = mem::take(&mut self.text);
        self.say(self.actor, text);
    }

    fn say(&mut self, actor: Actor, text: Vec<u8>) {
        self.said += text.len();
        if !text.is_empty() && self.said <= SAID_BYTES_MAX {
            self.acts.push(Act::Say(actor, text));
        }
    }
}

/// The same script without its cuts: each actor sends in one write what it sends without waiting
/// for another. A pause in what an upstream sends stays, because it separates two answers from one
/// that has surplus bytes after it.
pub(super) fn without_cuts(acts: &[Act]) -> Vec<Act> {
    let mut merged: Vec<Act> = Vec::new();
    for (number, act) in acts.iter().enumerate() {
        let goes_on = matches!(acts.get(number + 1), Some(Act::Say(Actor::Client, _)));
        let was_client = matches!(merged.last(), Some(Act::Say(Actor::Client, _)));
        match (act, merged.last_mut()) {
            (Act::Narrow, _) => {}
            (Act::Settle, _) if goes_on && was_client => {}
            (Act::Say(actor, text), Some(Act::Say(before, all))) if before == actor => {
                all.extend_from_slice(text);
            }
            (act, _) => merged.push(act.clone()),
        }
    }
    merged
}

/// Whether both actors do something at the same time.
pub(super) fn have_crossing_words(acts: &[Act]) -> bool {
    let actor = |act: &Act| match act {
        Act::Say(actor, _) | Act::End(actor, _) | Act::Pause(actor) => Some(*actor),
        Act::Settle | Act::Sleep(_) => None,
        Act::Connect | Act::FailDials | Act::Narrow | Act::Tls | Act::Drain => None,
    };
    let is_pause = |act: &Act| matches!(act, Act::Settle | Act::Sleep(_));
    acts.split(is_pause).any(|at_once| {
        let mut actors = at_once.iter().filter_map(actor);
        let first = actors.next();
        actors.any(|it| Some(it) != first)
    })
}
