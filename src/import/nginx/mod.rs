//! nginx: [`translate`].
//!
//! From the bottom: `token` and `tree` read the grammar, `scope` knows what a block inherits,
//! `variables` what a request does not change. `target` and `mapping` say where a location leads,
//! `route`, with `headers`, `guards`, `upstreams` and `times`, makes a route of it, and `servers`
//! the listeners. `stream` makes forwards. `work` remembers what is accounted for; whatever is not,
//! in the end, is explained by `known`.
//!
//! A location that nginx guards needs a token in narrows, or is a comment, if not even that says
//! the same: importing never opens it to everyone.

mod guards;
mod headers;
mod known;
mod leads;
mod listen;
mod locations;
mod mapping;
mod merge;
mod route;
mod scope;
mod servers;
mod stream;
mod target;
mod times;
mod token;
mod tree;
mod upstreams;
mod variables;
mod work;

use self::known::Kind;
use self::locations::relays;
use self::scope::Scope;
use self::servers::Server;
use self::tree::Directive;
use self::work::Work;
use super::draft::{Client, Draft, Listener};
use super::note::Note;
use super::{Imported, Refused, checked};
use crate::config::keys::top::WORKERS_RANGE;
use crate::config::listen_address::ListenAddress;

/// A server, and its directive if it has one.
type Written<'t> = (Option<&'t Directive>, Server<'t>);

/// Where a relay listens of which no server says it.
const DEFAULT_PORT: u16 = 8080;
/// Where the digests of tokens go that have to be made.
const TOKEN_FILE: &str = "clients.tokens";

/// Translates `text`, the file that is called `name`.
///
/// # Errors
///
/// It is not a configuration of nginx, or nothing in it can be said in narrows.
pub fn translate(name: &str, text: &str) -> Result<Imported, Refused> {
    let tree = tree::parse(text)?;
    if !has_known(&tree) {
        return Err(Refused::Foreign);
    }
    let mut work = Work::default();
    work.draft.origin = format!("Made from {name} by `narrows import nginx`.");
    translate_tree(&mut work, &tree);
    checked(&work.draft)
}

fn translate_tree(work: &mut Work, tree: &[Directive]) {
    workers(work, tree);
    let mut servers = servers(work, tree);
    leave_out_narrower(work, &mut servers);
    for (_, server) in &mut servers {
        server.routes = locations::translate(work, &server.site);
    }
    let (useful, useless): (Vec<_>, Vec<_>) =
        servers.into_iter().partition(|(_, it)| it.routes > 0 || it.leads());
    servers::listeners(work, &useful);
    for (directive, server) in useful.iter().chain(&useless) {
        locations::explain_others(work, server.site.scope.own());
        if server.routes > 0 {
            times::translate(work, &server.site.scope);
        } else if let Some(directive) = directive.filter(|_| !server.leads()) {
            work.left_out_whole(directive, "none of its locations is translated");
        }
    }
    for streams in tree.iter().filter(|it| it.name == "stream") {
        stream::translate(work, streams);
    }
    complete(work);
    clients(&mut work.draft);
    explain_rest(work, tree);
}

/// The servers, each with its directive. Directives that are in no server are one of their own.
fn servers<'t>(work: &mut Work, tree: &'t [Directive]) -> Vec<Written<'t>> {
    let mut servers = Vec::new();
    let blocks = tree.iter().filter(|it| it.name == "http").map(Directive::children);
    for http in [tree].into_iter().chain(blocks) {
        let around = Scope::new(http);
        for server in http.iter().filter(|it| it.name == "server") {
            let scope = around.with(server.children());
            servers.push((Some(server), Server::read(work, http, scope)));
        }
    }
    if tree.iter().any(|it| it.name == "location") {
        servers.push((None, Server::read(work, tree, Scope::new(tree))));
    }
    servers
}

/// Leaves out servers that fewer can reach than others: every listener has every route.
fn leave_out_narrower(work: &mut Work, servers: &mut Vec<Written<'_>>) {
    let is_relay = |server: &Server<'_>| {
        server.site.scope.own().iter().any(|it| it.name == "location" && relays(it))
    };
    let widest = servers.iter().filter(|(_, it)| is_relay(it)).map(|(_, it)| it.reach()).max();
    servers.retain(|(directive, server)| {
        let Some(directive) = directive.filter(|_| is_relay(server)) else { return true };
        let is_wide = Some(server.reach()) >= widest;
        if !is_wide {
            let what = "every listener has every route, and this server is for fewer clients than \
                        others; another narrows can serve it";
            work.left_out_whole(directive, what);
        }
        is_wide
    });
}

fn workers(work: &mut Work, tree: &[Directive]) {
    let Some(directive) = tree.iter().rfind(|it| it.name == "worker_processes") else { return };
    let number = directive.argument(0).parse().ok().filter(|it| WORKERS_RANGE.contains(it));
    match number {
        Some(number) => {
            let note = work.note(directive, "threads of one process");
            work.draft.workers = Some((number, note));
        }
        None => work.always(directive, "a worker for each core, as by default"),
    }
}

/// Adds what a file needs, and takes away what would have no effect.
fn complete(work: &mut Work) {
    let listeners = &mut work.draft.listeners;
    if !listeners.iter().any(|it| it.is_tls() && !it.is_tcp) {
        let (leading, others) = std::mem::take(listeners).into_iter().partition(|it| it.redirect);
        *listeners = others;
        let leading: Vec<Listener> = leading;
        for note in leading.into_iter().flat_map(|it| it.notes) {
            let what = "it leads to https, and no server with a certificate is translated";
            work.draft.left_out.push(Note { what: what.to_owned(), ..note });
        }
    }
    let has_http = work.draft.listeners.iter().any(|it| !it.is_tcp && !it.redirect);
    if !has_http && !work.draft.routes.is_empty() {
        let what = "no server that is translated says where to listen; this is for this machine";
        let (lines, subject) = (Vec::new(), "address".to_owned());
        let notes = vec![Note { lines, subject, what: what.to_owned() }];
        let addresses = vec![ListenAddress::Localhost(DEFAULT_PORT)];
        work.draft.listeners.push(Listener { addresses, notes, ..Listener::default() });
    }
}

/// Adds the clients that routes need: those whose tokens are known, and one for all others.
fn clients(draft: &mut Draft) {
    let (mut known, mut unknown): (Vec<Client>, Vec<String>) = (Vec::new(), Vec::new());
    for route in draft.routes.iter_mut().filter(|it| it.needs_token && !it.is_closed()) {
        if route.tokens.is_empty() {
            unknown.push(route.path.clone());
        }
        for (digest, note) in route.tokens.drain(..) {
            let digest = Ok(digest);
            let same = known.iter_mut().find(|it| it.token == digest);
            match same {
                Some(client) => client.routes.push(route.path.clone()),
                None => known.push(Client {
                    name: format!("imported-{}", known.len() + 1),
                    token: digest,
                    routes: vec![route.path.clone()],
                    notes: vec![note],
                }),
            }
        }
    }
    draft.clients = known;
    if !unknown.is_empty() {
        let what = format!(
            "for each client, run narrows token NAME, and write the digest (sha256:…) into \
             {TOKEN_FILE}"
        );
        let (lines, subject) = (Vec::new(), "token_file".to_owned());
        let notes = vec![Note { lines, subject, what }];
        let (name, token) = ("imported".to_owned(), Err(TOKEN_FILE));
        draft.clients.push(Client { name, token, routes: unknown, notes });
    }
}

/// Explains what is not accounted for.
fn explain_rest(work: &mut Work, block: &[Directive]) {
    for directive in block {
        let mut is_whole = false;
        if !work.is_accounted(directive) {
            let (kind, what, has_all) = known::explain(directive);
            match kind {
                Kind::Always => work.always(directive, what),
                Kind::LeftOut => work.left_out(directive, what),
            }
            is_whole = has_all;
        }
        if is_whole {
            work.account_inside(directive);
        } else {
            explain_rest(work, directive.children());
        }
    }
}

/// Whether any directive is one of nginx's.
fn has_known(block: &[Directive]) -> bool {
    block.iter().any(|it| known::is_known(&it.name) || has_known(it.children()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str = "location / { proxy_pass https://h; }";
    const OPEN: &str = "server { listen 81; location /b/ { proxy_pass https://h; } }";

    #[test]
    fn every_directive_is_accounted_for() {
        fn check(work: &Work, block: &[Directive]) {
            for directive in block {
                assert!(work.is_accounted(directive), "{}: {}", directive.line, directive.name);
                check(work, directive.children());
            }
        }
        let text = format!(
            "user a; http {{ allow all; upstream x {{ server a; }} server {{ listen 80; {RELAY} }}
             server {{ listen 81; if ($a) {{ b c; }} location /x {{ alias /y; }} }} }}
             stream {{ server {{ listen 1; proxy_pass $x; }} }} unheard of {{ a b; c {{ d; }} }}"
        );
        let tree = tree::parse(&text).unwrap();
        let mut work = Work::default();
        translate_tree(&mut work, &tree);
        check(&work, &tree);
    }

    #[test]
    fn a_guarded_location_needs_a_token() {
        for guard in [
            "auth_basic x;",
            "auth_request /a;",
            "if ($http_x_token != a) { return 403; }",
            "access_by_lua_block { x() }",
        ] {
            let inner = format!("location /a/ {{ {guard} proxy_pass https://h; }}");
            let outer = format!("{guard} location /a/ {{ proxy_pass https://h; }}");
            for location in [inner, outer] {
                let toml = toml(&format!("server {{ listen 80; {location} }} {OPEN}"));
                assert!(toml.contains("token_file = \"clients.tokens\"\nroutes = [\"/a/\"]\n"));
                assert_eq!(toml.matches("clients = \"anyone\"").count(), 1, "{toml}");
            }
        }
        for harmless in ["allow all;", "auth_basic off;", "if ($http_user_agent) { return 403; }"] {
            let toml = toml(&format!("server {{ listen 80; {harmless} {RELAY} }}"));
            assert!(toml.contains("\npath = \"/\"\n") && !toml.contains("[[client]]"), "{toml}");
        }
    }

    #[test]
    fn addresses_that_may_use_a_location_are_a_list_or_the_route_is_a_comment() {
        let with = |rules: &str| {
            let location = format!("location /a/ {{ {rules} proxy_pass https://h; }}");
            toml(&format!("server {{ listen 80; {location} }} {OPEN}"))
        };
        let list = with("allow 10.0.0.1/8; allow ::1; deny all;");
        assert!(list.contains("\nallow = [\"10.0.0.0/8\", \"::1\"]\n"), "{list}");
        assert!(!with("allow 10.0.0.1;").contains("\nallow ="));
        for rules in [
            "deny 10.0.0.1; allow all;",
            "allow 10.0.0.1; deny 10.0.0.0/8; deny all;",
            "deny 10.0.0.1;",
            "deny all;",
            "allow unix:; deny all;",
            "allow host.example; deny all;",
        ] {
            let toml = with(rules);
            assert!(toml.contains("\n#path = \"/a/\"\n"), "{rules}: {toml}");
        }
    }

    #[test]
    fn a_key_that_everyone_could_use_needs_clients_with_tokens() {
        let field = "proxy_set_header Authorization \"Bearer sk-0123456789\";";
        let location =
            |more: &str| format!("location /a/ {{ {field} {more} proxy_pass https://h; }}");
        let open = toml(&format!("server {{ listen 80; {} }}", location("")));
        assert!(open.contains("key_file = \"a.keys\"") && open.contains("[[client]]"), "{open}");
        assert!(!open.contains("0123456789"));
        let local = toml(&format!("server {{ listen localhost:80; {} }}", location("")));
        assert!(local.contains("key_file") && !local.contains("[[client]]"), "{local}");
        assert!(local.contains("for programs on this machine"), "{local}");
        let [proxy, header] = ["; set_real_ip_from 127.0.0.1", " proxy_protocol"];
        for behind_proxy in [proxy, header] {
            let text = format!("server {{ listen localhost:80{behind_proxy}; {} }}", location(""));
            let toml = toml(&text);
            assert!(toml.contains("key_file") && toml.contains("[[client]]"), "{toml}");
        }
        let few = location("allow 10.0.0.1; deny all;");
        let few = toml(&format!("server {{ listen 80; {few} }}"));
        assert!(few.contains("clients = \"anyone\"") && !few.contains("[[client]]"), "{few}");
    }

    #[test]
    fn two_routes_never_share_a_file_of_keys() {
        let location = |path: &str| {
            let field = "proxy_set_header x-api-key secret-of-one";
            format!("location {path} {{ {field}; proxy_pass https://h; }}")
        };
        let locations = [location("/a/b/"), location("/a-b/")].concat();
        let toml = toml(&format!("server {{ listen localhost:80; {locations} }}"));
        assert!(toml.contains("\"a-b.keys\"") && toml.contains("\"2-a-b.keys\""), "{toml}");
    }

    #[test]
    fn plain_clients_are_led_to_https_only_where_there_is_one() {
        let lead = "server { listen 80; return 301 https://$host$request_uri; }";
        let https = "listen 443 ssl; ssl_certificate c; ssl_certificate_key k;";
        let with = toml(&format!("{lead} server {{ {https} {RELAY} }}"));
        assert!(with.contains("redirect = true"), "{with}");
        let without = toml(&format!("{lead} server {{ listen 81; {RELAY} }}"));
        assert!(!without.contains("redirect"), "{without}");
        assert!(without.contains("no server with a certificate"), "{without}");
    }

    #[test]
    fn a_listener_never_loses_its_tls_or_its_mutual_tls() {
        let names = toml(&format!("server {{ listen 443 ssl; server_name a.example; {RELAY} }}"));
        assert!(names.contains("domains = [\"a.example\"]"), "{names}");
        let nameless = toml(&format!("server {{ listen 443 ssl; {RELAY} }}"));
        assert!(nameless.contains("address = \"localhost:8080\""), "{nameless}");
        let pair = "listen 443 ssl; ssl_certificate c; ssl_certificate_key k;";
        let mutual = toml(&format!("server {{ {pair} ssl_verify_client on; {RELAY} }}"));
        assert!(mutual.contains("address = \"localhost:8080\""), "{mutual}");
    }

    #[test]
    fn a_server_for_fewer_clients_than_others_is_left_out() {
        let local = "server { listen 127.0.0.1:80; location /a/ { proxy_pass http://h; } }";
        let open = format!("server {{ listen 8080; {RELAY} }}");
        let both = toml(&format!("{local} {open}"));
        assert!(!both.contains("path = \"/a/\""), "{both}");
        assert!(toml(local).contains("path = \"/a/\""));
    }

    #[test]
    fn a_file_that_says_nothing_of_a_relay_is_refused() {
        let refused = |text| translate("f", text).unwrap_err();
        assert!(matches!(refused("server { listen 80; root /; }"), Refused::Nothing(_)));
        assert_eq!(refused("a b;"), Refused::Foreign);
    }

    #[track_caller]
    fn toml(text: &str) -> String {
        translate("f", text).unwrap().toml
    }
}
