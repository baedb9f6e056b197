//! The command line: `narrows run` and `narrows check`.
//!
//! clap parses a [`Cli`]. [`RunArguments::config`] turns it into a [`Config`], from the file that
//! it names or from the other arguments. Values have the same types as in the file
//! (`config::value`), and so the same messages. The exit code for refused arguments is 2.

mod foreign_arguments;
mod usage_error;

use self::usage_error::Refused;
use crate::config::admin_address::{AdminAddress, AdminConfig};
use crate::config::check::check;
use crate::config::keys::listener::{CredentialFiles, ListenerConfig};
use crate::config::keys::log::{LogForm, LogLevel};
use crate::config::keys::route::{RouteConfig, RouteOptions};
use crate::config::keys::top::WORKERS_RANGE;
use crate::config::listen_address::ListenAddress;
use crate::config::lookalike::{self, Lookalike};
use crate::config::problem::{Location, Problems, quoted};
use crate::config::reach::ReachOptions;
use crate::config::url::{Endpoint, UpstreamUrl};
use crate::config::value::{Mode, NamedFile, RoutePath, Value};
use crate::config::{Config, Limits};
use crate::telemetry::LogSettings;
use crate::timeouts::Timeouts;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen if no address is given: loopback only.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// The help text, without Markdown.
const ROUTE_HELP: &str = "/path/=https://host[:port]/path/: requests below the first go to the URL";

/// A small, fast, TLS-aware passage to an HTTPS API.
#[derive(Debug, Parser)]
#[command(name = "narrows", version = env!("NARROWS_VERSION"))]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Action,
}

impl Cli {
    /// The arguments of this process. Ends the process with a message if they are refused, or if
    /// they ask for help or the version.
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| usage_error::exit(error))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Serve until SIGTERM or SIGINT.
    Run(Box<RunArguments>),
    /// Say whether a configuration is valid, the files it names included.
    Check(CheckArguments),
}

/// Arguments of `narrows run`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").args(["routes", "config"]).required(true).multiple(true))]
pub struct RunArguments {
    /// Configuration file; or say it all here, beginning with a ROUTE.
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["routes", "listen", "certificate", "key", "connect", "ca"])]
    pub config: Option<PathBuf>,
    /// `/path/=https://host[:port]/path/`: requests below the first path go to the URL.
    #[arg(value_name = "ROUTE", help = ROUTE_HELP)]
    #[arg(value_parser = RouteArgument::parse)]
    pub routes: Vec<RouteArgument>,
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

/// Arguments of `narrows check`.
#[derive(Args, Debug)]
pub struct CheckArguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// A ROUTE argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteArgument {
    path: RoutePath,
    upstream: UpstreamUrl,
}

impl RouteArgument {
    /// Parses `/path/=URL`.
    fn parse(text: &str) -> Result<Self, Refused> {
        if let Some(lookalike) = Lookalike::find(text) {
            let corrected = lookalike::corrected(text).replace('"', "");
            let meant = Some(corrected).filter(|it| Self::parse(it).is_ok());
            let meant = meant.map(|it| format!("did you mean {}?", quoted(&it)));
            return Err(Refused { what: lookalike.what(), help: meant.into_iter().collect() });
        }
        // A path may contain "=", but ends in "/". The second split is for one that does not.
        let split = text.find("/=").map(|slash| (&text[..=slash], &text[slash + 2..]));
        let Some((path, upstream)) = split.or_else(|| text.split_once('=')) else {
            return Err(without_equals(text));
        };
        Ok(Self { path: parse_value(path)?, upstream: parse_value(upstream)? })
    }
}

fn without_equals(text: &str) -> Refused {
    let url_at = text.find("https:").or_else(|| text.find("http:"));
    let meant = match url_at {
        Some(0) => Some(format!("/gpt/={text}")),
        Some(at) => {
            let path = text[..at].trim_matches([':', ' ', '>', '-', '/', ',']);
            Some(format!("/{path}/={}", &text[at..]))
        }
        None => None,
    };
    let what = match url_at {
        Some(0) => "the path is missing",
        Some(_) | None => "there is no \"=\" between the path and the URL",
    };
    let meant = meant.map(|text| closed(&text)).filter(|it| RouteArgument::parse(it).is_ok());
    let meant = meant.map(|it| format!("did you mean {}?", quoted(&it)));
    let allowed = "write /path/=https://host/".to_owned();
    Refused { what: what.to_owned(), help: vec![meant.unwrap_or(allowed)] }
}

/// A URL with only a host needs no slash; one with a path does.
fn closed(text: &str) -> String {
    if RouteArgument::parse(text).is_ok() { text.to_owned() } else { format!("{text}/") }
}

impl RunArguments {
    /// The configuration that the arguments name or describe.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file, or with the arguments in combination.
    pub fn config(&self) -> Result<Config, Problems> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => self.config_of_arguments()?,
        };
        config.workers = self.workers.or(config.workers);
        let location = Location::Argument("--admin");
        let admin = self.admin.clone().map(|address| AdminConfig { address, location });
        config.admin = admin.or(config.admin);
        config.log.level = self.log_level.map_or(config.log.level, |LogLevel(level)| level);
        config.log.format = self.log_format.map_or(config.log.format, |LogForm(format)| format);
        Ok(config)
    }

    fn config_of_arguments(&self) -> Result<Config, Problems> {
        let named = |path: &Option<PathBuf>, argument| {
            let location = Location::Argument(argument);
            path.clone().map(|path| NamedFile { path, location })
        };
        let credentials = named(&self.certificate, "--certificate")
            .zip(named(&self.key, "--key"))
            .map(|(certificate, key)| CredentialFiles { certificate, key });
        let addresses = match self.listen.as_slice() {
            [] => &[ListenAddress::Ip(LISTEN_DEFAULT)],
            some => some,
        };
        let listeners = addresses.iter().map(|address| ListenerConfig {
            addresses: vec![*address],
            credentials: credentials.clone(),
            mode: Mode::Http,
            proxy_protocol: Vec::new(),
            location: Location::Argument("--listen"),
        });
        let routes = self.routes.iter().map(|route| {
            let (connect, ca) = (self.connect.clone(), named(&self.ca, "--ca"));
            let reach = ReachOptions { connect, ca, ..ReachOptions::default() };
            let options = RouteOptions { reach, ..RouteOptions::default() };
            let location = Location::Argument("ROUTE");
            RouteConfig::new(route.path.clone(), route.upstream.clone(), options, location)
        });
        let config = Config {
            workers: None,
            admin: None,
            listeners: listeners.collect(),
            routes: routes.collect(),
            forwards: Vec::new(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            log: LogSettings::default(),
        };
        let mut problems = Problems::default();
        check(&config, &mut problems);
        if let Some(ca) = named(&self.ca, "--ca")
            .filter(|_| !config.routes.iter().any(|route| route.reach.is_tls))
        {
            problems.add(&ca.location, "every upstream is http://; only https:// has use for it");
        }
        problems.or(config)
    }
}

/// Parses any [`Value`], with the same message as for the file.
fn parse_value<T: Value>(text: &str) -> Result<T, Refused> {
    T::from_str(text).map_err(|invalid| {
        let (what, help) = lookalike::explained::<T>(text, invalid);
        Refused { what, help }
    })
}

fn parse_workers(text: &str) -> Result<NonZeroUsize, Refused> {
    let workers = NonZeroUsize::from_str(text).ok();
    workers.filter(|workers| WORKERS_RANGE.contains(&workers.get())).ok_or_else(|| {
        let allowed = format!("{} to {} is allowed", WORKERS_RANGE.start(), WORKERS_RANGE.end());
        Refused { what: format!("{} is out of range", quoted(text)), help: vec![allowed] }
    })
}

/// Parses a value that is one of `names`, which the help and the message list.
fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: Value + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse().map_err(|it: T::Err| it.what))
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(config.listeners[0].credentials, None);
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
            let files = listener.credentials.as_ref().unwrap();
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
    fn a_route_is_split_after_its_path() {
        let split = |text| {
            let route = RouteArgument::parse(text).map_err(|refused| refused.to_string());
            route.map(|it| it.path.as_str().to_owned())
        };
        assert_eq!(split("/a=b/=http://h/").as_deref(), Ok("/a=b/"));
        assert_eq!(split("/=http://h/").as_deref(), Ok("/"));
        assert!(split("/gpt=http://h/").unwrap_err().contains("did you mean \"/gpt/\"?"));
        assert!(split("/gpt/=http://h/v1").unwrap_err().contains("did you mean \"http://h/v1/\"?"));
        assert!(split("/gpt/").unwrap_err().contains("no \"=\""));
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
        assert_eq!(arguments.workers, NonZeroUsize::new(2));
        assert_eq!(arguments.log_format, Some(LogForm(Some(LogFormat::Json))));
        assert_eq!(arguments.log_level, Some(LogLevel(Level::DEBUG)));
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
            Action::Check(_) => unreachable!("the arguments began with run"),
        }
    }
}
