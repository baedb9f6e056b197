//! Writes the manual pages and the completions of shells, from the declarations of the arguments
//! and of the configuration's keys:
//!
//!     cargo run --example pages -- FOLDER
//!
//! packaging/build puts them into every package. They are not in the program, which they would make
//! a quarter of a megabyte larger.

mod config_page;

use clap::CommandFactory;
use clap_complete::Shell;
use narrows::cli::Cli;
use std::io::Write;
use std::path::PathBuf;
use std::{env, fs, io};

/// What the arguments do not say: the end of narrows(1).
const MORE: &str = r#".SH EXAMPLES
.nf
narrows run /gpt/=https://api.openai.com/
narrows check /etc/narrows/narrows.toml
narrows doctor /etc/narrows/narrows.toml
narrows run \-\-config /etc/narrows/narrows.toml
.fi
.SH FILES
.TP
.I /etc/narrows/narrows.toml
The configuration of the service, see
.BR narrows.toml (5).
.TP
.I /var/lib/narrows
Its state: certificates that it has obtained.
.SH SIGNALS
.TP
SIGHUP
Read the configuration again, without cutting a connection.
.TP
SIGUSR2
Hand over to the program file that is there now; no client is refused and no stream cut.
.TP
SIGTERM, SIGINT, SIGQUIT
Stop; running exchanges have time to end. A second one ends the process at once.
.SH EXIT STATUS
0 after a clean stop, for a valid configuration, and if doctor has found no failure; 1 after a
failure while running, or if doctor has found one; 2 for bad arguments or a bad configuration.
"#;

fn main() -> io::Result<()> {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("which folder?"));
    };
    fs::create_dir_all(&folder)?;
    // Without the commit and the date, and with the examples in a section of their own.
    let command = Cli::command().version(env!("CARGO_PKG_VERSION")).after_help(None::<&str>);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command.clone(), "narrows", &folder)?;
    }
    clap_mangen::generate_to(command, &folder)?;
    let mut page = fs::OpenOptions::new().append(true).open(folder.join("narrows.1"))?;
    page.write_all(MORE.as_bytes())?;
    config_page::write(&mut fs::File::create(folder.join("narrows.toml.5"))?)
}
