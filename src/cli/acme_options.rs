//! The arguments about certificates by ACME: [`AcmeOptions`].

use super::parse::parse_value;
use super::usage_error::Refused;
use crate::config::acme_values::DirectoryUrl;
use crate::config::identifier::Identifier;
use crate::config::keys::acme::AcmeConfig;
use crate::config::problem::{Location, Problems, quoted};
use crate::config::value::NamedFile;
use clap::Args;
use std::path::PathBuf;

/// The arguments about certificates by ACME.
#[derive(Args, Debug)]
pub struct AcmeOptions {
    /// Serve HTTPS by this DNS name or IP address, with a certificate from Let's Encrypt; may
    /// repeat. Listens on :443, and on :80 to lead to it, unless --listen says where.
    #[arg(long, value_name = "NAME", value_parser = parse_domain)]
    #[arg(conflicts_with = "certificate")]
    pub domain: Vec<Identifier>,
    /// Keep the certificates and their keys in this directory [default: `$STATE_DIRECTORY`,
    /// /var/lib/narrows for root, or ~/.local/state/narrows].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Order certificates from this ACME directory instead of Let's Encrypt's.
    #[arg(long, value_name = "URL", value_parser = parse_value::<DirectoryUrl>)]
    pub acme_directory: Option<DirectoryUrl>,
    /// Verify the ACME directory itself against the roots in this PEM file.
    #[arg(long, value_name = "FILE")]
    pub acme_ca: Option<PathBuf>,
}

impl AcmeOptions {
    /// Sets in `acme` what the arguments say.
    pub(super) fn apply(&self, acme: &mut AcmeConfig) {
        let named = |path: &Option<PathBuf>, argument| {
            let location = Location::Argument(argument);
            path.clone().map(|path| NamedFile { path, location })
        };
        acme.state = named(&self.state, "--state").or(acme.state.take());
        acme.ca = named(&self.acme_ca, "--acme-ca").or(acme.ca.take());
        if let Some(directory) = &self.acme_directory {
            acme.directory = directory.clone();
        }
    }

    /// Notes arguments that have no effect without `--domain`.
    pub(super) fn check(&self, problems: &mut Problems) {
        let given = [
            ("--state", self.state.is_some()),
            ("--acme-directory", self.acme_directory.is_some()),
            ("--acme-ca", self.acme_ca.is_some()),
        ];
        for (argument, _) in given.iter().filter(|it| it.1 && self.domain.is_empty()) {
            let what = "no certificate is ordered without --domain";
            let help = "add --domain NAME".to_owned();
            problems.add_with_help(&Location::Argument(argument), what, [help]);
        }
    }
}

/// Parses a name, and knows what else is written there.
fn parse_domain(text: &str) -> Result<Identifier, Refused> {
    let refused = match parse_value::<Identifier>(text) {
        Ok(name) => return Ok(name),
        Err(refused) => refused,
    };
    let parts = || text.split([',', ' ']).filter(|it| !it.is_empty());
    if parts().count() > 1 && parts().all(|it| it.parse::<Identifier>().is_ok()) {
        let repeated: Vec<_> = parts().map(|it| format!("--domain {it}")).collect();
        let help = vec![format!("write {}", repeated.join(" "))];
        return Err(Refused { what: format!("{} are several names", quoted(text)), help });
    }
    if text.starts_with("*.") {
        let help = "write each name, as in --domain api.example.com; or let another tool order the \
                    wildcard: --certificate fullchain.pem --key privkey.pem";
        let what = format!("{} is a wildcard, which only DNS-01 verifies", quoted(text));
        return Err(Refused { what, help: vec![help.to_owned()] });
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_place_of_a_name_is_answered_with_what_to_write() {
        let refused = |text| {
            let Refused { what, help } = parse_domain(text).unwrap_err();
            format!("{what}; {}", help.join("; "))
        };
        for text in ["a.example,b.example", "a.example, b.example", "a.example b.example,"] {
            let want =
                format!("\"{text}\" are several names; write --domain a.example --domain b.");
            assert!(refused(text).starts_with(&want), "{}", refused(text));
        }
        assert!(
            refused("*.example.com").contains("or let another tool order the wildcard: --cert")
        );
        assert!(refused("a b$").contains("is not a DNS name"));
        assert!(parse_domain("api.example.com").is_ok());
    }
}
