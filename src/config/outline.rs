//! What a configuration means, for `narrows check`: where it listens, where requests go, whose
//! certificates are shown and for how long.

use super::identifier::Identifier;
use super::keys::limits::Limits;
use super::keys::listener::ListenerConfig;
use super::keys::route::RouteConfig;
use super::keys::timeouts;
use super::keys::top::Config;
use super::managed::ManagedCertificate;
use super::own_certificate::OwnCertificate;
use super::reach::Reach;
use super::route_access::KeySource;
use super::snapshot::{Snapshot, count};
use super::url::Scheme;
use crate::gateway::access::Client;
use crate::tls::validity::since_1970;
use humantime::format_rfc3339_seconds;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most names of a certificate that are shown.
const NAMES_MAX: usize = 4;

/// Some lines, by listener, route and forward, with what differs from the default limits.
pub fn outline(snapshot: &Snapshot, now: SystemTime) -> String {
    let config = &snapshot.config;
    let listeners = config.listeners.iter().map(|it| {
        let parts = [certificate(snapshot, it, now), addresses(it)];
        (it.urls(), parts.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; "))
    });
    let clients = config.clients.all.iter().enumerate();
    let clients = clients.map(|(place, it)| (it.name.to_string(), client(snapshot, place, it)));
    let routes = config.routes.iter().zip(&snapshot.routes).map(|(it, loaded)| {
        let keys = loaded.access.as_ref().and_then(|access| access.keys.as_ref());
        let keys = keys.map_or(0, |keys| keys.iter().count());
        (it.path.as_str().to_owned(), format!("{}{}", upstream(it), access(it, keys)))
    });
    let forwards = config.forwards.iter().map(|it| {
        let detour = it.reach.as_ref().map(detour).unwrap_or_default();
        (it.server_name.text.to_string(), format!("{}{detour}", it.upstream))
    });
    [
        section("listeners", "  ", listeners.collect()),
        section("clients", "  ", clients.collect()),
        section("routes", "  ->  ", routes.collect()),
        section("forwards", "  ->  ", forwards.collect()),
        section("settings", "  =  ", settings(config)),
    ]
    .concat()
}

/// A heading, and a row of two columns for each of `rows`. The second may have several lines.
fn section(heading: &str, between: &str, rows: Vec<(String, String)>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let indent = format!("\n{:1$}", "", 2 + width + between.len());
    let row = |(left, right): &(String, String)| match right.as_str() {
        "" => format!("  {left}\n"),
        right => format!("  {left:<width$}{between}{}\n", right.replace('\n', &indent)),
    };
    let rows: String = rows.iter().map(row).collect();
    format!("{heading}\n{rows}")
}

/// What the listener shows, or awaits: a line for each certificate.
fn certificate(snapshot: &Snapshot, listener: &ListenerConfig, now: SystemTime) -> String {
    let named = listener.certificates.iter().filter_map(|files| {
        let mut loaded = snapshot.certificates.iter();
        let own = loaded.find(|own| own.file == files.certificate.path)?;
        Some(format!("certificate for {}, {}", names(&own.names), days_left(own, now)))
    });
    let of_listener = |it: &&ManagedCertificate| it.location == listener.domains_location;
    let managed = snapshot.managed.iter().filter(of_listener).map(|it| {
        let state = match &it.stored {
            Some(own) => days_left(own, now),
            None if it.is_unreadable => "which this user may not read".to_owned(),
            None if it.awaited.is_empty() => {
                "not there yet: `narrows run` orders it, and another serves until then".to_owned()
            }
            None => "not there yet: `narrows run` orders it".to_owned(),
        };
        let domains: Vec<_> = it.names.iter().map(Identifier::to_string).collect();
        format!("certificate by ACME for {}, {state}", names(&domains))
    });
    if listener.redirect {
        return "redirect to https".to_owned();
    }
    let managed = managed.filter(|_| !listener.domains.is_empty());
    let rules = listener.client_ca.as_ref().map(|it| {
        let lists = if it.crl.is_some() { ", unless revoked" } else { "" };
        format!("clients need a certificate by {}{lists}", it.roots.path.display())
    });
    named.chain(managed).chain(rules).collect::<Vec<_>>().join("\n")
}

/// Who is served, and who may say who that is.
fn addresses(listener: &ListenerConfig) -> String {
    let allow = listener.allow.as_ref().map(|it| format!("only for {}", it.summary()));
    let trusted = listener
        .trusted_proxies
        .as_ref()
        .map(|it| format!("client by {} from {}", listener.client_address.name(), it.summary()));
    allow.into_iter().chain(trusted).collect::<Vec<_>>().join("; ")
}

/// The first of the names of a certificate.
pub(crate) fn names(all: &[String]) -> String {
    let shown = all.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => "no name".to_owned(),
        more if more > NAMES_MAX => format!("{shown} and {} more", more - NAMES_MAX),
        _ => shown,
    }
}

/// How long a certificate is valid, in days.
pub(crate) fn days_left(own: &OwnCertificate, now: SystemTime) -> String {
    let now = since_1970(now);
    match own.not_after - now {
        ..0 => "expired".to_owned(),
        left => match left / (24 * 60 * 60) {
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        },
    }
}

/// What a client has: tokens, routes, limits.
fn client(snapshot: &Snapshot, place: usize, client: &Client) -> String {
    let of_files = snapshot.access.clients.count_of_files(place);
    let tokens = count(usize::from(client.token.is_some()) + of_files, "token");
    let rules = client.rules.as_deref().cloned().unwrap_or_default();
    let routes = rules.routes.map(|it| String::from_utf8_lossy(&it.join(&b", "[..])).into_owned());
    let until = rules.expires.and_then(|it| UNIX_EPOCH.checked_add(Duration::from_secs(it)));
    let until = until.map(|it| format!("until {}", format_rfc3339_seconds(it)));
    let exchanges = rules.limits.exchanges.map(|it| count(it as usize, "exchange"));
    let rate = rules.limits.requests_per_minute;
    let rate = rate.map(|it| count(it as usize, "request") + " a minute");
    [Some(tokens), routes, until, exchanges, rate]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}

/// Who may use a route, where that is not as for the others, and its number of keys.
fn access(route: &RouteConfig, keys: usize) -> String {
    let options = &route.access;
    let keys = options.keys.as_ref().map(|source| match source {
        KeySource::File(file) => format!("{} in {}", count(keys, "key"), file.path.display()),
        KeySource::Variable(name, _) => format!("the key in ${}", name.as_str()),
    });
    let anyone = options.is_for_anyone.then(|| "anyone".to_owned());
    let websocket = (!options.websocket).then(|| "no WebSocket".to_owned());
    let allow = options.allow.as_ref().map(|it| format!("only for {}", it.summary()));
    let parts: Vec<_> = [keys, anyone, allow, websocket].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) }
}

fn upstream(route: &RouteConfig) -> String {
    let url = &route.upstream;
    let scheme = match url.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    format!("{scheme}://{}{}{}", url.authority, url.path, detour(&route.reach))
}

/// How it is reached, where that is not as its URL says.
fn detour(reach: &Reach) -> String {
    let connect = Some(&reach.connect).filter(|it| **it != reach.endpoint);
    let connect = connect.map(|it| format!("connect {it}"));
    let ca = reach.ca.as_ref().map(|it| format!("ca {}", it.path.display()));
    let parts: Vec<_> = connect.into_iter().chain(ca).collect();
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) }
}

/// The number of workers, if it is set, and the limits that differ from the defaults.
fn settings(config: &Config) -> Vec<(String, String)> {
    let (limits, default) = (&config.limits, Limits::default());
    let workers = config.workers.map(|it| ("workers".to_owned(), it.to_string()));
    let of = [
        ("connections", limits.connections, default.connections),
        (
            "connections_per_address",
            limits.per_address.connections,
            default.per_address.connections,
        ),
        ("head_bytes", limits.head.bytes, default.head.bytes),
        ("header_fields", limits.head.fields, default.head.fields),
    ];
    let changed = of.into_iter().filter(|(_, value, default)| value != default);
    let limits = changed.map(|(name, value, _)| (format!("limits.{name}"), value.to_string()));
    workers.into_iter().chain(limits).chain(timeouts::changed(&config.timeouts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::chain::{INTERMEDIATE, LEAF, LEAF_KEY};
    use crate::tls::testing::pem::{CERTIFICATE, Folder, KEY};
    use std::fs;
    use std::time::Duration;

    #[test]
    fn everything_that_was_understood_is_listed() {
        let folder = Folder::new();
        folder.write("c.pem", CERTIFICATE);
        folder.write("k.pem", KEY);
        let file = folder.write(
            "narrows.toml",
            r#"
            workers = 2
            limits.connections = 500
            timeouts = { response_head = "90s", stop_delay = "5s", to_client = { write = "500ms" } }
            [[listener]]
            address = [":443", "127.0.0.1:8443"]
            certificate = "c.pem"
            key = "k.pem"
            [[listener]]
            address = "localhost:8080"
            [[listener]]
            address = ":5432"
            mode = "tcp"
            [[route]]
            path = "/gpt/"
            upstream = "https://api.openai.com/"
            [[route]]
            path = "/local/v1/"
            upstream = "http://models.internal/v1/"
            connect = "127.0.0.1:9443"
            [[forward]]
            server_name = "*"
            upstream = "tls://db.example.com:5432"
            "#,
        );
        let snapshot = Snapshot::load(Config::read(&file).unwrap()).unwrap();
        let own = &snapshot.certificates[0];
        let end = UNIX_EPOCH + Duration::from_secs(own.not_after.unsigned_abs());
        let day = Duration::from_secs(24 * 60 * 60);
        let names = names(&own.names);
        let want = format!(
            "listeners\n  \
             https://:443, https://127.0.0.1:8443  certificate for {names}, 61 days left\n  \
             http://localhost:8080\n  \
             tcp://:5432\n\
             routes\n  \
             /gpt/       ->  https://api.openai.com/\n  \
             /local/v1/  ->  http://models.internal/v1/  (connect 127.0.0.1:9443)\n\
             forwards\n  \
             *  ->  tls://db.example.com:5432\n\
             settings\n  \
             workers                   =  2\n  \
             limits.connections        =  500\n  \
             timeouts.response_head    =  90s\n  \
             timeouts.stop_delay       =  5s\n  \
             timeouts.to_client.write  =  500ms\n"
        );
        assert_eq!(outline(&snapshot, end - 61 * day), want);
        assert!(outline(&snapshot, end - day).contains(", 1 day left\n"));
        assert!(outline(&snapshot, end + day).contains(", expired\n"));
    }

    #[test]
    fn clients_and_keys_are_counted_and_not_shown() {
        let folder = Folder::new();
        folder.write("k", "sk-hunter2\nsk-hunter3\n");
        let text = r#"
            [[listener]]
            address = "localhost:1"
            [[client]]
            name = "alice"
            token = "sha256:9f2c1f2a35f5e0d1c1b7a1a4a7de4f8b1f0a5d0c6b9e3d7f8a2b4c6d8e0f1a3b"
            [[client]]
            name = "bob"
            token = "sha256:1f2c1f2a35f5e0d1c1b7a1a4a7de4f8b1f0a5d0c6b9e3d7f8a2b4c6d8e0f1a3b"
            routes = ["/a/", "/b/"]
            expires = 2030-01-01
            exchanges = 8
            requests_per_minute = 1
            [[route]]
            path = "/a/"
            upstream = "https://a.example/"
            key_file = "k"
            websocket = false
            [[route]]
            path = "/b/"
            upstream = "https://b.example/"
            clients = "anyone"
        "#;
        let file = folder.write("narrows.toml", text);
        let snapshot = Snapshot::load(Config::read(&file).unwrap()).unwrap();
        let outline = outline(&snapshot, UNIX_EPOCH);
        let want = format!(
            "clients\n  alice  1 token\n  bob    1 token; /a/, /b/; until 2030-01-01T00:00:00Z; \
             8 exchanges; 1 request a minute\nroutes\n  \
             /a/  ->  https://a.example/  (2 keys in {}, no WebSocket)\n  \
             /b/  ->  https://b.example/  (anyone)\n",
            folder.path("k").display()
        );
        assert!(outline.ends_with(&want), "{outline}");
    }

    #[test]
    fn certificates_of_one_listener_are_told_apart_and_shared_ones_found() {
        let folder = Folder::new();
        folder.write("a.pem", format!("{CERTIFICATE}{KEY}"));
        folder.write("b.pem", format!("{LEAF}{INTERMEDIATE}{LEAF_KEY}"));
        let pair =
            |name: &&str| format!("{{ certificate = \"{name}.pem\", key = \"{name}.pem\" }}");
        let listener = |port, names: &[&str]| {
            let pairs: Vec<_> = names.iter().map(pair).collect();
            format!("[[listener]]\naddress = \":{port}\"\ncertificates = [{}]\n", pairs.join(", "))
        };
        let route = "[[route]]\npath = \"/\"\nupstream = \"https://h/\"\n";
        let second = format!("{}client_ca = \"a.pem\"\n", listener(2, &["b"]));
        let text = format!("{}{second}{route}", listener(1, &["a", "b"]));
        let file = folder.write("narrows.toml", text);
        let snapshot = Snapshot::load(Config::read(&file).unwrap()).unwrap();
        let outline = outline(&snapshot, UNIX_EPOCH);
        let names: Vec<_> = snapshot.certificates.iter().map(|it| names(&it.names)).collect();
        let [a, b] = [0, 1].map(|it| format!("certificate for {}, ", names[it]));
        let lines: Vec<_> = outline.lines().collect();
        assert_ne!(a, b);
        assert!(lines[1].contains(&a) && lines[2].contains(&b), "{outline}");
        assert!(!lines[3].contains(&a) && lines[3].contains(&b), "{outline}");
        let rules = format!("clients need a certificate by {}", folder.path("a.pem").display());
        assert!(lines[4].trim_start() == rules && outline.matches(&rules).count() == 1);
        assert!(lines[2].starts_with(&" ".repeat(lines[1].find("cert").unwrap())), "{outline}");
    }

    #[test]
    fn certificates_that_are_ordered_are_listed_with_what_is_there_of_them() {
        let folder = Folder::new();
        let text = r#"
            [[listener]]
            address = ":443"
            domains = ["localhost", "127.0.0.1"]
            [[listener]]
            address = ":80"
            redirect = true
            [[route]]
            path = "/"
            upstream = "https://api.openai.com/"
            [acme]
            state = "state"
        "#;
        let of = || {
            let file = folder.write("narrows.toml", text);
            let snapshot = Snapshot::load(Config::read(&file).unwrap()).unwrap();
            let own = snapshot.managed[0].stored.as_ref();
            let end = own.map_or(0, |own| own.not_after.unsigned_abs());
            let day = Duration::from_secs(24 * 60 * 60);
            let now = (UNIX_EPOCH + Duration::from_secs(end)).checked_sub(61 * day);
            let outline = outline(&snapshot, now.unwrap_or(UNIX_EPOCH));
            (snapshot.managed[0].file.clone(), outline)
        };
        let (file, outline) = of();
        let line = |name: &str, address: &str| {
            format!(
                "  https://:443  certificate by ACME for localhost, {name}\n                \
                 certificate by ACME for 127.0.0.1, {address}\n  http://:80    redirect to https\n"
            )
        };
        let ordered = "not there yet: `narrows run` orders it";
        assert!(outline.contains(&line(ordered, ordered)), "{outline}");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("{CERTIFICATE}{KEY}")).unwrap();
        let (_, outline) = of();
        let meanwhile = format!("{ordered}, and another serves until then");
        assert!(outline.contains(&line("61 days left", &meanwhile)), "{outline}");
    }

    #[test]
    fn many_names_are_shortened() {
        let many: Vec<_> = (0..9).map(|it| format!("{it}.example")).collect();
        assert_eq!(names(&many), "0.example, 1.example, 2.example, 3.example and 5 more");
        assert_eq!(names(&[]), "no name");
    }
}
