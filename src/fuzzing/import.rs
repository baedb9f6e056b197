//! Configurations of other programs.

use crate::config::Config;
use crate::import::{Imported, Note, Refused, nginx};
use std::path::Path;

/// Importing never panics. A result loads, and comes with all of its remarks in its comments; each
/// remark is one line of bounded length, about lines that the text has, and so is a refusal.
pub fn import(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = 1 + text.matches('\n').count();
    let check = |notes: &[Note]| {
        assert!(notes.len() <= 2 * lines.max(data.len()));
        for note in notes {
            assert!(note.lines.iter().all(|it| (1..=lines).contains(it)), "{note}");
            let told = note.to_string();
            assert!(told.len() < 400 && !told.chars().any(char::is_control), "{told:?}");
        }
    };
    match nginx::translate("nginx.conf", &text) {
        Ok(Imported { toml, left_out }) => {
            check(&left_out);
            Config::parse("narrows.toml", Path::new("/etc"), &toml).expect("it loads");
            let missing = left_out.iter().find(|it| !toml.contains(&format!("# {it}\n")));
            assert_eq!(missing, None);
        }
        Err(Refused::Syntax { line, what }) => {
            assert!((1..=lines).contains(&line) && !what.is_empty());
        }
        Err(Refused::Nothing(notes)) => check(&notes),
        Err(Refused::Foreign | Refused::Contradiction(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::arrival::Random;
    use super::import;

    /// Words of nginx in any order, so that most texts follow the grammar.
    #[test]
    fn any_configuration_that_follows_the_grammar_is_imported_or_refused() {
        const WORDS: &[&str] = &[
            "listen 80;",
            "listen [::]:80;",
            "listen 443 ssl;",
            "listen localhost:443 ssl default_server;",
            "listen 127.0.0.1:80 proxy_protocol;",
            "server_name a.example b.example;",
            "server_name *.example;",
            "ssl_certificate c; ssl_certificate_key k;",
            "ssl_verify_client on; ssl_client_certificate ca;",
            "return 301 https://$host$request_uri;",
            "if ($scheme = http) { return 301 https://$host$request_uri; }",
            "deny all;",
            "auth_basic x;",
            "resolver 1.1.1.1 ipv6=off;",
            "proxy_set_header Host $host;",
            "proxy_set_header Host b.example:81;",
            "proxy_set_header Authorization \"Bearer x\";",
            "proxy_set_header x-api-key $API_KEY;",
            "proxy_ssl_name c.example;",
            "proxy_redirect off;",
            "proxy_read_timeout 90s;",
            "set_real_ip_from 10.0.0.0/8;",
            "location /a { proxy_pass http://u/; }",
            "location / { proxy_pass https://d.example; proxy_ssl_verify off; }",
            "location /a/ { proxy_pass https://10.0.0.1; proxy_set_header Host e.example; }",
            "location = /v1/models { proxy_pass http://f/v1/models; }",
            "location ~ ^/b/(.*) { proxy_pass https://g/$1; }",
            "location ~ /c/(?<rest>.*) { proxy_pass https://g/$rest; }",
            "location /d/ { proxy_pass https://g/v1/chat/completions; }",
            "location /a/b/ { return 403; }",
            "upstream u { server 10.0.0.1:80; server h; }",
            "server {",
            "}",
            "server {",
            "http {",
            "stream { server { listen 443; proxy_pass i:1; } }",
        ];
        let mut random = Random::of(b"nginx");
        for _ in 0..200 {
            let (mut text, mut depth) = (String::new(), 0);
            for _ in 0..random.below(30) {
                let word = WORDS[random.below(WORDS.len())];
                if word == "}" && depth == 0 {
                    continue;
                }
                depth += usize::from(word.ends_with(" {"));
                depth -= usize::from(word == "}");
                text += word;
                text.push('\n');
            }
            text += &"}".repeat(depth);
            import(text.as_bytes());
        }
    }
}
