//! What Prometheus gets: the text of a [`Scrape`].
//!
//! The encoder is the crate `prometheus-client`, because the formats have their traps: what is
//! escaped, which suffix belongs to the family and which to the sample, how numbers are written.

use super::histogram::Distribution;
use super::process::ProcessStats;
use super::route::RouteReport;
use super::totals::Totals;
use crate::telemetry::dropped::dropped_lines;
use crate::telemetry::panics::panics;
use crate::telemetry::record::{End, StatusClass};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// The names and values of labels.
type Labels<'l> = [(&'l str, &'l str)];

/// The labels of a metric without any.
const UNLABELLED: [(&str, &str); 0] = [];

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

/// Everything that one scrape shows.
#[derive(Default)]
pub struct Scrape {
    /// The version of the program.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
    /// What the workers have counted.
    pub totals: Arc<Totals>,
    /// The names in certificates, and when these end, in seconds since 1970.
    pub certificates: HashMap<Arc<str>, i64>,
    /// Names for which a certificate is ordered, and that have none yet.
    pub awaited: usize,
    /// Orders of certificates since the start.
    pub orders: Orders,
    /// Reloads since the start.
    pub reloads: Reloads,
    /// Files that have changed and cannot be used.
    pub unusable_files: usize,
    /// Workers that have not reported in time.
    pub silent_workers: usize,
    /// What the kernel knows.
    pub process: ProcessStats,
}

/// How often the configuration was read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// So that it took effect.
    pub ok: u64,
    /// In vain.
    pub failed: u64,
}

/// How orders of certificates ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// By a certificate.
    pub ok: u64,
    /// Without one.
    pub failed: u64,
}

impl Format {
    /// The media type, for Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Scrape {
    /// The text.
    pub fn expose(self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut out = String::new();
        let written = match format {
            Format::Text => prometheus_text::encode(&mut out, &registry),
            Format::OpenMetrics => text::encode(&mut out, &registry),
        };
        // A string takes everything.
        debug_assert!(written.is_ok());
        out
    }
}

/// A [`Collector`] has to have it, and nobody reads it.
impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Writer(encoder);
        let routes = by_name(&self.totals.routes);
        self.write_process(&mut out)?;
        self.write_connections(&mut out)?;
        self.write_exchanges(&routes, &mut out)?;
        write_uses(&routes, &mut out)?;
        write_durations(&routes, &mut out)?;
        self.write_upstreams(&mut out)
    }
}

impl Scrape {
    fn write_process(&self, out: &mut Writer<'_>) -> fmt::Result {
        let build = [("version", self.version), ("commit", self.commit)];
        out.info("narrows_build", "The version of narrows.", &build)?;
        let mut reloads = out.counters("narrows_reloads", "Reloads of the configuration.")?;
        reloads.count(&[("result", "ok")], self.reloads.ok)?;
        reloads.count(&[("result", "failed")], self.reloads.failed)?;
        let help = "Files that have changed and cannot be used.";
        out.gauge("narrows_files_unusable", help, self.unusable_files)?;
        let help = "Workers that have not reported within a second.";
        out.gauge("narrows_workers_silent", help, self.silent_workers)?;
        let help = "Lines of the log that were not written.";
        out.counters("narrows_log_lines_dropped", help)?.count(&UNLABELLED, dropped_lines())?;
        let help = "Panics. Each is a bug, and ended one connection.";
        out.counters("narrows_panics", help)?.count(&UNLABELLED, panics())?;
        let help = "When a certificate ends, in seconds since 1970.";
        let mut ends = out.gauges("narrows_certificate_not_after_seconds", help)?;
        for (name, end) in by_name(&self.certificates) {
            ends.gauge(&[("name", name)], *end)?;
        }
        let help = "Names that have no certificate yet.";
        out.gauge("narrows_certificates_awaited", help, self.awaited)?;
        let mut orders = out.counters("narrows_acme_orders", "Orders of certificates.")?;
        orders.count(&[("result", "ok")], self.orders.ok)?;
        orders.count(&[("result", "failed")], self.orders.failed)?;

        let stats = &self.process;
        if let Some(seconds) = stats.cpu_seconds {
            out.float_counter("process_cpu_seconds", "Time on a processor in seconds.", seconds)?;
        }
        for (name, help, value) in [
            ("process_open_fds", "Open file descriptors.", stats.open_fds),
            ("process_max_fds", "Limit of open file descriptors.", stats.max_fds),
            ("process_threads", "Threads.", stats.threads),
            ("process_virtual_memory_bytes", "Address space.", stats.virtual_bytes),
            ("process_resident_memory_bytes", "Memory in use.", stats.resident_bytes),
        ] {
            let mut gauge = out.gauges(name, help)?;
            value.map_or(Ok(()), |value| gauge.gauge(&UNLABELLED, value))?;
        }
        let help = "When the process began, in seconds since 1970.";
        let mut started = out.gauges("process_start_time_seconds", help)?;
        stats.start_seconds.map_or(Ok(()), |seconds| started.gauge(&UNLABELLED, seconds))
    }

    fn write_connections(&self, out: &mut Writer<'_>) -> fmt::Result {
        let mut connections = out.gauges("narrows_connections", "Client connections.")?;
        for (address, count) in &self.totals.connections {
            connections.gauge(&[("listener", &address.to_string())], *count)?;
        }
        let help = "Connections and requests that were refused before an upstream saw them.";
        let mut refused = out.counters("narrows_refused", help)?;
        for (reason, count) in &self.totals.refused {
            refused.count(&[("reason", reason)], *count)?;
        }
        Ok(())
    }

    fn write_exchanges(
        &self,
        routes: &ByName<'_, RouteReport>,
        out: &mut Writer<'_>,
    ) -> fmt::Result {
        let now = &self.totals.running;
        let mut running = out.gauges("narrows_exchanges_running", "Exchanges that run now.")?;
        for (name, it) in by_name(now) {
            running.gauge(&[("route", name)], it.count)?;
        }
        // A route that was used shows that nothing runs.
        for (name, _) in routes.iter().filter(|(it, _)| !it.is_empty() && !now.contains_key(*it)) {
            running.gauge(&[("route", name)], 0_usize)?;
        }
        let mut ended = out.counters("narrows_exchanges", "Exchanges that have ended.")?;
        for (route, report) in routes {
            write_ended(&mut ended, route, "", &report.ended)?;
        }
        for (client, report) in by_name(&self.totals.clients) {
            for (route, counts) in by_name(&report.ended) {
                write_ended(&mut ended, route, client, counts)?;
            }
        }
        Ok(())
    }

    fn write_upstreams(&self, out: &mut Writer<'_>) -> fmt::Result {
        let upstreams = by_name(&self.totals.upstreams);
        let help = "Connections to upstreams.";
        let mut connections = out.gauges("narrows_upstream_connections", help)?;
        for (name, it) in &upstreams {
            for (state, n) in [("idle", it.idle), ("busy", it.busy), ("opening", it.opening)] {
                connections.gauge(&[("upstream", *name), ("state", state)], n)?;
            }
        }
        let help = "Connections to upstreams that were opened, or were to be.";
        let mut opened = out.counters("narrows_upstream_opened", help)?;
        for (name, it) in &upstreams {
            for (result, count) in &it.opened {
                opened.count(&[("upstream", *name), ("result", *result)], *count)?;
            }
        }
        let help = "Exchanges that got an upstream connection of an earlier one.";
        let mut reused = out.counters("narrows_upstream_reused", help)?;
        for (name, it) in &upstreams {
            reused.count(&[("upstream", *name)], it.reused)?;
        }
        let help = "The time to open a connection to an upstream, with its handshake.";
        let mut connect = out.histograms("narrows_connect_seconds", help)?;
        for (name, it) in &upstreams {
            connect.histogram(&[("upstream", *name)], &it.connect)?;
        }
        Ok(())
    }
}

fn write_uses(routes: &ByName<'_, RouteReport>, out: &mut Writer<'_>) -> fmt::Result {
    let mut faults = out.counters("narrows_faults", "Exchanges that went wrong.")?;
    for (route, report) in routes {
        for ((fault, cause), count) in &report.faults {
            let labels = [("route", *route), ("fault", *fault), ("cause", *cause)];
            faults.count(&labels, *count)?;
        }
    }
    let help = "Bytes of content that were forwarded.";
    let mut bytes = out.counters("narrows_bytes", help)?;
    for (route, it) in routes {
        for (way, count) in [("to_upstream", it.to_upstream), ("to_client", it.to_client)] {
            bytes.count(&[("route", *route), ("direction", way)], count)?;
        }
    }
    let mut repeats = out.counters("narrows_repeats", "Requests that were sent once more.")?;
    for (route, it) in routes {
        repeats.count(&[("route", *route)], it.repeats)?;
    }
    let help = "Refusals of keys that were in use.";
    let mut cooldowns = out.counters("narrows_key_cooldowns", help)?;
    for (route, it) in routes {
        cooldowns.count(&[("route", *route)], it.key_cooldowns)?;
    }
    Ok(())
}

fn write_durations(routes: &ByName<'_, RouteReport>, out: &mut Writer<'_>) -> fmt::Result {
    type Of = fn(&RouteReport) -> &Distribution;
    let families: [(&str, &str, Of); 4] = [
        (
            "narrows_response_head_seconds",
            "From a request's first byte to the end of the response's head.",
            |route| &route.response_head,
        ),
        (
            "narrows_first_byte_seconds",
            "From a request's first byte to the response's first content.",
            |route| &route.first_byte,
        ),
        (
            "narrows_longest_gap_seconds",
            "The longest silence within the content of a response.",
            |route| &route.longest_gap,
        ),
        (
            "narrows_exchange_seconds",
            "From a request's first byte to the end of the exchange.",
            |route| &route.exchange,
        ),
    ];
    for (name, help, of) in families {
        let mut family = out.histograms(name, help)?;
        for (route, report) in routes {
            family.histogram(&[("route", *route)], of(report))?;
        }
    }
    Ok(())
}

/// Reports with their names, in their order.
type ByName<'t, R> = Vec<(&'t str, &'t R)>;

fn by_name<R>(reports: &HashMap<Arc<str>, R>) -> ByName<'_, R> {
    let mut names: Vec<&str> = reports.keys().map(|name| &**name).collect();
    names.sort_unstable();
    names.into_iter().filter_map(|name| Some((name, reports.get(name)?))).collect()
}

fn write_ended(
    family: &mut Family<'_>,
    route: &str,
    client: &str,
    ended: &BTreeMap<(End, StatusClass), u64>,
) -> fmt::Result {
    for ((end, class), count) in ended {
        let (status, end) = (("status", class.name()), ("end", end.name()));
        family.count(&[("route", route), ("client", client), status, end], *count)?;
    }
    Ok(())
}

/// Writes families of metrics. Names of counters are without `_total`, which the encoder adds
/// where the format has it.
struct Writer<'e>(DescriptorEncoder<'e>);

/// One family, whose series follow.
struct Family<'w>(MetricEncoder<'w>);

impl Writer<'_> {
    fn info(&mut self, name: &str, help: &str, labels: &Labels<'_>) -> fmt::Result {
        self.family(name, help, MetricType::Info)?.0.encode_info(&labels)
    }

    fn float_counter(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        family.0.encode_counter::<NoLabelSet, f64, f64>(&value, None)
    }

    /// A family of one gauge.
    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        self.gauges(name, help)?.gauge(&UNLABELLED, value)
    }

    fn counters<'w>(&'w mut self, name: &'w str, help: &str) -> Result<Family<'w>, fmt::Error> {
        self.family(name, help, MetricType::Counter)
    }

    fn gauges<'w>(&'w mut self, name: &'w str, help: &str) -> Result<Family<'w>, fmt::Error> {
        self.family(name, help, MetricType::Gauge)
    }

    fn histograms<'w>(&'w mut self, name: &'w str, help: &str) -> Result<Family<'w>, fmt::Error> {
        self.family(name, help, MetricType::Histogram)
    }

    fn family<'w>(
        &'w mut self,
        name: &'w str,
        help: &str,
        kind: MetricType,
    ) -> Result<Family<'w>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind).map(Family)
    }
}

impl Family<'_> {
    fn count(&mut self, labels: &Labels<'_>, value: u64) -> fmt::Result {
        let mut one = self.0.encode_family(&labels)?;
        one.encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }

    fn gauge(&mut self, labels: &Labels<'_>, value: impl EncodeGaugeValue) -> fmt::Result {
        self.0.encode_family(&labels)?.encode_gauge(&value)
    }

    fn histogram(&mut self, labels: &Labels<'_>, it: &Distribution) -> fmt::Result {
        let mut one = self.0.encode_family(&labels)?;
        one.encode_histogram::<NoLabelSet>(it.seconds(), it.count(), &it.buckets(), None)
    }
}

#[cfg(test)]
mod tests;
