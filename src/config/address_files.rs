//! Loads lists of addresses, with the files that they name, into [`AddressRanges`].
//!
//! Such a file has one address or range a line, as Cloudflare publishes its own; `#` begins a
//! comment. A file that cannot be used, or has no range at all, is a problem at the start. While it
//! is served, what it held before stays in use.

use super::address_list::AddressList;
use super::files::Files;
use super::keys::listener::ListenerConfig;
use super::list_error::ListError;
use super::network::{Network, ranges_of};
use super::problem::quoted;
use super::tls_files::TlsFiles;
use super::value::{Invalid, NamedFile};
use crate::gateway::address_ranges::AddressRanges;
use crate::gateway::client_address::AddressRules;
use std::path::Path;
use std::sync::Arc;

/// What a listener knows of addresses; `None` if that is nothing.
pub(super) fn rules(
    files: &mut TlsFiles<'_>,
    listener: &ListenerConfig,
) -> Option<Arc<AddressRules>> {
    let ListenerConfig { allow, trusted_proxies, client_address, .. } = listener;
    if allow.is_none() && trusted_proxies.is_none() {
        return None;
    }
    let mut load = |list| ranges(files, list);
    Some(Arc::new(AddressRules {
        allow: allow.as_ref().map(&mut load),
        trusted_proxies: trusted_proxies.as_ref().map(load).unwrap_or_default(),
        field: client_address.clone(),
    }))
}

/// All addresses of a list.
pub(super) fn ranges(files: &mut TlsFiles<'_>, list: &AddressList) -> AddressRanges {
    let mut networks = list.networks.clone();
    for file in &list.files {
        networks.extend(files.or_kept(file, parse).unwrap_or_default());
    }
    ranges_of(networks)
}

/// The addresses of a list that are known: those in the list itself, and in files that were `read`.
pub(super) fn known_ranges(list: &AddressList, read: &Files) -> AddressRanges {
    let of_file = |file: &NamedFile| parse(&file.path, read.content(&file.path)?).ok();
    let of_files = list.files.iter().filter_map(of_file).flatten();
    ranges_of(list.networks.iter().copied().chain(of_files))
}

/// The ranges that a file has.
fn parse(file: &Path, content: &[u8]) -> Result<Vec<Network>, ListError> {
    let text = str::from_utf8(content).map_err(|_| ListError::whole(file, "is not text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        return Err(ListError::whole(file, "is JSON; one range a line is needed"));
    }
    let mut networks = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let range = line.split('#').next().unwrap_or_default().trim();
        if !range.is_empty() {
            let wrong = |Invalid { what, meant }: Invalid| {
                let meant = meant.map(|meant| format!("; did you mean {}?", quoted(&meant)));
                let meant = meant.unwrap_or_default();
                let line = index + 1;
                ListError::whole(file, format!("has a mistake in line {line}: {what}{meant}"))
            };
            networks.push(range.parse().map_err(wrong)?);
        }
    }
    match networks.is_empty() {
        true => Err(ListError::whole(file, "has no address and no range")),
        false => Ok(networks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_range_a_line_and_comments() {
        let text = "\u{feff}# office\r\n10.0.0.0/8\r\n\n  2001:db8::/32 # home\n192.0.2.7";
        let networks = parse(Path::new("f"), text.as_bytes()).unwrap();
        let networks: Vec<_> = networks.iter().map(Network::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]);
    }

    #[test]
    fn a_file_that_is_no_list_says_where_and_why() {
        for (text, why) in [
            ("10.0.0.0/8\n\n10.0.0.1/8\n", "in line 3: \"10.0.0.1/8\" has bits behind its prefix"),
            // Cloudflare's lists end without a line end, and are put together by `cat`.
            ("131.0.72.0/222400:cb00::/32", "in line 1: \"222400:cb00::/32\" is not a number"),
            ("allow 10.0.0.0/8;", "in line 1: \"allow 10.0.0.0\" is not an IP address"),
            ("{\"prefixes\": []}", "is JSON; one range a line is needed"),
            ("", "has no address and no range"),
            ("# nothing\n\n", "has no address and no range"),
            ("<html>", "in line 1: \"<html>\" is not an IP address"),
        ] {
            let error = parse(Path::new("f"), text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("\"f\" ") && error.contains(why), "{error}");
        }
        let error = parse(Path::new("f"), b"\xff\xfe1\0").unwrap_err().to_string();
        assert_eq!(error, "\"f\" is not text");
    }
}
