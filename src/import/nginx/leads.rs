//! Servers that lead clients from http to https: [`Lead`].

use super::target::Place;
use super::tree::Directive;
use super::variables::names;

/// What leads to https, of the directives of a server.
#[derive(Default)]
pub(super) struct Lead<'t> {
    /// They lead every request, whatever locations there are.
    pub(super) all: Vec<&'t Directive>,
    /// They lead what no other location is for.
    pub(super) rest: Vec<&'t Directive>,
}

impl<'t> Lead<'t> {
    /// The lead of a server of these names.
    pub(super) fn of(server: &'t [Directive], server_names: &[&str]) -> Self {
        let mut lead = Self::default();
        let leads = |it: &Directive| leads_to_https(it, server_names);
        for directive in server {
            let inside = || directive.children().iter().any(leads);
            match directive.name.as_str() {
                "return" | "rewrite" if leads(directive) => lead.all.push(directive),
                "if" if asks_for_scheme_or_host(directive) && inside() => lead.all.push(directive),
                "location" if is_everything(directive) && inside() => lead.rest.push(directive),
                _ => {}
            }
        }
        // certbot writes it after its conditions.
        let is_404 = |it: &&Directive| it.name == "return" && it.argument(0) == "404";
        if !lead.all.is_empty() {
            lead.all.extend(server.iter().filter(is_404));
        }
        lead
    }
}

fn leads_to_https(directive: &Directive, server_names: &[&str]) -> bool {
    let (code, url) = match (directive.name.as_str(), &directive.arguments[..]) {
        ("return", [url]) => ("302", url),
        ("return", [code, url]) => (code.as_str(), url),
        ("rewrite", [_, url, ..]) => ("302", url),
        _ => return false,
    };
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let host = rest.split('/').next().unwrap_or(rest);
    let is_same = server_names.iter().any(|it| host.starts_with(it));
    let is_variable = |it: &str| ["host", "http_host", "server_name"].contains(&it);
    let is_kept = host.starts_with('$') && names(host).next().is_some_and(is_variable);
    ["301", "302", "303", "307", "308"].contains(&code) && (is_same || is_kept)
}

fn asks_for_scheme_or_host(condition: &Directive) -> bool {
    const ASKED: [&str; 5] = ["scheme", "server_port", "https", "host", "ssl_protocol"];
    condition.arguments.iter().flat_map(|it| names(it)).any(|it| ASKED.contains(&it))
}

fn is_everything(location: &Directive) -> bool {
    !location.has("proxy_pass") && Place::of(location) == Place::Prefix("/".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nginx::tree::parse;

    #[test]
    fn every_usual_way_to_lead_to_https_is_known() {
        check("return 301 https://$host$request_uri;", (1, 0));
        check("return 308 https://a.example$request_uri;", (1, 0));
        check("rewrite ^(.*)$ https://$server_name$1 permanent;", (1, 0));
        check(
            "if ($host = a.example) { return 301 https://$host$request_uri; } return 404;",
            (2, 0),
        );
        check("if ($server_port !~ 443) { rewrite ^(/.*)$ https://$host$1 permanent; }", (1, 0));
        check("location / { return 301 https://${host}$request_uri; }", (0, 1));
    }

    #[test]
    fn what_leads_elsewhere_or_sometimes_is_not_one() {
        check("return 301 https://other.example/;", (0, 0));
        check("return 301 http://$host/;", (0, 0));
        check("return 404;", (0, 0));
        check("if ($http_user_agent ~ x) { return 301 https://$host/; }", (0, 0));
        check("location /a/ { return 301 https://$host/; }", (0, 0));
    }

    #[track_caller]
    fn check(text: &str, want: (usize, usize)) {
        let tree = parse(text).unwrap();
        let Lead { all, rest } = Lead::of(&tree, &["a.example"]);
        assert_eq!((all.len(), rest.len()), want);
    }
}
