//! Reads the configuration file into a [`Config`].
//!
//! Not here: its keys (`keys`), TOML (`table`), and the checks across tables (`check`).

use super::check::check;
use super::check_clients::{check_clear_tokens, check_clients};
use super::keys;
use super::keys::top::{self, Config, ReadConfig};
use super::parts::Parts;
use super::problem::{Location, Problems};
use super::source::Source;
use super::systemd_credentials::are_passed;
use super::table::Reader;
use super::token_digest::{sha256, sha256_of};
use crate::tls::credential_file::open_regular;
use crate::tls::secret::may_be_secret;
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::path::Path;
use std::sync::Arc;

/// Longest configuration file, in bytes. It has room for thousands of routes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Room for the text of a file. Allocators map a block of this size for itself, so that it is given
/// back when it is freed; what is not used of it is no memory.
const BLOCK_BYTES: usize = FILE_BYTES_MAX as usize + 2;
/// What editors of Windows write at the beginning of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

impl Config {
    /// Reads and checks a configuration file, but not the files that it names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file, or that it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        Self::read_by(|path| File::open(path), path)
    }

    /// The same for a reload, which a pipe in place of the file must not hold up.
    ///
    /// # Errors
    ///
    /// As for [`Config::read`], or it is not a regular file.
    pub fn read_again(path: &Path) -> Result<Self, Problems> {
        Self::read_by(open_regular, path)
    }

    /// Whether the file still holds what this was read from, so that to read it again would give
    /// the same. The names of credentials mean what systemd passes at the time.
    pub fn is_current(&self, path: &Path) -> bool {
        let found = || open_regular(path).and_then(|file| sha256_of(file.take(FILE_BYTES_MAX + 1)));
        let is_same = |digest| found().is_ok_and(|found| found == digest);
        !are_passed() && self.digest.is_some_and(is_same)
    }

    fn read_by(open: fn(&Path) -> io::Result<File>, path: &Path) -> Result<Self, Problems> {
        // A key may have been pasted in place of a file name.
        let name = path.display().to_string();
        let name = if may_be_secret(&name) { "(no name of a file)".to_owned() } else { name };
        let file = open(path).map_err(|error| unreadable(&name, Unreadable::of(&error)))?;
        let text = Self::read_text(&name, file)?;
        let digest = Some(sha256(text.as_bytes()));
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = match text.starts_with(BYTE_ORDER_MARK) {
            true => Self::parse(&name, folder, &text),
            false => Self::of(&Source::new(&name, text).into(), folder),
        };
        Ok(Self { digest, ..config? })
    }

    /// The text of a configuration file called `name`.
    ///
    /// # Errors
    ///
    /// It cannot be read, is too long, or is not text.
    pub fn read_text(name: &str, from: impl Read) -> Result<String, Problems> {
        read_text(from).map_err(|problem| unreadable(name, problem))
    }

    /// Checks the text of a configuration file called `name`, whose relative paths start from
    /// `folder`. Opens no file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the text.
    pub fn parse(name: &str, folder: &Path, text: &str) -> Result<Self, Problems> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        Self::of(&Source::new(name, text).into(), folder)
    }

    /// The same, without taking the text apart.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse_whole(name: &str, folder: &Path, text: &str) -> Result<Self, Problems> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let source = Source::new(name, text).into();
        read(&mut Reader::new(&source, None, folder, keys::tables_with), text)
    }

    fn of(source: &Arc<Source>, folder: &Path) -> Result<Self, Problems> {
        let text = source.text().unwrap_or_default();
        if let Some(parts) = Parts::of(text.as_str()).map(Arc::new) {
            let tables_with = keys::tables_with;
            let mut reader = Reader::new(source, Some(Arc::clone(&parts)), folder, tables_with);
            // What is wrong is said of the whole.
            if let Ok(config) = read(&mut reader, &parts.rest)
                && !reader.is_torn
            {
                return Ok(config);
            }
        }
        read(&mut Reader::new(source, None, folder, keys::tables_with), text.as_str())
    }
}

/// Reads and checks a document.
fn read(reader: &mut Reader, document: &str) -> Result<Config, Problems> {
    let Some(document) = reader.open(document) else {
        check_clear_tokens(reader.places.source(), &mut reader.problems);
        return Err(mem::take(&mut reader.problems).sorted());
    };
    let ReadConfig { config, clients_at, has_all_routes } = top::read(reader, document);
    check(&config, &mut reader.problems);
    check_clients(
        &config,
        reader.places.source(),
        &clients_at,
        has_all_routes,
        &mut reader.problems,
    );
    check_clear_tokens(reader.places.source(), &mut reader.problems);
    mem::take(&mut reader.problems).or(config)
}

/// What is wrong with a file as a whole, in this line, and what helps.
struct Unreadable {
    line: usize,
    what: String,
    help: Option<&'static str>,
}

impl Unreadable {
    fn of(error: &io::Error) -> Self {
        let help = match error.kind() {
            io::ErrorKind::NotFound => {
                Some("name a file that exists; a relative name starts from the working folder")
            }
            io::ErrorKind::PermissionDenied => Some(
                "let the user that runs narrows read the file and open its folder; check and \
                     doctor may run as root: sudo narrows check …",
            ),
            io::ErrorKind::IsADirectory => Some("name a file in it, such as narrows.toml"),
            _ => None,
        };
        Self { help, ..Self::at(1, format!("the file cannot be read: {error}")) }
    }

    fn at(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into(), help: None }
    }
}

fn unreadable(name: &str, Unreadable { line, what, help }: Unreadable) -> Problems {
    let source = Source::new(name, "\n".repeat(line - 1)).into();
    let location = Location::in_file(&source, line - 1..line - 1, "");
    let mut problems = Problems::default();
    problems.add_with_help(&location, what, help.map(str::to_owned));
    problems
}

/// The text, or the line and the reason why it is not valid.
fn read_text(from: impl Read) -> Result<String, Unreadable> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES);
    let mut limited = from.take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(|error| Unreadable::of(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Unreadable::at(1, format!("the file is longer than {FILE_BYTES_MAX} bytes")));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Unreadable::at(1, "the file is UTF-16; save it as UTF-8"));
    }
    if bytes.contains(&0) {
        return Err(Unreadable::at(1, "the file is binary, not text"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        Unreadable::at(
            line,
            format!("the file is not UTF-8; its byte {at} is wrong; save it as UTF-8"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::limits::Limits;
    use crate::config::testing::{MINIMAL, read};
    use crate::config::value::{Family, Mode, ProxyVersion};
    use crate::h1::limits::HeadLimits;
    use crate::net::admission::AddressLimit;
    use crate::timeouts::Timeouts;
    use crate::tls::testing::pem::Folder;
    use std::num::NonZeroUsize;
    use std::time::Duration;

    #[test]
    fn absent_keys_have_defaults() {
        let config = read(MINIMAL).unwrap();
        assert_eq!(config.workers, None);
        assert_eq!(config.timeouts, Timeouts::default());
        assert_eq!(config.limits, Limits::default());
        let per_address = AddressLimit { connections: 256, counts_loopback: false };
        assert_eq!(config.limits.per_address, per_address);
        assert_eq!(config.listeners[0].certificates, []);
        assert_eq!(config.routes[0].host.as_str(), "api.openai.com");
        assert_eq!(config.routes[0].reach.tls_name.to_string(), "api.openai.com");
        assert_eq!(config.routes[0].reach.connect.to_string(), "api.openai.com:443");
        assert_eq!(config.routes[0].reach.ca, None);
    }

    #[test]
    fn present_keys_are_read() {
        let config = read(
            r#"
            workers = 2
            timeouts.keep_alive = "1m"
            timeouts.to_client = { write = "90s" }
            limits.connections = 7
            limits.connections_per_address = 5
            limits.head_bytes = 1024
            limits.header_fields = 1
            [[listener]]
            address = "[::1]:1"
            certificate = "c.pem"
            key = "/k.pem"
            mode = "http"
            [[route]]
            path = "/"
            upstream = "https://[::1]:8443/v1/"
            host = "h.example"
            tls_name = "t.example"
            connect = "127.0.0.1:9443"
            ca = "ca.pem"
            "#,
        );
        let config = config.unwrap();
        assert_eq!(config.workers, NonZeroUsize::new(2));
        assert_eq!(config.timeouts.keep_alive, Duration::from_secs(60));
        assert_eq!(config.timeouts.to_client_write, Duration::from_secs(90));
        assert_eq!(config.timeouts.to_client_read, Duration::from_secs(600));
        let head = HeadLimits { bytes: 1024, fields: 1 };
        let per_address = AddressLimit { connections: 5, counts_loopback: true };
        assert_eq!(config.limits, Limits { connections: 7, per_address, head });
        let files = &config.listeners[0].certificates[0];
        assert_eq!(files.certificate.path, Path::new("folder/c.pem"));
        assert_eq!(files.key.path, Path::new("/k.pem"));
        let route = &config.routes[0];
        assert_eq!(route.host.as_str(), "h.example");
        assert_eq!(route.reach.tls_name.to_string(), "t.example");
        assert_eq!(route.reach.connect.to_string(), "127.0.0.1:9443");
        assert_eq!(route.reach.ca.as_ref().unwrap().path, Path::new("folder/ca.pem"));
    }

    const FORWARDING: &str = r#"
        [[listener]]
        address = "0.0.0.0:443"
        mode = "tcp"
        proxy_protocol = ["10.0.0.0/8", "::1"]

        [[forward]]
        server_name = "*.example.com"
        upstream = "tcp://10.0.0.5:443"
        proxy_protocol = "v2"

        [[forward]]
        server_name = "*"
        upstream = "tls://db.example.com:5432"
        tls_name = "db.internal"
        connect = "127.0.0.1:9443"
        ca = "ca.pem"
        family = "6"
    "#;

    #[test]
    fn a_tcp_listener_and_its_forwards_need_no_route() {
        let config = read(FORWARDING).unwrap();
        assert_eq!(config.listeners[0].mode, Mode::Tcp);
        assert_eq!(config.listeners[0].proxy_protocol.len(), 2);
        let reach = |index: usize| config.forwards[index].reach.clone().unwrap();
        assert_eq!(config.forwards[0].upstream.to_string(), "tcp://10.0.0.5:443");
        assert_eq!(reach(0).connect.to_string(), "10.0.0.5:443");
        assert_eq!(reach(0).proxy_protocol, Some(ProxyVersion::V2));
        assert_eq!(reach(1).tls_name.to_string(), "db.internal");
        assert_eq!(reach(1).connect.to_string(), "127.0.0.1:9443");
        assert_eq!(reach(1).ca.unwrap().path, Path::new("folder/ca.pem"));
        assert_eq!(reach(1).family, Family::V6);
    }

    #[test]
    fn the_text_of_the_first_design_is_a_valid_file() {
        let design = r#"
workers = 2                                # optional, as all but one listener and one route

[[listener]]
address = "0.0.0.0:443"
certificate = "fullchain.pem"              # with `key`: HTTPS. Without both: plain HTTP
key = "privkey.pem"
# mode = "tcp"                             # default "http"; see [[forward]]
# proxy_protocol = ["10.0.0.0/8"]          # accept a PROXY v1/v2 header from these peers only

[[route]]                                  # the longest matching path wins
path = "/gpt/"                             # replaced by the upstream's path, byte for byte
upstream = "https://api.openai.com/"       # http:// too, for a local model server
# host = "api.openai.com"                  # Host sent; default: the upstream's authority
# tls_name = "api.openai.com"              # SNI sent and name verified
# connect = "127.0.0.1:9443"               # dial this instead of resolving the host
# ca = "private-ca.pem"                    # trust these roots instead of the built-in ones

[[forward]]                                # what a tcp listener does; first match wins
server_name = "*.example.com"              # the client's SNI: exact, one wildcard label, or "*"
upstream = "tcp://10.0.0.5:443"            # bytes as they are; "tls://host:port" begins TLS, then
                                           # `tls_name`, `connect` and `ca` as on a route
# proxy_protocol = "v2"                    # announce the client to the upstream: "v1" or "v2"
"#;
        assert!(read(design).is_ok());
        // So are the keys that are commented out there.
        assert_eq!(read(&design.replace("\n# ", "\n")).map(|_| ()), Ok(()));
    }

    #[test]
    fn a_file_that_cannot_be_one_is_refused() {
        let read = |path: &str| Config::read(Path::new(path)).unwrap_err().to_string();
        assert!(read("/nonexistent.toml").starts_with("/nonexistent.toml:1: the file cannot be"));
        assert!(read("/").starts_with("/:1: the file cannot be read: "));
        assert_eq!(read("/dev/zero"), "/dev/zero:1: the file is longer than 1048576 bytes");
        let again = Config::read_again(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(again, "/dev/zero:1: the file cannot be read: it is not a regular file");
        let folder = Folder::new();
        let message = read(folder.write("latin", b"\n\n# caf\xe9").to_str().unwrap());
        let want = "latin:3: the file is not UTF-8; its byte 7 is wrong; save it as UTF-8";
        assert!(message.ends_with(want), "{message}");
    }
}
