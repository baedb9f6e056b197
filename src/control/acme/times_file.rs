//! Times that outlive the process, in a file of the state directory: [`TimesFile`].

use crate::control::acme::state_directory::{StateDirectory, StateError, read, replace, set_aside};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::PathBuf;

/// The form of the file. One with another number is set aside.
const VERSION: u64 = 1;

/// Lists of times by name, in seconds since 1970, and the file that keeps them.
#[derive(Debug)]
pub(super) struct TimesFile {
    file: PathBuf,
    pub(super) times: HashMap<String, Vec<i64>>,
}

impl TimesFile {
    /// What is stored. The other value is the new name of a file that cannot be used.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn load(
        state: &StateDirectory,
        name: &str,
    ) -> Result<(Self, Option<PathBuf>), StateError> {
        let file = state.file(name);
        let (times, aside) = match read(&file)? {
            None => (HashMap::new(), None),
            Some(content) => match parse(&content) {
                Some(times) => (times, None),
                None => (HashMap::new(), Some(set_aside(&file)?)),
            },
        };
        Ok((Self { file, times }, aside))
    }

    /// The times for a name.
    pub(super) fn of(&self, name: &str) -> &[i64] {
        self.times.get(name).map_or(&[], Vec::as_slice)
    }

    /// Keeps the times that count.
    pub(super) fn keep(&mut self, counts: impl Fn(&i64) -> bool) {
        self.times.retain(|_, times| {
            times.retain(&counts);
            !times.is_empty()
        });
    }

    /// What is returned writes the file, and blocks.
    pub(super) fn write(&self) -> impl FnOnce() -> Result<(), StateError> + Send + use<> {
        let (file, content) = (self.file.clone(), encode(&self.times));
        move || replace(&file, content.as_bytes())
    }
}

fn encode(times: &HashMap<String, Vec<i64>>) -> String {
    let mut names = Map::new();
    names.extend(times.iter().map(|(name, times)| (name.clone(), json!(times))));
    format!("{}\n", json!({ "version": VERSION, "names": names }))
}

fn parse(content: &[u8]) -> Option<HashMap<String, Vec<i64>>> {
    let value: Value = serde_json::from_slice(content).ok()?;
    if value.get("version")?.as_u64()? != VERSION {
        return None;
    }
    let names = value.get("names")?.as_object()?;
    let mut all = HashMap::new();
    for (name, times) in names {
        let times: Option<_> = times.as_array()?.iter().map(Value::as_i64).collect();
        all.insert(name.clone(), times?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;
    use std::fs;

    #[test]
    fn times_are_stored_and_a_file_of_another_form_is_set_aside() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path(""));
        let load = || TimesFile::load(&state, "times.json").unwrap();
        let (mut file, _) = load();
        file.times.insert("a".to_owned(), vec![1, 2]);
        file.write()().unwrap();
        assert_eq!((load().0.of("a"), load().0.of("b")), (&[1, 2][..], &[][..]));
        for content in ["", "{}", r#"{"version":2,"names":{}}"#, r#"{"version":1,"names":{"a":1}}"#]
        {
            folder.write("times.json", content);
            let (file, aside) = load();
            assert_eq!(file.of("a"), [0; 0]);
            assert_eq!(fs::read(aside.unwrap()).unwrap(), content.as_bytes());
        }
    }
}
