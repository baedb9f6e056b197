//! What must be true of the bytes of all connections of a relay.

use super::reading::{ANY, Asked, Got, Said, asked, got, said};
use super::script::{Act, Actor, have_crossing_words};
use super::stage::{Played, Traffic};
use crate::fuzzing::model;
use crate::fuzzing::naive::{self, Head, Length, Verdict};
use crate::fuzzing::oracle;
use crate::net::memory::End;

/// What came through whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// The heads and contents of the requests that upstreams got.
    requests: Vec<(String, String)>,
    /// The statuses and contents of the responses that clients got.
    responses: Vec<(u16, String)>,
    /// A client has received an answer of ours.
    pub(super) has_own_answer: bool,
}

/// The bytes of all connections, and what they mean.
struct Scene<'r> {
    record: &'r Played,
    /// Of each client.
    asked: Vec<Vec<Asked>>,
    /// Of each connection to the upstream, with the position after its last request.
    got: Vec<(Vec<Got>, usize)>,
}

/// Checks everything that `super::relay` promises about one play of a script.
pub(super) fn check(acts: &[Act], record: &Played) -> Observed {
    let asked = record.clients.iter().map(|it| asked(&it.sent)).collect();
    let scene = Scene { record, asked, got: record.upstreams.iter().map(got).collect() };
    let mut outcome = Observed::default();
    for (traffic, (got, rest)) in record.upstreams.iter().zip(&scene.got) {
        check_upstream(traffic, got, *rest, have_crossing_words(acts));
        for request in got {
            scene.check_request(request);
            let whole = request.body.as_ref();
            outcome
                .requests
                .extend(whole.map(|body| (naive::text(&request.head), naive::text(&body.content))));
        }
    }
    for (traffic, asked) in record.clients.iter().zip(&scene.asked) {
        scene.check_client(traffic, asked, &mut outcome);
    }
    scene.check_arrival(acts, &outcome);
    outcome
}

/// What one connection to the upstream carried.
fn check_upstream(traffic: &Traffic, got: &[Got], rest: usize, crossing: bool) {
    let is_tunnel = got.last().is_some_and(Got::switched);
    let has_rest = !is_tunnel && rest < traffic.received.len();
    for (number, before) in got.iter().enumerate() {
        if number + 1 < got.len() || has_rest {
            assert!(before.allows_another(), "a request follows {before:?}");
            let surplus = traffic.said_before_hearing(before.end, crossing) > before.said_to();
            assert!(!surplus, "a request follows what answers nothing: {before:?}");
        }
    }
    let is_whole = !has_rest && got.last().is_none_or(|it| it.body.is_some());
    if !is_whole {
        assert_eq!(traffic.end, Some(End::Reset), "a request without its end");
    }
    let targets_are_taken = got.iter().all(|it| {
        let head = naive::request_head(&it.head, ANY).whole().expect("a head");
        oracle::takes_target(head.target())
    });
    if !targets_are_taken {
        return;
    }
    let bytes = if is_tunnel { &traffic.received[..rest] } else { &traffic.received };
    let read = oracle::server_reads(bytes);
    let wholes: Vec<&Got> = got.iter().filter(|it| it.body.is_some()).collect();
    assert_eq!(read.requests.len(), wholes.len(), "{:?} {read:?}", naive::text(bytes));
    assert_eq!(read.nothing_left_over, is_whole, "{:?} {read:?}", naive::text(bytes));
    for (seen, meant) in read.requests.iter().zip(wholes) {
        let head = naive::request_head(&meant.head, ANY).whole().expect("a head");
        let start = [head.method(), b" ", head.target()].concat();
        assert_eq!(seen.start, naive::text(&start));
        assert_eq!(seen.fields, oracle::fields_of(&head));
        assert_eq!(Some(&seen.content), meant.body.as_ref().map(|it| &it.content));
    }
}

impl Scene<'_> {
    /// A request that an upstream received is one that a client sent, and is not sent too often.
    fn check_request(&self, got: &Got) {
        let same_head = |it: &&Asked| it.head().as_ref() == Some(&got.head);
        let asked: Vec<&Asked> = self.asked.iter().flatten().filter(same_head).collect();
        let head = naive::text(&got.head);
        if let Some(body) = &got.body {
            let trailers = body.trailers.as_deref().and_then(naive::trailers).unwrap_or_default();
            let is_same = |meant: &naive::Body| {
                let sent = meant.trailers.as_deref().and_then(naive::trailers).unwrap_or_default();
                meant.content == body.content && trailers.iter().all(|it| sent.contains(it))
            };
            let is_meant = |it: &&Asked| it.body.as_ref().is_some_and(is_same);
            assert!(asked.iter().any(is_meant), "nobody sent this: {head:?} {body:?}");
        }
        let times: usize = asked.iter().map(|it| if it.can_repeat { 2 } else { 1 }).sum();
        let all = self.got.iter().flat_map(|(got, _)| got);
        let sent = all.filter(|it| it.head == got.head).count();
        assert!(sent <= times, "sent {sent} times, where {times} are allowed: {head:?}");
    }

    /// What a client received.
    fn check_client(&self, traffic: &Traffic, asked: &[Asked], outcome: &mut Observed) {
        assert!(traffic.end.is_some());
        let (mut at, mut asked) = (0, asked.iter());
        while at < traffic.received.len() {
            let (asked, rest) = (asked.next(), &traffic.received[at..]);
            // It may have timed out before its method was complete.
            let is_late = asked.is_some_and(|it| !it.is_known)
                && rest.starts_with(b"HTTP/1.1 408 ")
                && rest.ends_with(b"}\n");
            let is_head = asked.is_some_and(|it| it.is_head) && !is_late;
            let method = if is_head { "HEAD" } else { "GET" };
            let Some(answer) = said(&traffic.received, at, is_head, traffic.end, ANY) else {
                assert_ne!(naive::response_head(rest, ANY), Verdict::Bad);
                assert_ne!(traffic.end, Some(End::Clean), "a response without its head");
                assert!(oracle::client_reads(method, rest, false).is_none());
                return;
            };
            let is_own = is_own(&answer, is_head);
            outcome.has_own_answer |= is_own;
            if !is_own {
                self.check_answer(&answer, asked, traffic);
            }
            if answer.head.status() == 101 {
                assert_ne!(traffic.end, Some(End::Cut), "a tunnel ends in order or by a reset");
                return;
            }
            let bytes = &traffic.received[at..answer.end];
            let ended = answer.length != Length::UntilClose || traffic.end == Some(End::Clean);
            let seen = oracle::client_reads(method, bytes, ended && answer.is_complete);
            if !answer.is_complete {
                // Without framing, only the end of the connection can show it.
                let is_told = answer.length != Length::UntilClose && traffic.end == Some(End::Cut);
                assert!(traffic.end == Some(End::Reset) || is_told, "a response without its end");
                assert!(seen.is_none(), "{seen:?}");
                return;
            }
            let seen = seen.unwrap_or_else(|| panic!("hyper reads {:?}", naive::text(bytes)));
            assert_eq!(seen.start, answer.head.status().to_string());
            assert_eq!(seen.fields, oracle::fields_of(&answer.head));
            assert_eq!(seen.content, answer.content);
            outcome.responses.push((answer.head.status(), naive::text(&answer.content)));
            at = answer.end;
            if asked.is_some_and(|it| !it.goes_on) {
                assert_eq!(at, traffic.received.len(), "an answer to nothing");
            }
        }
    }

    /// A response that is not our own is what an upstream said to this request.
    fn check_answer(&self, answer: &Said, asked: Option<&Asked>, client: &Traffic) {
        let asked = asked.expect("a request");
        let head = asked.head().expect("a request that is forwarded");
        let pairs = self.got.iter().zip(&self.record.upstreams);
        let mut sources = pairs.flat_map(|((got, rest), traffic)| {
            got.iter().filter_map(move |it| Some((it, it.said.as_ref()?, *rest, traffic)))
        });
        let source = sources.find(|(got, said, ..)| {
            got.head == head && is_passed_on(said, answer, asked.is_http10())
        });
        let Some((_, said, rest, upstream)) = source else {
            panic!("no upstream said {answer:?} to {asked:?}");
        };
        if answer.head.status() == 101 {
            assert!(asked.offers_websocket());
            let (up, down) = (&upstream.received[rest..], &client.received[answer.end..]);
            assert!(client.sent[asked.end..].starts_with(up), "bytes that no client sent");
            assert!(upstream.sent[said.end..].starts_with(down), "bytes that no upstream sent");
        }
    }

    /// If peers only send, the first request arrives, and the response to it does, too.
    fn check_arrival(&self, acts: &[Act], outcome: &Observed) {
        let is_word = |it: &Act| matches!(it, Act::Say(..) | Act::Settle | Act::Narrow);
        let Some(first) = self.asked[0].first().filter(|_| acts.iter().all(is_word)) else {
            return;
        };
        let (Some(head), Some(body)) = (first.head(), &first.body) else { return };
        if !acts.iter().any(|it| matches!(it, Act::Say(Actor::Upstream, _))) {
            let meant = (naive::text(&head), naive::text(&body.content));
            assert_eq!(outcome.requests.first(), Some(&meant));
            return;
        }
        let got = self.got.first().and_then(|(got, _)| got.first());
        let Some(said) = got.filter(|it| it.body.is_some()).and_then(|it| it.said.as_ref()) else {
            return;
        };
        if said.is_complete && said.head.status() != 101 {
            let meant = (said.head.status(), naive::text(&said.content));
            assert_eq!(outcome.responses.first(), Some(&meant));
        }
    }
}

/// Whether a response looks like one of ours.
fn is_own(answer: &Said, is_head: bool) -> bool {
    let is_ours = |it: &str| {
        matches!(
            it,
            "date" | "x-request-id" | "content-type" | "content-length" | "connection" | "allow"
        )
    };
    let says_so = naive::text(&answer.content).contains("\"type\":\"narrows\"");
    let is_last_hop = answer.head.status() == 204 && answer.head.values("allow").next().is_some();
    answer.head.fields.iter().all(|it| is_ours(&it.name))
        && (says_so
            // To HEAD, without the content that would say so; also after interim responses.
            || is_head && answer.head.values("content-type").next().is_some()
            || is_last_hop && answer.interims.is_empty())
}

/// Whether `got` is `said` after its way through the relay.
fn is_passed_on(said: &Said, got: &Said, to_http10: bool) -> bool {
    let start = |it: &Head| (it.status(), it.reason().to_vec());
    let line = |it: &Head| (start(it), model::end_to_end(it));
    let interims = |it: &Said| it.interims.iter().map(line).collect::<Vec<_>>();
    let lines = model::end_to_end_without_id(&got.head, &said.head);
    let head_passes =
        start(&got.head) == start(&said.head) && lines == Some(model::end_to_end(&said.head));
    let interims_pass = if to_http10 { Vec::new() } else { interims(said) };
    let content_passes = if got.is_complete {
        said.is_complete && said.content == got.content
    } else {
        said.content.starts_with(&got.content)
    };
    head_passes && interims_pass == interims(got) && content_passes
}
