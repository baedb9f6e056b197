//! The text of a [`Draft`]: each table with its notes before it, then what has no table.

use super::draft::{Client, Draft, Forward, Listener, Route};
use super::note::{Note, grouped};
use crate::config::listen_address::ListenAddress;
use crate::config::near::written;
use crate::config::toml_value::quoted;
use std::fmt::Write;

/// The text of the file.
pub(super) fn toml(draft: &Draft) -> String {
    let mut text = String::new();
    for line in [
        &*draft.origin,
        "The number before a remark is a line there. Read the remarks, above all those at the end;",
        "then narrows check narrows.toml, and narrows run --config narrows.toml.",
    ] {
        comment(&mut text, line);
    }
    if let Some((workers, note)) = &draft.workers {
        text.push('\n');
        notes(&mut text, std::slice::from_ref(note));
        let _ = writeln!(text, "workers = {workers}");
    }
    draft.listeners.iter().for_each(|it| listener(&mut text, it));
    draft.clients.iter().for_each(|it| client(&mut text, it));
    let has_clients = !draft.clients.is_empty();
    draft.routes.iter().for_each(|it| route(&mut text, it, has_clients));
    draft.forwards.iter().for_each(|it| forward(&mut text, it));
    timeouts(&mut text, draft);
    limits(&mut text, draft);
    section(
        &mut text,
        "Needs no key, because narrows always does it or has no use for it:",
        &draft.always,
    );
    section(&mut text, "Left out, because it cannot be said in narrows:", &draft.left_out);
    text
}

fn listener(text: &mut String, listener: &Listener) {
    text.push('\n');
    notes(text, &listener.notes);
    text.push_str("[[listener]]\n");
    let addresses: Vec<_> = listener.addresses.iter().map(ListenAddress::to_string).collect();
    match &addresses[..] {
        [only] => key(text, "address", only),
        several => list(text, "address", several),
    }
    match &listener.pairs[..] {
        [] => {}
        [(certificate, file)] if listener.domains.is_empty() => {
            key(text, "certificate", certificate);
            key(text, "key", file);
        }
        several => {
            text.push_str("certificates = [\n");
            for (certificate, file) in several {
                let (certificate, file) = (quoted(certificate), quoted(file));
                let _ = writeln!(text, "  {{ certificate = {certificate}, key = {file} }},");
            }
            text.push_str("]\n");
        }
    }
    if !listener.domains.is_empty() {
        list(text, "domains", &listener.domains);
    }
    for (name, value) in [("client_ca", &listener.client_ca), ("client_crl", &listener.client_crl)]
    {
        value.iter().for_each(|it| key(text, name, it));
    }
    if listener.redirect {
        text.push_str("redirect = true\n");
    }
    if listener.is_tcp {
        key(text, "mode", "tcp");
    }
    if !listener.proxy_protocol.is_empty() {
        list(text, "proxy_protocol", &listener.proxy_protocol);
    }
    if !listener.trusted_proxies.is_empty() {
        list(text, "trusted_proxies", &listener.trusted_proxies);
        listener.client_address.iter().for_each(|it| key(text, "client_address", it));
    }
}

fn client(text: &mut String, client: &Client) {
    text.push('\n');
    notes(text, &client.notes);
    text.push_str("[[client]]\n");
    key(text, "name", &client.name);
    match &client.token {
        Ok(digest) => key(text, "token", digest),
        Err(file) => key(text, "token_file", file),
    }
    list(text, "routes", &client.routes);
}

fn route(text: &mut String, route: &Route, has_clients: bool) {
    text.push('\n');
    notes(text, &route.notes);
    notes(text, &route.closed);
    let mut table = String::from("[[route]]\n");
    key(&mut table, "path", &route.path);
    key(&mut table, "upstream", &route.upstream);
    route.options.iter().for_each(|(name, value)| key(&mut table, name, value));
    if let Some(allow) = &route.allow {
        list(&mut table, "allow", allow);
    }
    if route.cors {
        table.push_str("cors = true\n");
    }
    if route.is_for_anyone || (has_clients && !route.needs_token) {
        key(&mut table, "clients", "anyone");
    }
    for line in table.lines() {
        let _ = writeln!(text, "{}{line}", if route.is_closed() { "#" } else { "" });
    }
}

fn forward(text: &mut String, forward: &Forward) {
    text.push('\n');
    notes(text, &forward.notes);
    text.push_str("[[forward]]\n");
    key(text, "server_name", &forward.server_name);
    key(text, "upstream", &forward.upstream);
    forward.options.iter().for_each(|(name, value)| key(text, name, value));
}

fn timeouts(text: &mut String, draft: &Draft) {
    if draft.timeouts.is_empty() {
        return;
    }
    text.push_str("\n[timeouts]\n");
    for (name, (value, about)) in &draft.timeouts {
        notes(text, about);
        key(text, name, &written(*value));
    }
}

fn limits(text: &mut String, draft: &Draft) {
    if draft.limits.is_empty() {
        return;
    }
    text.push_str("\n[limits]\n");
    for (name, (value, about)) in &draft.limits {
        notes(text, std::slice::from_ref(about));
        let _ = writeln!(text, "{name} = {value}");
    }
}

fn section(text: &mut String, heading: &str, about: &[Note]) {
    if !about.is_empty() {
        text.push('\n');
        comment(text, heading);
        notes(text, about);
    }
}

/// A line for each note; those that only name a setting share one.
fn notes(text: &mut String, notes: &[Note]) {
    let (names, others): (Vec<Note>, Vec<Note>) =
        grouped(notes).into_iter().partition(|it| it.what.is_empty());
    if !names.is_empty() {
        let subjects: Vec<&str> = names.iter().map(|it| it.subject.as_str()).collect();
        let mut lines: Vec<usize> = names.iter().flat_map(|it| it.lines.clone()).collect();
        lines.sort_unstable();
        lines.dedup();
        let note = Note { lines, subject: subjects.join(", "), what: String::new() };
        comment(text, &note.to_string());
    }
    others.iter().for_each(|it| comment(text, &it.to_string()));
}

/// A line with a comment; a control character would end it, or be refused.
fn comment(text: &mut String, comment: &str) {
    let shown = comment.chars().map(|it| if it.is_control() { ' ' } else { it });
    text.push_str("# ");
    text.extend(shown);
    text.push('\n');
}

#[cold]
fn key(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name} = {}", quoted(value));
}

fn list(text: &mut String, name: &str, values: &[String]) {
    let values: Vec<_> = values.iter().map(|it| quoted(it)).collect();
    let _ = writeln!(text, "{name} = [{}]", values.join(", "));
}
