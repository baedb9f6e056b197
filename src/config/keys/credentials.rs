//! The tables of `certificates` of a listener.

use crate::config::credentials::{CredentialDraft, CredentialFiles};
use crate::config::key::Default::Required;
use crate::config::key::Read::With;
use crate::config::key::{Key, read_table, row};
use crate::config::table::{Reader, Table};

pub(super) const KEYS: &[Key<CredentialDraft>] = &[
    Key::new(
        "certificate",
        With(|it, entry| it.certificate = entry.file()),
        Required,
        row(
            "[PEM file](#pem-files): the certificate and its intermediates.",
            "a file of up to 1 MiB, relative to this file's folder",
        ),
    ),
    Key::new(
        "key",
        With(|it, entry| it.key = entry.file()),
        Required,
        row(
            "[PEM file](#pem-files): the certificate's private key. May be the same file.",
            "a file, like `certificate`",
        ),
    ),
];

/// Reads a table of `certificates`. `None` if a key is missing or wrong.
pub(super) fn read(reader: &mut Reader, table: Table<'_>) -> Option<CredentialFiles> {
    let mut draft = CredentialDraft::default();
    read_table(reader, table, KEYS, &mut draft);
    draft.pair()
}
