//! Who may use the routes, and with which keys, loaded: [`Access`].

use super::address_files::ranges;
use super::check_access::check_access;
use super::check_clients::check_token;
use super::keys::top::Config;
use super::problem::Location;
use super::route_access::{AccessOptions, KeySource, VariableName};
use super::secret_lists::{Key, instead_of_key, keys, tokens};
use super::systemd_credentials::is_credential;
use super::tls_files::TlsFiles;
use super::token_digest::{Guesses, TokenDigest, sha256};
use super::value::NamedFile;
use crate::gateway::access::{ApiKeys, Clients, RouteAccess};
use crate::limits::KEYS_MAX;
use std::collections::{HashMap, HashSet};
use std::env;
use std::fs;
use std::mem;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The bits of a file's mode that let others than its owner read or write it, or write it.
const OPEN_TO_OTHERS: u32 = 0o077;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What it means that a file of tokens is gone, or cannot be used: who deletes it may mean another.
const STAY_VALID: &str = "; its tokens stay valid, and only an empty file revokes them all";

/// The clients, and the rules of each route.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// By their tokens.
    pub clients: Arc<Clients>,
    /// In the order of the routes; `None`: everyone may use it, with keys of their own.
    pub(super) routes: Vec<Option<Arc<RouteAccess>>>,
}

/// The tokens in a file, each with its line.
type Tokens = Vec<(u32, TokenDigest)>;

/// Loads one after the other, each file of keys once.
pub(super) struct AccessLoader<'l, 'b> {
    files: &'l mut TlsFiles<'b>,
    /// That of the snapshot before. What is unchanged is taken from it.
    before: Option<&'l Access>,
    keys: HashMap<PathBuf, Option<Arc<ApiKeys>>>,
}

impl<'l, 'b> AccessLoader<'l, 'b> {
    pub(super) fn new(files: &'l mut TlsFiles<'b>, before: Option<&'l Access>) -> Self {
        Self { files, before, keys: HashMap::new() }
    }

    /// All of it. If files contradict each other in a renewal, all of them count with what they
    /// held before, so that no other file is held up.
    pub(super) fn load(mut self, config: &Config) -> Access {
        let others = mem::take(&mut self.files.problems);
        let access = self.load_now(config);
        let found = mem::replace(&mut self.files.problems, others);
        match (self.files.kept(), self.before) {
            (Some(kept), Some(before)) if !found.is_empty() => {
                self.files.trouble.append(found);
                files_of(config).for_each(|it| self.files.read.keep(&it.path, kept));
                before.clone()
            }
            _ => {
                self.files.problems.append(found);
                access
            }
        }
    }

    fn load_now(&mut self, config: &Config) -> Access {
        let clients = self.clients(config);
        let needs_token = !config.clients.is_empty();
        let routes = config.routes.iter();
        let routes = routes.map(|it| self.route(&it.access, &clients, needs_token)).collect();
        // What a file gains later is in the way of no renewal.
        if !self.files.is_renewal() {
            check_access(config, &self.files.read, &mut self.files.problems);
        }
        Access { clients, routes }
    }

    /// The clients, with the tokens of files.
    fn clients(&mut self, config: &Config) -> Arc<Clients> {
        let configured = &config.clients;
        let before = self.before.map(|it| &it.clients);
        let unchanged = before.filter(|it| Arc::ptr_eq(it.all(), &configured.all));
        if let Some(unchanged) = unchanged.filter(|_| configured.files.is_empty()) {
            return Arc::clone(unchanged);
        }
        let (mut of_files, all) = (Vec::new(), &configured.all);
        if !configured.files.is_empty() {
            let files = configured.files.iter();
            let read: Vec<_> = files.map(|(at, file)| (*at, file, self.tokens(file))).collect();
            self.check_tokens(&read);
            let known = Clients::new(Arc::clone(all), Vec::new(), sha256);
            let mut seen = HashMap::new();
            for (at, file, tokens) in &read {
                for (line, token) in tokens {
                    let other = seen.insert(token, *at).or_else(|| place_of(&known, token));
                    match other {
                        Some(other) => self.note_twice(config, *at, file, *line, other),
                        None => of_files.push((token.0, *at)),
                    }
                }
            }
        }
        let clients = Clients::new(Arc::clone(all), of_files, sha256);
        let unchanged = before.filter(|it| ***it == clients);
        unchanged.map_or_else(|| Arc::new(clients), Arc::clone)
    }

    /// Notes that a token in a line of a file of the client `at` is one of the client `other`, too.
    fn note_twice(&mut self, config: &Config, at: u32, file: &NamedFile, line: u32, other: u32) {
        let place = format!("the digest in line {line}");
        if other == at {
            self.files.remarks.add(&file.location, format!("{place} is in this file twice"));
            return;
        }
        // It is said of the one that comes later in the configuration.
        let name = |it: u32| &config.clients.all[it as usize].name;
        let (location, what) = if other < at {
            (file.location.clone(), format!("{place} is a token of {}, too", name(other)))
        } else {
            let location = config.client_location(other as usize);
            (location, format!("this is a token of {}, too", name(at)))
        };
        let help = "`narrows token NAME` makes another one".to_owned();
        self.files.problems.add_with_help(&location, what, [help]);
    }

    /// The digests in a file of tokens, each with its line.
    fn tokens(&mut self, file: &NamedFile) -> Tokens {
        let tokens = self.files.or_kept_with(file, tokens, STAY_VALID).unwrap_or_default();
        if tokens.is_empty() {
            let what = "the file holds no digest, so that the client has no token";
            self.files.remarks.add(&file.location, what);
        }
        self.check_mode(file, WRITABLE_BY_OTHERS, "others can write into it, and add a token");
        tokens
    }

    /// Notes tokens in files that can be guessed. Those in the configuration have been checked.
    fn check_tokens(&mut self, read: &[(u32, &NamedFile, Tokens)]) {
        let tokens: HashSet<_> = read.iter().flat_map(|(.., it)| it).map(|(_, it)| it).collect();
        let guesses = Guesses::among(|token| tokens.contains(token));
        for (_, file, tokens) in read {
            for (_, token) in tokens {
                check_token(token, || file.location.clone(), &guesses, &mut self.files.problems);
            }
        }
    }

    /// The rules of a route; `None`: there are none.
    fn route(
        &mut self,
        options: &AccessOptions,
        clients: &Arc<Clients>,
        has_clients: bool,
    ) -> Option<Arc<RouteAccess>> {
        let keys = options.keys.as_ref().and_then(|source| self.keys(source, clients));
        let AccessOptions { is_for_anyone, key_field, websocket, cors, .. } = *options;
        let allow = options.allow.as_ref().map(|list| Arc::new(ranges(self.files, list)));
        let has_rules =
            has_clients || options.keys.is_some() || !websocket || cors || allow.is_some();
        let clients = Arc::clone(clients);
        let needs_token = has_clients && !is_for_anyone;
        let access = RouteAccess {
            clients,
            allow,
            needs_token,
            is_for_anyone,
            keys,
            key_field,
            websocket,
            cors,
        };
        has_rules.then(|| Arc::new(access))
    }

    /// The keys of a route; `None` if a problem was noted. Routes with one file share them.
    fn keys(&mut self, source: &KeySource, clients: &Clients) -> Option<Arc<ApiKeys>> {
        let file = match source {
            KeySource::Variable(name, location) => {
                let key = self.variable(name, location)?;
                return self.checked(vec![(1, key)], location, clients);
            }
            KeySource::File(file) => file,
        };
        if let Some(known) = self.keys.get(&file.path) {
            return known.clone();
        }
        let read = self.files.or_kept(file, keys);
        let loaded = read.and_then(|(keys, remarks)| {
            remarks.into_iter().for_each(|it| self.files.remarks.add(&file.location, it));
            self.check_mode(file, OPEN_TO_OTHERS, "others can read it");
            self.checked(keys, &file.location, clients)
        });
        self.keys.entry(file.path.clone()).or_insert(loaded).clone()
    }

    /// The key in a variable of the environment; `None` if a problem was noted.
    fn variable(&mut self, name: &VariableName, location: &Location) -> Option<Zeroizing<Vec<u8>>> {
        let name = name.as_str();
        let value = Zeroizing::new(env::var_os(name).unwrap_or_default().into_vec());
        let key = Zeroizing::new(value.trim_ascii().to_vec());
        let what = match instead_of_key(&key) {
            _ if key.is_empty() => {
                format!("the environment has no variable {name}, or an empty one")
            }
            Some(what) => format!("the variable {name} holds no key: {what}"),
            None => return Some(key),
        };
        self.files.problems.add(location, what);
        None
    }

    /// The keys, unless one of them is a token. The same ones as before are the same `Arc`.
    fn checked(
        &mut self,
        keys: Vec<Key>,
        location: &Location,
        clients: &Clients,
    ) -> Option<Arc<ApiKeys>> {
        for (line, key) in &keys {
            if let Some(client) = clients.with_token(key) {
                let what = format!("line {line} holds the token of {}", client.name);
                let help = "write the key of the API, which must not get a token".to_owned();
                self.files.problems.add_with_help(location, what, [help]);
                return None;
            }
        }
        if keys.len() > KEYS_MAX {
            let what = format!("the file holds {} keys; at most {KEYS_MAX} are used", keys.len());
            self.files.problems.add(location, what);
            return None;
        }
        // What else could be wrong has been refused.
        let keys = ApiKeys::new(keys).ok()?;
        let before = self.before.iter().flat_map(|it| it.routes.iter().flatten());
        let mut before = before.filter_map(|it| it.keys.as_ref());
        if let Some(unchanged) = before.clone().find(|it| ***it == keys) {
            return Some(Arc::clone(unchanged));
        }
        before.by_ref().for_each(|it| keys.rest_as(it));
        Some(Arc::new(keys))
    }

    /// Remarks on a file whose mode has one of these `bits`. systemd sets that of its credentials,
    /// and an access list beside it.
    fn check_mode(&mut self, file: &NamedFile, bits: u32, what: &str) {
        let Ok(metadata) = fs::metadata(&file.path) else { return };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & bits != 0 && !is_credential(&file.path) {
            let what = format!("the file has mode {mode:04o}: {what}");
            let file_name = file.path.display();
            let help = format!("chmod 600 {file_name}; the user that runs narrows has to own it");
            self.files.remarks.add_with_help(&file.location, what, [help]);
        }
    }
}

/// The files of all clients and routes.
fn files_of(config: &Config) -> impl Iterator<Item = &NamedFile> {
    let of_clients = config.clients.files.iter().map(|(_, it)| it);
    let of_keys = config.routes.iter().filter_map(|it| it.access.keys.as_ref()?.file());
    let lists = config.routes.iter().filter_map(|it| it.access.allow.as_ref());
    of_clients.chain(of_keys).chain(lists.flat_map(|it| &it.files))
}

/// The place of the client with this token.
fn place_of(clients: &Clients, TokenDigest(token): &TokenDigest) -> Option<u32> {
    let found = clients.find(token)?;
    let place = clients.all().iter().position(|it| ptr::eq(it, found))?;
    u32::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::Files;
    use crate::config::testing::{MINIMAL, read};
    use crate::gateway::access::{Client, ClientRules};
    use crate::tls::testing::pem::Folder;

    const ALICE: &str = "nrw_a token that is long enough";
    const BOB: &str = "nrw_another token, as long as that";

    fn digest(token: &str) -> String {
        TokenDigest::of(token.as_bytes()).to_string()
    }

    fn table(name: &str, tokens: &str) -> String {
        format!("[[client]]\nname = \"{name}\"\n{tokens}\n")
    }

    /// What is loaded from this text, and what is wrong.
    fn load<'b>(text: &str, before: Option<&Access>, kept: Option<&'b Files>) -> Loaded<'b> {
        let mut config = read(text).unwrap();
        if let Some(before) = before {
            config.clients.follow(before.clients.all());
        }
        let mut files = TlsFiles::new(None);
        if let Some(kept) = kept {
            files = files.keeping(kept);
        }
        let access = AccessLoader::new(&mut files, before).load(&config);
        Loaded { access, files }
    }

    struct Loaded<'b> {
        access: Access,
        files: TlsFiles<'b>,
    }

    impl Loaded<'_> {
        fn client(&self, token: &str) -> Option<&Client> {
            self.access.clients.with_token(token.as_bytes())
        }

        fn lines_of_keys(&self) -> Option<Vec<u32>> {
            let keys = self.access.routes[0].as_ref()?.keys.as_ref()?;
            Some(keys.iter().map(|it| it.line).collect())
        }

        #[track_caller]
        fn has_problem(&self, why: &str) {
            assert!(self.files.problems.to_string().contains(why), "{}", self.files.problems);
        }
    }

    fn rules(client: &Client) -> &ClientRules {
        client.rules.as_ref().unwrap()
    }

    #[test]
    fn clients_are_found_by_the_tokens_in_the_configuration_and_in_files() {
        let folder = Folder::new();
        let file = folder.write("t", format!("{}\n\n{}\n", digest("one"), digest("two-two")));
        let file = format!("token_file = {file:?}\nexchanges = 2\nexpires = 2027-01-01");
        let alice = format!("token = \"{}\"\nroutes = \"/gpt/\"", digest(ALICE));
        let text = format!("{MINIMAL}\n{}{}", table("alice", &alice), table("team", &file));
        let loaded = load(&text, None, None);
        assert!(loaded.files.problems.is_empty(), "{}", loaded.files.problems);
        let alice = loaded.client(ALICE).unwrap();
        assert!(&*alice.name == "alice" && alice.may_use(b"/gpt/") && !alice.may_use(b"/"));
        let [one, two] = ["one", "two-two"].map(|it| loaded.client(it).unwrap());
        assert!(ptr::eq(one, two) && rules(one).limits.exchanges == Some(2));
        assert_eq!(one.expires(), Some(1_798_761_600));
        assert!(loaded.client(BOB).is_none());
        assert!(loaded.access.routes[0].as_ref().unwrap().needs_token);
    }

    #[test]
    fn a_route_has_no_rules_unless_something_asks_for_them() {
        let rules =
            |more: &str| load(&format!("{MINIMAL}{more}"), None, None).access.routes[0].clone();
        assert_eq!(rules(""), None);
        assert!(!rules("websocket = false").unwrap().websocket);
        assert!(rules("cors = true").unwrap().cors);
        let client = table("alice", &format!("token = \"{}\"", digest(ALICE)));
        assert!(rules(&client).unwrap().needs_token);
        let anyone = rules(&format!("clients = \"anyone\"\n{client}")).unwrap();
        assert!(!anyone.needs_token && !anyone.clients.is_empty());
    }

    #[test]
    fn what_is_used_is_kept_by_the_name_of_the_client_and_the_keys_by_what_they_are() {
        let folder = Folder::new();
        let file = folder.write("k", "sk-one\nsk-two\n");
        let text = |token: &str, limit: u32| {
            let tokens = format!("token = \"{}\"\nexchanges = {limit}", digest(token));
            format!("{MINIMAL}key_file = {file:?}\n{}", table("alice", &tokens))
        };
        let before = load(&text(ALICE, 1), None, None);
        let same = load(&text(ALICE, 1), Some(&before.access), None);
        assert!(Arc::ptr_eq(&same.access.clients, &before.access.clients));
        let other = load(&text(BOB, 2), Some(&before.access), None);
        let (alice, again) = (before.client(ALICE).unwrap(), other.client(BOB).unwrap());
        assert!(
            other.client(ALICE).is_none() && Arc::ptr_eq(&rules(alice).used, &rules(again).used)
        );
        let keys = |it: &Loaded<'_>| it.access.routes[0].as_ref()?.keys.clone();
        let [first, second] = [&before, &other].map(|it| keys(it).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        folder.write("k", "sk-one\n");
        let changed = load(&text(ALICE, 1), Some(&before.access), None);
        assert_eq!(changed.lines_of_keys().unwrap(), [1]);
    }

    #[test]
    fn routes_with_one_file_share_its_keys() {
        let folder = Folder::new();
        let file = folder.write("k", "sk-one\n");
        let more = "[[route]]\npath = \"/b/\"\nupstream = \"https://h/\"\n";
        let text = format!("{MINIMAL}key_file = {file:?}\n{more}key_file = {file:?}\n");
        let routes = load(&text, None, None).access.routes;
        let keys = |at: usize| routes[at].as_ref().unwrap().keys.clone().unwrap();
        assert!(Arc::ptr_eq(&keys(0), &keys(1)));
    }

    #[test]
    fn a_file_that_cannot_be_used_counts_with_what_it_held() {
        let folder = Folder::new();
        let key = folder.write("k", "sk-one\n");
        let token = folder.write("t", digest(ALICE));
        let tokens = format!("token_file = {token:?}");
        let text = format!("{MINIMAL}key_file = {key:?}\n{}", table("alice", &tokens));
        let before = load(&text, None, None);
        assert_eq!(before.lines_of_keys().unwrap(), [1]);
        for (keys, tokens) in [("", "nonsense"), ("two words", ALICE)] {
            folder.write("k", keys);
            folder.write("t", tokens);
            let kept = load(&text, Some(&before.access), Some(&before.files.read));
            assert!(kept.files.problems.is_empty(), "{}", kept.files.problems);
            assert_eq!(kept.files.trouble.iter().len(), 2, "{}", kept.files.trouble);
            assert!(kept.client(ALICE).is_some() && kept.lines_of_keys().is_some());
            assert_eq!(load(&text, None, None).files.problems.iter().len(), 2);
        }
        fs::remove_file(&token).unwrap();
        let gone = load(&text, Some(&before.access), Some(&before.files.read));
        assert!(gone.client(ALICE).is_some());
        let trouble = gone.files.trouble.to_string();
        assert!(trouble.contains("its tokens stay valid, and only an empty file"), "{trouble}");
        // The last token is revoked like any other.
        folder.write("k", "sk-one\n");
        folder.write("t", "# none\n");
        let none = load(&text, Some(&before.access), Some(&before.files.read));
        assert!(none.client(ALICE).is_none() && none.files.trouble.is_empty());
        assert!(none.access.routes[0].as_ref().unwrap().needs_token, "it is not open now");
    }

    #[test]
    fn files_that_contradict_each_other_count_with_what_they_held() {
        let folder = Folder::new();
        let (keys, tokens) = (folder.write("k", "sk-one\n"), folder.write("t", digest(ALICE)));
        let bob = table("bob", &format!("token = \"{}\"", digest("no-prefix-but-a-token")));
        let team = table("team", &format!("token_file = {tokens:?}"));
        let text = format!("{MINIMAL}key_file = {keys:?}\n{bob}{team}");
        let before = load(&text, None, None);
        folder.write("t", digest(BOB));
        folder.write("k", "sk-one\nno-prefix-but-a-token\n");
        let kept = load(&text, Some(&before.access), Some(&before.files.read));
        assert!(kept.files.problems.is_empty(), "{}", kept.files.problems);
        let trouble = kept.files.trouble.to_string();
        assert!(trouble.contains("line 2 holds the token of bob"), "{trouble}");
        assert!(kept.client(ALICE).is_some() && kept.client(BOB).is_none());
        assert_eq!(kept.lines_of_keys().unwrap(), [1]);
        assert_eq!(kept.files.read.changed().unwrap().len(), 2, "they are tried again");
        folder.write("k", "sk-one\n");
        let mended = load(&text, Some(&kept.access), Some(&kept.files.read));
        assert!(mended.files.trouble.is_empty(), "{}", mended.files.trouble);
        assert!(mended.client(ALICE).is_none() && mended.client(BOB).is_some());
    }

    #[test]
    fn a_token_of_two_clients_or_in_place_of_a_key_is_refused() {
        let folder = Folder::new();
        let file = folder.write("t", format!("{}\n{0}\n", digest(ALICE)));
        let alice = table("alice", &format!("token = \"{}\"", digest(ALICE)));
        let team = table("team", &format!("token_file = {file:?}"));
        let twice = load(&format!("{MINIMAL}{alice}{team}"), None, None);
        twice.has_problem("token_file: the digest in line 1 is a token of alice, too");
        let twice = load(&format!("{MINIMAL}{team}{alice}"), None, None);
        twice.has_problem("client.name: this is a token of team, too");
        let once = load(&format!("{MINIMAL}{team}"), None, None);
        let remark = once.files.remarks.to_string();
        assert!(remark.contains("the digest in line 2 is in this file twice"), "{remark}");
        let bob = table("bob", &format!("token = \"{}\"", digest("no-prefix-but-a-token")));
        let keys = folder.write("k", "sk-one\nno-prefix-but-a-token\n");
        let token = load(&format!("{MINIMAL}key_file = {keys:?}\n{bob}"), None, None);
        token
            .has_problem("route.key_file: line 2 holds the token of bob; write the key of the API");
        assert!(!token.files.problems.to_string().contains("no-prefix"));
        folder.write("t", digest("test"));
        load(&format!("{MINIMAL}{team}"), None, None).has_problem("a word that everyone tries");
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_a_remark() {
        let folder = Folder::new();
        let (keys, tokens) = (folder.write("k", "sk-one\n"), folder.write("t", digest(ALICE)));
        let team = table("team", &format!("token_file = {tokens:?}"));
        let text = format!("{MINIMAL}key_file = {keys:?}\n{team}");
        let remarks = |mode: u32| {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&keys, mode.clone()).unwrap();
            fs::set_permissions(&tokens, mode).unwrap();
            load(&text, None, None).files.remarks.to_string()
        };
        assert_eq!((remarks(0o600), remarks(0o400)), (String::new(), String::new()));
        let readable = remarks(0o644);
        assert!(readable.contains("has mode 0644: others can read it; chmod 600 "), "{readable}");
        assert_eq!(readable.lines().count(), 1);
        assert!(remarks(0o660).contains("others can write into it, and add a token"));
    }

    #[test]
    fn a_key_in_a_variable_is_that_of_line_1_and_an_absent_one_is_a_problem() {
        // It is there for the build, and is visible ASCII.
        let text = |name: &str| format!("{MINIMAL}key_env = \"{name}\"\n");
        let loaded = load(&text("CARGO_PKG_VERSION"), None, None);
        assert_eq!(loaded.lines_of_keys().unwrap(), [1]);
        let gone = load(&text("NARROWS_NO_SUCH_KEY"), None, None);
        gone.has_problem("f:8: route.key_env: the environment has no variable NARROWS_NO_SUCH_KEY");
    }
}
