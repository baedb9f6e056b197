//! Why a file that has one item a line cannot be used: [`ListError`].

use crate::tls::credential_error::CredentialError;
use crate::tls::secret::FileName;
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// Displays as one line that names the file.
#[derive(Debug)]
pub(super) enum ListError {
    /// It cannot be read.
    File(CredentialError),
    /// This line of it is wrong.
    Line(PathBuf, u32, &'static str),
    /// It as a whole is.
    Whole(PathBuf, Cow<'static, str>),
}

impl ListError {
    /// `what` is wrong with `file`, whose name comes before it.
    pub(super) fn whole(file: &Path, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Whole(file.into(), what.into())
    }
}

impl From<CredentialError> for ListError {
    fn from(error: CredentialError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Line(file, line, what) => write!(f, "{}, line {line}: {what}", FileName(file)),
            Self::Whole(file, what) => write!(f, "{} {what}", FileName(file)),
        }
    }
}
