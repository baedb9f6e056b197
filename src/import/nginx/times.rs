//! Limits of time.

use super::scope::Scope;
use super::work::Work;
use crate::config::near::written;
use crate::config::value::PERIOD_MAX;
use crate::import::draft::Draft;
use crate::timeouts::Timeouts;
use std::time::Duration;

/// Reads a limit of [`Timeouts`].
type Limit = fn(&Timeouts) -> Duration;

/// A directive, the key that says the same, and that key's default.
const KEYS: &[(&str, &str, Limit)] = &[
    ("proxy_read_timeout", "response_head", |it| it.response_head),
    ("proxy_read_timeout", "to_client.read", |it| it.to_client_read),
    ("proxy_send_timeout", "to_upstream.write", |it| it.to_upstream_write),
    ("proxy_connect_timeout", "connect", |it| it.connect),
    ("keepalive_timeout", "keep_alive", |it| it.keep_alive),
    ("client_header_timeout", "request_head", |it| it.request_head),
    ("client_body_timeout", "to_upstream.read", |it| it.to_upstream_read),
    ("send_timeout", "to_client.write", |it| it.to_client_write),
    ("ssl_handshake_timeout", "handshake", |it| it.handshake),
    ("lingering_timeout", "linger", |it| it.linger),
    ("proxy_timeout", "tunnel", |it| it.tunnel),
];

/// Limits of a tunnel are the same as those of a response in nginx. Ours is only made longer.
const TUNNEL: &str = "tunnel";

/// Translates the limits that apply in `scope`. There is one of each for all routes: the longest.
pub(super) fn translate(work: &mut Work, scope: &Scope<'_>) {
    let defaults = Timeouts::default();
    for (name, key, default) in KEYS {
        let Some(directive) = scope.last(name) else { continue };
        let Some(value) = duration(directive.argument(0)).filter(|it| !it.is_zero()) else {
            work.left_out(directive, format!("timeouts.{key} is a period of up to 24h"));
            continue;
        };
        let value = value.min(PERIOD_MAX);
        let default = default(&defaults);
        let what = match written(default) {
            it if value == default => format!("{it} is the default, too"),
            it => format!("the default is {it}; for all routes, the longest of them"),
        };
        let note = work.note(directive, what);
        add(&mut work.draft, key, value, note.clone());
        if *name == "proxy_read_timeout" && value > defaults.tunnel {
            add(&mut work.draft, TUNNEL, value, note);
        }
    }
}

/// Keeps the longest, and why.
fn add(draft: &mut Draft, key: &'static str, value: Duration, note: crate::import::Note) {
    let (longest, notes) = draft.timeouts.entry(key).or_default();
    *longest = value.max(*longest);
    notes.push(note);
}

/// A period as nginx writes it: `60`, `60s`, `1h30m`, `500ms`. `None` if it is longer than any.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (0_u64, text);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|it: char| it.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let each: u64 = match unit.trim() {
            "ms" => 1,
            "s" | "" => 1000,
            "m" => 60 * 1000,
            "h" => 3600 * 1000,
            "d" => 24 * 3600 * 1000,
            "w" => 7 * 24 * 3600 * 1000,
            "M" => 30 * 24 * 3600 * 1000,
            "y" => 365 * 24 * 3600 * 1000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(each)?)?;
        rest = after;
    }
    Some(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nginx::tree::parse;

    #[test]
    fn a_period_has_units_or_means_seconds() {
        let check = |text, want| assert_eq!(duration(text), Some(Duration::from_millis(want)));
        check("60", 60_000);
        check("600s", 600_000);
        check("1h30m", 5_400_000);
        check("500ms", 500);
        check("1h 30m", 5_400_000);
        check("1d", 86_400_000);
        for wrong in ["", "a", "5x", "-1", "99999999999999999999", "off"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_longest_of_several_limits_counts_and_a_tunnel_is_only_made_longer() {
        let of = |text: &str| {
            let tree = parse(text).unwrap();
            let mut work = Work::default();
            tree.iter().for_each(|it| translate(&mut work, &Scope::new(it.children())));
            let told = work.draft.timeouts.iter();
            told.map(|(key, (value, _))| format!("{key}={}", written(*value))).collect::<Vec<_>>()
        };
        assert_eq!(
            of("a { proxy_read_timeout 300s; } b { proxy_read_timeout 200; }"),
            ["response_head=5m", "to_client.read=5m"]
        );
        let long = of("a { proxy_read_timeout 2d; }");
        assert_eq!(long, ["response_head=24h", "to_client.read=24h", "tunnel=24h"]);
        assert_eq!(of("a { keepalive_timeout 0; }"), [""; 0]);
    }
}
