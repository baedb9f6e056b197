//! The server at the far end: it does what the path of a request says, well or badly.
//!
//! `/KIND/SEED/LENGTH`, and for `fault` `/AT/WAY` behind it.

use crate::content::content;
use crate::line::{Framing, Line, framing_of, in_chunks};
use crate::support::origin::tls_acceptor;
use crate::support::peer::Wire;
use crate::tally::{Count, tally};
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio_rustls::rustls::ALL_VERSIONS;
use tokio_rustls::{TlsAcceptor, TlsStream};

/// A running origin, in a thread of its own.
pub struct Server {
    /// Without TLS, and with it.
    pub addresses: [SocketAddr; 2],
    /// Told to close connections on which nothing happens.
    close_idle: watch::Sender<()>,
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

impl Server {
    pub fn start() -> Self {
        let (close_idle, closing) = watch::channel(());
        let listeners = [0, 1].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [0, 1].map(|it: usize| listeners[it].local_addr().unwrap());
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let [plain, tls] = listeners.map(|it| {
                    it.set_nonblocking(true).unwrap();
                    TcpListener::from_std(it).unwrap()
                });
                let acceptor = tls_acceptor("server", ALL_VERSIONS);
                tokio::join!(
                    accept(plain, None, closing.clone()),
                    accept(tls, Some(acceptor), closing)
                );
            });
        });
        Self { addresses, close_idle }
    }

    pub fn close_idle(&self) {
        self.close_idle.send_replace(());
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, closing: watch::Receiver<()>) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection of the relay");
        let (tls, mut closing) = (tls.clone(), closing.clone());
        // What was asked of those before is not asked of this one.
        closing.mark_unchanged();
        tokio::spawn(async move {
            // The relay leaves when its client does: that is no failure of anybody's.
            let _left = serve(tcp, tls, closing).await;
        });
    }
}

async fn serve(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    mut closing: watch::Receiver<()>,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut line = Line::new(match tls {
        None => Wire::Plain(tcp),
        Some(tls) => Wire::Tls(Box::new(TlsStream::Server(tls.accept(tcp).await?))),
    });
    loop {
        let head = tokio::select! {
            head = line.head() => head?,
            _ = closing.changed() => return line.wire.shutdown().await,
        };
        tally(Count::AtOrigin, 1);
        if !answer(&mut line, &head).await? {
            return line.wire.shutdown().await;
        }
    }
}

/// Does what was asked; gives whether the connection goes on.
async fn answer(line: &mut Line, head: &str) -> io::Result<bool> {
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let number = |at: usize| parts[at].parse::<usize>().expect("a number");
    let (seed, len) = (number(1) as u64, number(2));
    match parts[0] {
        "fixed" => {
            line.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")).await?;
            line.send(content(seed, 0, len)).await?;
        }
        "chunked" => {
            line.send(CHUNKED).await?;
            line.send(in_chunks(seed, len)).await?;
        }
        "events" => {
            line.send(CHUNKED).await?;
            // As small as tokens are, and no more than a few hundred of them.
            let most = 50.max(len / 200);
            for at in (0..len).step_by(most) {
                let size = most.min(len - at);
                let event = content(seed, at, size);
                line.send([format!("{size:x}\r\n").as_bytes(), &event, b"\r\n"].concat()).await?;
                tokio::task::yield_now().await;
            }
            line.send("0\r\n\r\n").await?;
        }
        "close" => {
            line.send("HTTP/1.1 200 OK\r\n\r\n").await?;
            line.send(content(seed, 0, len)).await?;
            return Ok(false);
        }
        "upload" => {
            if head.contains("100-continue") {
                line.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let framing = match framing_of(head) {
                Framing::UntilClose => Framing::Length(0),
                framing => framing,
            };
            assert_eq!(line.check_body(framing, seed).await?, len, "the length of an upload");
            line.send(OK).await?;
        }
        "early" => {
            line.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await?;
            loop {
                line.read().await?;
                line.forget();
            }
        }
        "socket" => {
            line.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n",
            )
            .await?;
            // As many bytes as were agreed on, each way.
            let got = line.exactly(len).await?;
            assert!(got == content(seed, 0, len), "in a tunnel");
            line.send(got).await?;
            return Ok(false);
        }
        "silent" => loop {
            line.read().await?;
            line.forget();
        },
        "endless" => {
            line.send(CHUNKED).await?;
            let part = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            loop {
                line.send(&part).await?;
            }
        }
        "fault" => return fault(line, seed, len, number(3), parts[4]).await.map(|()| false),
        kind => panic!("nobody asks for {kind}"),
    }
    Ok(true)
}

/// The bytes of a response that breaks off.
pub fn whole_response(seed: u64, len: usize) -> Vec<u8> {
    let (head, body) = if seed.is_multiple_of(2) {
        (CHUNKED.to_owned(), in_chunks(seed, len))
    } else {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
        (head, content(seed, 0, len))
    };
    [head.as_bytes(), &body].concat()
}

async fn fault(line: &mut Line, seed: u64, len: usize, at: usize, way: &str) -> io::Result<()> {
    line.send(&whole_response(seed, len)[..at]).await?;
    match way {
        "fin" => Ok(()),
        "reset" => {
            let _best_effort = line.socket().set_linger(Some(Duration::ZERO));
            Err(io::ErrorKind::ConnectionReset.into())
        }
        "alert" => line.send_below_tls(b"\x15\x03\x03\x00\x02\x02\x50").await,
        "garbage" => line.send_below_tls(&[0; 20_000]).await,
        "stall" => loop {
            line.read().await?;
            line.forget();
        },
        way => panic!("nobody asks for {way}"),
    }
}
