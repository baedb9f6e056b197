//! `[timeouts]`: the keys of [`Timeouts`].

use crate::config::key::Default::OfField;
use crate::config::key::Read::{Delay, Period, Table};
use crate::config::key::{Key, Read, row};
use crate::config::near::written;
use crate::timeouts::Timeouts;
use std::time::Duration;

pub(super) const KEYS: &[Key<Timeouts>] = &[
    total(
        "handshake",
        |it| &mut it.handshake,
        "From accept to the end of the TLS handshake with a client, including its PROXY header. \
         In tcp mode also to the end of its ClientHello.",
    ),
    total(
        "request_head",
        |it| &mut it.request_head,
        "From the first byte to the end of a request head. A trickle of bytes does not extend it.",
    ),
    total(
        "keep_alive",
        |it| &mut it.keep_alive,
        "Silence between two requests of a client, and before its first.",
    ),
    total(
        "lookup",
        |it| &mut it.lookup,
        "The wait for the lookup of an upstream's name. The system's resolver waits 5 s for a \
         nameserver before it asks the next.",
    ),
    total(
        "connect",
        |it| &mut it.connect,
        "The TCP connection to each of an upstream's addresses.",
    ),
    total(
        "upstream_handshake",
        |it| &mut it.upstream_handshake,
        "From the TCP connection to the end of the TLS handshake with an upstream.",
    ),
    total(
        "response_head",
        |it| &mut it.response_head,
        "From the end of the request to the final response head. Long, because a model may think.",
    ),
    gap(
        "tunnel",
        |it| &mut it.tunnel,
        "Silence in both directions after an upgrade (WebSocket), and in tcp mode.",
    ),
    gap(
        "linger",
        |it| &mut it.linger,
        "Silence of a client after its last response, until its connection is closed. What it \
         still sends is discarded, so that the response is not lost to a reset. At most 30 s in \
         total, or this limit if it is longer.",
    ),
    delay(
        "stop",
        |it| &mut it.stop,
        "How long running exchanges may go on after a stop, or after a reload that removed their \
         listener. Then they are cut. With `\"0s\"`, at once.",
    ),
    delay(
        "stop_delay",
        |it| &mut it.stop_delay,
        "From the signal to stop until the stop begins. New connections are still accepted, but \
         `/readyz` says 503, so that a load balancer turns to another relay first.",
    ),
    Key::new(
        "to_upstream",
        Table(TO_UPSTREAM),
        OfField,
        row("Gaps on the way to the upstream, see below.", "gap"),
    ),
    Key::new(
        "to_client",
        Table(TO_CLIENT),
        OfField,
        row("Gaps on the way to the client, see below.", "gap"),
    ),
];
pub(super) const TO_UPSTREAM: &[Key<Timeouts>] = &[
    gap("read", |it| &mut it.to_upstream_read, "Gap between bytes of the client's request body."),
    gap(
        "write",
        |it| &mut it.to_upstream_write,
        "Gap in the upstream's acceptance of the request.",
    ),
];
pub(super) const TO_CLIENT: &[Key<Timeouts>] = &[
    gap("read", |it| &mut it.to_client_read, "Gap between bytes of the upstream's response body."),
    gap("write", |it| &mut it.to_client_write, "Gap in the client's acceptance of the response."),
];

/// The limits that differ from their defaults: the name of each, and its value as in the file.
pub(in crate::config) fn changed(timeouts: &Timeouts) -> Vec<(String, String)> {
    let mut changed = Vec::new();
    let both = &mut [timeouts.clone(), Timeouts::default()];
    add_changed("timeouts", KEYS, both, &mut changed);
    changed
}

/// Adds the keys of `table` whose fields are not the same in both.
fn add_changed(
    table: &str,
    keys: &[Key<Timeouts>],
    both: &mut [Timeouts; 2],
    changed: &mut Vec<(String, String)>,
) {
    for key in keys {
        let name = format!("{table}.{}", key.name);
        match &key.read {
            Period(field) | Delay(field) => {
                let [value, default] = both.each_mut().map(|it| *field(it));
                if value != default {
                    changed.push((name, written(value)));
                }
            }
            Table(keys) => add_changed(&name, keys, both, changed),
            Read::Number(..) | Read::With(_) => {}
        }
    }
}

/// A limit that progress does not extend.
const fn total(
    name: &'static str,
    field: fn(&mut Timeouts) -> &mut Duration,
    meaning: &'static str,
) -> Key<Timeouts> {
    Key::new(name, Period(field), OfField, row(meaning, "total"))
}

/// A limit that begins again with every byte.
const fn gap(
    name: &'static str,
    field: fn(&mut Timeouts) -> &mut Duration,
    meaning: &'static str,
) -> Key<Timeouts> {
    Key::new(name, Period(field), OfField, row(meaning, "gap"))
}

/// A total that may be none at all.
const fn delay(
    name: &'static str,
    field: fn(&mut Timeouts) -> &mut Duration,
    meaning: &'static str,
) -> Key<Timeouts> {
    Key::new(name, Delay(field), OfField, row(meaning, "total, or `\"0s\"`"))
}
