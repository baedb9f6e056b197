//! Arguments and commands of other programs, and what to write here instead.
//!
//! Names that are close to one of ours are not here: clap finds the nearest one.

/// The address that examples listen on; its port is replaced by the one that was written.
const LISTEN: &str = "write --listen 127.0.0.1:8080";
const ROUTE: &str = "write a ROUTE: /gpt/=https://api.openai.com/";

/// Names without hyphens, in lower case, and what to do instead.
const ARGUMENTS: &[(&str, &str)] = &[
    (
        "port p bind b addr address l listen-addr listen-address http-port https-port ip from",
        LISTEN,
    ),
    ("host hostname", "write --listen 127.0.0.1:8080; the upstream's host is in the ROUTE"),
    ("c conf config-file configuration f file", "write --config narrows.toml"),
    (
        "tls-cert cert crt ssl-cert tls-certificate cert-file certfile ssl-certfile tls-cert-file \
         fullchain",
        "write --certificate fullchain.pem",
    ),
    (
        "tls-key key-file ssl-key private-key keyfile ssl-keyfile tls-key-file privkey",
        "write --key privkey.pem",
    ),
    (
        "upstream target backend to url proxy-pass u base-url api-base origin destination \
         remote route r path prefix location",
        ROUTE,
    ),
    ("acme letsencrypt autocert auto-https domains server-name", "write --domain api.example.com"),
    (
        "email acme-email contact eab-kid profile",
        "[acme] of a file has this: --config narrows.toml",
    ),
    ("state-dir data-dir cache-dir storage", "write --state /var/lib/narrows"),
    ("acme-url acme-server directory", "write --acme-directory URL"),
    (
        "staging test-cert dry-run",
        "write --acme-directory https://acme-staging-v02.api.letsencrypt.org/directory",
    ),
    (
        "client-ca mtls client-auth tls-client-ca require-client-cert",
        "client_ca of a [[listener]] has this, in a file: --config narrows.toml",
    ),
    ("redirect https-redirect force-https", "leave it out; --domain leads port 80 to https"),
    ("cacert ca-cert ca-file root-ca cafile ca-bundle", "write --ca roots.pem"),
    ("verbose v vv debug d loglevel level q quiet trace", "write --log-level debug"),
    ("json log-json json-logs logformat", "write --log-format json"),
    ("threads w worker processes n concurrency j", "write --workers 4"),
    ("resolve connect-to dial", "write --connect 127.0.0.1:9443"),
    (
        "daemon daemonize background detach pid pidfile pid-file user group",
        "it runs in the foreground; systemd or `&` puts it in the background",
    ),
    (
        "log-file logfile log access-log log-path o output",
        "the log goes to stderr; `2>> narrows.log` writes it to a file",
    ),
    (
        "insecure k no-verify skip-verify insecure-skip-verify no-check-certificate",
        "an upstream is always verified; --ca FILE trusts a root of your own",
    ),
    (
        "proxy http-proxy socks5 x",
        "leave it out; upstreams are reached directly; --connect dials another host and port",
    ),
    ("s signal reload", "send a signal: `kill -HUP PID` reloads, `kill PID` stops"),
    ("test t check validate", "write narrows check narrows.toml"),
    (
        "timeout read-timeout idle-timeout",
        "limits of time are in [timeouts] of a file: --config narrows.toml",
    ),
    (
        "api-key token auth",
        "leave it out; the client sends its own key, which is passed on; or name a `key_file` in a \
         configuration file",
    ),
];

/// Words of other programs in place of a command, and what to do instead.
const COMMANDS: &[(&str, &str)] = &[
    ("start serve server up proxy relay", "did you mean narrows run?"),
    ("test validate verify lint configtest", "did you mean narrows check?"),
    ("diagnose diag debug troubleshoot", "did you mean narrows doctor?"),
    ("version", "write narrows --version"),
    ("reload", "send a signal: `systemctl reload narrows`, or `kill -HUP PID`"),
    ("stop quit", "send a signal: `systemctl stop narrows`, or `kill PID`"),
    ("restart upgrade", "send a signal: `kill -USR2 PID` starts the program file anew"),
    ("status", "start with --admin 127.0.0.1:9145; then `curl http://127.0.0.1:9145/status`"),
];

/// What to write instead of the command `name`.
pub(super) fn instead_of_command(name: &str) -> Option<&'static str> {
    let is_here = |names: &str| names.split(' ').any(|it| it == name);
    COMMANDS.iter().find(|(names, _)| is_here(names)).map(|(_, instead)| *instead)
}

/// What to write instead of the argument `name`, such as `--port`, which came with `value`.
pub(super) fn instead_of(name: &str, value: Option<&str>) -> Option<String> {
    let name = name.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
    let is_here = |names: &str| names.split(' ').any(|it| it == name);
    let (_, instead) = ARGUMENTS.iter().find(|(names, _)| is_here(names))?;
    let port = value.filter(|it| it.parse::<u16>().is_ok()).unwrap_or("8080");
    Some(instead.replace("8080", port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn a_foreign_argument_has_one_answer_and_none_of_ours_is_foreign() {
        let mut names: Vec<_> = ARGUMENTS.iter().flat_map(|(names, _)| names.split(' ')).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        // Doctor has some that are foreign to the others; there, clap knows them first.
        let commands = Cli::command();
        for command in commands.get_subcommands().filter(|it| it.get_name() != "doctor") {
            for argument in command.get_arguments().filter_map(|it| it.get_long()) {
                assert!(!names.contains(&argument), "--{argument}");
            }
        }
    }

    #[test]
    fn a_foreign_command_has_one_answer_and_none_of_ours_is_foreign() {
        let mut names: Vec<_> = COMMANDS.iter().flat_map(|(names, _)| names.split(' ')).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for command in Cli::command().get_subcommands() {
            assert!(!names.contains(&command.get_name()), "{}", command.get_name());
        }
    }

    #[test]
    fn the_port_that_was_written_is_in_the_answer() {
        let listen = |value| instead_of("--port", value);
        assert_eq!(listen(Some("443")).as_deref(), Some("write --listen 127.0.0.1:443"));
        assert_eq!(listen(Some("x")).as_deref(), Some(LISTEN));
        assert_eq!(instead_of("-P", None).as_deref(), Some(LISTEN));
        assert_eq!(instead_of("--nonsense", None), None);
    }
}
