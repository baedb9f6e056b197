//! Files of another kind in place of a configuration: [`recognized`].
//!
//! One sentence about the whole file helps more than an error for each of its lines. Only a text
//! that is not TOML is looked at, so that a wrong guess cannot refuse a valid file.

use std::ops::Range;

/// What a text is instead of TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recognized {
    /// What it is.
    pub(super) what: &'static str,
    /// What to do.
    pub(super) help: &'static [&'static str],
    /// Where this shows; empty if no line of the file may be shown.
    pub(super) place: Range<usize>,
}

const IN_TOML: &[&str] = &[
    "a file in TOML has [[listener]] and [[route]]; docs/configuration.md begins with an example",
    "no file is needed for one route: narrows run /gpt/=https://api.openai.com/",
];
const NGINX: &[&str] = &[
    "`narrows import nginx FILE > narrows.toml` translates it",
    "no file is needed for one route: narrows run /gpt/=https://api.openai.com/",
];
const UNIT: &[&str] =
    &["a unit names it: ExecStart=/usr/local/bin/narrows run --config /etc/narrows.toml"];
const PEM: &[&str] = &[
    "in a file: [[listener]] with certificate = \"fullchain.pem\" and key = \"privkey.pem\"",
    "as arguments: --certificate fullchain.pem --key privkey.pem",
];

/// A line without blanks around it, and its place.
type Line<'t> = (&'t str, Range<usize>);

/// What `text`, which is not TOML, is instead.
pub(super) fn recognized(text: &str) -> Option<Recognized> {
    let text_of = text.trim_start_matches('\u{feff}');
    let found =
        |what, help, (_, place): &Line<'_>| Some(Recognized { what, help, place: place.clone() });
    if text_of.contains("-----BEGIN ") && text_of.trim_start().starts_with("-----") {
        let what = "this is a PEM file, a certificate or a private key, not a configuration";
        return Some(Recognized { what, help: PEM, place: 0..0 });
    }
    let all: Vec<Line<'_>> = lines(text).collect();
    let first = all.first()?;
    if text_of.starts_with("#!") {
        return found("this is a script, not a configuration", IN_TOML, first);
    }
    let lines: Vec<&Line<'_>> = all.iter().filter(|(line, _)| !line.starts_with('#')).collect();
    let first = *lines.first()?;
    match first.0.chars().next()? {
        '{' => return found("this is JSON, not TOML", IN_TOML, first),
        '<' => return found("this is HTML or XML, not TOML", IN_TOML, first),
        _ => {}
    }
    let find = |is: fn(&str) -> bool| lines.iter().find(|(line, _)| is(line));
    if let Some(line) = find(is_unit_header) {
        return found("this is a systemd unit, not a configuration", UNIT, line);
    }
    if let Some(line) = find(is_nginx) {
        return found("this is a configuration of nginx, not TOML", NGINX, line);
    }
    if let Some(line) = find(is_caddy) {
        return found("this is a Caddyfile, not TOML", IN_TOML, line);
    }
    if let Some(line) = find(is_haproxy) {
        return found("this is a configuration of HAProxy, not TOML", IN_TOML, line);
    }
    let has_toml = lines.iter().any(|(line, _)| line.starts_with('[') || line.contains('='));
    if !has_toml && is_yaml(first.0) {
        return found("this is YAML, not TOML", IN_TOML, first);
    }
    None
}

/// The lines that are not blank.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    text.split_inclusive('\n').filter_map(move |whole| {
        let line = whole.trim();
        let from = start + whole.find(line).unwrap_or(0);
        start += whole.len();
        (!line.is_empty()).then_some((line, from..from + line.len()))
    })
}

fn is_unit_header(line: &str) -> bool {
    matches!(line, "[Unit]" | "[Service]" | "[Socket]" | "[Install]" | "[Timer]")
}

fn is_nginx(line: &str) -> bool {
    const DIRECTIVES: &[&str] = &[
        "listen",
        "server_name",
        "location",
        "proxy_pass",
        "proxy_set_header",
        "root",
        "include",
        "worker_processes",
        "ssl_certificate",
        "ssl_certificate_key",
        "return",
        "user",
    ];
    let word = line.split_whitespace().next().unwrap_or_default();
    let is_block = line.ends_with('{') && matches!(word, "server" | "http" | "events" | "location");
    is_block || (line.ends_with(';') && !line.contains('=') && DIRECTIVES.contains(&word))
}

fn is_caddy(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    let is_block = line.ends_with(" {") && !line.contains('=');
    is_block || (matches!(word, "reverse_proxy" | "handle_path") && !line.contains('='))
}

fn is_haproxy(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("frontend" | "backend" | "listen"), Some(name), None) => {
            name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it))
        }
        (Some("global" | "defaults"), None, None) => true,
        _ => false,
    }
}

/// `---`, `- item`, `key:` or `key: value`.
fn is_yaml(line: &str) -> bool {
    let key = line.split_once(':').filter(|(_, rest)| rest.is_empty() || rest.starts_with(' '));
    let is_name = |key: &str| {
        !key.is_empty()
            && key.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-\".".contains(&it))
    };
    line == "---" || line.starts_with("- ") || key.is_some_and(|(key, _)| is_name(key))
}
