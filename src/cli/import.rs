//! `narrows import`: the configuration of another program, translated.

use crate::import::{Imported, Note, Refused, nginx};
use clap::Args;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `narrows import`.
#[derive(Args, Debug)]
pub struct ImportArguments {
    /// The program that the configuration is for.
    #[arg(value_name = "PROGRAM", value_parser = ["nginx"])]
    program: String,
    /// Its configuration file, or - for stdin, such as the output of `nginx -T`.
    #[arg(value_name = "FILE", help = "Its configuration file, or - for stdin")]
    file: PathBuf,
}

/// What `narrows import` prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Printed {
    /// The text of a narrows.toml, if there is one.
    pub toml: Option<String>,
    /// For stderr: what was left out, or why there is nothing.
    pub remarks: String,
}

impl ImportArguments {
    /// Reads the file and translates it.
    pub fn translate(&self) -> Printed {
        let is_stdin = self.file.as_os_str() == "-";
        let name = if is_stdin { "stdin".to_owned() } else { self.file.display().to_string() };
        let text = if is_stdin { read(io::stdin().lock()) } else { read_file(&self.file) };
        match text {
            Ok(text) => printed(&name, nginx::translate(&name, &text)),
            Err(error) => refused(format!("error: {name} cannot be read: {error}\n")),
        }
    }
}

/// What is printed of a result.
fn printed(name: &str, result: Result<Imported, Refused>) -> Printed {
    match result {
        Ok(Imported { toml, left_out }) => {
            let count = match left_out.len() {
                0 => return Printed { toml: Some(toml), remarks: String::new() },
                1 => "1 remark".to_owned(),
                count => format!("{count} remarks"),
            };
            let what =
                format!("{count} on what narrows cannot say; the end of the result has them, too");
            Printed { toml: Some(toml), remarks: format!("{}\n{what}\n", list(name, &left_out)) }
        }
        Err(Refused::Syntax { line, what }) => refused(format!(
            "error: {name}:{line}: {what}\n\nThis does not follow nginx's grammar.\n"
        )),
        Err(Refused::Foreign) => {
            refused(format!("error: {name}: this is not a configuration of nginx\n"))
        }
        Err(Refused::Nothing(notes)) => {
            let what = "error: no location with proxy_pass in it can be a route of narrows";
            refused(format!("{}\n{what}\n", list(name, &notes)))
        }
        Err(Refused::Contradiction(problems)) => {
            let what = "error: the parts of this configuration do not fit into one narrows.toml";
            refused(format!("{}\n\n{what}\n", problems.join("\n")))
        }
    }
}

fn refused(remarks: String) -> Printed {
    Printed { toml: None, remarks }
}

fn list(name: &str, notes: &[Note]) -> String {
    let mut text = String::new();
    for note in notes {
        let separator = if note.lines.is_empty() { ": " } else { ":" };
        let _ = writeln!(text, "warning: {name}{separator}{note}");
    }
    text
}

fn read_file(file: &Path) -> io::Result<String> {
    read(File::open(file)?)
}

/// The text. Comments are often in another encoding than UTF-8, and nothing else is.
fn read(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
