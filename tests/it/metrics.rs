//! The metrics of the real binary, as a scraper gets them.

use crate::support::stage::{CHUNKED, GET, OK, OK_LAST, Stage};
use narrows_kit::client::connect_plain;
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use std::collections::BTreeMap;

const ADMIN: &str = "--admin=127.0.0.1:0";

#[tokio::test]
async fn exchanges_are_counted_by_route_status_and_end_and_their_bytes_while_they_run() {
    let (stage, mut scraper) = stage("").await;
    let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
    upstream.send("5\r\nhello\r\n").await;
    assert_eq!(client.read_chunk().await, b"hello");
    let seen = scraper.scrape().await;
    let connections = format!("narrows_connections{{listener=\"{}\"}}", stage.relay.address());
    seen.expect(&connections, 1.0);
    seen.expect("narrows_exchanges_running{route=\"/gpt/\"}", 1.0);
    seen.expect("narrows_bytes_total{route=\"/gpt/\",direction=\"to_client\"}", 5.0);
    seen.expect("narrows_first_byte_seconds_count{route=\"/gpt/\"}", 1.0);
    seen.expect("narrows_exchange_seconds_count{route=\"/gpt/\"}", 0.0);
    let busy = "narrows_upstream_connections{upstream=\"api.openai.test:80\",state=\"busy\"}";
    seen.expect(busy, 1.0);

    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
    client.send(GET).await;
    upstream.read_head().await;
    upstream.send(OK).await;
    client.read_message().await;
    let seen = scraper.scrape().await;
    seen.expect("narrows_exchanges_running{route=\"/gpt/\"}", 0.0);
    seen.expect(&ended("2xx", "completed"), 2.0);
    seen.expect("narrows_bytes_total{route=\"/gpt/\",direction=\"to_client\"}", 7.0);
    seen.expect("narrows_exchange_seconds_count{route=\"/gpt/\"}", 2.0);
    seen.expect("narrows_exchange_seconds_bucket{route=\"/gpt/\",le=\"+Inf\"}", 2.0);
    let of_upstream = |name, more| format!("{name}{{upstream=\"api.openai.test:80\"{more}}}");
    seen.expect(&of_upstream("narrows_upstream_opened_total", ",result=\"ok\""), 1.0);
    seen.expect(&of_upstream("narrows_connect_seconds_count", ""), 1.0);
    seen.expect(&of_upstream("narrows_upstream_reused_total", ""), 1.0);
    seen.expect(&of_upstream("narrows_upstream_connections", ",state=\"idle\""), 1.0);
    seen.expect(&of_upstream("narrows_upstream_connections", ",state=\"busy\""), 0.0);
}

#[tokio::test]
async fn what_goes_wrong_is_counted_by_whose_fault_it_is_and_by_its_cause() {
    let (stage, mut scraper) = stage("").await;
    let (mut client, upstream) = stage.begin(GET).await;
    upstream.close().await;
    client.read_message().await;
    client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_message().await;
    client.send("GET /gpt/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    client.read_message().await;
    client.expect_end(End::Clean).await;
    let seen = scraper.scrape().await;
    seen.expect(&ended("5xx", "answered"), 1.0);
    let fault = |route, fault, cause| {
        format!("narrows_faults_total{{route=\"{route}\",fault=\"{fault}\",cause=\"{cause}\"}}")
    };
    seen.expect(&fault("/gpt/", "upstream", "upstream_closed_early"), 1.0);
    seen.expect(&fault("", "client", "route_not_found"), 1.0);
    seen.expect("narrows_refused_total{reason=\"route_not_found\"}", 1.0);
    seen.expect("narrows_refused_total{reason=\"two_hosts\"}", 1.0);
}

#[tokio::test]
async fn a_connection_over_a_limit_is_counted_by_the_name_of_the_limit() {
    let (stage, mut scraper) = stage("[limits]\nconnections = 1\n").await;
    let (_client, _upstream) = stage.begin(GET).await;
    stage.relay.connect().await.read_message().await;
    scraper.scrape().await.expect("narrows_refused_total{reason=\"connections\"}", 1.0);
}

#[tokio::test]
async fn a_connection_in_tcp_mode_counts_for_the_name_of_its_forward() {
    let origin = Origin::plain().await;
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n[[forward]]\n\
         server_name = \"*\"\nupstream = \"tcp://{}\"\n",
        origin.address()
    );
    let relay = Relay::start(&toml).argument(ADMIN).await;
    let mut scraper = Scraper::of(&relay).await;
    let mut client = relay.connect().await;
    let mut upstream = origin.accept().await;
    client.send("hello").await;
    upstream.read_exactly(5).await;
    let seen = scraper.scrape().await;
    seen.expect("narrows_exchanges_running{route=\"*\"}", 1.0);
    seen.expect("narrows_bytes_total{route=\"*\",direction=\"to_upstream\"}", 5.0);
    client.close().await;
    upstream.close().await;
    relay.wait_for_log("end=\"closed\"").await;
    let seen = scraper.scrape().await;
    let ended = "narrows_exchanges_total{route=\"*\",client=\"\",status=\"\",end=\"closed\"}";
    seen.expect(ended, 1.0);
}

#[tokio::test]
async fn a_stop_leaves_the_counters_to_be_seen_to_the_end() {
    use rustix::process::Signal;

    let (stage, mut scraper) = stage("").await;
    let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
    stage.relay.signal(Signal::TERM);
    stage.relay.wait_for_log("stopping; running exchanges may end").await;
    let seen = scraper.scrape().await;
    seen.expect("narrows_exchanges_running{route=\"/gpt/\"}", 1.0);
    let connections = format!("narrows_connections{{listener=\"{}\"}}", stage.relay.address());
    seen.expect(&connections, 1.0);
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
}

#[tokio::test]
async fn a_reload_sets_no_counter_back_and_a_removed_route_is_counted_until_the_next() {
    let origin = Origin::plain().await;
    let configured = |paths: &[&str]| {
        let route = |path: &&str| {
            format!("[[route]]\npath = \"{path}\"\nupstream = \"http://{}/\"\n", origin.address())
        };
        let routes: String = paths.iter().map(route).collect();
        format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{routes}")
    };
    let relay = Relay::start(&configured(&["/gpt/", "/old/"])).argument(ADMIN).await;
    let mut scraper = Scraper::of(&relay).await;
    let mut client = relay.connect().await;
    for path in ["/gpt/", "/old/"] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK_LAST).await;
        client.read_message().await;
    }
    let bytes = |path| format!("narrows_bytes_total{{route=\"{path}\",direction=\"to_client\"}}");
    relay.reload(&configured(&["/gpt/"])).await;
    let seen = scraper.scrape().await;
    seen.expect(&bytes("/gpt/"), 2.0);
    seen.expect(&bytes("/old/"), 2.0);
    relay.reload(&configured(&["/gpt/", "/new/"])).await;
    let seen = scraper.scrape().await;
    seen.expect(&bytes("/gpt/"), 2.0);
    assert_eq!(seen.0.get(&bytes("/old/")), None, "the number of series is bounded");
}

#[tokio::test]
async fn both_formats_show_the_process_and_the_build() {
    let (_stage, mut scraper) = stage("").await;
    let seen = scraper.scrape().await;
    for name in ["process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds"]
    {
        assert!(seen.0[name] > 0.0, "{name}");
    }
    for name in ["narrows_log_lines_dropped_total", "narrows_panics_total"] {
        seen.expect(name, 0.0);
    }
    seen.expect("narrows_reloads_total{result=\"ok\"}", 0.0);
    let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let text = scraper.ask(accept).await;
    assert!(text.contains("# TYPE narrows_build info\nnarrows_build_info{version=\""), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

async fn stage(extra: &str) -> (Stage, Scraper) {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).with(extra).argument(ADMIN).await;
    let scraper = Scraper::of(&relay).await;
    (Stage { origin, relay, client_tls: false }, scraper)
}

fn ended(status: &str, end: &str) -> String {
    format!(
        "narrows_exchanges_total{{route=\"/gpt/\",client=\"\",status=\"{status}\",end=\"{end}\"}}"
    )
}

/// A connection to the admin listener.
struct Scraper(Peer);

/// The value of each series.
struct Seen(BTreeMap<String, f64>);

impl Scraper {
    async fn of(relay: &Relay) -> Self {
        let line = relay.wait_for_log("the admin listener answers").await;
        let (_, address) = line.split_once("addresses=").expect("an address");
        let address = address.trim_matches('"').parse();
        Self(connect_plain(address.unwrap_or_else(|_| panic!("no address in {line:?}"))).await)
    }

    async fn scrape(&mut self) -> Seen {
        let text = self.ask("").await;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Seen(samples.map(|line| sample(line).unwrap_or_else(|| panic!("{line:?}"))).collect())
    }

    async fn ask(&mut self, fields: &str) -> String {
        self.0.send(format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).await;
        let (head, body) = self.0.read_message().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        String::from_utf8(body).unwrap()
    }
}

impl Seen {
    #[track_caller]
    fn expect(&self, series: &str, value: f64) {
        assert_eq!(self.0.get(series), Some(&value), "{series} in {:#?}", self.0);
    }
}
