//! Until when the authority wants to be left alone: [`Pauses`], which are stored, so that a process
//! that is started anew keeps them.

use crate::acme::schedule::CA_PAUSE_MAX;
use crate::control::acme::state_directory::{StateDirectory, StateError, key_of};
use crate::control::acme::times_file::TimesFile;
use std::path::{Path, PathBuf};

/// The end of each pause, by the certificate's file, in seconds since 1970.
#[derive(Debug)]
pub(super) struct Pauses(TimesFile);

impl Pauses {
    /// Those that are stored. The other value is the new name of a file that cannot be used.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn load(
        state: &StateDirectory,
        now: i64,
    ) -> Result<(Self, Option<PathBuf>), StateError> {
        let (file, aside) = TimesFile::load(state, "pauses.json")?;
        let mut loaded = Self(file);
        loaded.forget_old(now);
        Ok((loaded, aside))
    }

    /// The end of the pause for a certificate; `now` if there is none.
    pub(super) fn end_for(&self, certificate: &Path, now: i64) -> i64 {
        self.0.of(&key_of(certificate)).first().map_or(now, |end| now.max(*end))
    }

    /// The pause for a certificate ends then, and there is none if that is not later than `now`.
    /// What is returned writes that to the file, and blocks; there is none if nothing changes.
    pub(super) fn set(
        &mut self,
        certificate: &Path,
        end: i64,
        now: i64,
    ) -> Option<impl FnOnce() -> Result<(), StateError> + Send + use<>> {
        let before = self.0.times.insert(key_of(certificate), vec![end]);
        self.forget_old(now);
        let after = self.0.times.get(&key_of(certificate));
        (before.as_ref() != after).then(|| self.0.write())
    }

    /// Those that are longer than any, too: a clock was wrong.
    fn forget_old(&mut self, now: i64) {
        self.0.keep(|end| (now + 1..=now + CA_PAUSE_MAX).contains(end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;

    #[test]
    fn a_pause_outlives_the_process_and_ends_when_it_is_over_or_set_to_now() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path(""));
        let [a, b] = ["/s/certificates/ca/a.pem", "/s/certificates/ca/b.pem"].map(Path::new);
        let load = |now| Pauses::load(&state, now).unwrap().0;
        let mut pauses = load(1000);
        assert!(pauses.set(a, 1000, 1000).is_none(), "there was none");
        pauses.set(a, 1600, 1000).unwrap()().unwrap();
        pauses.set(b, 1700, 1000).unwrap()().unwrap();
        assert_eq!((load(1001).end_for(a, 1001), load(1001).end_for(b, 1001)), (1600, 1700));
        assert_eq!(load(1001).end_for(Path::new("/moved/ca/a.pem"), 1001), 1600);
        assert_eq!((load(1600).end_for(a, 1600), load(5).end_for(a, 5)), (1600, 1600));
        let early = 1000 - CA_PAUSE_MAX;
        assert_eq!(load(early).end_for(a, early), early, "the clock was wrong then, or is now");
        pauses.set(a, 1100, 1100).unwrap()().unwrap();
        assert_eq!((load(1101).end_for(a, 1101), load(1101).end_for(b, 1101)), (1101, 1700));
    }
}
