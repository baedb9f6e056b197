//! Peers that accept, and say nothing. Each step has a limit, so that doctor ends and names them.

use crate::patient::Diagnosis;
use crate::servers::{head, hold, start};
use narrows_kit::folder::Folder;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

#[test]
fn servers_that_say_nothing_are_named_by_what_does_not_come() {
    let silent = start(hold);
    let without_body = start(|mut tcp| {
        head(&mut tcp)?;
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
        hold(tcp)
    });
    let (full, _waiting) = with_a_full_queue();
    let upstreams = [
        format!("http://{full}"),
        format!("https://{silent}"),
        format!("http://{silent}"),
        format!("http://{without_body}"),
    ];
    let routes = upstreams.iter().enumerate().map(|(at, upstream)| {
        format!("[[route]]\npath = \"/{at}/\"\nupstream = \"{upstream}/\"\n")
    });
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    let toml = listener + &routes.collect::<String>();
    let found = Diagnosis::of_file(&Folder::new("doctor").path, &toml);
    found.exits(1).about(full).has("tcp", "failure", "no answer", "overloaded");
    found.about(silent).has("tls", "failure", "the handshake gets no answer", "the server hangs");
    let late = "no whole response came within 10 s";
    found.about(silent).has("http", "failure", late, "its log");
    found.about(without_body).has("http", "failure", late, "does not answer");
}

#[test]
fn a_server_that_never_ends_its_response_is_not_waited_for() {
    let endless = |beginning: &'static str| {
        start(move |mut tcp| {
            head(&mut tcp)?;
            tcp.write_all(beginning.as_bytes())?;
            loop {
                tcp.write_all(&[b'x'; 4096])?;
            }
        })
    };
    let body = endless("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
    let found = Diagnosis::of_route(&format!("http://{body}/"), &[]);
    found.exits(0).has("http", "ok", "200: it answers", "");
    let head = endless("HTTP/1.1 200 OK\r\n");
    let found = Diagnosis::of_route(&format!("http://{head}/"), &[]);
    found.exits(1).has("http", "failure", "does not speak HTTP/1", "check the port");
}

/// A server that accepts no more, and the connections that wait for it.
fn with_a_full_queue() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    // The queue of the kernel is for one more than this number.
    const LENGTH: i32 = 0;
    const SOON: Duration = Duration::from_millis(500);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, LENGTH).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(tcp) = TcpStream::connect_timeout(&address, SOON) {
        waiting.push(tcp);
    }
    (address, (listener, waiting))
}
