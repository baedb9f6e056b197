//! Every `[[client]]` of a configuration: [`ClientsConfig`].
//!
//! There may be many thousands of them, so what is kept of each is what requests need, once: the
//! [`Client`] itself, and in a list beside them where it is in the file, for messages.

use super::problem::Location;
use super::source::Source;
use super::value::NamedFile;
use crate::gateway::access::Client;
use crate::gateway::client_limits::ClientUse;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The clients, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientsConfig {
    /// All of them.
    pub all: Arc<[Client]>,
    /// The files of those whose tokens are in one, with their places among `all`, in order.
    pub files: Vec<(u32, NamedFile)>,
    /// Where their names are: lines, and bytes of the file.
    names: Box<[(u32, Range<u32>)]>,
}

/// The clients as they are read.
#[derive(Default)]
pub(super) struct ReadClients {
    all: Vec<Client>,
    files: Vec<(u32, NamedFile)>,
    names: Vec<(u32, Range<u32>)>,
    places: Vec<ClientPlaces>,
}

/// A client as it is read.
pub(super) struct ReadClient {
    pub(super) client: Client,
    /// Of its tokens. Boxed, because most clients have none.
    pub(super) file: Option<Box<NamedFile>>,
    /// Where the name is: its line, and its bytes.
    pub(super) name: (u32, Range<u32>),
    pub(super) places: ClientPlaces,
}

/// Where the keys of a client are. It is not kept.
pub(super) struct ClientPlaces {
    /// The token, or the file.
    pub(super) tokens: Range<u32>,
    /// The routes, or the name.
    pub(super) routes: Range<u32>,
}

impl ReadClients {
    /// None yet. What grows bit by bit leaves more unused memory behind.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            all: Vec::with_capacity(count),
            files: Vec::new(),
            names: Vec::with_capacity(count),
            places: Vec::with_capacity(count),
        }
    }

    pub(super) fn push(&mut self, ReadClient { client, file, name, places }: ReadClient) {
        self.files.extend(file.map(|file| (self.all.len() as u32, *file)));
        self.all.push(client);
        self.names.push(name);
        self.places.push(places);
    }

    /// All of them, and where the keys of each are.
    pub(super) fn finish(self) -> (ClientsConfig, Vec<ClientPlaces>) {
        let Self { all, files, names, places } = self;
        (ClientsConfig { all: all.into(), files, names: names.into() }, places)
    }
}

impl ClientsConfig {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The location of the name of the client at this place.
    pub(super) fn location(&self, source: Option<&Arc<Source>>, place: usize) -> Location {
        match (source, self.names.get(place)) {
            (Some(source), Some((line, place))) => {
                let (source, line, place) = (Arc::clone(source), *line, place.clone());
                Location::File { source, line, place, key: "client.name".into() }
            }
            _ => Location::Argument("client"),
        }
    }

    /// The file of the tokens of the client at this place, if they are in one.
    pub fn file(&self, place: usize) -> Option<&NamedFile> {
        let at = self.files.binary_search_by_key(&place, |(at, _)| *at as usize).ok()?;
        Some(&self.files[at].1)
    }

    /// All of them by name, each with the path of its file.
    pub fn by_name(&self) -> HashMap<&str, (&Client, Option<&NamedFile>)> {
        let entry = |(place, client): (usize, _)| (client, self.file(place));
        self.all.iter().enumerate().map(|it| (&*it.1.name, entry(it))).collect()
    }

    /// Clients keep what they use of their limits by their names, and what has not changed since
    /// `before` is in memory once.
    pub(super) fn follow(&mut self, before: &Arc<[Client]>) {
        if self.all == *before {
            self.all = Arc::clone(before);
            return;
        }
        let used = before.iter().filter_map(|it| Some((&*it.name, &it.rules.as_ref()?.used)));
        let used: HashMap<&str, &Arc<ClientUse>> = used.collect();
        for client in Arc::get_mut(&mut self.all).into_iter().flatten() {
            let used = used.get(&*client.name);
            if let (Some(rules), Some(used)) = (&mut client.rules, used) {
                rules.used = Arc::clone(used);
            }
        }
    }
}

/// The location of a key of a client.
pub(super) fn location_of(source: &Arc<Source>, place: &Range<u32>, key: &str) -> Location {
    Location::in_file(source, place.start as usize..place.end as usize, key)
}
