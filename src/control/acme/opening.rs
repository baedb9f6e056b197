//! What a session begins with: the account, and how its directory is reached.

use crate::acme::account::{Account, Registration};
use crate::acme::jws::ExternalAccount;
use crate::config::keys::acme::{self as keys, AcmeConfig};
use crate::config::managed::{account_file, folder_of, owner_file};
use crate::config::snapshot::{Snapshot, UpstreamTls};
use crate::control::acme::account_file::load_or_make;
use crate::control::acme::failed_validations::FailedValidations;
use crate::control::acme::lines;
use crate::control::acme::pauses::Pauses;
use crate::control::acme::state_directory::{StateDirectory, StateError, read, replace};
use crate::control::acme::time::now;
use crate::tls::alpn::Alpn;
use crate::tls::client::ClientSide;
use crate::tls::credential_file::{Chain, read_file};
use crate::tls::key_exchange::KeyExchange;
use std::path::PathBuf;

/// Where certificates are ordered, and where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    acme: AcmeConfig,
    state: PathBuf,
    /// Of the certificates.
    folder: PathBuf,
}

/// What a session begins with.
pub(super) struct Opened {
    pub(super) tls: UpstreamTls,
    pub(super) account: Account,
    pub(super) failed: FailedValidations,
    pub(super) pauses: Pauses,
}

impl Settings {
    /// Those of `snapshot`, if it has something to order.
    pub(super) fn of(snapshot: &Snapshot) -> Option<Self> {
        let acme = snapshot.config.acme.clone();
        let state = acme.state_directory()?;
        let folder = snapshot.managed.first()?.file.parent()?.to_owned();
        Some(Self { acme, state, folder })
    }

    pub(super) fn are_those_of(&self, snapshot: &Snapshot) -> bool {
        let folder = snapshot.managed.first().and_then(|it| it.file.parent());
        folder == Some(&*self.folder) && snapshot.config.acme == self.acme
    }

    /// Whether a file that is read for the directory holds something else than before.
    pub(super) fn has_changed_file(&self, before: &Snapshot, after: &Snapshot) -> bool {
        let held = |it: &'_ Snapshot| {
            let content = self.acme.ca.as_ref().and_then(|ca| it.files.content(&ca.path));
            content.map(<[u8]>::to_vec)
        };
        held(before) != held(after)
    }

    pub(super) fn state(&self) -> StateDirectory {
        StateDirectory::at(&self.state)
    }

    /// The authority's host, for the log.
    pub(super) fn authority(&self) -> &str {
        &self.acme.directory.authority
    }

    pub(super) fn profile(&self) -> Option<String> {
        self.acme.profile.as_ref().map(|it| it.0.to_string())
    }

    /// Loads what the session needs. Blocks.
    ///
    /// # Errors
    /// Why it cannot begin.
    pub(super) fn open(&self) -> Result<Opened, String> {
        let AcmeConfig { directory, contact, ca, external_account, .. } = &self.acme;
        self.own_folder()?;
        let ca = ca.as_ref().map(|ca| Chain::read(&ca.path)).transpose();
        let ca = ca.map_err(|error| error.to_string())?;
        let side = ClientSide {
            ca: ca.as_ref(),
            identity: None,
            key_exchange: KeyExchange::default(),
            alpn: Alpn::Http,
        };
        let tls = UpstreamTls::new(side, directory.endpoint.host.server_name());
        let tls = tls.map_err(|error| error.to_string())?;
        let external = external_account.as_ref().map(read_external).transpose();
        let key_id = external_account.as_ref().map_or("", |it| &*it.key_id.0);
        // An account that exists needs it no more.
        let external = match account_file(&self.state, directory, key_id).exists() {
            true => external.unwrap_or_default(),
            false => external?,
        };
        let stored = load_or_make(&self.state(), directory, key_id);
        let stored = stored.map_err(|error| error.to_string())?;
        let stored = stored.ok_or("this machine cannot make a key")?;
        if let Some(file) = &stored.set_aside {
            lines::set_aside_other("the key of the account", file);
        }
        let failed = FailedValidations::load(&self.state(), now());
        let failed = usable("the list of failed validations", failed)?;
        let pauses = usable("the list of pauses", Pauses::load(&self.state(), now()))?;
        let contact = contact.iter().map(|it| it.0.to_string()).collect();
        let registration = Registration { contact, external, is_new: stored.is_new };
        let account = Account::new(&directory.to_string(), stored.key, registration);
        Ok(Opened { tls, account, failed, pauses })
    }
}

impl Settings {
    /// Makes the folder of the certificates one of this directory.
    fn own_folder(&self) -> Result<(), String> {
        let directory = &self.acme.directory;
        if folder_of(&self.state, directory) != self.folder {
            let folder = self.folder.display();
            return Err(format!("{folder} belongs to another directory by now; reload"));
        }
        let owner = owner_file(&self.folder);
        let content = format!("{directory}\n");
        if read(&owner).map_err(|error| error.to_string())?.as_deref() != Some(content.as_bytes()) {
            replace(&owner, content.as_bytes()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// What was loaded. A file that could not be used was set aside, which is told.
fn usable<T>(what: &str, loaded: Result<(T, Option<PathBuf>), StateError>) -> Result<T, String> {
    let (loaded, aside) = loaded.map_err(|error| error.to_string())?;
    if let Some(file) = aside {
        lines::set_aside_other(what, &file);
    }
    Ok(loaded)
}

fn read_external(account: &keys::ExternalAccount) -> Result<ExternalAccount, String> {
    let path = &account.key_file.path;
    let key = read_file(path).map_err(|error| error.to_string())?;
    let external = ExternalAccount::new(&account.key_id.0, &String::from_utf8_lossy(&key));
    external.ok_or_else(|| format!("\"{}\" does not hold a key in base64url", path.display()))
}
