//! Fewer listeners that say the same: [`merged`].

use super::work::Work;
use crate::config::listen_address::ListenAddress;
use crate::import::draft::Listener;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Joins what differs only in its address, and leaves out what could not be listened on beside
/// another.
pub(super) fn merged(work: &mut Work, listeners: Vec<Listener>) -> Vec<Listener> {
    let listeners = without_covered(work, with_families_joined(listeners));
    let mut merged: Vec<Listener> = Vec::new();
    for listener in listeners {
        match merged.iter_mut().find(|it| it.is_like(&listener)) {
            Some(first) => {
                first.addresses.extend(listener.addresses);
                first.notes.extend(listener.notes);
            }
            None => merged.push(listener),
        }
    }
    merged
}

/// `0.0.0.0:443` and `[::]:443` are `:443`.
fn with_families_joined(listeners: Vec<Listener>) -> Vec<Listener> {
    let mut joined: Vec<Listener> = Vec::new();
    for listener in listeners {
        let other = other_family(&listener);
        let is_other = |it: &&mut Listener| {
            other.is_some_and(|other| it.addresses == [other]) && it.is_like(&listener)
        };
        match joined.iter_mut().find(is_other) {
            Some(first) => {
                let port = first.addresses[0].sockets().next().map_or(0, |it| it.port());
                first.addresses = vec![ListenAddress::Any(port)];
                first.notes.extend(listener.notes);
            }
            None => joined.push(listener),
        }
    }
    joined
}

/// The wildcard of the other family, if this is a wildcard.
fn other_family(listener: &Listener) -> Option<ListenAddress> {
    let [ListenAddress::Ip(address)] = listener.addresses[..] else { return None };
    let other: SocketAddr = match address {
        SocketAddr::V4(it) if it.ip().is_unspecified() => (Ipv6Addr::UNSPECIFIED, it.port()).into(),
        SocketAddr::V6(it) if it.ip().is_unspecified() => (Ipv4Addr::UNSPECIFIED, it.port()).into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => return None,
    };
    Some(ListenAddress::Ip(other))
}

/// Without addresses that a wildcard includes: only one of them could be listened on.
fn without_covered(work: &mut Work, mut listeners: Vec<Listener>) -> Vec<Listener> {
    let mut at = 0;
    while at < listeners.len() {
        let listener = &listeners[at];
        let touches = |one: &Listener, other: &Listener| {
            let each = |it: &Listener| it.addresses.first().copied();
            each(one).zip(each(other)).is_some_and(|(one, other)| {
                let mut sockets = other.sockets();
                sockets.any(|it| one.includes(ListenAddress::Ip(it)))
            })
        };
        let covering = listeners.iter().enumerate().find(|(index, it)| {
            *index != at && touches(it, listener) && (!touches(listener, it) || *index < at)
        });
        let Some((_, covering)) = covering else {
            at += 1;
            continue;
        };
        let is_like = covering.is_like(listener);
        let what = if is_like {
            "an address that includes this one is listened on already"
        } else {
            "an address that includes this one is listened on, and has other settings"
        };
        for note in listeners.remove(at).notes {
            let note = crate::import::Note { what: what.to_owned(), ..note };
            let notes = if is_like { &mut work.draft.always } else { &mut work.draft.left_out };
            notes.push(note);
        }
    }
    listeners
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn equal_listeners_are_one_and_both_families_one_address() {
        assert_eq!(told(&["0.0.0.0:443", "[::]:443"]), [":443"]);
        assert_eq!(told(&["[::]:80", "127.0.0.1:81", "0.0.0.0:80"]), [":80 127.0.0.1:81"]);
        assert_eq!(told(&["0.0.0.0:80!", "[::]:80"]), ["0.0.0.0:80", "[::]:80"]);
    }

    #[test]
    fn an_address_beside_a_wildcard_is_left_out() {
        assert_eq!(told(&["127.0.0.1:80", "0.0.0.0:80"]), ["0.0.0.0:80"]);
        assert_eq!(told(&["0.0.0.0:80!", "127.0.0.1:80"]), ["0.0.0.0:80"]);
        assert_eq!(
            told(&["localhost:80", "[::1]:80", "10.0.0.1:80"]),
            ["localhost:80 10.0.0.1:80"]
        );
    }

    /// The listeners of these addresses; those with `!` lead to https.
    fn told(addresses: &[&str]) -> Vec<String> {
        let listener = |text: &&str| {
            let address = ListenAddress::from_str(text.trim_end_matches('!')).unwrap();
            let (addresses, redirect) = (vec![address], text.ends_with('!'));
            Listener { addresses, redirect, ..Listener::default() }
        };
        let listeners = addresses.iter().map(listener).collect();
        let merged = merged(&mut Work::default(), listeners).into_iter();
        merged
            .map(|it| {
                let each: Vec<_> = it.addresses.iter().map(ListenAddress::to_string).collect();
                each.join(" ")
            })
            .collect()
    }
}
