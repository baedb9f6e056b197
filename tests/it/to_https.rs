//! A listener that leads to https, beside the https listener.

use crate::support::stage::expect_ok;
use narrows_kit::certificates::listener_keys;
use narrows_kit::client::{connect_plain, connect_tls};
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use std::net::TcpListener;

#[tokio::test]
async fn a_plain_client_is_led_to_the_https_listener_by_the_names_of_its_certificate() {
    let origin = Origin::plain().await;
    // The port has to be known before the start.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let https = socket.local_addr().unwrap();
    let with = |more: &str| {
        format!(
            "[[listener]]\naddress = \"{https}\"\n{}\
             [[listener]]\naddress = \"127.0.0.1:0\"\nredirect = true\n\
             [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n{more}",
            listener_keys(),
            origin.address()
        )
    };
    let relay = Relay::start(&with("")).sockets([socket]).await;
    let plain = relay.addresses()[1];
    let mut kept = connect_plain(plain).await;
    for (host, status, location) in [
        ("localhost", "308", format!("https://localhost:{}/gpt/a?b", https.port())),
        ("127.0.0.1", "308", format!("https://127.0.0.1:{}/gpt/a?b", https.port())),
        ("elsewhere.test", "421", String::new()),
    ] {
        kept.send(format!("GET /gpt/a?b HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let (head, _) = kept.read_message().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let is_said = head.contains(&format!("\r\nLocation: {location}\r\n"));
        assert_eq!(is_said, status == "308", "{head}");
    }
    expect_ok(&mut connect_tls(https).await, &origin).await;
    // A reload makes it a listener for the routes.
    relay.reload(&with("").replace("redirect = true\n", "")).await;
    expect_ok(&mut connect_plain(plain).await, &origin).await;
    let lines = relay.log_lines();
    let of = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!((of("status=308"), of("cause=\"name_not_served\"")), (2, 1), "{lines:#?}");
}

#[tokio::test]
async fn a_client_that_a_mapped_port_80_leads_to_us_is_led_to_port_443() {
    let origin = Origin::plain().await;
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [https, plain] = sockets.each_ref().map(|it| it.local_addr().unwrap());
    let config = format!(
        "[[listener]]\naddress = \"{https}\"\n{}\
         [[listener]]\naddress = \"{plain}\"\nredirect = true\n\
         [[route]]\npath = \"/\"\nupstream = \"http://{}/\"\n",
        listener_keys(),
        origin.address()
    );
    let relay = Relay::start(&config).sockets(sockets).await;
    let mut client = connect_plain(relay.addresses()[1]).await;
    for (host, location) in [
        ("localhost".to_owned(), "https://localhost/a".to_owned()),
        (format!("localhost:{}", plain.port()), format!("https://localhost:{}/a", https.port())),
    ] {
        client.send(format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let (head, _) = client.read_message().await;
        assert!(head.contains(&format!("\r\nLocation: {location}\r\n")), "{head}");
    }
}
