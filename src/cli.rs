//! The command line: `narrows run`, `check`, `doctor`, `token` and `import`.
//!
//! clap parses a [`Cli`]. [`RunArguments::config`] turns it into a [`Config`], from the file that
//! it names or from the other arguments. Values have the same types as in the file
//! (`config::value`), and so the same messages. The exit code for refused arguments is 2.

mod acme_options;
mod doctor;
mod foreign_arguments;
mod guess;
mod import;
mod listeners;
mod parse;
mod route_argument;
mod stdin;
mod token;
mod usage_error;

pub use acme_options::AcmeOptions;
pub use doctor::DoctorArguments;
pub use import::{ImportArguments, Printed};
pub use route_argument::{CheckArgument, RouteArgument};
pub use token::TokenArguments;

use self::listeners::{check_listeners, listeners};
use self::parse::{one_of, parse_value, parse_workers};
use self::stdin::Stdin;
use crate::config::admin_address::{AdminAddress, AdminConfig};
use crate::config::check::check;
use crate::config::clients::ClientsConfig;
use crate::config::credentials::CredentialFiles;
use crate::config::keys::acme::AcmeConfig;
use crate::config::keys::log::{LogForm, LogLevel};
use crate::config::keys::route::{RouteConfig, RouteOptions};
use crate::config::listen_address::ListenAddress;
use crate::config::problem::{Location, Problems};
use crate::config::reach::ReachOptions;
use crate::config::url::Endpoint;
use crate::config::value::NamedFile;
use crate::config::{Config, Limits};
use crate::telemetry::LogSettings;
use crate::timeouts::Timeouts;
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The help text, without Markdown.
const ROUTE_HELP: &str = "/path/=https://host[:port]/path/: requests below the first go to the URL";
const CHECK_HELP: &str = "Routes, as for `run`; or a configuration file, - for stdin";

const EXAMPLES: &str = "\
Examples:
  narrows run /gpt/=https://api.openai.com/   # then: curl http://127.0.0.1:8080/gpt/v1/models
  narrows check narrows.toml
  narrows run --config narrows.toml
  narrows doctor narrows.toml

`narrows help run` lists the arguments.";

/// The arguments that a configuration file excludes.
const EXCLUDED_BY_FILE: [&str; 7] =
    ["routes", "listen", "certificate", "key", "domain", "connect", "ca"];

/// A small, fast, TLS-aware passage to an HTTPS API.
#[derive(Debug, Parser)]
#[command(name = "narrows", version = env!("NARROWS_VERSION"))]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Action,
}

impl Cli {
    /// The arguments of this process. Ends the process with a message if they are refused, or if
    /// they ask for help or the version.
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| usage_error::exit(error, &Self::command()))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Serve until SIGTERM or SIGINT.
    Run(Box<RunArguments>),
    /// Say whether a configuration is valid, the files it names included.
    Check(Box<CheckArguments>),
    /// Try step by step what a request would meet, and say what to repair.
    Doctor(Box<DoctorArguments>),
    /// Make a token for a client, and print it with its table for the configuration file.
    Token(TokenArguments),
    /// Translate the configuration of another program.
    Import(ImportArguments),
}

/// Arguments of `narrows run`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").args(["routes", "config"]).required(true).multiple(true))]
pub struct RunArguments {
    /// `/path/=https://host[:port]/path/`: requests below the first path go to the URL.
    #[arg(value_name = "ROUTE", help = ROUTE_HELP)]
    #[arg(value_parser = RouteArgument::parse)]
    pub routes: Vec<RouteArgument>,
    /// All others.
    #[command(flatten)]
    pub options: RunOptions,
    #[arg(skip)]
    stdin: Stdin,
}

/// Arguments of `narrows check`: those of `run`, or a file.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").args(["routes", "config"]).required(true).multiple(true))]
pub struct CheckArguments {
    /// Routes, as for `run`, or a configuration file.
    #[arg(value_name = "ROUTE|FILE", help = CHECK_HELP)]
    #[arg(value_parser = CheckArgument::parse)]
    routes: Vec<CheckArgument>,
    /// All others.
    #[command(flatten)]
    options: RunOptions,
}

/// The arguments that begin with `--`.
#[derive(Args, Debug)]
pub struct RunOptions {
    /// Configuration file, or - for stdin; or say it all here, beginning with a ROUTE.
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = EXCLUDED_BY_FILE)]
    pub config: Option<PathBuf>,
    /// Listen here: IP:port, :port (every address), localhost:port; may repeat [default:
    /// 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR", value_parser = parse_value::<ListenAddress>)]
    pub listen: Vec<ListenAddress>,
    /// Speak HTTPS on every listener: certificate and intermediates, PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// About certificates by ACME.
    #[command(flatten)]
    pub acme: AcmeOptions,
    /// Answer /livez, /readyz, /metrics, /status at this IP:port or unix:PATH [default: nowhere].
    #[arg(long, value_name = "ADDR", value_parser = parse_value::<AdminAddress>)]
    pub admin: Option<AdminAddress>,
    /// Worker threads, 1 to 256 [default: the number of cores].
    #[arg(long, value_name = "N", value_parser = parse_workers)]
    pub workers: Option<NonZeroUsize>,
    /// Dial this host:port instead of the upstreams' own.
    #[arg(long, value_name = "ADDR", value_parser = parse_value::<Endpoint>)]
    pub connect: Option<Endpoint>,
    /// Trust the roots in this PEM file instead of the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How log lines look [default: auto, as fits a terminal, journald or a file].
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<LogForm>(&LogForm::NAMES))]
    pub log_format: Option<LogForm>,
    /// Which log lines are written [default: info].
    #[arg(long, value_name = "LEVEL", value_parser = one_of::<LogLevel>(&LogLevel::NAMES))]
    pub log_level: Option<LogLevel>,
}

impl CheckArguments {
    /// The same as arguments of `run`.
    ///
    /// # Errors
    ///
    /// A file is named beside something that excludes it.
    pub fn run(self) -> Result<RunArguments, Problems> {
        let Self { routes: arguments, mut options } = self;
        let (mut routes, mut files) = (Vec::new(), Vec::new());
        for argument in arguments {
            match argument {
                CheckArgument::Route(route) => routes.push(route),
                CheckArgument::File(file) => files.push(file),
            }
        }
        let mut problems = Problems::default();
        if !files.is_empty() {
            let excluded = [
                ("a second FILE", files.len() > 1),
                ("ROUTE", !routes.is_empty()),
                ("--listen", !options.listen.is_empty()),
                ("--certificate", options.certificate.is_some()),
                ("--domain", !options.acme.domain.is_empty()),
                ("--connect", options.connect.is_some()),
                ("--ca", options.ca.is_some()),
            ];
            for (argument, _) in excluded.into_iter().filter(|(_, is_there)| *is_there) {
                let what = format!("a configuration file excludes {argument}");
                problems.add(&Location::Argument("FILE"), what);
            }
        }
        options.config = options.config.or(files.pop());
        problems.or(RunArguments { routes, options, stdin: Stdin::default() })
    }
}

impl RunArguments {
    /// The configuration that the arguments name or describe. What came from stdin is read once,
    /// and is the same each time.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file, or with the arguments in combination.
    pub fn config(&self) -> Result<Config, Problems> {
        self.config_by(Config::read)
    }

    /// The same for a reload: like `current`, if the file has not changed. It is a copy even then,
    /// by which those who ordered a certificate see that somebody wants it to be tried again.
    /// `None`: it came from stdin.
    pub fn config_again(&self, current: &Arc<Config>) -> Option<Result<Arc<Config>, Problems>> {
        let is_current = |file: &PathBuf| current.is_current(file);
        let read = || match self.options.config.as_ref().is_some_and(is_current) {
            true => Ok(Arc::new(Config::clone(current))),
            false => self.config_by(Config::read_again).map(Arc::new),
        };
        self.stdin_text().is_none().then(read)
    }

    fn config_by(&self, read: fn(&Path) -> Result<Config, Problems>) -> Result<Config, Problems> {
        let RunOptions { config: file, admin, workers, log_level, log_format, .. } = &self.options;
        let mut config = match file {
            Some(file) if file.as_os_str() == "-" => self.stdin.config()?,
            Some(file) => read(file)?,
            None => self.config_of_arguments()?,
        };
        self.options.acme.apply(&mut config.acme);
        config.workers = workers.or(config.workers);
        let location = Location::Argument("--admin");
        let admin = admin.clone().map(|address| AdminConfig { address, location });
        config.admin = admin.or(config.admin);
        config.log.level = log_level.map_or(config.log.level, |LogLevel(level)| level);
        config.log.format = log_format.map_or(config.log.format, |LogForm(format)| format);
        Ok(config)
    }

    /// The configuration that was read from stdin, if it was.
    pub fn stdin_text(&self) -> Option<&str> {
        self.stdin.text()
    }

    /// What `check` calls the configuration.
    pub fn name(&self) -> String {
        match &self.options.config {
            Some(file) if file.as_os_str() == "-" => Stdin::NAME.to_owned(),
            Some(file) => file.display().to_string(),
            None => "arguments".to_owned(),
        }
    }

    fn config_of_arguments(&self) -> Result<Config, Problems> {
        let options = &self.options;
        let named = |path: &Option<PathBuf>, argument| {
            let location = Location::Argument(argument);
            path.clone().map(|path| NamedFile { path, location })
        };
        let certificate = named(&options.certificate, "--certificate")
            .zip(named(&options.key, "--key"))
            .map(|(certificate, key)| CredentialFiles { certificate, key });
        let routes = self.routes.iter().map(|route| {
            let (connect, ca) = (options.connect.clone(), named(&options.ca, "--ca"));
            let reach = ReachOptions { connect, ca, ..ReachOptions::default() };
            let options = RouteOptions { reach, ..RouteOptions::default() };
            let location = Location::Argument("ROUTE");
            RouteConfig::new(route.path.clone(), route.upstream.clone(), options, location)
        });
        let config = Config {
            source: None,
            digest: None,
            workers: None,
            admin: None,
            listeners: listeners(&options.listen, &options.acme.domain, certificate),
            clients: ClientsConfig::default(),
            routes: routes.collect(),
            forwards: Vec::new(),
            acme: AcmeConfig::default(),
            acme_location: None,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            log: LogSettings::default(),
        };
        let mut problems = Problems::default();
        check(&config, &mut problems);
        options.acme.check(&mut problems);
        check_listeners(&options.listen, &options.acme.domain, &mut problems);
        if let Some(ca) = named(&options.ca, "--ca")
            .filter(|_| !config.routes.iter().any(|route| route.reach.is_tls))
        {
            problems.add(&ca.location, "every upstream is http://; only https:// has use for it");
        }
        problems.or(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::listener::ListenerConfig;
    use crate::telemetry::LogFormat;
    use crate::tls::testing::pem::Folder;
    use clap::CommandFactory;
    use tracing::Level;

    const OPENAI: &str = "/gpt/=https://api.openai.com/";

    #[test]
    fn one_route_is_enough() {
        let config = config(&[OPENAI]).unwrap();
        let addresses: Vec<_> = config.listeners.iter().map(ListenerConfig::name).collect();
        assert_eq!(addresses, ["127.0.0.1:8080"]);
        assert_eq!(config.listeners[0].certificates, []);
        assert_eq!(config.routes[0].path.as_str(), "/gpt/");
        assert_eq!(config.routes[0].host.as_str(), "api.openai.com");
        assert_eq!(config.routes[0].reach.connect.to_string(), "api.openai.com:443");
        assert_eq!(config.workers, None);
        assert_eq!(config.timeouts, Timeouts::default());
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn a_certificate_applies_to_every_listener_and_a_ca_to_every_route() {
        let config = config(&[
            "--listen",
            "0.0.0.0:443",
            "--listen",
            "[::]:443",
            "--certificate",
            "c.pem",
            "--key",
            "k.pem",
            "--connect",
            "127.0.0.1:9443",
            "--ca",
            "ca.pem",
            "--workers",
            "3",
            OPENAI,
            "/b/=https://b.example/v1/",
        ])
        .unwrap();
        assert_eq!(config.listeners.len(), 2);
        for listener in &config.listeners {
            let files = &listener.certificates[0];
            assert_eq!(files.certificate.path.to_str(), Some("c.pem"));
            assert_eq!(files.key.path.to_str(), Some("k.pem"));
        }
        for route in &config.routes {
            assert_eq!(route.reach.connect.to_string(), "127.0.0.1:9443");
            assert_eq!(route.reach.ca.as_ref().unwrap().path.to_str(), Some("ca.pem"));
        }
        assert_eq!(config.workers, NonZeroUsize::new(3));
    }

    #[test]
    fn a_domain_means_https_and_a_redirect_to_it() {
        let listeners = |more: &[&str]| config(&[&[OPENAI][..], more].concat()).unwrap().listeners;
        let two = listeners(&["--domain", "API.example.com", "--domain", "203.0.113.7"]);
        let urls: Vec<_> = two.iter().map(ListenerConfig::urls).collect();
        assert_eq!(urls, ["https://:443", "http://:80"]);
        assert_eq!((two[0].domains.len(), two[0].is_optional), (2, false));
        assert!(two[1].redirect && two[1].is_optional);
        let one = ["--domain", "a.example", "--listen", "127.0.0.1:8443", "--listen", "[::1]:8443"];
        let one = listeners(&one);
        assert_eq!(one.iter().map(ListenerConfig::urls).collect::<Vec<_>>().len(), 1);
        assert_eq!(one[0].urls(), "https://127.0.0.1:8443, https://[::1]:8443");
    }

    #[test]
    fn the_arguments_about_acme_go_with_a_domain_or_a_file() {
        let more = ["--state", "s", "--acme-directory", "https://ca/dir", "--acme-ca", "ca.pem"];
        let with = |first: &[&str]| config(&[first, &more].concat());
        let acme = with(&[OPENAI, "--domain", "a.example"]).unwrap().acme;
        assert_eq!(acme.state_directory().as_deref(), Some(Path::new("s")));
        assert_eq!(acme.directory.to_string(), "https://ca/dir");
        assert_eq!(acme.ca.unwrap().path, Path::new("ca.pem"));
        let problems = with(&[OPENAI]).unwrap_err();
        assert_eq!(problems.iter().len(), 3, "{problems}");
        let want = "--state: no certificate is ordered without --domain; add --domain NAME";
        assert!(problems.to_string().starts_with(want), "{problems}");
        let folder = Folder::new();
        let toml = "[[listener]]\naddress = \":1\"\ndomains = \"a.b\"\n\
                    [[route]]\npath = \"/\"\nupstream = \"http://h/\"\n\
                    [acme]\nstate = \"/t\"\nprofile = \"p\"\n";
        let file = folder.write("narrows.toml", toml);
        let acme = with(&["--config", file.to_str().unwrap()]).unwrap().acme;
        assert_eq!(acme.state_directory().as_deref(), Some(Path::new("s")));
        assert!(acme.profile.is_some());
        refuse(&["--config", "f", "--domain", "a.example"]);
        refuse(&[OPENAI, "--domain", "a.example", "--certificate", "c", "--key", "k"]);
        refuse(&[OPENAI, "--domain", "*.example"]);
        refuse(&[OPENAI, "--domain", "a.example", "--acme-directory", "http://ca/dir"]);
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        let with_config = |more: &[&str]| refuse(&[&["--config", "f"], more].concat());
        with_config(&[OPENAI]);
        with_config(&["--listen", "127.0.0.1:1"]);
        with_config(&["--certificate", "c", "--key", "k"]);
        with_config(&["--connect", "127.0.0.1:1"]);
        with_config(&["--ca", "c"]);
        refuse(&[OPENAI, "--certificate", "c"]);
        refuse(&[OPENAI, "--key", "k"]);
        refuse(&[]);
    }

    #[test]
    fn the_message_for_a_missing_route_names_both_ways_to_give_one() {
        let message = parse(&[]).unwrap_err().to_string();
        assert!(message.contains("<ROUTE") && message.contains("--config <FILE>"), "{message}");
    }

    #[test]
    fn arguments_out_of_range_are_refused() {
        for workers in ["0", "257", "x", "-1", ""] {
            refuse(&[OPENAI, "--workers", workers]);
        }
        refuse(&[OPENAI, "--listen", "host.example:80"]);
        refuse(&[OPENAI, "--log-level", "loud"]);
        refuse(&[OPENAI, "--log-format", "xml"]);
    }

    #[test]
    fn problems_between_arguments_name_the_argument() {
        let check = |arguments: &[&str], want: &str| {
            assert_eq!(config(arguments).unwrap_err().to_string(), want);
        };
        check(&[OPENAI, OPENAI], "ROUTE: \"/gpt/\" is routed twice");
        check(
            &[OPENAI, "--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"],
            "--listen: 127.0.0.1:1 is listened on twice",
        );
        check(
            &["/=http://h/", "--ca", "ca.pem"],
            "--ca: every upstream is http://; only https:// has use for it",
        );
    }

    #[test]
    fn logging_and_workers_go_with_a_file() {
        let arguments = ["--config", "f", "--workers", "2", "--log-format", "json"];
        let arguments = parse(&[&arguments[..], &["--log-level", "debug"]].concat()).unwrap();
        assert_eq!(arguments.options.workers, NonZeroUsize::new(2));
        assert_eq!(arguments.options.log_format, Some(LogForm(Some(LogFormat::Json))));
        assert_eq!(arguments.options.log_level, Some(LogLevel(Level::DEBUG)));
    }

    #[test]
    fn arguments_about_the_log_win_over_the_file() {
        let folder = Folder::new();
        let toml = "log = { level = \"warn\", format = \"json\" }\n\
                    [[listener]]\naddress = \":1\"\n\
                    [[route]]\npath = \"/\"\nupstream = \"http://h/\"\n";
        let file = folder.write("narrows.toml", toml);
        let log = |more: &[&str]| {
            let file = ["--config", file.to_str().unwrap()];
            config(&[&file[..], more].concat()).unwrap().log
        };
        let json = Some(LogFormat::Json);
        assert_eq!(log(&[]), LogSettings { level: Level::WARN, format: json });
        let debug = ["--log-level", "debug"];
        assert_eq!(log(&debug), LogSettings { level: Level::DEBUG, format: json });
        let auto = ["--log-format", "auto"];
        assert_eq!(log(&auto), LogSettings { level: Level::WARN, format: None });
        assert_eq!(config(&[OPENAI]).unwrap().log, LogSettings::default());
    }

    #[test]
    fn an_admin_listener_can_be_asked_for() {
        let at = |more: &[&str]| config(more).unwrap().admin.map(|it| it.address.to_string());
        assert_eq!(at(&[OPENAI]), None);
        let tcp = at(&[OPENAI, "--admin", "127.0.0.1:9145"]);
        assert_eq!(tcp.as_deref(), Some("127.0.0.1:9145"));
        let unix = at(&[OPENAI, "--admin", "unix:/run/a.sock"]);
        assert_eq!(unix.as_deref(), Some("unix:/run/a.sock"));
        refuse(&[OPENAI, "--admin", "unix:a.sock"]);
    }

    #[test]
    fn check_takes_a_file_or_the_arguments_of_run() {
        let file = |arguments: &[&str]| parse_check(arguments).unwrap().options.config.unwrap();
        assert_eq!(file(&["narrows.toml"]).to_str(), Some("narrows.toml"));
        assert_eq!(file(&["--config", "narrows.toml"]).to_str(), Some("narrows.toml"));
        assert_eq!(file(&["-"]).to_str(), Some("-"));
        assert_eq!(file(&["narrows.toml", "--workers", "2"]).to_str(), Some("narrows.toml"));
        let arguments = parse_check(&[OPENAI, "--listen", ":443"]).unwrap();
        assert_eq!(arguments.config().unwrap().listeners[0].name(), ":443");
        assert_eq!(arguments.name(), "arguments");
        assert_eq!(parse_check(&["-"]).unwrap().name(), "stdin");
    }

    #[test]
    fn a_file_for_check_excludes_what_it_says_itself() {
        let refused = |arguments: &[&str]| parse_check(arguments).unwrap_err().to_string();
        let listen = ["narrows.toml", "--listen", ":443"];
        assert_eq!(refused(&listen), "FILE: a configuration file excludes --listen");
        assert_eq!(refused(&["a.toml", OPENAI]), "FILE: a configuration file excludes ROUTE");
        let two = refused(&["a.toml", "b.toml", "--ca", "c.pem"]);
        let want = "FILE: a configuration file excludes a second FILE\n\
                    FILE: a configuration file excludes --ca";
        assert_eq!(two, want);
        for arguments in [&["check"][..], &["check", "a.toml", "--config", "b.toml"]] {
            let arguments = [&["narrows"], arguments].concat();
            assert_eq!(Cli::try_parse_from(arguments).unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn the_manual_names_every_argument() {
        let manual = include_str!("../docs/configuration.md");
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            assert!(manual.contains(&format!("narrows {}", command.get_name())));
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else { continue };
                assert!(manual.contains(&format!("| `--{long}")), "--{long}");
            }
        }
    }

    fn config(arguments: &[&str]) -> Result<Config, Problems> {
        parse(arguments).unwrap().config()
    }

    #[track_caller]
    fn refuse(arguments: &[&str]) {
        assert_eq!(parse(arguments).err().map(|error| error.exit_code()), Some(2));
    }

    fn parse(arguments: &[&str]) -> Result<RunArguments, clap::Error> {
        match Cli::try_parse_from([&["narrows", "run"], arguments].concat())?.command {
            Action::Run(arguments) => Ok(*arguments),
            other => unreachable!("{other:?}"),
        }
    }

    fn parse_check(arguments: &[&str]) -> Result<RunArguments, Problems> {
        let arguments = [&["narrows", "check"], arguments].concat();
        match Cli::try_parse_from(arguments).unwrap().command {
            Action::Check(arguments) => arguments.run(),
            other => unreachable!("{other:?}"),
        }
    }
}
