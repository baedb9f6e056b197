//! Tcp mode: who gets a connection, its bytes, and how it ends.

use crate::support::passage::{Pair, Passage, connect, expect_alert, forward, hello, listener};
use crate::support::stage::{GET, OK_LAST};
use narrows_kit::certificates::{client_config_offering, listener_keys};
use narrows_kit::client::{connect_plain, connect_tls, connect_tls_as, connect_tls_with};
use narrows_kit::origin::Origin;
use narrows_kit::pattern::pattern;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use tokio_rustls::rustls::ALL_VERSIONS;

const UNRECOGNIZED_NAME: u8 = 112;
const INTERNAL_ERROR: u8 = 80;
const DECODE_ERROR: u8 = 50;
const MESSAGE: usize = 4 * 1024 * 1024;

#[tokio::test]
async fn bytes_pass_both_ways_at_once_in_every_pair() {
    for passage in Passage::all().await {
        println!("{passage:?}");
        let (mut client, mut upstream) = passage.open().await;
        for bytes in [&b"\0"[..], b"\x16\x03\x01", b"0\r\n\r\n", b"\xff"] {
            client.send(bytes).await;
            assert_eq!(upstream.read_exactly(bytes.len()).await, bytes);
            upstream.send(bytes).await;
            assert_eq!(client.read_exactly(bytes.len()).await, bytes);
        }
        tokio::join!(exchange(&mut client), exchange(&mut upstream));
    }
}

async fn exchange(peer: &mut Peer) {
    const PART: usize = 64 * 1024;
    for at in (0..MESSAGE).step_by(PART) {
        peer.send(pattern(at, PART)).await;
        let part = peer.read_exactly(PART).await;
        assert!(part == pattern(at, PART), "at {at}");
    }
}

#[tokio::test]
async fn an_upstream_may_speak_first_while_its_client_says_nothing() {
    for pair in [Pair::PlainToTcp, Pair::TlsToTcp, Pair::PlainToTls, Pair::TlsToTls] {
        let passage = Passage::new(pair).await;
        let (mut client, mut upstream) = passage.open().await;
        upstream.send("SSH-2.0-narrows\r\n").await;
        assert_eq!(client.read_exactly(17).await, b"SSH-2.0-narrows\r\n", "{pair:?}");
    }
}

#[tokio::test]
async fn the_end_of_one_direction_is_passed_on_and_the_other_goes_on() {
    for passage in Passage::all().await {
        println!("{passage:?}");
        for client_first in [true, false] {
            let (client, upstream) = passage.open().await;
            let (mut one, mut other) =
                if client_first { (client, upstream) } else { (upstream, client) };
            one.send("last").await;
            one.half_close().await;
            assert_eq!(other.read_to_end().await, (b"last".to_vec(), End::Clean));
            other.send("answer").await;
            assert_eq!(one.read_exactly(6).await, b"answer");
            other.close().await;
            one.expect_end(End::Clean).await;
        }
        let line = passage.relay.wait_for_log("end=\"closed\"").await;
        assert!(line.contains(" connection forward=\"*\" ") && line.contains(" INFO "), "{line}");
        assert!(line.contains("connect_ms=") && !line.contains("fault="), "{line}");
        if passage.pair != Pair::Through {
            assert!(line.contains(" to_upstream=4 to_client=6 "), "{line}");
        }
    }
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_of_the_other() {
    for passage in Passage::all().await {
        println!("{passage:?}");
        let (mut client, upstream) = opened(&passage).await;
        upstream.reset();
        // Behind TLS as well: many clients take a missing close_notify for an end.
        client.expect_end(End::Reset).await;
        let line = passage.relay.wait_for_log("fault=\"upstream\"").await;
        assert!(line.contains(" WARN ") && line.contains("end=\"aborted\""), "{line}");

        let (client, mut upstream) = opened(&passage).await;
        client.reset();
        upstream.expect_end(End::Reset).await;
        let line = passage.relay.wait_for_log("fault=\"client\"").await;
        assert!(line.contains("cause=\"connection_failed\""), "{line}");
    }
}

#[tokio::test]
async fn what_stands_behind_an_urgent_byte_passes_as_well_and_so_does_the_end() {
    let passage = Passage::new(Pair::PlainToTcp).await;
    for is_ended in [false, true] {
        let (mut client, mut upstream) = opened(&passage).await;
        client.send("before").await;
        client.send_urgent(b'!');
        client.send("behind").await;
        if is_ended {
            client.half_close().await;
        }
        assert_eq!(upstream.read_exactly(12).await, b"beforebehind");
        if is_ended {
            upstream.half_close().await;
            upstream.expect_end(End::Clean).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_has_ended_its_direction_may_still_reset_the_connection() {
    let passage = Passage::new(Pair::PlainToTcp).await;
    let (mut client, mut upstream) = opened(&passage).await;
    client.half_close().await;
    upstream.expect_end(End::Clean).await;
    client.reset();
    let line = passage.relay.wait_for_log("fault=\"client\"").await;
    assert!(line.contains("cause=\"connection_failed\""), "{line}");
}

/// A connection that is known to have become a tunnel.
async fn opened(passage: &Passage) -> (Peer, Peer) {
    let (mut client, mut upstream) = passage.open().await;
    client.send("x").await;
    upstream.read_exactly(1).await;
    (client, upstream)
}

#[tokio::test]
async fn tls_that_is_cut_is_no_proper_end_for_the_other_side() {
    for pair in [Pair::TlsToTcp, Pair::TlsToTls] {
        let passage = Passage::new(pair).await;
        let (mut client, mut upstream) = passage.open().await;
        client.send("cut").await;
        assert_eq!(upstream.read_exactly(3).await, b"cut");
        client.close_without_notify();
        upstream.expect_end(End::Reset).await;
    }
    for pair in [Pair::PlainToTls, Pair::TlsToTls] {
        let passage = Passage::new(pair).await;
        let (mut client, mut upstream) = passage.open().await;
        upstream.send("cut").await;
        assert_eq!(client.read_exactly(3).await, b"cut");
        upstream.close_without_notify();
        client.expect_end(End::Reset).await;
    }
}

#[tokio::test]
async fn clients_reach_the_origin_of_the_name_they_ask_for_by_its_own_certificate() {
    let (one, two) = (Origin::tls().await, Origin::tls_with("wrong-name").await);
    let rest = Origin::plain().await;
    let toml = listener(false)
        + &forward("LOCALHOST", Pair::Through, one.address())
        + &forward("*.test", Pair::Through, two.address())
        + &forward("*", Pair::Through, rest.address());
    let relay = Relay::start(&toml).await;
    for (name, origin) in [("localhost", &one), ("wrong-name.test", &two)] {
        // The client's verification is what tells one certificate from the other.
        let (client, upstream) =
            tokio::join!(connect_tls_as(name, relay.address()), origin.accept());
        let (mut client, mut upstream) = (client.unwrap(), upstream);
        assert_eq!(upstream.server_name().as_deref(), Some(name));
        upstream.send("hello").await;
        assert_eq!(client.read_exactly(5).await, b"hello");
        client.close().await;
        upstream.close().await;
        relay.wait_for_log(&format!("server_name=\"{name}\"")).await;
    }
    // A name of nobody's, and what is no TLS, belong to the last one, with every byte.
    for bytes in [hello("example.com"), b"SSH-2.0-client\r\n".to_vec(), b"\x80".to_vec()] {
        let mut client = connect(&relay).await;
        client.send(&bytes).await;
        let mut upstream = rest.accept().await;
        assert_eq!(upstream.read_exactly(bytes.len()).await, bytes);
    }
    let log = relay.log_lines().join("\n");
    assert!(log.contains("forward=\"LOCALHOST\" server_name=\"localhost\""), "{log}");
    assert!(log.contains("forward=\"*.test\" server_name=\"wrong-name.test\""), "{log}");
}

#[tokio::test]
async fn a_listener_with_a_certificate_routes_by_name_as_well() {
    let (one, two) = (Origin::plain().await, Origin::plain().await);
    let toml = listener(true)
        + &forward("localhost", Pair::TlsToTcp, one.address())
        + &forward("api.openai.test", Pair::TlsToTcp, two.address());
    let relay = Relay::start(&toml).await;
    for (name, origin) in [("localhost", &one), ("api.openai.test", &two)] {
        let mut client = connect_tls_as(name, relay.address()).await.unwrap();
        client.send("hello").await;
        assert_eq!(origin.accept().await.read_exactly(5).await, b"hello");
    }
    let mut client = connect(&relay).await;
    client.send(hello("wrong-name.test")).await;
    expect_alert(&mut client, UNRECOGNIZED_NAME).await;
    one.assert_untouched().await;
    two.assert_untouched().await;
}

#[tokio::test]
async fn a_name_of_nobodys_gets_the_alert_and_other_bytes_a_close() {
    let passage = Passage::with(Pair::Through, "localhost", "", "").await;
    let mut client = connect(&passage.relay).await;
    client.send(hello("example.com")).await;
    expect_alert(&mut client, UNRECOGNIZED_NAME).await;
    let line = passage.relay.wait_for_log("cause=\"forward_not_found\"").await;
    assert!(line.contains(" connection server_name=\"example.com\" client=127.0.0.1:"), "{line}");
    assert!(line.contains("to_upstream=0 to_client=0 end=\"refused\" fault=\"client\""), "{line}");

    // Without a name at all, by an address in its place.
    let mut client = connect(&passage.relay).await;
    client.send(hello("127.0.0.1")).await;
    expect_alert(&mut client, UNRECOGNIZED_NAME).await;

    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", b"\x80\x2e\x01\x03\x01"] {
        let mut client = connect(&passage.relay).await;
        client.send(bytes).await;
        client.expect_end(End::Reset).await;
    }
    passage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_hello_that_is_broken_gets_an_alert_and_a_line_and_reaches_nobody() {
    let passage = Passage::with(Pair::Through, "localhost", "", "").await;
    let record =
        |bytes: &[u8]| [b"\x16\x03\x01".as_slice(), &[0, bytes.len() as u8], bytes].concat();
    for (bytes, alert, cause) in [
        // A message that is no hello, a record without a byte, another type in between.
        (record(b"\x02\0\0\x01x"), 10, "malformed_hello"),
        (b"\x16\x03\x01\0\0".to_vec(), DECODE_ERROR, "malformed_hello"),
        ([record(b"\x01"), b"\x17\x03\x03\0\x01x".to_vec()].concat(), 10, "malformed_hello"),
        // A hello of half a megabyte, one of which the second byte of its length lies.
        (record(b"\x01\x08\0\0"), 47, "hello_too_long"),
        (record(b"\x01\0\0\x03\x03\x03\0"), DECODE_ERROR, "malformed_hello"),
    ] {
        let mut client = connect(&passage.relay).await;
        client.send(&bytes).await;
        expect_alert(&mut client, alert).await;
        let own = format!("client=127.0.0.1:{} ", client.local_port());
        let line = passage.relay.wait_for_log(&own).await;
        assert!(line.contains(&format!("fault=\"client\" cause=\"{cause}\"")), "{line}");
    }
    let mut client = connect(&passage.relay).await;
    client.send(&hello("localhost")[..100]).await;
    client.half_close().await;
    expect_alert(&mut client, DECODE_ERROR).await;
    passage.relay.wait_for_log("cause=\"incomplete_hello\"").await;
    passage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_hello_that_does_not_come_in_time_ends_the_connection() {
    let limits = "[timeouts]\nhandshake = \"3s\"";
    let passage = Passage::with(Pair::Through, "localhost", "", limits).await;
    let mut silent = connect(&passage.relay).await;
    let mut slow = connect(&passage.relay).await;
    slow.send(&hello("localhost")[..100]).await;
    silent.expect_end(End::Reset).await;
    expect_alert(&mut slow, DECODE_ERROR).await;
    passage.relay.wait_for_log("cause=\"handshake_timeout\"").await;
    passage.origin.assert_untouched().await;

    let passage = Passage::with(Pair::TlsToTcp, "*", "", limits).await;
    let mut silent = connect(&passage.relay).await;
    silent.expect_end(End::Clean).await;
    passage.relay.wait_for_log("cause=\"handshake_timeout\"").await;
    passage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_client_that_leaves_without_a_word_is_a_line_of_its_own_and_reaches_nobody() {
    let origin = Origin::plain().await;
    let to_origin = |names| forward(names, Pair::PlainToTcp, origin.address());
    let toml = listener(false) + &to_origin("localhost") + &to_origin("*");
    let relay = Relay::start(&toml).await;
    let mut client = connect(&relay).await;
    client.half_close().await;
    client.expect_end(End::Reset).await;
    let line = relay.wait_for_log("cause=\"gone\"").await;
    assert!(line.contains(" INFO ") && !line.contains("forward="), "{line}");
    assert!(line.contains("end=\"refused\" fault=\"client\""), "{line}");
    origin.assert_untouched().await;
}

#[tokio::test]
async fn what_is_no_tls_ends_a_connection_whose_tls_ends_here() {
    let passage = Passage::with(Pair::TlsToTcp, "*", "", "").await;
    let mut lost = connect(&passage.relay).await;
    lost.send("GET / HTTP/1.1\r\n\r\n").await;
    let (answer, _) = lost.read_to_end().await;
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    passage.relay.wait_for_log("cause=\"client_tls_failed\"").await;
    passage.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_hello_in_many_pieces_is_passed_on_whole() {
    let passage = Passage::with(Pair::Through, "localhost", "", "").await;
    let bytes = hello("localhost");
    let mut client = connect(&passage.relay).await;
    for byte in &bytes {
        client.send([*byte]).await;
    }
    let mut upstream = passage.origin.accept_tcp().await;
    assert_eq!(upstream.read_exactly(bytes.len()).await, bytes);
    client.send("more").await;
    assert_eq!(upstream.read_exactly(4).await, b"more");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_reset_or_an_alert_and_a_line() {
    let origin = Origin::asleep();
    let toml = listener(false) + &forward("localhost", Pair::Through, origin.address());
    let relay =
        Relay::start(&format!("{toml}{}", forward("*", Pair::Through, origin.address()))).await;
    let mut client = connect(&relay).await;
    client.send(hello("localhost")).await;
    expect_alert(&mut client, INTERNAL_ERROR).await;
    let mut client = connect(&relay).await;
    client.send("x").await;
    client.expect_end(End::Reset).await;
    let line = relay.wait_for_log("cause=\"upstream_unreachable\"").await;
    assert!(
        line.contains(" WARN ") && line.contains("end=\"refused\" fault=\"upstream\""),
        "{line}"
    );
}

#[tokio::test]
async fn an_upstream_with_a_bad_certificate_sees_no_byte() {
    for (certificate, cause) in [
        ("wrong-name", "upstream_certificate_wrong_name"),
        ("foreign", "upstream_certificate_unknown_ca"),
    ] {
        let origin = Origin::tls_with(certificate).await;
        let toml = listener(false) + &forward("*", Pair::PlainToTls, origin.address());
        let relay = Relay::start(&toml).await;
        let mut client = connect(&relay).await;
        client.send("secret").await;
        assert!(origin.try_accept().await.is_err());
        client.expect_end(End::Reset).await;
        relay.wait_for_log(&format!("cause=\"{cause}\"")).await;
    }
}

#[tokio::test]
async fn a_tunnel_in_which_nobody_speaks_ends_at_its_limit() {
    let passage = Passage::with(Pair::PlainToTcp, "*", "", "[timeouts]\ntunnel = \"2s\"").await;
    let (mut client, mut upstream) = passage.open().await;
    client.expect_end(End::Reset).await;
    upstream.expect_end(End::Reset).await;
    let line = passage.relay.wait_for_log("cause=\"tunnel_timeout\"").await;
    assert!(line.contains("end=\"aborted\""), "{line}");
}

#[tokio::test]
async fn connections_over_the_limit_are_closed() {
    let passage = Passage::with(Pair::PlainToTcp, "*", "", "[limits]\nconnections = 1").await;
    let (mut client, mut upstream) = passage.open().await;
    let mut second = connect(&passage.relay).await;
    let (bytes, _) = second.read_to_end().await;
    assert!(bytes.is_empty(), "{bytes:?}");
    client.send("still here").await;
    assert_eq!(upstream.read_exactly(10).await, b"still here");
}

#[tokio::test]
async fn a_stop_lets_tunnels_go_on_and_ends_with_the_last_of_them() {
    let passage = Passage::new(Pair::PlainToTcp).await;
    let (mut client, mut upstream) = passage.open().await;
    passage.relay.signal(rustix::process::Signal::TERM);
    passage.relay.wait_for_log("stopping").await;
    for _ in 0..3 {
        client.send("ping").await;
        assert_eq!(upstream.read_exactly(4).await, b"ping");
        upstream.send("pong").await;
        assert_eq!(client.read_exactly(4).await, b"pong");
    }
    client.close().await;
    upstream.expect_end(End::Clean).await;
    upstream.close().await;
    let mut relay = passage.relay;
    let (status, log) = relay.ended().await;
    assert!(status.success(), "{status:?}");
    assert!(log.iter().any(|line| line.contains("end=\"closed\"")), "{log:?}");
}

#[tokio::test]
async fn a_second_signal_ends_tunnels_at_once() {
    let passage = Passage::new(Pair::PlainToTcp).await;
    let (mut client, mut upstream) = opened(&passage).await;
    let mut relay = passage.relay;
    relay.signal(rustix::process::Signal::TERM);
    relay.wait_for_log("stopping").await;
    relay.signal(rustix::process::Signal::INT);
    let (status, log) = relay.ended().await;
    assert!(status.success(), "{status:?}");
    client.expect_end(End::Reset).await;
    upstream.expect_end(End::Reset).await;
    assert!(log.iter().any(|line| line.contains("cause=\"stopped\"")), "{log:?}");
}

/// Also behind TLS, where many clients take a missing close_notify for an end.
#[tokio::test]
async fn a_kill_of_the_process_is_a_reset_of_both_sides() {
    for mut passage in Passage::all().await {
        println!("{passage:?}");
        let (mut client, mut upstream) = opened(&passage).await;
        passage.relay.signal(rustix::process::Signal::KILL);
        let (status, _) = passage.relay.ended().await;
        assert_eq!(status.signal(), Some(rustix::process::Signal::KILL.as_raw()), "{status:?}");
        client.expect_end(End::Reset).await;
        upstream.expect_end(End::Reset).await;
    }
}

#[tokio::test]
async fn one_port_serves_the_relay_for_one_name_and_passes_others_on() {
    let (api, other) = (Origin::plain().await, Origin::tls_with("wrong-name").await);
    let (_held, address) = reserved_port();
    let listeners = format!(
        "[[listener]]\naddress = \"{address}\"\nmode = \"tcp\"\n\
         [[listener]]\naddress = \"{address}\"\n{}",
        listener_keys()
    );
    let route = format!("[[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n", api.address());
    let http = "[[forward]]\nserver_name = \"localhost\"\nupstream = \"http\"\n";
    let rest = forward("*", Pair::Through, other.address());
    let relay = Relay::start(&format!("{listeners}{route}{http}{rest}")).await;
    assert_eq!(relay.addresses(), [address]);

    let mut client = connect_tls(address).await;
    assert_eq!(client.alpn().as_deref(), Some("http/1.1"));
    client.send(GET).await;
    let mut upstream = api.accept().await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    assert_eq!(client.read_message().await.1, b"ok");
    let line = relay.wait_for_log("exchange").await;
    assert!(line.contains("route=\"/gpt/\"") && line.contains("status=200"), "{line}");

    let (client, upstream) =
        tokio::join!(connect_tls_as("wrong-name.test", address), other.accept());
    let (mut client, mut upstream) = (client.unwrap(), upstream);
    upstream.send("hello").await;
    assert_eq!(client.read_exactly(5).await, b"hello");

    let h2 = Arc::new(client_config_offering(ALL_VERSIONS, &["h2"]));
    let refused = connect_tls_with(&h2, "localhost", address).await;
    let error = refused.err().expect("a refusal").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn tls_that_a_tcp_listener_ends_may_lead_to_a_plain_http_listener() {
    let origin = Origin::plain().await;
    let http = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let forward = "[[forward]]\nserver_name = \"*\"\nupstream = \"http\"\n";
    let route =
        format!("[[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n", origin.address());
    let relay = Relay::start(&format!("{}{http}{forward}{route}", listener(true))).await;
    assert_eq!(relay.addresses().len(), 2);
    let mut by_tls = connect_tls(relay.address()).await;
    let mut plain = connect_plain(relay.addresses()[1]).await;
    for client in [&mut by_tls, &mut plain] {
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK_LAST).await;
        assert_eq!(client.read_message().await.1, b"ok");
    }
}

#[tokio::test]
async fn clients_of_the_http_relay_agree_on_its_protocol_also_where_a_tcp_listener_ends_their_tls()
{
    let (origin, other) = (Origin::plain().await, Origin::plain().await);
    let toml = format!(
        "{}[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n\
         [[forward]]\nserver_name = \"localhost\"\nupstream = \"http\"\n{}",
        listener(true),
        origin.address(),
        forward("*", Pair::TlsToTcp, other.address())
    );
    let relay = Relay::start(&toml).await;
    let offering = |protocols: &[&str]| Arc::new(client_config_offering(ALL_VERSIONS, protocols));
    let both = offering(&["h2", "http/1.1"]);
    let mut client = connect_tls_with(&both, "localhost", relay.address()).await.unwrap();
    assert_eq!(client.alpn().as_deref(), Some("http/1.1"));
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    assert_eq!(client.read_message().await.1, b"ok");

    let h2 = offering(&["h2"]);
    let refused = connect_tls_with(&h2, "localhost", relay.address()).await;
    let error = refused.err().expect("a refusal").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    let line = relay.wait_for_log("cause=\"client_tls_failed\"").await;
    assert!(line.contains("forward=\"localhost\""), "{line}");

    // What others speak is not ours to know.
    let mut client = connect_tls_with(&h2, "api.openai.test", relay.address()).await.unwrap();
    assert_eq!(client.alpn(), None);
    client.send("hello").await;
    assert_eq!(other.accept().await.read_exactly(5).await, b"hello");
}

/// A port that is ours, and that a listener with `SO_REUSEADDR` can have all the same, because we
/// do not listen.
fn reserved_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
