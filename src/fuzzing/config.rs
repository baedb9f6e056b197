//! The configuration file.

use super::oracle;
use crate::config::Config;
use crate::config::keys::route::WARM_RANGE;
use crate::config::keys::top::WORKERS_RANGE;
use crate::config::problem::Problems;
use crate::config::report::{Colours, report};
use crate::gateway::request::validate;
use crate::gateway::rewrite::{NewTarget, put_request_head};
use crate::h1::authority::Authority;
use crate::h1::head::RequestHead;
use crate::h1::limits::{HEAD_BYTES_RANGE, HEADER_FIELDS_MAX};
use bytes::BytesMut;
use std::path::Path;

/// Checking a configuration never panics. Each problem is one line of text without control
/// characters that names a line of the file, and there are no more problems than the file has
/// bytes; a report of them is bounded text as well. A valid configuration stays valid with a
/// comment after it, and is within its ranges. A text that is parsed in parts means the same as in
/// one. Each route turns a request into one that hyper reads as exactly that one, for the
/// configured host.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let parse = |text: &str| Config::parse("narrows.toml", Path::new("/etc"), text);
    let read = parse(text);
    let whole = Config::parse_whole("narrows.toml", Path::new("/etc"), text);
    assert_eq!(shown(&read), shown(&whole));
    match read {
        Ok(config) => {
            check(&config);
            assert_eq!(parse(&format!("{text}\n#")), Ok(config));
        }
        Err(problems) => {
            assert!((1..=8 + data.len()).contains(&problems.iter().len()));
            for problem in problems.iter() {
                let told = problem.to_string();
                let line = told.strip_prefix("narrows.toml:").expect("the file's name");
                let digits = line.bytes().take_while(u8::is_ascii_digit).count();
                let line: usize = line[..digits].parse().expect("a line");
                assert!((1..=1 + text.lines().count()).contains(&line), "{told}");
                assert!(!told.chars().any(char::is_control), "{told:?}");
                assert!(told.len() < 2000, "{told}");
            }
            let report = report(&problems, Colours::Off);
            assert!(!report.chars().any(|it| it.is_control() && it != '\n'), "{report:?}");
            assert!(report.lines().all(|line| line.len() < 2000), "{report}");
        }
    }
}

fn shown(read: &Result<Config, Problems>) -> String {
    match read {
        Ok(config) => format!("{config:?}"),
        Err(problems) => report(problems, Colours::Off),
    }
}

fn check(config: &Config) {
    assert!(!config.listeners.is_empty() && !config.routes.is_empty());
    assert!(config.workers.is_none_or(|it| WORKERS_RANGE.contains(&it.get())));
    assert!(HEAD_BYTES_RANGE.contains(&config.limits.head.bytes));
    assert!((1..=HEADER_FIELDS_MAX).contains(&config.limits.head.fields));
    for route in &config.routes {
        let (path, replacement) = (route.path.as_str(), route.upstream.path.as_bytes());
        assert!(path.starts_with('/') && path.ends_with('/'));
        assert!(replacement.starts_with(b"/") && replacement.ends_with(b"/"));
        assert!(WARM_RANGE.contains(&route.warm));
        let host = route.host.as_str();
        assert!(Authority::parse(host.as_bytes()).is_some(), "{host}");
        let _ = route.reach.tls_name.server_name();
        if oracle::takes_target(replacement) {
            check_forwarded(replacement, host);
        }
    }
}

fn check_forwarded(replacement: &[u8], host: &str) {
    let limits = crate::config::Limits::default().head;
    let head = b"GET /x HTTP/1.1\r\nHost: client\r\n\r\n";
    let head = RequestHead::parse(head, &limits).expect("a request");
    let request = validate(&head).expect("a request").request;
    let target = NewTarget { replacement, rest: b"x", query: b"" };
    let mut out = BytesMut::new();
    put_request_head(&mut out, &head, &request, &target, host.as_bytes(), None);
    let read = oracle::server_reads(&out);
    assert!(read.nothing_left_over && read.requests.len() == 1, "{read:?}");
    let start = format!("GET {}x", str::from_utf8(replacement).expect("ASCII"));
    assert_eq!(read.requests[0].start, start);
    assert_eq!(read.requests[0].fields, [("host".to_owned(), host.into())]);
}
