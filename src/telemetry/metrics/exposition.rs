//! What Prometheus gets: the text of a [`Scrape`].
//!
//! The encoder is the crate `prometheus-client`, because the formats have their traps: what is
//! escaped, which suffix belongs to the family and which to the sample, how numbers are written.

use super::histogram::Distribution;
use super::process::ProcessStats;
use super::route::RouteReport;
use super::totals::Totals;
use super::upstream::UpstreamReport;
use crate::telemetry::dropped::dropped_lines;
use crate::telemetry::panics::panics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
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
    pub certificates: BTreeMap<String, i64>,
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
        self.write_process(&mut out)?;
        self.write_connections(&mut out)?;
        self.write_exchanges(&mut out)?;
        self.write_durations(&mut out)?;
        self.write_upstreams(&mut out)
    }
}

impl Scrape {
    fn write_process(&self, out: &mut Writer<'_>) -> fmt::Result {
        let build = [("version", self.version), ("commit", self.commit)];
        out.info("narrows_build", "The version of narrows.", &build)?;
        let reloads = [("ok", self.reloads.ok), ("failed", self.reloads.failed)];
        let reloads = reloads.map(|(result, count)| ([("result", result)], count));
        out.counters("narrows_reloads", "Reloads of the configuration.", reloads)?;
        let help = "Files that have changed and cannot be used.";
        out.gauges("narrows_files_unusable", help, [(UNLABELLED, self.unusable_files)])?;
        let help = "Workers that have not reported within a second.";
        out.gauges("narrows_workers_silent", help, [(UNLABELLED, self.silent_workers)])?;
        let dropped = "Lines of the log that were not written.";
        out.counter("narrows_log_lines_dropped", dropped, dropped_lines())?;
        let panicked = "Panics. Each is a bug, and ended one connection.";
        out.counter("narrows_panics", panicked, panics())?;
        let ends = self.certificates.iter().map(|(name, end)| ([("name", &**name)], *end));
        let help = "When a certificate ends, in seconds since 1970.";
        out.gauges("narrows_certificate_not_after_seconds", help, ends)?;
        let help = "Names that have no certificate yet.";
        out.gauges("narrows_certificates_awaited", help, [(UNLABELLED, self.awaited)])?;
        let orders = [("ok", self.orders.ok), ("failed", self.orders.failed)];
        let orders = orders.map(|(result, count)| ([("result", result)], count));
        out.counters("narrows_acme_orders", "Orders of certificates.", orders)?;

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
            out.gauges(name, help, value.map(|value| (UNLABELLED, value)))?;
        }
        let started = stats.start_seconds.map(|seconds| (UNLABELLED, seconds));
        let help = "When the process began, in seconds since 1970.";
        out.gauges("process_start_time_seconds", help, started)
    }

    fn write_connections(&self, out: &mut Writer<'_>) -> fmt::Result {
        let connections = &self.totals.connections;
        let addresses = connections.iter().map(|(it, count)| (it.to_string(), *count));
        let addresses: Vec<_> = addresses.collect();
        let connections = addresses.iter().map(|(it, count)| ([("listener", &**it)], *count));
        out.gauges("narrows_connections", "Client connections.", connections)?;
        let refused = self.totals.refused.iter();
        let refused = refused.map(|(reason, count)| ([("reason", *reason)], *count));
        let help = "Connections and requests that were refused before an upstream saw them.";
        out.counters("narrows_refused", help, refused)
    }

    fn write_exchanges(&self, out: &mut Writer<'_>) -> fmt::Result {
        let Totals { running, routes, .. } = &*self.totals;
        // A route that was used shows that nothing runs.
        let idle = routes.keys().filter(|name| !name.is_empty() && !running.contains_key(*name));
        let busy = running.iter().map(|(name, running)| (name, running.count));
        let all = busy.chain(idle.map(|name| (name, 0)));
        let all = all.map(|(name, count)| ([("route", &**name)], count));
        out.gauges("narrows_exchanges_running", "Exchanges that run now.", all)?;

        let ended = self.routes(|name, route| vec![(name, "", &route.ended)]);
        let of_clients = self.totals.clients.iter().flat_map(|(client, report)| {
            report.ended.iter().map(move |(name, ended)| (&**name, &**client, ended))
        });
        let ended = ended.chain(of_clients).flat_map(|(route, client, ended)| {
            ended.iter().map(move |((end, class), count)| {
                let (status, end) = (("status", class.name()), ("end", end.name()));
                ([("route", route), ("client", client), status, end], *count)
            })
        });
        out.counters("narrows_exchanges", "Exchanges that have ended.", ended)?;
        let faults = self.routes(|name, route| {
            let faults = route.faults.iter().map(move |((fault, cause), count)| {
                ([("route", name), ("fault", *fault), ("cause", *cause)], *count)
            });
            faults.collect()
        });
        out.counters("narrows_faults", "Exchanges that went wrong.", faults)?;
        let bytes = self.routes(|name, route| {
            let ways = [("to_upstream", route.to_upstream), ("to_client", route.to_client)];
            ways.map(|(way, bytes)| ([("route", name), ("direction", way)], bytes)).into()
        });
        out.counters("narrows_bytes", "Bytes of content that were forwarded.", bytes)?;
        let repeats = self.routes(|name, route| vec![([("route", name)], route.repeats)]);
        out.counters("narrows_repeats", "Requests that were sent once more.", repeats)?;
        let cooldowns = self.routes(|name, route| vec![([("route", name)], route.key_cooldowns)]);
        let what = "Refusals of keys that were in use.";
        out.counters("narrows_key_cooldowns", what, cooldowns)
    }

    fn write_durations(&self, out: &mut Writer<'_>) -> fmt::Result {
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
            let all = self.routes(|name, route| vec![([("route", name)], of(route))]);
            out.histograms(name, help, all)?;
        }
        Ok(())
    }

    fn write_upstreams(&self, out: &mut Writer<'_>) -> fmt::Result {
        let connections = self.upstreams(|name, upstream| {
            let UpstreamReport { idle, busy, opening, .. } = *upstream;
            let states = [("idle", idle), ("busy", busy), ("opening", opening)];
            let of_state =
                |(state, count): (_, usize)| ([("upstream", name), ("state", state)], count);
            states.map(of_state).into()
        });
        let help = "Connections to upstreams.";
        out.gauges("narrows_upstream_connections", help, connections)?;
        let opened = self.upstreams(|name, upstream| {
            let results = upstream.opened.iter();
            results.map(|(it, n)| ([("upstream", name), ("result", *it)], *n)).collect()
        });
        let help = "Connections to upstreams that were opened, or were to be.";
        out.counters("narrows_upstream_opened", help, opened)?;
        let reused = self.upstreams(|name, it| vec![([("upstream", name)], it.reused)]);
        let help = "Exchanges that got an upstream connection of an earlier one.";
        out.counters("narrows_upstream_reused", help, reused)?;
        let connect = self.upstreams(|name, it| vec![([("upstream", name)], &it.connect)]);
        let help = "The time to open a connection to an upstream, with its handshake.";
        out.histograms("narrows_connect_seconds", help, connect)
    }

    fn routes<'s, T>(
        &'s self,
        series: impl Fn(&'s str, &'s RouteReport) -> Vec<T>,
    ) -> impl Iterator<Item = T> {
        self.totals.routes.iter().flat_map(move |(name, route)| series(name, route))
    }

    fn upstreams<'s, T>(
        &'s self,
        series: impl Fn(&'s str, &'s UpstreamReport) -> Vec<T>,
    ) -> impl Iterator<Item = T> {
        let upstreams = self.totals.upstreams.iter();
        upstreams.flat_map(move |(name, upstream): (&'s Arc<str>, _)| series(name, upstream))
    }
}

/// Writes families of metrics. Names of counters are without `_total`, which the encoder adds
/// where the format has it.
struct Writer<'e>(DescriptorEncoder<'e>);

impl Writer<'_> {
    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        self.family(name, help, MetricType::Info)?.encode_info(&labels)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(UNLABELLED, value)])
    }

    fn float_counter(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, f64, f64>(&value, None)
    }

    fn counters<'l, L: AsRef<Labels<'l>>>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in series {
            counter(&mut family, labels.as_ref(), value)?;
        }
        Ok(())
    }

    fn gauges<'l, L: AsRef<Labels<'l>>, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in series {
            gauge(&mut family, labels.as_ref(), &value)?;
        }
        Ok(())
    }

    fn histograms<'l, 'd, L: AsRef<Labels<'l>>>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, &'d Distribution)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for (labels, it) in series {
            histogram(&mut family, labels.as_ref(), it)?;
        }
        Ok(())
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}

// The loops above are compiled anew for each iterator, but these only once.

fn counter(family: &mut MetricEncoder<'_>, labels: &Labels<'_>, value: u64) -> fmt::Result {
    let mut one = family.encode_family(&labels)?;
    one.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

fn gauge<V: EncodeGaugeValue>(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    value: &V,
) -> fmt::Result {
    family.encode_family(&labels)?.encode_gauge(value)
}

fn histogram(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    it: &Distribution,
) -> fmt::Result {
    let mut one = family.encode_family(&labels)?;
    one.encode_histogram::<NoLabelSet>(it.seconds(), it.count(), &it.buckets(), None)
}

#[cfg(test)]
mod tests;
