//! Loads the certificates and keys that a configuration names, each file once.
//!
//! Problems with a file are noted at the place that names it. So are remarks, about files that are
//! unusual but work.

use super::acme_values::DirectoryUrl;
use super::credentials::CredentialFiles;
use super::files::Files;
use super::identifier::Identifier;
use super::keys::listener::{ClientCa, ListenerConfig};
use super::managed::{self, ManagedCertificate};
use super::own_certificate::OwnCertificate;
use super::problem::{Location, Problems};
use super::reach::Reach;
use super::stand_ins::{covers, is_unexpired, stand_ins};
use super::tls_configs::{Place, TlsConfigs, Trust};
use super::value::NamedFile;
use crate::tls::alpn::Alpn;
use crate::tls::certificates::Certificates;
use crate::tls::client::ClientSide;
use crate::tls::client_rules::ClientRules;
use crate::tls::credential_error::{CredentialError, Instead};
use crate::tls::credential_file::{Chain, PrivateKey, RevocationLists};
use crate::tls::identity::Identity;
use crate::tls::key_exchange::KeyExchange;
use std::collections::HashMap;
use std::fmt::Display;
use std::fs::File;
use std::io::ErrorKind;
use std::mem;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// The files loaded so far. One that failed is remembered as `None`, and reported once.
#[derive(Default)]
pub(super) struct TlsFiles<'b> {
    own: HashMap<(PathBuf, PathBuf), Option<Rc<Identity>>>,
    roots: HashMap<PathBuf, Option<Rc<Chain>>>,
    clients: HashMap<ClientName, Option<ClientTls>>,
    /// Those of the snapshot before, if there was one.
    before: Option<&'b TlsConfigs>,
    /// What files held that serve on with it if they cannot be used now.
    kept: Option<&'b Files>,
    /// What files held in the snapshot before. Those of stored certificates serve on with it.
    held: Option<&'b Files>,
    /// What is wrong with the files that serve on with what they held.
    pub(super) trouble: Problems,
    /// What the files have become.
    pub(super) configs: TlsConfigs,
    /// Those that were read.
    pub(super) read: Files,
    /// Problems with files.
    pub(super) problems: Problems,
    /// Files that are unusual but work.
    pub(super) remarks: Problems,
    /// In the order in which they are named.
    pub(super) certificates: Vec<OwnCertificate>,
    /// Those that are ordered, in the order in which they are named.
    pub(super) managed: Vec<ManagedCertificate>,
}

/// A configuration for upstreams, and what it depends on.
pub(super) type ClientTls = (Arc<ClientConfig>, Trust);

/// The same by the names of its files: `ca`, and what we show.
type ClientName = (Option<PathBuf>, Option<(PathBuf, PathBuf)>, KeyExchange, Alpn);

impl<'b> TlsFiles<'b> {
    /// Nothing is loaded yet. What is unchanged is taken from `before`.
    pub(super) fn new(before: Option<&'b TlsConfigs>) -> Self {
        Self { before, ..Self::default() }
    }

    /// The same, but a stored certificate whose file cannot be used counts with what it held in
    /// `held`: the state directory may be away.
    pub(super) fn after(self, held: &'b Files) -> Self {
        Self { held: Some(held), ..self }
    }

    /// The same, but any file that cannot be used counts with what it held in `kept`.
    pub(super) fn keeping(self, kept: &'b Files) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// Whether a file that cannot be used may count with what it held.
    pub(super) fn is_renewal(&self) -> bool {
        self.kept.is_some()
    }

    /// What files held that serve on with it if they cannot be used now.
    pub(super) fn kept(&self) -> Option<&'b Files> {
        self.kept
    }

    /// What a pair holds, if it was loaded.
    pub(super) fn loaded(&self, files: &CredentialFiles) -> Option<&Identity> {
        let names = (files.certificate.path.clone(), files.key.path.clone());
        self.own.get(&names)?.as_deref()
    }

    /// What clients of `listener` are shown, as far as it is there: the files that it names, then
    /// what has been ordered and is in `state`.
    pub(super) fn identities(
        &mut self,
        listener: &ListenerConfig,
        state: Option<&Path>,
        directory: &DirectoryUrl,
    ) -> Vec<Rc<Identity>> {
        let named = listener.certificates.iter().filter_map(|files| self.own(files));
        let mut identities: Vec<_> = named.collect();
        for names in managed::sets(&listener.domains) {
            let Some(state) = state else { break };
            let location = listener.domains_location.clone();
            let path = managed::file_of(state, directory, &names);
            let file = NamedFile { path, location };
            let own = self.stored(&file);
            let others = match &own {
                Some(_) => Vec::new(),
                None => stand_ins(state, directory, &names),
            };
            let known = |own: &Rc<Identity>| OwnCertificate::of(own, &file);
            let stored = own.as_ref().map(known);
            let is_unreadable = stored.is_none() && is_forbidden(&file.path);
            let stand_ins = others.iter().map(known).collect();
            identities.extend(own.into_iter().chain(others));
            let certified: Vec<_> = identities.iter().flat_map(|it| it.every_name()).collect();
            let is_awaited = |name: &&Identifier| !certified.iter().any(|it| covers(it, name));
            let awaited = names.iter().filter(is_awaited).cloned().collect();
            let NamedFile { path: file, location } = file;
            self.managed.push(ManagedCertificate {
                names,
                file,
                location,
                stored,
                is_unreadable,
                stand_ins,
                awaited,
            });
        }
        identities
    }

    /// The TLS configuration for the clients of `listener` at `place`; `None` if a problem was
    /// noted.
    pub(super) fn server(
        &mut self,
        listener: &ListenerConfig,
        identities: &[Rc<Identity>],
        awaited: &[String],
        place: Place,
    ) -> Option<Arc<ServerConfig>> {
        let first = listener.certificates.first();
        let location = first.map_or(&listener.domains_location, |it| &it.certificate.location);
        let noted = |error: &CredentialError| self.problems.add(location, error.to_string());
        let certificates = Certificates::new(identities, awaited);
        self.configs.server(place, certificates, self.before).inspect_err(noted).ok()
    }

    /// Whom a listener lets in; `None` if a problem was noted.
    pub(super) fn client_rules(&mut self, client_ca: &ClientCa) -> Option<ClientRules> {
        let roots = self.roots(&client_ca.roots)?;
        let lists = match &client_ca.crl {
            None => None,
            Some(crl) => {
                let lists = self.or_kept(crl, RevocationLists::parse)?;
                lists.remarks.iter().for_each(|it| self.remarks.add(&crl.location, it.clone()));
                Some(lists)
            }
        };
        let rules = ClientRules::new(&roots, lists.as_ref());
        let noted = |error: &CredentialError| {
            self.problems.add(&client_ca.roots.location, error.to_string());
        };
        rules.inspect_err(noted).ok()
    }

    fn own(&mut self, files: &CredentialFiles) -> Option<Rc<Identity>> {
        let names = (files.certificate.path.clone(), files.key.path.clone());
        if let Some(known) = self.own.get(&names) {
            return known.clone();
        }
        let mut problems = mem::take(&mut self.problems);
        let own = self.read_own(files).or_else(|| self.kept_own(files)).map(Rc::new);
        problems.append(mem::take(&mut self.problems));
        self.problems = problems;
        if let Some(own) = &own {
            self.certificates.push(OwnCertificate::of(own, &files.certificate));
        }
        self.own.entry(names).or_insert(own).clone()
    }

    fn read_own(&mut self, files: &CredentialFiles) -> Option<Identity> {
        use CredentialError::{Mismatch, NoCertificate, NoKey, UnusableKey};
        let CredentialFiles { certificate, key } = files;
        let Self { read, problems, remarks, .. } = self;
        let chain = read.parse(&certificate.path, Chain::parse);
        let (chain, private) = match (chain, read.parse(&key.path, PrivateKey::parse)) {
            (Ok(chain), Ok(private)) => (chain, private),
            (Err(NoCertificate(_, Instead::Key)), Err(NoKey(_, Instead::Certificate))) => {
                let what = "this file holds the private key, and that of `key` the certificate; \
                            they have to change places";
                problems.add(&certificate.location, what);
                return None;
            }
            (chain, private) => {
                let mut note = |location, error: Option<CredentialError>| {
                    error.into_iter().for_each(|error| problems.add(location, error.to_string()));
                };
                note(&certificate.location, chain.err());
                note(&key.location, private.err());
                return None;
            }
        };
        if certificate.path != key.path {
            if chain.has_key {
                let what = "this file holds a private key, too, which is not used";
                remarks.add(&certificate.location, what);
            }
            for remark in &private.remarks {
                remarks.add(&key.location, remark.clone());
            }
            if private.certificates > 0 {
                let what = "this file holds a certificate, too, which is not used";
                remarks.add(&key.location, what);
            }
        }
        match Identity::new(chain, private) {
            Ok(own) => {
                for remark in &own.remarks {
                    remarks.add(&certificate.location, remark.clone());
                }
                Some(own)
            }
            Err(error) => {
                let key_is_wrong = matches!(error, Mismatch { .. } | UnusableKey(_));
                let file = if key_is_wrong { key } else { certificate };
                problems.add(&file.location, error.to_string());
                None
            }
        }
    }

    /// What a file in the state directory holds. That it cannot be used is no problem, because
    /// another one is ordered.
    fn stored(&mut self, file: &NamedFile) -> Option<Rc<Identity>> {
        let problems = mem::take(&mut self.problems);
        let files = CredentialFiles { certificate: file.clone(), key: file.clone() };
        let own = self.read_own(&files).or_else(|| self.held_own(&files)).map(Rc::new);
        let found = mem::replace(&mut self.problems, problems);
        if own.is_none() {
            self.read.is_awaited(&file.path);
            let is_absent = matches!(file.path.try_exists(), Ok(false));
            // Then nothing is ordered either, and that is said as a whole.
            let is_known = !is_absent && !is_forbidden(&file.path);
            for problem in found.iter().filter(|_| is_known) {
                let what = "the stored certificate cannot be used, and another one is ordered";
                self.remarks.add(&file.location, format!("{what}: {}", problem.what));
            }
        }
        own
    }

    /// What a stored certificate was before, until it expires.
    fn held_own(&mut self, files: &CredentialFiles) -> Option<Identity> {
        if self.is_renewal() {
            return self.kept_own(files);
        }
        let own = self.own_of(files, self.held?).filter(is_unexpired)?;
        for problem in mem::take(&mut self.problems).iter() {
            let what = "the stored certificate cannot be read, and the one before stays in use";
            self.remarks.add(&problem.location, format!("{what}: {}", problem.what));
        }
        Some(own)
    }

    /// What a pair was before, if that serves on. The problems are no longer in the way.
    fn kept_own(&mut self, files: &CredentialFiles) -> Option<Identity> {
        let own = self.own_of(files, self.kept?)?;
        self.trouble.append(mem::take(&mut self.problems));
        Some(own)
    }

    /// What a pair was in `before`, which counts from now on.
    fn own_of(&mut self, files: &CredentialFiles, before: &Files) -> Option<Identity> {
        let (certificate, key) = (&files.certificate.path, &files.key.path);
        let chain = Chain::parse(certificate, before.content(certificate)?).ok()?;
        let private = PrivateKey::parse(key, before.content(key)?).ok()?;
        let own = Identity::new(chain, private).ok()?;
        [certificate, key].into_iter().for_each(|file| self.read.keep(file, before));
        Some(own)
    }

    /// The TLS configuration for an upstream; `None` if a problem was noted.
    pub(super) fn client(&mut self, reach: &Reach, alpn: Alpn) -> Option<ClientTls> {
        let Reach { ca, client, key_exchange, .. } = reach;
        let files = client.as_ref().map(|it| (it.certificate.path.clone(), it.key.path.clone()));
        let name = (ca.as_ref().map(|ca| ca.path.clone()), files, *key_exchange, alpn);
        if let Some(known) = self.clients.get(&name) {
            return known.clone();
        }
        let roots = match ca {
            None => None,
            Some(ca) => Some(self.roots(ca)?),
        };
        let identity = match client {
            None => None,
            Some(files) => Some(self.own_for_upstreams(files)?),
        };
        let noted = |error: &CredentialError| {
            let location = ca.as_ref().map_or(&ARGUMENT, |ca| &ca.location);
            self.problems.add(location, error.to_string());
        };
        let (ca, identity) = (roots.as_deref(), identity.as_deref());
        let side = ClientSide { ca, identity, key_exchange: *key_exchange, alpn };
        let config = self.configs.client(side, self.before);
        let config = config.inspect_err(noted).ok();
        self.clients.entry(name).or_insert(config).clone()
    }

    /// What upstreams are shown. They may know who issued it, so that it needs no intermediate.
    fn own_for_upstreams(&mut self, files: &CredentialFiles) -> Option<Rc<Identity>> {
        let listed = self.certificates.len();
        let own = self.own(files);
        for new in &mut self.certificates[listed..] {
            new.validity = Arc::new(new.validity.of_itself());
        }
        own
    }

    /// `None` if a problem was noted.
    pub(super) fn roots(&mut self, ca: &NamedFile) -> Option<Rc<Chain>> {
        if let Some(known) = self.roots.get(&ca.path) {
            return known.clone();
        }
        let roots = self.or_kept(ca, Chain::parse).map(Rc::new);
        if let Some(chain) = &roots {
            if chain.has_key {
                let what = "this file holds a private key, which is not used; roots have none";
                self.remarks.add(&ca.location, what);
            }
            for remark in &chain.remarks {
                self.remarks.add(&ca.location, remark.clone());
            }
        }
        self.roots.entry(ca.path.clone()).or_insert(roots).clone()
    }

    /// What a file holds, or held before if that serves on; `None` if a problem was noted.
    pub(super) fn or_kept<T, E: From<CredentialError> + Display>(
        &mut self,
        file: &NamedFile,
        parse: fn(&Path, &[u8]) -> Result<T, E>,
    ) -> Option<T> {
        self.or_kept_with(file, parse, "")
    }

    /// The same. Where it serves on, the problem ends with what that `means`.
    pub(super) fn or_kept_with<T, E: From<CredentialError> + Display>(
        &mut self,
        file: &NamedFile,
        parse: fn(&Path, &[u8]) -> Result<T, E>,
        means: &str,
    ) -> Option<T> {
        let error = match self.read.parse(&file.path, parse) {
            Ok(parsed) => return Some(parsed),
            Err(error) => error,
        };
        let kept = self.kept.and_then(|kept| {
            let parsed = parse(&file.path, kept.content(&file.path)?).ok()?;
            self.read.keep(&file.path, kept);
            Some(parsed)
        });
        match kept {
            Some(_) => self.trouble.add(&file.location, format!("{error}{means}")),
            None => self.problems.add(&file.location, error.to_string()),
        }
        kept
    }
}

/// The location of problems with built-in roots.
const ARGUMENT: Location = Location::Argument("TLS");

/// Whether this user may not read a file.
fn is_forbidden(file: &Path) -> bool {
    File::open(file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{MINIMAL, read};
    use crate::tls::testing::chain::{EXPIRED, EXPIRED_KEY};
    use crate::tls::testing::pem::{CERTIFICATE, Folder, KEY};
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    /// What is found for a listener with these names, and its number of identities.
    fn found<'b>(
        folder: &Folder,
        domains: &str,
        before: Option<&'b Files>,
    ) -> (TlsFiles<'b>, usize) {
        let keys = format!("8080\"\ndomains = [{domains}]\n");
        let config = read(&MINIMAL.replacen("8080\"\n", &keys, 1)).unwrap();
        let mut files = TlsFiles { kept: before, ..TlsFiles::new(None) };
        let (listener, directory) = (&config.listeners[0], &config.acme.directory);
        let number = files.identities(listener, Some(&folder.path("")), directory).len();
        assert!(files.problems.is_empty(), "{}", files.problems);
        (files, number)
    }

    fn awaited(files: &TlsFiles<'_>) -> Vec<String> {
        files.managed.iter().flat_map(|it| &it.awaited).map(Identifier::to_string).collect()
    }

    fn write(file: &Path, content: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    #[test]
    fn what_upstreams_are_shown_needs_no_intermediate() {
        let certs = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
        let named = |kind| {
            let path = certs.join(format!("client.{kind}"));
            NamedFile { path, location: Location::Argument("TEST") }
        };
        let pair = CredentialFiles { certificate: named("pem"), key: named("key") };
        let complaints = |files: &TlsFiles<'_>| {
            let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
            files.certificates[0].validity.complaints(now).len()
        };
        let [mut for_clients, mut for_upstreams] = [(); 2].map(|()| TlsFiles::new(None));
        assert!(for_clients.own(&pair).is_some());
        assert_eq!(complaints(&for_clients), 1);
        assert!(for_upstreams.own_for_upstreams(&pair).is_some());
        assert_eq!(complaints(&for_upstreams), 0);
    }

    #[test]
    fn a_certificate_that_is_not_stored_is_awaited_and_its_file_noticed() {
        let folder = Folder::new();
        let (before, number) = found(&folder, "\"localhost\"", None);
        assert_eq!((number, awaited(&before)), (0, vec!["localhost".to_owned()]));
        assert!(before.managed[0].stored.is_none() && before.read.changed().unwrap().is_empty());
        let file = before.managed[0].file.clone();
        write(&file, &format!("{CERTIFICATE}{KEY}"));
        assert_eq!(before.read.changed().unwrap(), [&*file]);
        let (after, number) = found(&folder, "\"localhost\"", None);
        assert_eq!((number, awaited(&after)), (1, vec![]));
        assert_eq!(after.managed[0].stored.as_ref().unwrap().names, ["localhost", "127.0.0.1"]);
        assert!(after.remarks.is_empty(), "{}", after.remarks);
        // What it held serves on when it is damaged, or gone.
        for content in ["damaged", ""] {
            write(&file, content);
            let (kept, number) = found(&folder, "\"localhost\"", Some(&after.read));
            assert_eq!((number, kept.managed[0].stored.is_some()), (1, true));
        }
    }

    #[test]
    fn a_stored_file_that_cannot_be_used_is_a_remark_and_its_certificate_awaited() {
        let folder = Folder::new();
        let file = found(&folder, "\"localhost\"", None).0.managed[0].file.clone();
        for (content, why) in [(CERTIFICATE, "no private key"), ("x", "another one is ordered")] {
            write(&file, content);
            let (files, number) = found(&folder, "\"localhost\"", None);
            assert_eq!((number, awaited(&files).len()), (0, 1));
            assert!(files.remarks.to_string().contains(why), "{}", files.remarks);
            assert!(files.read.changed().unwrap().is_empty());
        }
    }

    #[test]
    fn a_name_that_a_wildcard_serves_is_not_awaited() {
        let folder = Folder::new();
        let wildcard = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/wildcard");
        let pair = format!("{{ certificate = \"{wildcard}.pem\", key = \"{wildcard}.key\" }}");
        let names = "\"api.relay.test\", \"relay.test\", \"a.b.relay.test\", \"127.0.0.1\"";
        let (files, number) = found(&folder, &format!("{names}]\ncertificates = [{pair}"), None);
        let want = ["a.b.relay.test", "127.0.0.1"].map(str::to_owned);
        assert_eq!((number, awaited(&files)), (1, want.into()));
    }

    #[test]
    fn a_certificate_of_another_set_stands_in_for_the_names_that_it_has() {
        let folder = Folder::new();
        let other = found(&folder, "\"localhost\"", None).0.managed[0].file.clone();
        write(&other, &format!("{CERTIFICATE}{KEY}"));
        // Neither of these can.
        write(&other.with_file_name("expired.pem"), &format!("{EXPIRED}{EXPIRED_KEY}"));
        write(&other.with_file_name("damaged.pem"), "damaged");
        let staging = other.parent().unwrap().with_file_name("staging.example");
        write(&staging.join("localhost.pem"), &format!("{CERTIFICATE}{KEY}"));
        let domains = "\"localhost\", \"new.example\", \"127.0.0.1\"";
        let (files, number) = found(&folder, domains, None);
        assert_eq!((number, awaited(&files)), (4, vec!["new.example".to_owned()]));
        // Those of another authority come last.
        assert!(files.managed.iter().all(|it| it.stored.is_none() && it.stand_ins.len() == 2));
        assert!(files.remarks.is_empty(), "{}", files.remarks);
        fs::remove_file(&other).unwrap();
        assert_eq!(awaited(&found(&folder, domains, None).0), ["new.example"]);
        let (files, number) = found(&folder, "\"new.example\"", None);
        assert_eq!((number, files.managed[0].stand_ins.len()), (0, 0));
    }
}
