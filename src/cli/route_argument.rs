//! [`RouteArgument`]: a route on the command line.

use super::parse::parse_value;
use super::usage_error::Refused;
use crate::config::lookalike::{self, Lookalike};
use crate::config::problem::quoted;
use crate::config::url::UpstreamUrl;
use crate::config::value::RoutePath;
use std::path::PathBuf;

/// `/path/=URL`: requests below the path go to the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteArgument {
    pub(super) path: RoutePath,
    pub(super) upstream: UpstreamUrl,
}

impl RouteArgument {
    /// Parses `/path/=URL`.
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        if let Some(lookalike) = Lookalike::find(text) {
            let corrected = lookalike::corrected(text).replace('"', "");
            let meant = match corrected.strip_prefix('-') {
                Some(option) => Some(format!("--{}", option.trim_start_matches('-'))),
                None => Some(corrected).filter(|it| Self::parse(it).is_ok()),
            };
            let meant = meant.map(|it| format!("did you mean {}?", quoted(&it)));
            return Err(Refused { what: lookalike.what(), help: meant.into_iter().collect() });
        }
        // A path may contain "=", but ends in "/". The second split is for one that does not.
        let split = text.find("/=").map(|slash| (&text[..=slash], &text[slash + 2..]));
        let Some((path, upstream)) = split.or_else(|| text.split_once('=')) else {
            return Err(without_equals(text));
        };
        Ok(Self { path: parse_value(path)?, upstream: parse_value(upstream)? })
    }
}

/// An argument of `narrows check`: a route, or a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckArgument {
    /// A route, as for `run`.
    Route(RouteArgument),
    /// A file, or `-` for stdin.
    File(PathBuf),
}

impl CheckArgument {
    /// Without a "=" it is a file.
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        match text.contains(['=', '＝']) {
            true => RouteArgument::parse(text).map(Self::Route),
            false => Ok(Self::File(text.into())),
        }
    }
}

fn without_equals(text: &str) -> Refused {
    let url_at = text.find("https:").or_else(|| text.find("http:"));
    if text.ends_with(".toml") {
        let what = "a configuration file is named by --config".to_owned();
        return Refused { what, help: vec![format!("did you mean --config {}?", quoted(text))] };
    }
    let meant = match url_at {
        Some(0) => Some(format!("/gpt/={text}")),
        Some(at) => {
            let path = text[..at].trim_matches([':', ' ', '>', '-', '/', ',']);
            Some(format!("/{path}/={}", &text[at..]))
        }
        None => None,
    };
    let what = match url_at {
        Some(0) => "the path is missing",
        Some(_) | None => "there is no \"=\" between the path and the URL",
    };
    let meant = meant.map(|text| closed(&text)).filter(|it| RouteArgument::parse(it).is_ok());
    let meant = meant.map(|it| format!("did you mean {}?", quoted(&it)));
    let allowed = "write /path/=https://host/".to_owned();
    Refused { what: what.to_owned(), help: vec![meant.unwrap_or(allowed)] }
}

/// A URL with only a host needs no slash; one with a path does.
fn closed(text: &str) -> String {
    if RouteArgument::parse(text).is_ok() { text.to_owned() } else { format!("{text}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_split_after_its_path() {
        let split = |text| {
            let route = RouteArgument::parse(text).map_err(|refused| refused.to_string());
            route.map(|it| it.path.as_str().to_owned())
        };
        assert_eq!(split("/a=b/=http://h/").as_deref(), Ok("/a=b/"));
        assert_eq!(split("/=http://h/").as_deref(), Ok("/"));
        assert!(split("/gpt=http://h/").unwrap_err().contains("did you mean \"/gpt/\"?"));
        assert!(split("/gpt/=http://h/v1").unwrap_err().contains("did you mean \"http://h/v1/\"?"));
        assert!(split("/gpt/").unwrap_err().contains("no \"=\""));
        assert!(split("a.toml").unwrap_err().contains("did you mean --config \"a.toml\"?"));
    }

    #[test]
    fn an_argument_of_check_without_an_equals_sign_is_a_file() {
        let file = |text: &str| CheckArgument::parse(text) == Ok(CheckArgument::File(text.into()));
        assert!(file("narrows.toml") && file("/etc/narrows.toml") && file("-"));
        assert!(matches!(CheckArgument::parse("/=http://h/"), Ok(CheckArgument::Route(_))));
        assert!(CheckArgument::parse("/a=http://h/").is_err());
    }
}
