//! Checks of who may use routes: a route with keys that anyone outside can reach needs clients, or
//! the word that this is meant. And warnings about what is valid, and probably not meant.

use super::address_files::known_ranges;
use super::address_list::AddressList;
use super::files::Files;
use super::keys::forward::{ForwardConfig, ForwardUpstream};
use super::keys::listener::ListenerConfig;
use super::keys::route::RouteConfig;
use super::keys::top::Config;
use super::listen_address::ListenAddress;
use super::network::ranges_of;
use super::problem::{Location, Problems};
use super::route_access::KeySource;
use super::url::Host;
use super::value::Mode;
use crate::gateway::access::{Client, KeyField};
use crate::gateway::address_ranges::AddressRanges;
use crate::net::date::unix_seconds;
use std::net::SocketAddr;
use std::ptr;

/// Notes each route whose keys everyone outside could use, without anyone having said so. A list of
/// addresses counts with those of its files that have been `read`.
pub(super) fn check_access(config: &Config, read: &Files, problems: &mut Problems) {
    if !config.clients.is_empty() {
        return;
    }
    for route in config.routes.iter().filter(|it| !it.access.is_for_anyone) {
        let Some(source) = &route.access.keys else { continue };
        let allow = route.access.allow.as_ref();
        let Some(listener) = open_listener(config, allow, read) else { continue };
        let what = format!(
            "whoever reaches {} could use the keys of this route: there is no [[client]]",
            listener.name()
        );
        let help = [
            "add a client: `narrows token NAME` makes a token and prints the table".to_owned(),
            "or listen on localhost, or say whom it is for: `allow`; for everyone: clients = \
             \"anyone\""
                .to_owned(),
        ];
        problems.add_with_help(source.location(), what, help);
    }
}

/// Notes each route that asked for a token in `before`, and would be open because the last client
/// is gone: to delete its table revokes its token, and is not meant to admit everyone.
pub(super) fn check_last_client(config: &Config, before: &Config, problems: &mut Problems) {
    if before.clients.is_empty() || !config.clients.is_empty() {
        return;
    }
    let is_reachable = open_listener(config, None, &Files::default()).is_some();
    let opens =
        |it: &&RouteConfig| !it.access.is_for_anyone && (is_reachable || it.access.keys.is_some());
    for route in config.routes.iter().filter(opens) {
        let what = "the last [[client]] is gone, so that this route would ask for no token any \
                    longer";
        let help = [
            "to revoke the last token, keep a [[client]] whose `token_file` is empty".to_owned(),
            "if everyone may use the route, write clients = \"anyone\"".to_owned(),
        ];
        problems.add_with_help(&route.location, what, help);
    }
}

/// A listener by way of which everyone on other machines reaches a route with this `allow`.
fn open_listener<'c>(
    config: &'c Config,
    of_route: Option<&AddressList>,
    read: &Files,
) -> Option<&'c ListenerConfig> {
    config.listeners.iter().find(|listener| {
        let limits = |allow: Option<&AddressList>| {
            allow.is_some_and(|it| !has_all(it, read)) && !believes_everyone(config, listener, read)
        };
        leads_to_routes(config, listener)
            && is_reachable(listener)
            && !asks_for_certificate(listener)
            && !limits(listener.allow.as_ref())
            && !limits(of_route)
    })
}

fn leads_to_routes(config: &Config, listener: &ListenerConfig) -> bool {
    match listener.mode {
        Mode::Http => !listener.redirect,
        Mode::Tcp => config.forwards.iter().any(|it| it.upstream == ForwardUpstream::Http),
    }
}

/// Whether clients on other machines reach it: by its address, or through the proxy that it names.
fn is_reachable(listener: &ListenerConfig) -> bool {
    let is_proxied = listener.trusted_proxies.is_some() || !listener.proxy_protocol.is_empty();
    is_proxied || listener.addresses.iter().any(is_outside)
}

/// Whether each client needs a certificate. Behind a trusted proxy it is the proxy that shows one.
fn asks_for_certificate(listener: &ListenerConfig) -> bool {
    listener.client_ca.is_some() && listener.trusted_proxies.is_none()
}

/// Whether every peer may say which address it has, so that no `allow` keeps anyone out. Routes
/// behind a tcp listener see what the http listener beside it believes.
fn believes_everyone(config: &Config, listener: &ListenerConfig, read: &Files) -> bool {
    let is_it = |it: &&ListenerConfig| match listener.mode {
        Mode::Http => ptr::eq(*it, listener),
        Mode::Tcp => true,
    };
    config.listeners.iter().filter(is_it).any(|it| {
        it.trusted_proxies.as_ref().is_some_and(|it| has_all(it, read))
            || are_whole_family(&ranges_of(it.proxy_protocol.iter().copied()))
    })
}

/// Whether every address of a family is in the list: then it keeps out no one who matters.
fn has_all(list: &AddressList, read: &Files) -> bool {
    are_whole_family(&known_ranges(list, read))
}

fn are_whole_family(ranges: &AddressRanges) -> bool {
    matches!(ranges.are_all(), (true, _) | (_, true))
}

fn is_outside(address: &ListenAddress) -> bool {
    address.sockets().any(|it: SocketAddr| !it.ip().to_canonical().is_loopback())
}

/// Notes what is valid, and probably not meant.
pub(super) fn warnings(config: &Config, warnings: &mut Problems) {
    for (place, client) in config.clients.all.iter().enumerate() {
        check_client(config, client, || config.client_location(place), warnings);
    }
    for route in &config.routes {
        check_route(config, route, warnings);
    }
    check_forwards(config, warnings);
}

fn check_client(
    config: &Config,
    client: &Client,
    location: impl Fn() -> Location,
    warnings: &mut Problems,
) {
    if client.has_expired(unix_seconds()) {
        let what = format!("the tokens of {} have expired", client.name);
        let help = "set a later `expires`, or delete the client".to_owned();
        warnings.add_with_help(&location(), what, [help]);
    }
    let is_its = |route: &&RouteConfig| client.may_use(route.path.as_str().as_bytes());
    let mut its = config.routes.iter().filter(is_its).peekable();
    if its.peek().is_some() && its.all(|route| route.access.is_for_anyone) {
        let what =
            format!("no route of {} asks for a token: all have clients = \"anyone\"", client.name);
        warnings.add(&location(), what);
    }
}

fn check_route(config: &Config, route: &RouteConfig, warnings: &mut Problems) {
    let access = &route.access;
    match &access.keys {
        Some(source) => {
            check_field(route, source, warnings);
            check_pages(config, route, warnings);
        }
        None if access.is_for_anyone && config.clients.is_empty() => {
            let what =
                "clients = \"anyone\" has no effect here: there is no [[client]], and no key";
            let help = "delete it, unless the last [[client]] was just deleted: then a reload \
                        needs it";
            warnings.add_with_help(&route.location, what, [help.to_owned()]);
        }
        None => {}
    }
}

/// Warns of keys that every page in a browser that reaches them may use.
fn check_pages(config: &Config, route: &RouteConfig, warnings: &mut Problems) {
    let access = &route.access;
    if access.cors && !access.is_for_anyone && config.clients.is_empty() {
        let what =
            "every web page could use the keys of this route: cors = true, and no [[client]]";
        let help = "add a client: `narrows token NAME` makes a token and prints the table";
        warnings.add_with_help(&route.location, what, [help.to_owned()]);
    }
}

/// Warns of a well-known API whose keys belong into another field.
fn check_field(route: &RouteConfig, source: &KeySource, warnings: &mut Problems) {
    let Host::Name(name) = &route.upstream.endpoint.host else { return };
    let name = name.to_string().to_ascii_lowercase();
    let known = [
        ("api.anthropic.com", KeyField::XApiKey),
        ("generativelanguage.googleapis.com", KeyField::XGoogApiKey),
        ("openai.azure.com", KeyField::ApiKey),
        ("api.openai.com", KeyField::Authorization),
        ("api.deepseek.com", KeyField::Authorization),
        ("openrouter.ai", KeyField::Authorization),
        ("api.groq.com", KeyField::Authorization),
        ("api.mistral.ai", KeyField::Authorization),
        ("api.x.ai", KeyField::Authorization),
    ];
    let is_it = |host: &str| name == host || name.ends_with(&format!(".{host}"));
    let expected = known.iter().find(|(host, _)| is_it(host)).map(|(_, field)| *field);
    // Gemini has an interface in OpenAI's form, too.
    let takes_bearer = name.ends_with("googleapis.com") && route.upstream.path.contains("openai");
    if let Some(expected) = expected.filter(|it| *it != route.access.key_field && !takes_bearer) {
        let what = format!("{name} expects its key in the field {}", expected.name());
        let help = format!("write key_field = \"{}\"", expected.name().to_ascii_lowercase());
        warnings.add_with_help(source.location(), what, [help]);
    }
}

/// Warns that connections in tcp mode are asked for no token.
fn check_forwards(config: &Config, warnings: &mut Problems) {
    let leads_on = |it: &&ForwardConfig| it.upstream != ForwardUpstream::Http;
    let is_open = config.listeners.iter().any(|it| {
        it.mode == Mode::Tcp && it.client_ca.is_none() && it.addresses.iter().any(is_outside)
    });
    if config.clients.is_empty() || !is_open {
        return;
    }
    for forward in config.forwards.iter().filter(leads_on) {
        let what = "a forward asks for no token: whoever reaches its listener may use it";
        let help =
            "clients of a tcp listener are known by `client_ca`, or by a firewall".to_owned();
        warnings.add_with_help(&forward.location, what, [help]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Problems, check_last_client};
    use crate::config::Config;
    use crate::config::snapshot::Snapshot;
    use crate::config::testing::{read, refuse};
    use crate::config::token_digest::TokenDigest;
    use crate::config::warnings::warnings;
    use crate::tls::testing::pem::Folder;

    const CERTIFICATE: &str = "certificate = \"c\"\nkey = \"k\"\n";

    fn route(more: &str) -> String {
        format!("[[route]]\npath = \"/gpt/\"\nupstream = \"https://api.openai.com/\"\n{more}\n")
    }

    fn listener(address: &str, more: &str) -> String {
        format!("[[listener]]\naddress = {address}\n{CERTIFICATE}{more}\n")
    }

    fn client(more: &str) -> String {
        let token = TokenDigest::of(b"a token of enough letters");
        format!("[[client]]\nname = \"alice\"\ntoken = \"{token}\"\n{more}\n")
    }

    fn warned(text: &str) -> String {
        warnings(&read(text).unwrap()).to_string()
    }

    #[test]
    fn keys_that_everyone_outside_could_use_are_refused_unless_that_is_meant() {
        let keys = route("key_file = \"openai.keys\"");
        let why = "could use the keys of this route: there is no [[client]]; add a client";
        for address in [
            "\":443\"",
            "\"0.0.0.0:443\"",
            "\"[::]:443\"",
            "\"10.0.0.1:443\"",
            "[\"localhost:1\", \"192.0.2.1:443\"]",
        ] {
            refuse(&format!("{}{keys}", listener(address, "")), why);
        }
        let open = listener("\":443\"", "");
        refuse(&format!("{open}{}", route("key_env = \"KEY\"")), why);
        for closed in [
            format!("{}{keys}", listener("[\"localhost:443\", \"127.0.0.2:1\"]", "")),
            format!("{}{keys}", listener("\":443\"", "client_ca = \"ca.pem\"")),
            format!("{open}{keys}{}", client("")),
            format!("{open}{}", route("key_file = \"k\"\nclients = \"anyone\"")),
            format!("{open}{}", route("")),
        ] {
            assert!(read(&closed).is_ok(), "{closed}");
        }
        // Port 80 only leads to https.
        let redirect = "[[listener]]\naddress = \":80\"\nredirect = true\n";
        let https = listener("\"127.0.0.1:443\"", "");
        assert!(read(&format!("{https}{redirect}{keys}")).is_ok());
    }

    #[test]
    fn an_allow_that_keeps_out_no_one_guards_no_keys() {
        let why = "could use the keys of this route: there is no [[client]]";
        let keys = |more: &str| route(&format!("key_file = \"k\"\n{more}"));
        let office = "allow = [\"192.0.2.0/24\"]";
        for all in [
            "allow = [\"0.0.0.0/0\", \"::/0\"]",
            "allow = [\"0.0.0.0/0\"]",
            "allow = [\"0.0.0.0/1\", \"128.0.0.0/1\"]",
            "allow = [\"::/0\", \"192.0.2.7\"]",
        ] {
            refuse(&format!("{}{}", listener("\":443\"", all), keys("")), why);
            refuse(&format!("{}{}", listener("\":443\"", ""), keys(all)), why);
        }
        for invented in [
            "trusted_proxies = [\"0.0.0.0/0\"]",
            "trusted_proxies = [\"::/1\", \"8000::/1\"]",
            "proxy_protocol = [\"0.0.0.0/0\"]",
        ] {
            let open = listener("\":443\"", invented);
            refuse(
                &format!("{}{}", listener("\":443\"", &format!("{invented}\n{office}")), keys("")),
                why,
            );
            refuse(&format!("{open}{}", keys(office)), why);
        }
        let trusts = "trusted_proxies = [\"10.0.0.0/8\"]";
        for closed in [
            format!("{}{}", listener("\":443\"", office), keys("")),
            format!("{}{}", listener("\":443\"", ""), keys(office)),
            format!("{}{}", listener("\":443\"", trusts), keys(office)),
            format!("{}{}", listener("\":443\"", "allow = [\"./office.txt\"]"), keys("")),
        ] {
            assert!(read(&closed).is_ok(), "{closed}");
        }
    }

    #[test]
    fn a_file_that_keeps_out_no_one_guards_no_keys_once_it_is_loaded() {
        let folder = Folder::new();
        folder.write("k", "sk-one\n");
        let load = |of_listener: &str, of_route: &str, ranges: &str| {
            folder.write("office.txt", ranges);
            let listener = format!("[[listener]]\naddress = \":443\"\n{of_listener}\n");
            let route = route(&format!("key_file = \"k\"\n{of_route}"));
            let file = folder.write("narrows.toml", format!("{listener}{route}"));
            Snapshot::load(Config::read(&file).unwrap())
        };
        let file = "allow = [\"office.txt\"]";
        let trusts = "trusted_proxies = [\"office.txt\"]\nallow = [\"192.0.2.7\"]";
        let half = "allow = [\"office.txt\", \"128.0.0.0/1\"]";
        for (listener, route) in [(file, ""), ("", file), (trusts, ""), ("", half)] {
            let first = load(listener, route, "10.0.0.0/8\n").unwrap();
            let problems = load(listener, route, "0.0.0.0/1\n128.0.0.0/1\n").unwrap_err();
            let why = "route.key_file: whoever reaches :443 could use the keys of this route";
            assert!(problems.to_string().contains(why), "{problems}");
            assert!(first.renewed().is_ok());
        }
    }

    #[test]
    fn a_listener_behind_a_proxy_is_reached_by_its_clients_wherever_it_listens() {
        let why = "could use the keys of this route: there is no [[client]]";
        let keys = route("key_file = \"k\"");
        for proxied in [
            "trusted_proxies = [\"127.0.0.1\"]",
            "proxy_protocol = [\"127.0.0.1\"]",
            // It is the proxy that shows a certificate.
            "trusted_proxies = [\"127.0.0.1\"]\nclient_ca = \"ca.pem\"",
        ] {
            let local = |more: &str| listener("\"127.0.0.1:1\"", &format!("{proxied}\n{more}"));
            refuse(&format!("{}{keys}", local("")), why);
            assert!(read(&format!("{}{keys}{}", local(""), client(""))).is_ok());
            assert!(read(&format!("{}{keys}", local("allow = [\"192.0.2.7\"]"))).is_ok());
        }
        let certificates = "proxy_protocol = [\"127.0.0.1\"]\nclient_ca = \"ca.pem\"";
        assert!(read(&format!("{}{keys}", listener("\"127.0.0.1:1\"", certificates))).is_ok());
    }

    #[test]
    fn the_last_client_does_not_leave_its_routes_to_everyone() {
        let told = |listener: &str, route: &str, before: &str| {
            let text = format!("{listener}{route}");
            let before = read(&format!("{text}{before}")).unwrap();
            let mut problems = Problems::default();
            check_last_client(&read(&text).unwrap(), &before, &mut problems);
            problems.to_string()
        };
        let (open, local) = (listener("\":443\"", ""), listener("\"127.0.0.1:1\"", ""));
        let keys = route("key_file = \"k\"");
        for (listener, route) in [(&open, &route("")), (&local, &keys)] {
            let told = told(listener, route, &client(""));
            assert!(told.contains("the last [[client]] is gone, so that this route"), "{told}");
            assert!(told.contains("keep a [[client]] whose `token_file` is empty"), "{told}");
        }
        let anyone = route("clients = \"anyone\"");
        assert_eq!(told(&open, &anyone, &client("")), "");
        assert_eq!(told(&open, &route(""), ""), "", "there was none");
        assert_eq!(told(&local, &route(""), &client("")), "", "no one else reaches it");
        let both = format!("{}{open}{}", route(""), client(""));
        let mut problems = Problems::default();
        check_last_client(&read(&both).unwrap(), &read(&both).unwrap(), &mut problems);
        assert!(problems.is_empty());
    }

    #[test]
    fn a_tcp_listener_that_leads_to_the_routes_opens_them_too() {
        let keys = route("key_file = \"openai.keys\"");
        let tcp = "[[listener]]\naddress = \":443\"\nmode = \"tcp\"\n";
        let http = "[[listener]]\naddress = \"127.0.0.1:1\"\n";
        let forward = |to: &str| format!("[[forward]]\nserver_name = \"*\"\nupstream = \"{to}\"\n");
        refuse(&format!("{tcp}{http}{keys}{}", forward("http")), "whoever reaches :443 could use");
        assert!(read(&format!("{tcp}{http}{keys}{}", forward("tcp://h:1"))).is_ok());
    }

    #[test]
    fn clients_that_protect_nothing_are_warned_about() {
        let open = listener("\":443\"", "");
        assert_eq!(warned(&format!("{open}{}{}", route(""), client("expires = 2999-01-01"))), "");
        let expired = warned(&format!("{open}{}{}", route(""), client("expires = 2001-01-01")));
        assert!(expired.contains("client.name: the tokens of alice have expired"), "{expired}");
        let anyone = route("clients = \"anyone\"");
        let useless = warned(&format!("{open}{anyone}{}", client("")));
        assert!(useless.contains("no route of alice asks for a token"), "{useless}");
        let without = warned(&format!("{open}{anyone}"));
        assert!(without.contains("clients = \"anyone\" has no effect here"), "{without}");
        let pages =
            format!("{}{}", listener("\"127.0.0.1:1\"", ""), route("key_env = \"K\"\ncors = true"));
        assert!(warned(&pages).contains("every web page could use the keys"), "{}", warned(&pages));
        assert_eq!(warned(&format!("{pages}{}", client(""))), "");
        let tcp = "[[listener]]\naddress = \":5432\"\nmode = \"tcp\"\n[[forward]]\n\
                   server_name = \"*\"\nupstream = \"tls://db.example.com:5432\"\n";
        let forward = warned(&format!("{open}{tcp}{}{}", route(""), client("")));
        assert!(forward.contains("a forward asks for no token"), "{forward}");
    }

    #[test]
    fn a_well_known_api_gets_its_key_where_it_expects_it() {
        let of = |url: &str, field: &str| {
            let route =
                format!("[[route]]\npath = \"/\"\nupstream = \"{url}\"\nkey_file = \"k\"\n");
            warned(&format!("{}{route}{field}", listener("\"127.0.0.1:1\"", "")))
        };
        let anthropic = of("https://api.anthropic.com/", "");
        assert!(
            anthropic.contains("route.key_file: api.anthropic.com expects its key in the field")
        );
        assert!(anthropic.contains("write key_field = \"x-api-key\""), "{anthropic}");
        assert_eq!(of("https://api.anthropic.com/", "key_field = \"x-api-key\"\n"), "");
        assert!(of("https://x.openai.azure.com/", "").contains("\"api-key\""));
        assert!(
            of("https://api.openai.com/", "key_field = \"api-key\"\n").contains("authorization")
        );
        let gemini = "https://generativelanguage.googleapis.com/v1beta/";
        assert!(of(gemini, "").contains("\"x-goog-api-key\""));
        assert_eq!(of(&format!("{gemini}openai/"), ""), "");
        assert_eq!(of("https://api.example.com/", ""), "");
    }
}
