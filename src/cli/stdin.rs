//! A configuration from stdin, for `--config -`.

use crate::config::Config;
use crate::config::problem::Problems;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// What was read from stdin, which can be read only once.
#[derive(Debug, Default)]
pub(super) struct Stdin {
    text: OnceLock<String>,
}

impl Stdin {
    /// What messages call it.
    pub(super) const NAME: &str = "stdin";

    /// The configuration. Relative names of files start from the working folder.
    pub(super) fn config(&self) -> Result<Config, Problems> {
        if self.text.get().is_none() {
            let text = Config::read_text(Self::NAME, io::stdin().lock())?;
            // Only the first one to read it has anything.
            let _read_meanwhile = self.text.set(text);
        }
        Config::parse(Self::NAME, Path::new(""), self.text().unwrap_or_default())
    }

    /// The text, if it has been read.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.get().map(String::as_str)
    }
}
