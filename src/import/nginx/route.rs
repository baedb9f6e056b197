//! A `location` with `proxy_pass`: [`route`].

use super::mapping::Change;
use super::scope::Scope;
use super::target::{Place, Target, target};
use super::tree::Directive;
use super::variables::constant;
use super::work::Work;
use super::{guards, headers, upstreams};
use crate::config::url::{Host, Scheme, UpstreamUrl};
use crate::config::value::RoutePath;
use crate::import::draft::Route;
use crate::import::note::Note;
use std::str::FromStr;

/// Files with the roots of every public CA, which narrows has built in.
const ALL_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// The route that `location` becomes, or why it becomes none.
pub(super) fn route<'t>(
    work: &mut Work,
    http: &'t [Directive],
    scope: &Scope<'t>,
    server_names: &[&str],
    location: &'t Directive,
    proxy_pass: &'t Directive,
) -> Result<Route, &'static str> {
    let place = Place::of(location);
    let Target { is_tls, authority, mapping, rewrite } = target(&place, proxy_pass, scope)?;
    let (mapping, change) = mapping.of_route();
    let server = upstreams::find(work, http, &authority)?;
    let scheme = if is_tls { "https" } else { "http" };
    let upstream = format!("{scheme}://{}{}", server.authority, mapping.to);
    if RoutePath::from_str(&mapping.from).is_err() {
        return Err("its path has a query, dot segments or characters that no route can have");
    }
    let Ok(url) = UpstreamUrl::from_str(&upstream) else {
        return Err("its URL has a user, a query or characters that no upstream can have");
    };
    let mut route = Route { path: mapping.from, upstream, ..Route::default() };
    route.notes.push(changed(work, location, change));
    if place.is_unanchored() {
        let what = "without ^ nginx finds this expression anywhere in a path; a route is for paths \
                    that begin with it";
        route.notes.push(work.note(location, what));
    }
    let rewrite = scope.own().iter().find(|it| Some(it.id) == rewrite);
    for directive in rewrite.into_iter().chain([proxy_pass]) {
        route.notes.push(work.note(directive, ""));
    }
    if let Some((block, server)) = server.from {
        let what = "connections are kept without a setting";
        route.notes.extend([work.note(block, what), work.note(server, "")]);
    }
    headers::translate(work, scope, server_names, &url, &mut route);
    guards::apply(work, scope, &mut route);
    if url.scheme == Scheme::Https {
        tls(work, scope, &url, &mut route);
    }
    other_options(work, scope, &url, &mut route);
    Ok(route)
}

/// The note on what a route changes. Clients that have to ask for something else are no detail.
fn changed(work: &mut Work, location: &Directive, change: Change) -> Note {
    match change {
        Change::Noted(what) => work.note(location, what),
        Change::ForClients(what) => {
            let note = work.note(location, what);
            work.draft.left_out.push(note.clone());
            note
        }
    }
}

/// The keys about TLS to the upstream.
fn tls(work: &mut Work, scope: &Scope<'_>, url: &UpstreamUrl, route: &mut Route) {
    if let Some(directive) = scope.last("proxy_ssl_name") {
        let name = constant(directive.argument(0), scope);
        match name.filter(|it| Host::from_str(it).is_ok()) {
            Some(name) => {
                route.options.retain(|(key, _)| *key != "tls_name");
                if name != url.endpoint.host.to_string() {
                    route.options.push(("tls_name", name));
                }
                route.notes.push(work.note(directive, ""));
            }
            None => work.always(directive, "the name that is verified is the upstream's own"),
        }
    }
    let is_verified = scope.last("proxy_ssl_verify").is_some_and(|it| it.argument(0) == "on");
    if let Some(roots) = scope.last("proxy_ssl_trusted_certificate") {
        if ALL_ROOTS.contains(&roots.argument(0)) {
            work.always(roots, "the roots of all public CAs are built in");
        } else if !is_verified {
            work.left_out(roots, "nginx does not use it without proxy_ssl_verify");
        } else {
            file(work, scope, "proxy_ssl_trusted_certificate", "ca", route);
        }
    }
    let has = |name| scope.last(name).is_some();
    if has("proxy_ssl_certificate") && has("proxy_ssl_certificate_key") {
        file(work, scope, "proxy_ssl_certificate", "client_certificate", route);
        file(work, scope, "proxy_ssl_certificate_key", "client_key", route);
    }
}

/// A key whose value is the name of a file.
fn file(work: &mut Work, scope: &Scope<'_>, name: &str, key: &'static str, route: &mut Route) {
    if let Some(directive) = scope.last(name) {
        route.options.push((key, absolute(directive.argument(0))));
        route.notes.push(work.note(directive, remark_on_file(directive.argument(0))));
    }
}

/// The name of a file, which nginx starts from its own folder.
pub(super) fn absolute(name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/etc/nginx/{name}") }
}

/// What changes about the name of a file.
pub(super) fn remark_on_file(name: &str) -> &'static str {
    if name.starts_with('/') {
        "narrows has to be able to read this file"
    } else {
        "nginx has its files in /etc/nginx; narrows has to be able to read this one"
    }
}

fn other_options(work: &mut Work, scope: &Scope<'_>, url: &UpstreamUrl, route: &mut Route) {
    let no_ipv6 =
        scope.last("resolver").filter(|it| it.arguments.iter().any(|it| it == "ipv6=off"));
    if let Some(resolver) = no_ipv6.filter(|_| matches!(url.endpoint.host, Host::Name(_))) {
        route.options.push(("family", "4".to_owned()));
        let what = "the system's nameservers are asked; ipv6=off is family = \"4\"";
        route.notes.push(work.note(resolver, what));
    }
    if let Some(redirects) = scope.last("proxy_redirect").filter(|it| it.argument(0) == "off") {
        route.options.push(("redirects", "keep".to_owned()));
        route.notes.push(work.note(redirects, ""));
    }
}
