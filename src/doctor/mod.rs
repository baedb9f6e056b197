//! `narrows doctor`: step by step what a request would meet, each with a time, a verdict and a
//! remedy ([`run`]).
//!
//! A step observes and judges apart: a verdict is a function of what was observed, with a test for
//! each thing that can be wrong. The steps on this machine come first, because they take no time.
//! Those over the network run at the same time, each with a limit of its own, and are reported in
//! the order in which a request meets them.
//!
//! No request has a key, and nothing that is changed outlasts the process.

mod answer;
mod certificates;
mod clock;
mod descriptors;
mod dns;
mod endpoint;
mod files;
mod finding;
mod holders;
mod http;
mod journey;
mod name;
mod nameservers;
mod outside;
mod ports;
mod report;
mod server;
mod tcp;
mod ticks;
mod times;
mod tls;
mod together;

use crate::cli::{DoctorArguments, RunArguments};
use crate::config::Config;
use crate::config::identifier::Identifier;
use crate::config::problem::{Location, Problem, Problems};
use crate::config::snapshot::{Snapshot, count};
use crate::config::url::Host;
use crate::config::warnings::warnings;
use crate::doctor::clock::Said;
use crate::doctor::finding::{Finding, Verdict};
use crate::doctor::journey::{Travelled, own_name, travel};
use crate::doctor::outside::Outside;
use crate::doctor::report::{Form, Report};
use crate::doctor::server::Server;
use crate::doctor::together::{Later, in_order};
use crate::upstream::resolver::Resolver;
use std::env;
use std::io::{self, Stdout};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::timeout;

/// Longest time for the way to one server. The steps on it have limits of their own, which are
/// shorter; only several that expire come to this.
const SERVER_MAX: Duration = Duration::from_secs(40);
/// Most names of our own that are looked up.
const OWN_NAMES_MAX: usize = 16;

/// Examines what the arguments describe, and reports on stdout. Whether nothing has failed.
///
/// # Errors
/// The arguments contradict each other.
pub fn run(arguments: DoctorArguments) -> Result<bool, Problems> {
    let DoctorArguments { check, url, serve, json } = arguments;
    let run = check.run()?;
    let mut report = Report::new(Form::of_stdout(json), io::stdout());
    let begun = Instant::now();
    let config = match run.config() {
        Ok(config) => Some(Arc::new(config)),
        // Those of arguments alone are refused as `run` refuses them.
        Err(problems) if problems.iter().any(is_of_arguments) => return Err(problems),
        Err(problems) => {
            report.add(problems.iter().map(|it| refused(it, &run)));
            None
        }
    };
    let (mut snapshot, mut running) = (None, None);
    if let Some(config) = &config {
        report.add([configuration(config, &run).took(begun.elapsed())]);
        report.add(warned(config));
        report.add(environment(|name| env::var_os(name).is_some_and(|it| !it.is_empty())));
        (snapshot, running) = on_this_machine(config, &mut report);
    }
    let outside = url.map(|url| Outside { url, serve, running, snapshot: snapshot.map(Rc::new) });
    over_the_network(config.as_deref(), outside, &mut report);
    Ok(report.finish())
}

const CONFIGURATION: &str = "configuration";

fn is_of_arguments(problem: &Problem) -> bool {
    matches!(problem.location, Location::Argument(_))
}

fn refused(problem: &Problem, run: &RunArguments) -> Finding {
    let remedy = format!("correct it; `narrows check {}` shows the line", run.name());
    Finding::of_problem(CONFIGURATION, Verdict::Failure, problem, remedy.into())
}

fn configuration(config: &Config, run: &RunArguments) -> Finding {
    let urls: Vec<_> = config.listeners.iter().map(|it| it.urls()).collect();
    let routes = count(config.routes.len(), "route");
    let what = format!("valid: {}; {routes}", urls.join(", "));
    Finding::ok(CONFIGURATION, &run.name(), what)
}

/// Variables that other programs obey. Their values may hold a password.
fn environment(has: impl Fn(&str) -> bool) -> Option<Finding> {
    const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let set = PROXIES.into_iter().find(|it| has(it))?;
    let remedy = "nothing, if this machine reaches the Internet without that proxy; otherwise ask \
                  for a direct way out to the upstream's port";
    Some(Finding::warning("environment", set, "is set, and narrows does not use it", remedy))
}

fn warned(config: &Config) -> Vec<Finding> {
    let remedy = "see docs/configuration.md";
    let warned = |it| Finding::of_problem(CONFIGURATION, Verdict::Warning, it, remedy.into());
    warnings(config).iter().map(warned).collect()
}

/// What can be seen without a network: the files loaded, if they can be, and the narrows that runs.
fn on_this_machine(
    config: &Arc<Config>,
    report: &mut Report<Stdout>,
) -> (Option<Snapshot>, Option<u32>) {
    let (files, all_readable) = files::examine(config);
    report.add(files);
    let begun = Instant::now();
    let loaded = all_readable.then(|| Snapshot::load(Arc::clone(config)));
    let found = match &loaded {
        Some(Ok(snapshot)) => certificates::examine(snapshot, SystemTime::now()),
        Some(Err(problems)) => certificates::refused(problems),
        None => vec![Finding::skipped("certificate", "", "a file cannot be read")],
    };
    let took = begun.elapsed();
    report.add(found.into_iter().map(|it| it.took(took)));
    let begun = Instant::now();
    let (ports, running) = ports::examine(config);
    let took = begun.elapsed();
    report.add(ports.into_iter().map(|it| it.took(took)));
    report.add([descriptors::examine(running, config)]);
    (loaded.and_then(Result::ok), running)
}

fn over_the_network(
    config: Option<&Config>,
    outside: Option<Outside>,
    report: &mut Report<Stdout>,
) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => {
            runtime.block_on(visit(config, outside, report));
            // A lookup that hangs is not waited for.
            runtime.shutdown_background();
        }
        Err(error) => {
            let remedy = "raise the limit of open files (ulimit -n)";
            report.add([Finding::failure("network", "", error.to_string(), remedy)]);
        }
    }
}

async fn visit(config: Option<&Config>, outside: Option<Outside>, report: &mut Report<Stdout>) {
    let resolver = Arc::new(Resolver::default());
    let (servers, more) = config.map(Server::all).unwrap_or_default();
    if config.is_none() {
        report.add([Finding::skipped("upstreams", "", "the configuration is not valid")]);
        // Nothing is known that could be asked for.
        if outside.is_none() {
            return;
        }
    }
    let name_of_url = outside.as_ref().and_then(|it| it.url.endpoint.host.address().err());
    let name = servers.iter().find_map(|it| it.reach.connect.host.address().err());
    let nameservers = nameservers::examine(name.or(name_of_url));
    let mut tasks: Vec<Later<Travelled>> =
        vec![Box::pin(async { Travelled { findings: nameservers.await, ..Travelled::default() } })];
    for host in config.map(own_names).unwrap_or_default() {
        tasks.push(Box::pin(own_name(host, Arc::clone(&resolver))));
    }
    for server in servers {
        let resolver = Arc::clone(&resolver);
        let about = server.name.clone();
        let travel = Box::pin(async move { travel(&server, &resolver).await });
        tasks.push(Box::pin(bounded(about, travel)));
    }
    if let Some(outside) = outside {
        let about = outside.url.endpoint.to_string();
        tasks.push(Box::pin(bounded(about, Box::pin(outside::examine(outside, resolver)))));
    }
    let mut said: Vec<Said> = Vec::new();
    let pass_on = |travelled: Travelled| {
        report.add(travelled.findings);
        said.extend(travelled.said);
    };
    in_order(tasks, pass_on).await;
    report.add(more);
    report.add([clock::verdict(&said)]);
}

/// Names that certificates are ordered for: the authority has to find them in the DNS.
fn own_names(config: &Config) -> Vec<Host> {
    let domains = config.listeners.iter().flat_map(|it| &it.domains);
    let names = domains.filter(|it| matches!(it, Identifier::Dns(_)));
    let mut hosts: Vec<Host> = names.filter_map(|it| it.to_string().parse().ok()).collect();
    hosts.dedup();
    hosts.truncate(OWN_NAMES_MAX);
    hosts
}

async fn bounded(about: String, travel: Later<Travelled>) -> Travelled {
    timeout(SERVER_MAX, travel).await.unwrap_or_else(|_elapsed| {
        let what = format!("given up after {} s", SERVER_MAX.as_secs());
        let remedy = "see the other steps; something on the way drops packets";
        let findings = vec![Finding::failure("tcp", &about, what, remedy)];
        Travelled { findings, ..Travelled::default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_proxy_that_other_programs_use_is_a_warning() {
        assert_eq!(environment(|_| false), None);
        let finding = environment(|name| name == "https_proxy").unwrap();
        assert_eq!(finding.about, "https_proxy");
    }

    #[test]
    fn names_of_our_own_are_looked_up_and_addresses_are_not() {
        let toml = "[[listener]]\naddress = \":443\"\ndomains = [\"a.example\", \"192.0.2.1\"]\n\
                    [[route]]\npath = \"/\"\nupstream = \"https://api.example/\"\n";
        let config = Config::parse("f", Path::new("."), toml).unwrap();
        let names: Vec<_> = own_names(&config).iter().map(Host::to_string).collect();
        assert_eq!(names, ["a.example"]);
    }
}
