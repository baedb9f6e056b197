//! clap's messages about refused arguments, without possible secrets: a password in a URL, or a key
//! in place of a file name.

use crate::config::problem::without_secrets;
use clap::error::{ContextKind, ContextValue, Error};

/// `error` without the secrets that the operator may have typed.
pub(super) fn scrubbed(mut error: Error) -> Error {
    let shown = |text: &String| {
        without_secrets(text).unwrap_or_else(|| "(not repeated, it may be secret)".to_owned())
    };
    let mut changed = Vec::new();
    for (kind, value) in error.context() {
        let clean = match value {
            ContextValue::String(text) => ContextValue::String(shown(text)),
            ContextValue::Strings(texts) => {
                ContextValue::Strings(texts.iter().map(shown).collect())
            }
            // Our own text, except for suggestions.
            _ => continue,
        };
        // The names of our own arguments.
        let is_own = matches!(kind, ContextKind::ValidValue | ContextKind::ValidSubcommand);
        if !is_own && clean != *value {
            changed.push((kind, clean));
        }
    }
    if !changed.is_empty() {
        // Suggestions repeat the argument.
        error.remove(ContextKind::Suggested);
    }
    for (kind, value) in changed {
        error.insert(kind, value);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::tls::testing::pem::KEY;
    use clap::Parser;

    #[test]
    fn messages_contain_neither_a_password_nor_a_key() {
        let one_line = KEY.replace('\n', " ");
        let escaped = KEY.replace('\n', "\\n");
        for key in [KEY, &one_line, &escaped, &KEY.replace('\n', "")] {
            for arguments in [
                &["run", key][..],
                &["run", "--listen", key],
                &["run", &format!("--listen={key}"), "/=http://h/"],
                &["run", "--connect", key, "/=http://h/"],
                &["run", "--workers", key, "/=http://h/"],
                &["run", "--log-level", key, "/=http://h/"],
                &["run", &format!("--keys={key}"), "/=http://h/"],
                &["check", key],
                &[key],
            ] {
                let text = refused(arguments);
                for part in KEY.lines().filter(|line| !line.starts_with('-')) {
                    assert!(!text.contains(&part[..8]), "{text}");
                    assert!(!text.contains(&part[part.len() - 8..]), "{text}");
                }
            }
        }
        for url in
            ["/x/=https://user:pa55word@host/", "/x/=ftp://user:pa55word@host/", "user:pa55word@h"]
        {
            let text = refused(&["run", url]);
            assert!(!text.contains("pa55word") && !text.contains("user:"), "{text}");
            let text = refused(&["run", "--connect", url, "/=http://h/"]);
            assert!(!text.contains("pa55word") && !text.contains("user:"), "{text}");
        }
    }

    fn refused(arguments: &[&str]) -> String {
        let all = ["narrows"].iter().chain(arguments);
        scrubbed(Cli::try_parse_from(all).unwrap_err()).to_string()
    }
}
