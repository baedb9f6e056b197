//! The locations of a server: [`translate`].

use super::known::shown;
use super::route::route;
use super::scope::Scope;
use super::target::Place;
use super::times;
use super::tree::Directive;
use super::work::Work;
use crate::import::draft::Route;
use crate::import::note::Note;

/// What applies to all locations of a server.
pub(super) struct Site<'t> {
    /// The directives beside its server.
    pub(super) http: &'t [Directive],
    pub(super) scope: Scope<'t>,
    pub(super) names: Vec<&'t str>,
    /// Whether only this machine reaches it.
    pub(super) is_local: bool,
}

/// Adds a route for each location that leads to an upstream; how many there are.
pub(super) fn translate(work: &mut Work, site: &Site<'_>) -> usize {
    inside(work, site, &site.scope)
}

/// Explains the locations that lead to none, once all routes are known.
pub(super) fn explain_others(work: &mut Work, block: &[Directive]) {
    for location in block.iter().filter(|it| it.name == "location") {
        if relays(location) {
            explain_others(work, location.children());
        } else if !work.is_accounted(location) {
            without_upstream(work, location);
        }
    }
}

/// Whether something in it is a relay.
pub(super) fn relays(directive: &Directive) -> bool {
    directive.has("proxy_pass") || directive.children().iter().any(relays)
}

fn inside<'t>(work: &mut Work, site: &Site<'t>, around: &Scope<'t>) -> usize {
    let mut count = 0;
    for location in around.own().iter().filter(|it| it.name == "location" && relays(it)) {
        let scope = around.with(location.children());
        count += inside(work, site, &scope);
        let Some(proxy_pass) = location.all("proxy_pass").last() else {
            work.always(location, "");
            continue;
        };
        if location.has("internal") {
            work.left_out_whole(location, "it is internal, and a route serves every client");
            continue;
        }
        match route(work, site.http, &scope, &site.names, location, proxy_pass) {
            Ok(mut route) => {
                guard_key(work, site, location, &mut route);
                times::translate(work, &scope);
                add(work, location, route);
                count += 1;
            }
            Err(why) => work.left_out_whole(location, why),
        }
    }
    count
}

/// Says who may use the key of a route. In nginx everyone who reaches it does.
fn guard_key(work: &mut Work, site: &Site<'_>, location: &Directive, route: &mut Route) {
    if !route.has_key() || route.needs_token {
        return;
    }
    if site.is_local {
        let what = "your key is for programs on this machine; if a proxy leads others here, name \
                    it in trusted_proxies, and its clients need tokens";
        return route.notes.push(Note::new(location.line, &shown(location), what));
    }
    let has_client_ca =
        site.scope.last("ssl_verify_client").is_some_and(|it| it.argument(0) == "on");
    if route.allow.is_some() || has_client_ca {
        route.is_for_anyone = true;
        return;
    }
    route.needs_token = true;
    let what = "in nginx everyone who reaches this uses your key; here clients need a token";
    let note = Note::new(location.line, &shown(location), what);
    work.draft.left_out.push(note.clone());
    route.notes.push(note);
}

/// Adds `route`, unless its path is taken.
fn add(work: &mut Work, location: &Directive, mut route: Route) {
    name_key_file(work, &mut route);
    let Some(first) = work.draft.routes.iter_mut().find(|it| it.path == route.path) else {
        work.draft.routes.push(route);
        return;
    };
    if first.upstream == route.upstream && first.options == route.options {
        // Of two servers, the stricter one counts.
        first.needs_token |= route.needs_token;
        first.is_for_anyone &= route.is_for_anyone;
        first.cors |= route.cors;
        first.tokens.extend(route.tokens);
        first.closed.extend(route.closed);
        first.notes.extend(route.notes);
        first.allow = match (first.allow.take(), route.allow) {
            (Some(one), Some(other)) if one != other => {
                let what = "two servers allow different addresses, so that this is a comment";
                first.closed.push(Note::new(location.line, &shown(location), what));
                Some(one)
            }
            (one, other) => one.or(other),
        };
        return;
    }
    let line = first.notes.first().and_then(|it| it.lines.first()).copied().unwrap_or_default();
    let what = format!(
        "a path leads to one upstream under every name, and line {line} has this one; \
         another narrows, or another path, can serve it"
    );
    work.draft.left_out.push(Note::new(location.line, &shown(location), what));
}

/// Gives the keys of `route` a file of their own: no API may get those of another.
fn name_key_file(work: &Work, route: &mut Route) {
    let path = &route.path;
    let others = work.draft.routes.iter().filter(|it| it.path != *path);
    let taken: Vec<&String> =
        others.flat_map(|it| it.options.iter().map(|(_, file)| file)).collect();
    for (_, file) in route.options.iter_mut().filter(|(key, _)| *key == "key_file") {
        let mut number = 1;
        let written = file.clone();
        while taken.contains(&&*file) {
            number += 1;
            *file = format!("{number}-{written}");
        }
    }
}

/// A location that leads to no upstream: whether that can be said.
fn without_upstream(work: &mut Work, location: &Directive) {
    let is_refused = location.all("return").any(|it| it.argument(0).starts_with('4'))
        || location.all("deny").any(|it| it.argument(0) == "all");
    if !is_refused {
        let what = if location.arguments.iter().any(|it| it.contains("acme-challenge")) {
            "narrows answers challenges for the certificates that it orders itself (domains), and \
             no others"
        } else {
            "it leads to no upstream, and narrows serves nothing itself"
        };
        work.left_out_whole(location, what);
        return;
    }
    let path = match Place::of(location) {
        Place::Prefix(path) | Place::Exact(path) => Some(path),
        Place::Regex(_) | Place::Named => None,
    };
    let mut routes = work.draft.routes.iter();
    match path {
        Some(path) if !routes.any(|it| path.starts_with(&it.path)) => {
            work.always(location, "a path without a route is answered with 404");
            work.account_inside(location);
        }
        Some(_) => {
            let what =
                "nginx refuses this path; it is below a route, which sends it to the upstream";
            work.left_out_whole(location, what);
        }
        None => {
            let what = "nginx refuses such paths; those below a route are sent to its upstream";
            work.left_out_whole(location, what);
        }
    }
}
