//! When validations of names have failed, or may have: [`FailedValidations`].
//!
//! An authority allows 5 failed validations of a name in an hour (Let's Encrypt; others are alike),
//! so they are stored: a process that is started again and again must not ask more often. One that
//! has begun counts as failed until its order says otherwise, because a process that is killed, or
//! drains, does not learn its result.

use crate::acme::identifier::Identifier;
use crate::acme::schedule::validation_allowed_at;
use crate::control::acme::state_directory::{StateDirectory, StateError};
use crate::control::acme::times_file::TimesFile;
use std::path::PathBuf;

/// For how long they count, in seconds, with a reserve for the clock of the authority.
const COUNTED_SECONDS: i64 = 65 * 60;
/// Most times that are remembered for one name.
const TIMES_MAX: usize = 16;

/// The times of failed validations by name, in seconds since 1970.
#[derive(Debug)]
pub(super) struct FailedValidations(TimesFile);

/// Validations that have begun.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    names: Vec<Identifier>,
    at: i64,
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
        let (file, aside) = TimesFile::load(state, "failed-validations.json")?;
        let mut loaded = Self(file);
        loaded.forget_old(now);
        Ok((loaded, aside))
    }

    /// The times for a name, oldest first.
    fn of(&self, name: &Identifier) -> &[i64] {
        self.0.of(&name.to_string())
    }

    /// When all of these names may be validated again.
    pub(super) fn allowed_at(&self, names: &[Identifier], now: i64) -> i64 {
        let allowed = names.iter().map(|name| validation_allowed_at(self.of(name), now));
        allowed.max().unwrap_or(now)
    }

    /// Adds one for each name, because its validation begins. What is returned writes that to the
    /// file, and blocks.
    pub(super) fn begin(
        &mut self,
        names: Vec<Identifier>,
        at: i64,
    ) -> (Begun, impl FnOnce() -> Result<(), StateError> + Send + use<>) {
        self.add(&names, at);
        (Begun { names, at }, self.0.write())
    }

    /// The result is known: of what has `begun`, the names in `failed` have failed by now, and the
    /// others have not.
    pub(super) fn end(
        &mut self,
        begun: Option<Begun>,
        failed: &[Identifier],
        now: i64,
    ) -> impl FnOnce() -> Result<(), StateError> + Send + use<> {
        if let Some(Begun { names, at }) = begun {
            for name in names {
                let times = self.0.times.entry(name.to_string()).or_default();
                times.iter().position(|it| *it == at).map(|index| times.remove(index));
            }
        }
        self.add(failed, now);
        self.0.write()
    }

    fn add(&mut self, names: &[Identifier], now: i64) {
        for name in names {
            let times = self.0.times.entry(name.to_string()).or_default();
            times.push(now);
            let surplus = times.len().saturating_sub(TIMES_MAX);
            times.drain(..surplus);
        }
        self.forget_old(now);
    }

    /// Those in the future, too: a clock was wrong.
    fn forget_old(&mut self, now: i64) {
        self.0.keep(|time| (now - COUNTED_SECONDS..=now).contains(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;

    fn dns(name: &str) -> Identifier {
        Identifier::Dns(name.into())
    }

    #[test]
    fn failed_validations_outlive_the_process_for_as_long_as_they_count() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path(""));
        let (mut failed, _) = FailedValidations::load(&state, 10_000).unwrap();
        failed.end(None, &[dns("a.example"), dns("b.example")], 10_000)().unwrap();
        failed.end(None, &[dns("a.example")], 10_060)().unwrap();
        let load = |now| FailedValidations::load(&state, now).unwrap().0;
        assert_eq!(load(10_100).of(&dns("a.example")), [10_000, 10_060]);
        assert_eq!(load(10_100).of(&dns("b.example")), [10_000]);
        assert_eq!(load(10_001 + COUNTED_SECONDS).of(&dns("a.example")), [10_060]);
        assert_eq!(load(10_001 + COUNTED_SECONDS).of(&dns("b.example")), [0; 0]);
        assert_eq!(load(5).of(&dns("a.example")), [0; 0], "the clock was wrong then, or is now");
    }

    #[test]
    fn a_validation_counts_as_failed_from_its_beginning_until_its_result_is_known() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path(""));
        let (mut failed, _) = FailedValidations::load(&state, 10_000).unwrap();
        let names = ["a.example", "b.example", "c.example"].map(dns);
        let (begun, write) = failed.begin(names.to_vec(), 10_000);
        write().unwrap();
        let of = |now| {
            let (stored, _) = FailedValidations::load(&state, now).unwrap();
            names.each_ref().map(|name| stored.of(name).to_vec())
        };
        assert_eq!(of(10_050), [[10_000], [10_000], [10_000]], "a process that was killed");
        failed.end(Some(begun), &names[1..2], 10_060)().unwrap();
        assert_eq!(of(10_100), [vec![], vec![10_060], vec![]]);
        let (begun, _) = failed.begin(names.to_vec(), 10_060);
        failed.end(Some(begun), &[], 10_070)().unwrap();
        assert_eq!(of(10_100), [vec![], vec![10_060], vec![]]);
    }

    #[test]
    fn what_is_remembered_of_one_name_is_bounded() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path(""));
        let (mut failed, _) = FailedValidations::load(&state, 0).unwrap();
        for now in 0..1000 {
            drop(failed.begin(vec![dns("a")], now));
        }
        assert_eq!(failed.of(&dns("a")).len(), TIMES_MAX);
    }
}
