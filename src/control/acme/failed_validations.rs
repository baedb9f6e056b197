//! When validations of names have failed: [`FailedValidations`].
//!
//! An authority allows 5 failed validations of a name in an hour (Let's Encrypt; others are alike),
//! so they are stored: a process that is started again and again must not ask more often.

use crate::acme::identifier::Identifier;
use crate::control::acme::state_directory::{StateDirectory, StateError, read, replace, set_aside};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The form of the file. One with another number is set aside.
const VERSION: u64 = 1;
/// For how long they count, in seconds, with a reserve for the clock of the authority.
const COUNTED_SECONDS: i64 = 65 * 60;
/// Most times that are remembered for one name.
const TIMES_MAX: usize = 16;

/// The times of failed validations by name, in seconds since 1970.
#[derive(Debug)]
pub(super) struct FailedValidations {
    file: PathBuf,
    times: BTreeMap<String, Vec<i64>>,
}

impl FailedValidations {
    /// Those that are stored. The other value is the new name of a file that cannot be used.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn load(
        state: &StateDirectory,
        now: i64,
    ) -> Result<(Self, Option<PathBuf>), StateError> {
        let file = state.file("failed-validations.json");
        let (times, aside) = match read(&file)? {
            None => (BTreeMap::new(), None),
            Some(content) => match parse(&content) {
                Some(times) => (times, None),
                None => (BTreeMap::new(), Some(set_aside(&file)?)),
            },
        };
        let mut loaded = Self { file, times };
        loaded.forget_old(now);
        Ok((loaded, aside))
    }

    /// The times for a name, oldest first.
    pub(super) fn of(&self, name: &Identifier) -> &[i64] {
        self.times.get(&name.to_string()).map_or(&[], Vec::as_slice)
    }

    /// Adds one for each name. What is returned writes that to the file, and blocks.
    pub(super) fn add(
        &mut self,
        names: &[Identifier],
        now: i64,
    ) -> impl FnOnce() -> Result<(), StateError> + Send + use<> {
        self.forget_old(now);
        for name in names {
            let times = self.times.entry(name.to_string()).or_default();
            times.push(now);
            let surplus = times.len().saturating_sub(TIMES_MAX);
            times.drain(..surplus);
        }
        let (file, content) = (self.file.clone(), encode(&self.times));
        move || replace(&file, content.as_bytes())
    }

    /// Those in the future, too: a clock was wrong.
    fn forget_old(&mut self, now: i64) {
        let counts = |time: &i64| (now - COUNTED_SECONDS..=now).contains(time);
        self.times.retain(|_, times| {
            times.retain(counts);
            !times.is_empty()
        });
    }
}

fn encode(times: &BTreeMap<String, Vec<i64>>) -> String {
    let names: Map<String, Value> =
        times.iter().map(|(name, times)| (name.clone(), json!(times))).collect();
    format!("{}\n", json!({ "version": VERSION, "names": names }))
}

fn parse(content: &[u8]) -> Option<BTreeMap<String, Vec<i64>>> {
    let value: Value = serde_json::from_slice(content).ok()?;
    if value.get("version")?.as_u64()? != VERSION {
        return None;
    }
    let names = value.get("names")?.as_object()?;
    let times = |(name, times): (&String, &Value)| {
        let times: Option<Vec<_>> = times.as_array()?.iter().map(Value::as_i64).collect();
        Some((name.clone(), times?))
    };
    names.iter().map(times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;
    use std::fs;

    fn dns(name: &str) -> Identifier {
        Identifier::Dns(name.into())
    }

    #[test]
    fn failed_validations_outlive_the_process_for_as_long_as_they_count() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path(""));
        let (mut failed, _) = FailedValidations::load(&state, 10_000).unwrap();
        failed.add(&[dns("a.example"), dns("b.example")], 10_000)().unwrap();
        failed.add(&[dns("a.example")], 10_060)().unwrap();
        let load = |now| FailedValidations::load(&state, now).unwrap().0;
        assert_eq!(load(10_100).of(&dns("a.example")), [10_000, 10_060]);
        assert_eq!(load(10_100).of(&dns("b.example")), [10_000]);
        assert_eq!(load(10_001 + COUNTED_SECONDS).of(&dns("a.example")), [10_060]);
        assert_eq!(load(10_001 + COUNTED_SECONDS).of(&dns("b.example")), [0; 0]);
        assert_eq!(load(5).of(&dns("a.example")), [0; 0], "the clock was wrong then, or is now");
    }

    #[test]
    fn a_file_of_another_form_is_set_aside() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path(""));
        for content in ["", "{}", r#"{"version":2,"names":{}}"#, r#"{"version":1,"names":{"a":1}}"#]
        {
            folder.write("failed-validations.json", content);
            let (failed, aside) = FailedValidations::load(&state, 0).unwrap();
            assert_eq!(failed.of(&dns("a")), [0; 0]);
            assert_eq!(fs::read(aside.unwrap()).unwrap(), content.as_bytes());
        }
    }

    #[test]
    fn what_is_remembered_of_one_name_is_bounded() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path(""));
        let (mut failed, _) = FailedValidations::load(&state, 0).unwrap();
        for now in 0..1000 {
            drop(failed.add(&[dns("a")], now));
        }
        assert_eq!(failed.of(&dns("a")).len(), TIMES_MAX);
    }
}
