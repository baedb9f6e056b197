//! The listeners of servers: [`listeners`].
//!
//! In nginx a server has addresses and names; in narrows a listener has an address, all its
//! certificates, and every route.

use super::guards::network;
use super::leads::Lead;
use super::listen::Listen;
use super::locations::Site;
use super::merge::merged;
use super::route::{absolute, remark_on_file};
use super::scope::Scope;
use super::tree::Directive;
use super::work::Work;
use crate::config::identifier::Identifier;
use crate::config::toml_value::quoted;
use crate::gateway::client_address::ClientAddressField;
use crate::import::draft::Listener;
use crate::import::note::Note;
use std::str::FromStr;

/// A `server`.
pub(super) struct Server<'t> {
    pub(super) site: Site<'t>,
    pub(super) listens: Vec<Listen<'t>>,
    pub(super) lead: Lead<'t>,
    /// How many of its locations are routes.
    pub(super) routes: usize,
}

impl<'t> Server<'t> {
    /// Reads a server, whose directives are the innermost of `scope`.
    pub(super) fn read(work: &mut Work, http: &'t [Directive], scope: Scope<'t>) -> Self {
        let named = scope.own().iter().filter(|it| it.name == "server_name");
        let names: Vec<&str> = named.flat_map(|it| &it.arguments).map(String::as_str).collect();
        let lead = Lead::of(scope.own(), &names);
        let written: Vec<_> = scope.own().iter().filter(|it| it.name == "listen").collect();
        let mut listens: Vec<_> = written.iter().filter_map(|it| Listen::read(work, it)).collect();
        let is_server = !std::ptr::eq(scope.own(), http);
        if written.is_empty() && is_server {
            listens.extend(Listen::default());
        }
        let mut server =
            Self { site: Site { http, scope, names, is_local: false }, listens, lead, routes: 0 };
        server.site.is_local = server.reach() == 0 && !server.is_behind_proxy();
        server
    }

    /// Whether a proxy leads others to it, whatever its addresses are.
    fn is_behind_proxy(&self) -> bool {
        let has_header = self.listens.iter().any(|it| it.proxy_protocol);
        has_header || self.site.scope.last("set_real_ip_from").is_some()
    }

    /// Whether it leads clients to https.
    pub(super) fn leads(&self) -> bool {
        !self.lead.all.is_empty() || !self.lead.rest.is_empty()
    }

    /// How far its addresses can be reached.
    pub(super) fn reach(&self) -> u8 {
        self.listens.iter().map(Listen::reach).max().unwrap_or(0)
    }
}

/// An address, and what servers want of it.
struct Place {
    listener: Listener,
    is_tls: bool,
    leads: bool,
    serves: bool,
    /// Names of the servers.
    names: Vec<String>,
    /// A certificate of clients is required, and whose is unknown.
    lacks_client_ca: bool,
}

/// The listeners of these servers.
pub(super) fn listeners(work: &mut Work, servers: &[(Option<&Directive>, Server<'_>)]) {
    let mut places: Vec<Place> = Vec::new();
    for (_, server) in servers {
        for listen in &server.listens {
            let same = places.iter().position(|it| it.listener.addresses == [listen.address]);
            let at = same.unwrap_or_else(|| {
                places.push(Place::at(listen));
                places.len() - 1
            });
            if let Some(place) = places.get_mut(at) {
                place.add(work, server, listen);
            }
        }
    }
    let listeners = places.into_iter().filter_map(|it| it.finish(work)).collect();
    let listeners = merged(work, listeners);
    work.draft.listeners.extend(listeners);
}

impl Place {
    fn at(listen: &Listen<'_>) -> Self {
        let listener = Listener { addresses: vec![listen.address], ..Listener::default() };
        let (is_tls, leads, serves, lacks_client_ca) = (false, false, false, false);
        Self { listener, is_tls, leads, serves, names: Vec::new(), lacks_client_ca }
    }

    fn add(&mut self, work: &mut Work, server: &Server<'_>, listen: &Listen<'_>) {
        if let Some(directive) = listen.directive {
            self.listener.notes.push(work.note(directive, listen.remark()));
        }
        let is_on = |name| server.site.scope.last(name).is_some_and(|it| it.argument(0) == "on");
        if listen.is_tls || is_on("ssl") {
            self.is_tls = true;
            self.serves = true;
            self.add_certificates(work, server, listen);
            self.add_client_ca(work, server);
        } else {
            self.add_lead(work, server);
        }
        self.names.extend(server.site.names.iter().map(|it| (*it).to_owned()));
        if listen.proxy_protocol {
            self.add_proxies(work, server);
        } else {
            self.add_trusted(work, server);
        }
    }

    /// Whether plain clients are led to https, or served.
    fn add_lead(&mut self, work: &mut Work, server: &Server<'_>) {
        let Lead { all, rest } = &server.lead;
        let leads = !all.is_empty() || (!rest.is_empty() && server.routes == 0);
        self.leads |= leads;
        self.serves |= !leads;
        for directive in all.iter().chain(rest).filter(|_| leads) {
            let what = "by 308, for the names that a certificate is for";
            self.listener.notes.push(work.note(directive, what));
            work.account_inside(directive);
        }
    }

    fn add_certificates(&mut self, work: &mut Work, server: &Server<'_>, listen: &Listen<'_>) {
        let scope = &server.site.scope;
        let (certificates, keys) = (scope.all("ssl_certificate"), scope.all("ssl_certificate_key"));
        for (index, certificate) in certificates.iter().enumerate() {
            let key = keys.get(index).unwrap_or(certificate);
            let is_file = |it: &Directive| {
                let name = it.argument(0);
                !name.is_empty()
                    && !name.contains('$')
                    && !name.contains("-----BEGIN")
                    && !name.starts_with("data:")
                    && !name.starts_with("engine:")
            };
            if !is_file(certificate) || !is_file(key) {
                work.left_out(certificate, "a certificate and its key are files");
                work.left_out(key, "a certificate and its key are files");
                continue;
            }
            for directive in [certificate, key] {
                let remark = remark_on_file(directive.argument(0));
                self.listener.notes.push(work.note(directive, remark));
            }
            if certificate.argument(0).contains("/letsencrypt/") {
                let names: Vec<_> = valid(&server.site.names).map(|it| quoted(it)).collect();
                let names = names.join(", ");
                let what = format!("narrows can order it in place of certbot: domains = [{names}]");
                self.listener.notes.push(work.note(certificate, what));
            }
            let pair = (absolute(certificate.argument(0)), absolute(key.argument(0)));
            if self.listener.pairs.contains(&pair) {
                continue;
            }
            // The default server's is for clients that ask for another name.
            let at = if listen.is_default { 0 } else { self.listener.pairs.len() };
            self.listener.pairs.insert(at, pair);
        }
    }

    fn add_client_ca(&mut self, work: &mut Work, server: &Server<'_>) {
        let scope = &server.site.scope;
        let Some(verify) = scope.last("ssl_verify_client") else { return };
        if verify.argument(0) != "on" {
            let what = "a certificate is required of every client of a listener, or of none";
            work.left_out(verify, what);
            return;
        }
        let Some(ca) = scope.last("ssl_client_certificate") else {
            self.lacks_client_ca = true;
            return;
        };
        self.listener.client_ca = Some(absolute(ca.argument(0)));
        let what = "for every name of this address";
        self.listener.notes.extend([work.note(verify, what), work.note(ca, "")]);
        if let Some(crl) = scope.last("ssl_crl") {
            self.listener.client_crl = Some(absolute(crl.argument(0)));
            self.listener.notes.push(work.note(crl, ""));
        }
    }

    /// Who sends PROXY headers: those that nginx believes, or everyone.
    fn add_proxies(&mut self, work: &mut Work, server: &Server<'_>) {
        for from in server.site.scope.all("set_real_ip_from") {
            let Some(network) = network(from.argument(0)) else {
                work.left_out(from, "a peer is an IP address or a range");
                continue;
            };
            self.listener.notes.push(work.note(from, ""));
            self.listener.proxy_protocol.push(network);
        }
        if let Some(header) = server.site.scope.last("real_ip_header") {
            self.listener.notes.push(work.note(header, "the address in the PROXY header counts"));
        }
        if self.listener.proxy_protocol.is_empty() {
            self.listener.proxy_protocol = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        }
        self.listener.proxy_protocol.dedup();
    }

    /// Proxies that name their client in a field.
    fn add_trusted(&mut self, work: &mut Work, server: &Server<'_>) {
        let scope = &server.site.scope;
        let header = scope.last("real_ip_header");
        let field = header.map_or("X-Real-IP", |it| it.argument(0));
        let same = self.listener.client_address.as_deref().is_none_or(|it| it == field);
        if ClientAddressField::from_str(field).is_err() || !same {
            return;
        }
        for from in scope.all("set_real_ip_from") {
            let Some(network) = network(from.argument(0)) else {
                work.left_out(from, "a proxy is an IP address or a range");
                continue;
            };
            self.listener.client_address = Some(field.to_owned());
            self.listener.notes.push(work.note(from, ""));
            if !self.listener.trusted_proxies.contains(&network) {
                self.listener.trusted_proxies.push(network);
            }
        }
        if self.listener.client_address.is_some() {
            self.listener.notes.extend(header.map(|it| work.note(it, "")));
            let what = "from the right, the first address that is not a trusted proxy's";
            let recursive = scope.last("real_ip_recursive");
            self.listener.notes.extend(recursive.map(|it| work.note(it, what)));
        }
    }

    /// The listener, unless it could only be less safe than nginx.
    fn finish(mut self, work: &mut Work) -> Option<Listener> {
        let mut fail = |what: &str| {
            let lines = self.listener.notes.iter().flat_map(|it| it.lines.clone()).take(1);
            let (lines, subject) = (lines.collect(), "listen".to_owned());
            work.draft.left_out.push(Note { lines, subject, what: what.to_owned() });
        };
        if self.lacks_client_ca {
            fail("clients need a certificate here, and ssl_client_certificate is not in this file");
            return None;
        }
        if self.is_tls && self.listener.pairs.is_empty() {
            self.listener.domains = valid(&self.names).cloned().collect();
            self.listener.domains.sort_unstable();
            self.listener.domains.dedup();
            if self.listener.domains.is_empty() {
                fail("this needs a certificate, and none is in this file");
                return None;
            }
            fail("no certificate is in this file, so it will be ordered for the server's names");
        }
        if self.leads && self.serves && !self.is_tls {
            fail("an address either leads to https or serves the routes; this one serves them");
        }
        self.listener.redirect = self.leads && !self.serves;
        Some(self.listener)
    }
}

/// The names that a certificate can be ordered for.
fn valid<T: AsRef<str>>(names: &[T]) -> impl Iterator<Item = &T> {
    names.iter().filter(|it| Identifier::from_str(it.as_ref()).is_ok())
}
