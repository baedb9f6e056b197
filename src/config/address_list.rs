//! Lists of addresses: [`AddressList`], the value of `allow` and `trusted_proxies`; and the name of
//! a field that has a client's address.
//!
//! Not here: the files that such a list names (`address_files`).

use super::network::Network;
use super::problem::{Location, quoted};
use super::table::Entry;
use super::value::{Invalid, NamedFile, Value};
use crate::gateway::client_address::ClientAddressField;
use crate::h1::token::is_token;
use std::path::PathBuf;
use std::str::FromStr;

/// Addresses and ranges, and files that have more of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList {
    /// Those that are in the list itself.
    pub networks: Vec<Network>,
    /// Files, with one range a line.
    pub files: Vec<NamedFile>,
    /// Location of the list.
    pub location: Location,
}

impl AddressList {
    /// The list that `entry` has.
    pub(super) fn read(entry: Entry<'_, '_>) -> Self {
        let location = entry.location.clone();
        let (folder, items) = entry.values_at();
        let (mut networks, mut files) = (Vec::new(), Vec::new());
        for (location, item) in items {
            match item {
                Item::Network(network) => networks.push(network),
                Item::File(name) => files.push(NamedFile { path: folder.join(name), location }),
            }
        }
        Self { networks, files, location }
    }

    /// In a few words: the only range, or how many entries there are.
    pub(super) fn summary(&self) -> String {
        match (self.networks.as_slice(), self.files.as_slice()) {
            ([network], []) => network.to_string(),
            ([], [file]) => file.path.display().to_string(),
            (networks, files) => format!("{} entries", networks.len() + files.len()),
        }
    }
}

/// One item of a list.
enum Item {
    Network(Network),
    /// As written.
    File(PathBuf),
}

impl Value for Item {
    const ALLOWED: &'static str =
        "an address, a range (\"10.0.0.0/8\") or a file of them (\"./ranges.txt\") is allowed";
}

impl FromStr for Item {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_file = ["/", "./", "../"].into_iter().any(|start| text.starts_with(start))
            || text.ends_with(".txt");
        if is_file { Ok(Self::File(text.into())) } else { text.parse().map(Self::Network) }
    }
}

impl Value for ClientAddressField {
    const ALLOWED: &'static str =
        "the name of a field is allowed, such as \"X-Forwarded-For\" or \"CF-Connecting-IP\"";
}

impl FromStr for ClientAddressField {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = quoted(text);
        if !is_token(text.as_bytes()) {
            return Err(Invalid::new(format!("{name} is not the name of a field")));
        }
        if text.contains('_') {
            let what = format!("{name} is not a field that proxies send");
            let bare = text.trim_start_matches(['$', '_']).trim_start_matches("http_");
            return Err(Invalid { what, meant: Some(bare.replace('_', "-")) });
        }
        if text.eq_ignore_ascii_case("CloudFront-Viewer-Address") {
            let what = format!("{name} has IPv6 addresses that cannot be told from their ports");
            return Err(Invalid { what, meant: Some("X-Forwarded-For".to_owned()) });
        }
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};
    use std::path::Path;

    fn with(keys: &str) -> String {
        MINIMAL.replacen("8080\"\n", &format!("8080\"\n{keys}\n"), 1)
    }

    fn tcp(keys: &str) -> String {
        let forward = "[[forward]]\nserver_name = \"*\"\nupstream = \"tcp://10.0.0.5:22\"\n";
        format!("[[listener]]\naddress = \":1\"\nmode = \"tcp\"\n{keys}\n{forward}")
    }

    #[test]
    fn a_list_has_addresses_ranges_and_files_by_their_spelling() {
        let config = read(&with(
            "allow = [\"192.0.2.7\", \"2001:db8::/32\", \"office.txt\", \"./a\", \"/b\", \"../c\"]",
        ));
        let config = config.unwrap();
        let allow = config.listeners[0].allow.as_ref().unwrap();
        let networks: Vec<_> = allow.networks.iter().map(|it| it.to_string()).collect();
        assert_eq!(networks, ["192.0.2.7/32", "2001:db8::/32"]);
        let files: Vec<_> = allow.files.iter().map(|it| &*it.path).collect();
        let want = ["folder/office.txt", "folder/./a", "/b", "folder/../c"];
        assert_eq!(files, want.map(Path::new));
        assert_eq!(allow.files[0].location.line(), Some(4));
    }

    #[test]
    fn what_is_neither_a_range_nor_a_file_is_refused() {
        for (item, why) in [
            ("ranges.list", "\"ranges.list\" is not an IP address; an address, a range"),
            ("localhost", "a file of them (\"./ranges.txt\") is allowed"),
            ("10.0.0.1/8", "did you mean \"10.0.0.0/8\"?"),
            ("10.0.0.0/33", "\"33\" is not a number from 0 to 32"),
            ("2001:db8::1/32", "did you mean \"2001:db8::/32\"?"),
            ("::ffff:10.0.0.0/104", "did you mean \"10.0.0.0/8\"?"),
            ("", "\"\" is not an IP address"),
        ] {
            refuse(&with(&format!("allow = [\"{item}\"]")), why);
            refuse(&with(&format!("trusted_proxies = [\"{item}\"]")), why);
            refuse(&format!("{MINIMAL}allow = [\"{item}\"]"), why);
        }
        refuse(&with("allow = []"), "listener.allow: the list is empty");
        refuse(&with("allow = \"10.0.0.0/8\""), "listener.allow: this is a string");
    }

    #[test]
    fn a_field_is_named_as_it_is_sent() {
        let with = |name: &str| {
            with(&format!("trusted_proxies = [\"10.0.0.0/8\"]\nclient_address = \"{name}\""))
        };
        let config = read(&with("CF-Connecting-IP")).unwrap();
        assert_eq!(config.listeners[0].client_address.name(), "CF-Connecting-IP");
        refuse(&with(""), "listener.client_address: \"\" is not the name of a field");
        refuse(&with("X-Real-IP:"), "is not the name of a field");
        refuse(&with("$http_x_real_ip"), "did you mean \"x-real-ip\"?");
        refuse(&with("X_Forwarded_For"), "did you mean \"X-Forwarded-For\"?");
        refuse(&with("CloudFront-Viewer-Address"), "cannot be told from their ports");
    }

    #[test]
    fn a_field_needs_proxies_that_are_trusted_and_a_listener_that_reads_it() {
        refuse(
            &with("client_address = \"X-Real-IP\""),
            "listener.client_address: anyone can write this field, and no peer is trusted; add",
        );
        for key in ["trusted_proxies = [\"10.0.0.0/8\"]", "client_address = \"X-Real-IP\""] {
            let text = tcp(key);
            refuse(&text, "a tcp listener reads no fields; proxies in front of it send PROXY");
        }
        assert!(read(&tcp("allow = [\"10.0.0.0/8\"]")).is_ok());
    }
}
