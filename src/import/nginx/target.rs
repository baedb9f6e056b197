//! Where `proxy_pass` leads: [`Target`].

use super::mapping::{Mapping, prefix_of, unanchored_prefix_of};
use super::scope::Scope;
use super::tree::Directive;
use super::variables::{Piece, expand};

/// A server, and the path that is sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) is_tls: bool,
    /// Host and port, or the name of an `upstream`.
    pub(super) authority: String,
    pub(super) mapping: Mapping,
    /// The rewrite that the mapping is made from.
    pub(super) rewrite: Option<usize>,
}

/// Which paths a `location` is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Those that begin with this.
    Prefix(String),
    /// This one.
    Exact(String),
    /// Those that match an expression.
    Regex(String),
    /// None: others lead to it.
    Named,
}

impl Place {
    /// The place of a `location`. Its operator may be a word of its own, or not.
    pub(super) fn of(location: &Directive) -> Self {
        let words = location.arguments.join(" ");
        let after = |mark: &str| words.strip_prefix(mark).map(|it| it.trim_start().to_owned());
        if words.starts_with('@') {
            return Self::Named;
        }
        if let Some(path) = after("=") {
            return Self::Exact(path);
        }
        if let Some(regex) = after("~*").or_else(|| after("~")) {
            return Self::Regex(regex);
        }
        Self::Prefix(after("^~").unwrap_or(words))
    }

    /// Whether `variable` is what the only group of its expression takes.
    fn captures(&self, variable: &str) -> bool {
        let name = match self {
            Self::Regex(regex) => unnamed(regex).1,
            Self::Prefix(_) | Self::Exact(_) | Self::Named => None,
        };
        variable == "1" || name == Some(variable)
    }

    /// Whether it is an expression for a path that nginx finds anywhere in one.
    pub(super) fn is_unanchored(&self) -> bool {
        matches!(self, Self::Regex(regex) if regex.starts_with('/'))
    }
}

/// Where a location leads, or why that cannot be said.
pub(super) fn target(
    place: &Place,
    proxy_pass: &Directive,
    scope: &Scope<'_>,
) -> Result<Target, &'static str> {
    let mut pieces = expand(proxy_pass.argument(0), scope);
    drop_query(&mut pieces);
    let Some(Piece::Text(first)) = pieces.first() else {
        return Err("a route has one upstream, and this is one that a variable names");
    };
    let (is_tls, rest) = match (first.strip_prefix("https://"), first.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("a route leads to http:// or https://"),
    };
    if rest.starts_with("unix:") {
        return Err(
            "narrows does not connect to unix sockets; let the upstream listen on 127.0.0.1",
        );
    }
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let sent = match &pieces[1..] {
        [] if path.is_empty() => Sent::Same,
        [] if proxy_pass.argument(0).contains('$') => {
            return Err("with a variable nginx sends every request to this one path, and a route \
                        only replaces a prefix");
        }
        [] => Sent::Path(path),
        [Piece::Variable(name)] if WHOLE.contains(&name.as_str()) => Sent::Below(path),
        [Piece::Variable(name)] if place.captures(name) && !path.is_empty() => Sent::Captured(path),
        _ if path.is_empty() => {
            return Err("a route has one upstream, and this is one that a variable names");
        }
        _ => return Err("a route only replaces a prefix, and this path has other variables"),
    };
    let rewrite = rewrite(place, scope)?;
    let mapping = match (&rewrite, sent) {
        (Some((_, mapping)), Sent::Same | Sent::Path(_)) => mapping.clone(),
        (Some(_), Sent::Below(_) | Sent::Captured(_)) => {
            return Err("a route only replaces a prefix, and here both rewrite and variables do");
        }
        (None, sent) => mapping(place, sent)?,
    };
    let rewrite = rewrite.map(|(id, _)| id);
    Ok(Target { is_tls, authority: authority.to_owned(), mapping, rewrite })
}

/// What is sent in place of a request's path.
enum Sent<'t> {
    /// The same path.
    Same,
    /// This in place of the location's.
    Path(&'t str),
    /// The same path, after this one.
    Below(&'t str),
    /// What the first group of the location has captured, after this.
    Captured(&'t str),
}

/// Variables that are a request's whole path.
const WHOLE: [&str; 3] = ["request_uri", "uri", "document_uri"];

fn mapping(place: &Place, sent: Sent<'_>) -> Result<Mapping, &'static str> {
    let (from, group) = match place {
        Place::Prefix(path) => (path.clone(), None),
        Place::Regex(regex) => {
            let is_captured = matches!(sent, Sent::Captured(_));
            let (regex, _) = unnamed(regex);
            let anywhere = || unanchored_prefix_of(&regex).filter(|_| is_captured);
            let (text, group) = prefix_of(&regex)
                .or_else(anywhere)
                .ok_or("a route is a prefix, and this expression matches more than one")?;
            (text, Some(group))
        }
        Place::Exact(path) => (path.clone(), None),
        Place::Named => return Err("a route is a prefix of paths, and this has none"),
    };
    let to = match (sent, group) {
        (Sent::Same, _) => from.clone(),
        (Sent::Path(path), None) => path.to_owned(),
        (Sent::Below(path), _) => format!("{}{from}", path.trim_end_matches('/')),
        (Sent::Captured(path), Some(group)) => format!("{path}{group}"),
        (Sent::Captured(_), None) => return Err("nothing is captured that $1 could be"),
        (Sent::Path(_), Some(_)) => {
            return Err("it sends every request to one path, and a route only replaces a prefix");
        }
    };
    let mapping = Mapping { from, to };
    match place {
        Place::Prefix(_) | Place::Exact(_) if mapping.is_one_path() => Err(
            "a route replaces a prefix, and this gives one endpoint another name; a route to the \
             API's base URL serves clients that ask for the endpoint itself",
        ),
        Place::Exact(_) if mapping.shared_prefix().is_none() => {
            Err("a route is a prefix that ends in \"/\", and this is one path")
        }
        Place::Exact(_) | Place::Prefix(_) | Place::Regex(_) | Place::Named => Ok(mapping),
    }
}

/// An expression whose group has no name any more, and the name: `(?<rest>.*)`.
fn unnamed(regex: &str) -> (String, Option<&str>) {
    let group = regex.split_once("(?<").or_else(|| regex.split_once("(?P<"));
    match group.and_then(|(before, group)| Some((before, group.split_once('>')?))) {
        Some((before, (name, rest))) => (format!("{before}({rest}"), Some(name)),
        None => (regex.to_owned(), None),
    }
}

/// The mapping of the `rewrite` of a location, and the rewrite's number.
fn rewrite(place: &Place, scope: &Scope<'_>) -> Result<Option<(usize, Mapping)>, &'static str> {
    let rewrites: Vec<_> = scope.own().iter().filter(|it| it.name == "rewrite").collect();
    let rewrite = match rewrites[..] {
        [] => return Ok(None),
        [only] => only,
        [_, _, ..] => return Err("a route only replaces a prefix, and here are several rewrites"),
    };
    let why = "a route only replaces a prefix, and this rewrite does more";
    let is_place = |from: &str| match place {
        Place::Prefix(path) => path.trim_end_matches('/') == from.trim_end_matches('/'),
        Place::Exact(_) | Place::Regex(_) | Place::Named => false,
    };
    // What the location is for is where nginx finds the expression first.
    let anywhere = || unanchored_prefix_of(rewrite.argument(0)).filter(|(from, _)| is_place(from));
    let (from, group) = prefix_of(rewrite.argument(0)).or_else(anywhere).ok_or(why)?;
    let to = rewrite.argument(1);
    let to = to.strip_suffix("?$args").or(to.strip_suffix("$is_args$args")).unwrap_or(to);
    let to = to.strip_suffix("$1").ok_or(why)?;
    let is_path = (to.starts_with('/') || !group.is_empty()) && !to.contains(['$', '?', ':']);
    let (to, is_break) = (format!("{to}{group}"), rewrite.argument(2) == "break");
    let mapping = is_path.then_some(Mapping { from, to });
    Ok(Some((rewrite.id, mapping.filter(|_| is_break).ok_or(why)?)))
}

/// The query goes with every request.
fn drop_query(pieces: &mut Vec<Piece>) {
    let is = |piece: Option<&Piece>, names: &[&str]| match piece {
        Some(Piece::Variable(name)) => names.contains(&name.as_str()),
        Some(Piece::Text(_)) | None => false,
    };
    if !is(pieces.last(), &["args", "query_string"]) {
        return;
    }
    pieces.pop();
    if is(pieces.last(), &["is_args"]) {
        pieces.pop();
    } else if let Some(Piece::Text(text)) = pieces.last_mut()
        && let Some(path) = text.strip_suffix('?')
    {
        *text = path.to_owned();
        if text.is_empty() {
            pieces.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nginx::tree::parse;

    #[test]
    fn a_literal_url_replaces_the_location_or_keeps_it() {
        check("location /gpt/ { proxy_pass https://h/; }", "https h /gpt/ /");
        check("location /gpt/ { proxy_pass http://h:81; }", "http h:81 /gpt/ /gpt/");
        check("location ^~ /gpt/ { proxy_pass https://h/v1/; }", "https h /gpt/ /v1/");
        check(
            "location = /v1/messages { proxy_pass https://h/v1/messages; }",
            "https h /v1/messages /v1/messages",
        );
    }

    #[test]
    fn variables_stand_for_the_upstream_the_path_the_query_and_a_group() {
        let set = "set $up https://h; location /a/ { proxy_pass ";
        check(&format!("{set}$up; }}"), "https h /a/ /a/");
        check(&format!("{set}$up$request_uri; }}"), "https h /a/ /a/");
        check(&format!("{set}$up/x$request_uri; }}"), "https h /a/ /x/a/");
        check(&format!("{set}$up$uri$is_args$args; }}"), "https h /a/ /a/");
        check("location ~ ^/a/(.*)$ { proxy_pass https://h/$1?$args; }", "https h /a/ /");
        check("location ~* ^/a(/.*)$ { proxy_pass https://h/v1$1; }", "https h /a/ /v1/");
        check("location ~ /a/(.*) { proxy_pass https://h/$1$is_args$args; }", "https h /a/ /");
        check(
            "location ~* ^/a/(?<rest>.*)$ { proxy_pass https://h/$rest?$args; }",
            "https h /a/ /",
        );
        check("location ~^/a/ { proxy_pass https://h; }", "https h /a/ /a/");
    }

    #[test]
    fn a_rewrite_with_break_is_the_mapping() {
        let with = |rewrite: &str| {
            format!("location /a/ {{ rewrite {rewrite}; proxy_pass https://h/y/; }}")
        };
        check(&with("^/a/(.*)$ /$1 break"), "https h /a/ /");
        check(&with("^/a(/.*) /v1$1?$args break"), "https h /a/ /v1/");
        check(&with("^/a(/.*) $1 break"), "https h /a/ /");
        refuse(&with("^/a/(.*)$ /$1 last"), "this rewrite does more");
        check(&with("/a/(.*) /$1 break"), "https h /a/ /");
        check("location /a { rewrite /a/(.*) /$1 break; proxy_pass https://h; }", "https h /a/ /");
        refuse(&with("/b/(.*) /$1 break"), "this rewrite does more");
        refuse(&with("^/(b|a)/(.*)$ /$1 break"), "this rewrite does more");
        refuse(&with("^/a/(.*)$ /$1 break; rewrite a b"), "several rewrites");
    }

    #[test]
    fn what_no_route_can_say_is_refused() {
        refuse("set $h h; location /a/ { proxy_pass https://$h/b/; }", "to this one path");
        refuse("location / { proxy_pass $http_x; }", "a variable names");
        refuse("location / { proxy_pass https://$host/; }", "a variable names");
        refuse("location ~ ^/(.*) { proxy_pass $scheme://$1; }", "a variable names");
        refuse("location / { proxy_pass ftp://h/; }", "leads to http://");
        refuse("location / { proxy_pass http://unix:/s:/; }", "unix sockets");
        refuse("location @a { proxy_pass https://h; }", "this has none");
        refuse("location ~ \\.php$ { proxy_pass https://h; }", "more than one");
        refuse("location ~ /a/(.*) { proxy_pass https://h; }", "more than one");
        refuse("location ~ ^/a/(?<b>.*) { proxy_pass https://h/$c; }", "other variables");
        refuse("location ~ ^/a/(?<b>.*)/(.*) { proxy_pass https://h/$b; }", "more than one");
        refuse("location = /chat { proxy_pass https://h/v1/chat/completions; }", "another name");
        refuse("location = / { proxy_pass https://h; }", "this is one path");
        refuse("location = /a { proxy_pass https://h/b; }", "this is one path");
        refuse("location /chat { proxy_pass https://h/v1/chat/completions; }", "another name");
        refuse("location ~ ^/a/ { proxy_pass https://h/$2; }", "other variables");
        refuse("location /a/ { proxy_pass https://h/$1; }", "nothing is captured");
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        let target = read(text).unwrap();
        let Target { is_tls, authority, mapping, .. } = &target;
        let scheme = if *is_tls { "https" } else { "http" };
        assert_eq!(format!("{scheme} {authority} {} {}", mapping.from, mapping.to), want);
    }

    #[track_caller]
    fn refuse(text: &str, why: &str) {
        let what = read(text).unwrap_err();
        assert!(what.contains(why), "{what}");
    }

    fn read(text: &str) -> Result<Target, &'static str> {
        let tree = parse(text).unwrap();
        let location = tree.iter().find(|it| it.name == "location").unwrap();
        let scope = Scope::new(&tree).with(location.children());
        target(&Place::of(location), scope.last("proxy_pass").unwrap(), &scope)
    }
}
