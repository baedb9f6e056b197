//! `stream`: TCP connections, which become forwards.

use super::listen::Listen;
use super::merge::merged;
use super::route::{absolute, remark_on_file};
use super::scope::Scope;
use super::tree::Directive;
use super::variables::{constant, names};
use super::work::Work;
use super::{times, upstreams};
use crate::config::keys::forward::{ForwardUpstream, ServerNames};
use crate::config::url::Host;
use crate::import::draft::{Forward, Listener};
use crate::import::note::Note;
use std::str::FromStr;

/// Translates the servers of a `stream` block. Forwards are chosen by the name that a client asks
/// for, at every tcp listener, so that only one server has a fixed upstream.
pub(super) fn translate(work: &mut Work, stream: &Directive) {
    work.always(stream, "");
    let around = Scope::new(stream.children());
    for server in stream.all("server") {
        let scope = around.with(server.children());
        if let Err(why) = translate_server(work, stream, server, &scope) {
            work.left_out_whole(server, why);
        }
    }
}

fn translate_server(
    work: &mut Work,
    stream: &Directive,
    server: &Directive,
    scope: &Scope<'_>,
) -> Result<(), &'static str> {
    let proxy_pass = server.all("proxy_pass").last().ok_or("it leads to no upstream")?;
    if scope.last("deny").is_some() || scope.last("allow").is_some() {
        return Err("narrows does not know who may connect here (allow, deny)");
    }
    let listens: Vec<_> = server.all("listen").filter_map(|it| Listen::read(work, it)).collect();
    if listens.is_empty() {
        return Err("it listens nowhere that narrows could");
    }
    let forwards = forwards(work, stream, proxy_pass, scope)?;
    let taken =
        |it: &Forward| work.draft.forwards.iter().any(|is| is.server_name == it.server_name);
    if forwards.iter().any(taken) || forwards.is_empty() {
        return Err("every tcp listener has every forward, and another server has this one; \
                    another narrows can serve it");
    }
    let pair = certificate(scope);
    if pair.is_none() && listens.iter().any(|it| it.is_tls) {
        return Err("this needs a certificate and its key, and they are not in this file");
    }
    let mut listeners = Vec::new();
    for listen in &listens {
        let mut listener = Listener { is_tcp: true, ..Listener::default() };
        listener.addresses.push(listen.address);
        listener.notes.extend(listen.directive.map(|it| work.note(it, listen.remark())));
        for (directives, files) in pair.iter().filter(|_| listen.is_tls) {
            listener.pairs.push(files.clone());
            let notes = directives.map(|it| work.note(it, remark_on_file(it.argument(0))));
            listener.notes.extend(notes);
        }
        if listen.proxy_protocol {
            listener.proxy_protocol = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        }
        listeners.push(listener);
    }
    let listeners = merged(work, listeners);
    work.draft.listeners.extend(listeners);
    work.draft.forwards.extend(forwards);
    work.always(server, "");
    times::translate(work, scope);
    Ok(())
}

/// The certificate and key of a server, and the directives that name them.
fn certificate<'t>(scope: &Scope<'t>) -> Option<([&'t Directive; 2], (String, String))> {
    let both = [scope.last("ssl_certificate")?, scope.last("ssl_certificate_key")?];
    let [certificate, key] = both.map(|it| absolute(it.argument(0)));
    Some((both, (certificate, key)))
}

/// A forward for every client, or one for each name of a `map`.
fn forwards(
    work: &mut Work,
    stream: &Directive,
    proxy_pass: &Directive,
    scope: &Scope<'_>,
) -> Result<Vec<Forward>, &'static str> {
    if let Some(target) = constant(proxy_pass.argument(0), scope) {
        let note = work.note(proxy_pass, "");
        return Ok(vec![forward(work, stream, scope, "*", &target, note)?]);
    }
    let variable = names(proxy_pass.argument(0)).next().unwrap_or_default();
    let is_it = |it: &&Directive| it.argument(1).strip_prefix('$') == Some(variable);
    let map = stream.all("map").find(is_it).ok_or("a variable names the upstream")?;
    if map.argument(0) != "$ssl_preread_server_name" {
        return Err("forwards are chosen by the name that a client asks for, and by nothing else");
    }
    let note = work.note(map, "forwards are chosen by the name that a client asks for");
    work.account_inside(map);
    work.always(proxy_pass, "forwards are chosen by the name that a client asks for");
    if let Some(preread) = scope.last("ssl_preread") {
        work.always(preread, "the name is read without a setting");
    }
    let mut forwards = Vec::new();
    for entry in map.children() {
        let name = if entry.name == "default" { "*" } else { &entry.name };
        let note = Note { lines: vec![entry.line], ..note.clone() };
        if ServerNames::from_str(name).is_err() {
            work.left_out(entry, "a forward is for a host name, *.name, or *");
            continue;
        }
        forwards.push(forward(work, stream, scope, name, entry.argument(0), note)?);
    }
    Ok(forwards)
}

fn forward(
    work: &mut Work,
    stream: &Directive,
    scope: &Scope<'_>,
    name: &str,
    target: &str,
    note: Note,
) -> Result<Forward, &'static str> {
    let is_on = |name| scope.last(name).is_some_and(|it| it.argument(0) == "on");
    let server = upstreams::find(work, stream.children(), target)?;
    let scheme = if is_on("proxy_ssl") { "tls" } else { "tcp" };
    let upstream = format!("{scheme}://{}", server.authority);
    if ForwardUpstream::from_str(&upstream).is_err() {
        return Err("a forward leads to a host and a port");
    }
    let mut notes = vec![note];
    if let Some((block, server)) = server.from {
        notes.extend([work.note(block, ""), work.note(server, "")]);
    }
    let mut options = Vec::new();
    if is_on("proxy_protocol") {
        notes.extend(scope.last("proxy_protocol").map(|it| work.note(it, "")));
        options.push(("proxy_protocol", "v1".to_owned()));
    }
    if is_on("proxy_ssl") {
        notes.extend(scope.last("proxy_ssl").map(|it| work.note(it, "always verified")));
        let tls_name = scope.last("proxy_ssl_name");
        if let Some(directive) = tls_name.filter(|it| Host::from_str(it.argument(0)).is_ok()) {
            notes.push(work.note(directive, ""));
            options.push(("tls_name", directive.argument(0).to_owned()));
        }
    }
    Ok(Forward { server_name: name.to_owned(), upstream, options, notes })
}
