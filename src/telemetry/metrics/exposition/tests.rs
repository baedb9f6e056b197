//! The texts, whole: what a scraper sees of every family.

use super::*;
use crate::telemetry::metrics::{ClientReport, Running, UpstreamReport};
use std::time::Duration;

/// What is not the same in every process.
const OWN: [&str; 3] = ["narrows_log_lines_dropped", "narrows_panics", "process_"];

#[test]
fn every_metric_is_written_in_the_text_format_with_its_labels() {
    let text = scrape().expose(Format::Text);
    assert_eq!(without_buckets(&text), TEXT, "{text}");
}

#[test]
fn in_openmetrics_a_family_has_no_suffix_and_the_text_ends_with_its_mark() {
    let text = scrape().expose(Format::OpenMetrics);
    assert!(
        text.contains("\n# TYPE narrows_exchanges counter\nnarrows_exchanges_total{"),
        "{text}"
    );
    assert!(text.contains("# TYPE narrows_build info\nnarrows_build_info{"), "{text}");
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

#[test]
fn the_buckets_of_a_histogram_are_cumulative() {
    let text = scrape().expose(Format::Text);
    for line in [
        "narrows_first_byte_seconds_bucket{route=\"/gpt/\",le=\"1e-05\"} 0\n",
        "narrows_first_byte_seconds_bucket{route=\"/gpt/\",le=\"0.5\"} 1\n",
        "narrows_first_byte_seconds_bucket{route=\"/gpt/\",le=\"600\"} 2\n",
        "narrows_first_byte_seconds_bucket{route=\"/gpt/\",le=\"+Inf\"} 3\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn a_name_that_holds_quotes_or_line_ends_cannot_leave_its_label() {
    for format in [Format::Text, Format::OpenMetrics] {
        let running = [("/\"}\n\\".into(), Running::default())].into();
        let totals = Arc::new(Totals { running, ..Totals::default() });
        let text = Scrape { totals, ..scrape() }.expose(format);
        let line = "\nnarrows_exchanges_running{route=\"/\\\"}\\n\\\\\"} 0\n";
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn what_the_kernel_does_not_say_is_left_out() {
    let text = Scrape::default().expose(Format::Text);
    assert!(!text.lines().any(|line| line.starts_with("process_")), "{text}");
    let process = ProcessStats { cpu_seconds: Some(1.5), ..ProcessStats::default() };
    let text = Scrape { process, ..Scrape::default() }.expose(Format::Text);
    assert!(text.contains("\nprocess_cpu_seconds_total 1.5\n"), "{text}");
}

fn scrape() -> Scrape {
    let histogram = crate::telemetry::metrics::histogram::Histogram::default();
    for milliseconds in [250, 2000, 601_000] {
        histogram.observe(Duration::from_millis(milliseconds));
    }
    let route = RouteReport {
        ended: [((End::Completed, StatusClass::of(Some(200))), 2)].into(),
        faults: [(("upstream", "upstream_closed_early"), 1)].into(),
        repeats: 1,
        key_cooldowns: 2,
        to_upstream: 17,
        to_client: 4096,
        first_byte: histogram.report(),
        ..RouteReport::default()
    };
    let upstream = UpstreamReport {
        idle: 1,
        busy: 2,
        opening: 3,
        opened: [("ok", 4), ("upstream_refused", 5)].into(),
        reused: 6,
        ..UpstreamReport::default()
    };
    let answered = [((End::Answered, StatusClass::of(Some(429))), 5)].into();
    let client = ClientReport { ended: [("/gpt/".into(), answered)].into() };
    let running = Running { count: 2, oldest: Duration::from_secs(9) };
    let totals = Arc::new(Totals {
        running: [("".into(), running)].into(),
        connections: [("127.0.0.1:8443".parse().unwrap(), 3)].into(),
        routes: [("/gpt/".into(), route)].into(),
        upstreams: [("api.test:443".into(), upstream)].into(),
        clients: [("alice".into(), client)].into(),
        clients_running: [].into(),
        refused: [("bad_host", 7)].into(),
    });
    Scrape {
        version: "1.2.3",
        commit: "0123456",
        totals,
        certificates: [("example.com".into(), 1_800_000_000)].into(),
        awaited: 2,
        orders: Orders { ok: 3, failed: 4 },
        reloads: Reloads { ok: 2, failed: 1 },
        unusable_files: 3,
        silent_workers: 1,
        process: ProcessStats::default(),
    }
}

/// Without the buckets of histograms, and what other tests of this process count.
fn without_buckets(text: &str) -> String {
    let is_own = |line: &str| OWN.iter().any(|own| line.contains(own));
    let lines = text.lines().filter(|line| !line.contains("_bucket{") && !is_own(line));
    lines.map(|line| format!("{line}\n")).collect()
}

const TEXT: &str = r##"# HELP narrows_build_info The version of narrows.
# TYPE narrows_build_info gauge
narrows_build_info{version="1.2.3",commit="0123456"} 1
# HELP narrows_reloads_total Reloads of the configuration.
# TYPE narrows_reloads_total counter
narrows_reloads_total{result="ok"} 2
narrows_reloads_total{result="failed"} 1
# HELP narrows_files_unusable Files that have changed and cannot be used.
# TYPE narrows_files_unusable gauge
narrows_files_unusable 3
# HELP narrows_workers_silent Workers that have not reported within a second.
# TYPE narrows_workers_silent gauge
narrows_workers_silent 1
# HELP narrows_certificate_not_after_seconds When a certificate ends, in seconds since 1970.
# TYPE narrows_certificate_not_after_seconds gauge
narrows_certificate_not_after_seconds{name="example.com"} 1800000000
# HELP narrows_certificates_awaited Names that have no certificate yet.
# TYPE narrows_certificates_awaited gauge
narrows_certificates_awaited 2
# HELP narrows_acme_orders_total Orders of certificates.
# TYPE narrows_acme_orders_total counter
narrows_acme_orders_total{result="ok"} 3
narrows_acme_orders_total{result="failed"} 4
# HELP narrows_connections Client connections.
# TYPE narrows_connections gauge
narrows_connections{listener="127.0.0.1:8443"} 3
# HELP narrows_refused_total Connections and requests that were refused before an upstream saw them.
# TYPE narrows_refused_total counter
narrows_refused_total{reason="bad_host"} 7
# HELP narrows_exchanges_running Exchanges that run now.
# TYPE narrows_exchanges_running gauge
narrows_exchanges_running{route=""} 2
narrows_exchanges_running{route="/gpt/"} 0
# HELP narrows_exchanges_total Exchanges that have ended.
# TYPE narrows_exchanges_total counter
narrows_exchanges_total{route="/gpt/",client="",status="2xx",end="completed"} 2
narrows_exchanges_total{route="/gpt/",client="alice",status="4xx",end="answered"} 5
# HELP narrows_faults_total Exchanges that went wrong.
# TYPE narrows_faults_total counter
narrows_faults_total{route="/gpt/",fault="upstream",cause="upstream_closed_early"} 1
# HELP narrows_bytes_total Bytes of content that were forwarded.
# TYPE narrows_bytes_total counter
narrows_bytes_total{route="/gpt/",direction="to_upstream"} 17
narrows_bytes_total{route="/gpt/",direction="to_client"} 4096
# HELP narrows_repeats_total Requests that were sent once more.
# TYPE narrows_repeats_total counter
narrows_repeats_total{route="/gpt/"} 1
# HELP narrows_key_cooldowns_total Refusals of keys that were in use.
# TYPE narrows_key_cooldowns_total counter
narrows_key_cooldowns_total{route="/gpt/"} 2
# HELP narrows_response_head_seconds From a request's first byte to the end of the response's head.
# TYPE narrows_response_head_seconds histogram
narrows_response_head_seconds_sum{route="/gpt/"} 0.0
narrows_response_head_seconds_count{route="/gpt/"} 0
# HELP narrows_first_byte_seconds From a request's first byte to the response's first content.
# TYPE narrows_first_byte_seconds histogram
narrows_first_byte_seconds_sum{route="/gpt/"} 603.25
narrows_first_byte_seconds_count{route="/gpt/"} 3
# HELP narrows_longest_gap_seconds The longest silence within the content of a response.
# TYPE narrows_longest_gap_seconds histogram
narrows_longest_gap_seconds_sum{route="/gpt/"} 0.0
narrows_longest_gap_seconds_count{route="/gpt/"} 0
# HELP narrows_exchange_seconds From a request's first byte to the end of the exchange.
# TYPE narrows_exchange_seconds histogram
narrows_exchange_seconds_sum{route="/gpt/"} 0.0
narrows_exchange_seconds_count{route="/gpt/"} 0
# HELP narrows_upstream_connections Connections to upstreams.
# TYPE narrows_upstream_connections gauge
narrows_upstream_connections{upstream="api.test:443",state="idle"} 1
narrows_upstream_connections{upstream="api.test:443",state="busy"} 2
narrows_upstream_connections{upstream="api.test:443",state="opening"} 3
# HELP narrows_upstream_opened_total Connections to upstreams that were opened, or were to be.
# TYPE narrows_upstream_opened_total counter
narrows_upstream_opened_total{upstream="api.test:443",result="ok"} 4
narrows_upstream_opened_total{upstream="api.test:443",result="upstream_refused"} 5
# HELP narrows_upstream_reused_total Exchanges that got an upstream connection of an earlier one.
# TYPE narrows_upstream_reused_total counter
narrows_upstream_reused_total{upstream="api.test:443"} 6
# HELP narrows_connect_seconds The time to open a connection to an upstream, with its handshake.
# TYPE narrows_connect_seconds histogram
narrows_connect_seconds_sum{upstream="api.test:443"} 0.0
narrows_connect_seconds_count{upstream="api.test:443"} 0
"##;
