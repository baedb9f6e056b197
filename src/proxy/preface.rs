//! The first bytes of a connection, before its destination is known: a PROXY header, the
//! `ClientHello` of TLS.
//!
//! The bytes are peeked at in the kernel (`MSG_PEEK`). Only the PROXY header is consumed; a hello
//! stays there for our own TLS, for the HTTP relay, or for a pipe to an upstream. So nothing has to
//! be put back, and a connection that waits holds no buffer.

use crate::clock::{Alarm, Deadline, Halt};
use crate::config::network::Network;
use crate::error::opening::OpeningError;
use crate::error::{Cause, ExchangeError};
use crate::limits::{CLIENT_HELLO_BYTES_MAX, PROXY_HEADER_BYTES_MAX};
use crate::net::buffer::with_scratch;
use crate::net::transport::Transport;
use crate::preface::client_hello::{ClientHello, FoundHello, HelloError, HelloReader};
use crate::preface::proxy_header::{self, Header, ProxyHeaderError};
use crate::proxy::context::Client;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

/// What a client begins with.
#[derive(Debug)]
pub(super) enum Greeting {
    /// A whole `ClientHello`.
    Hello(ClientHello),
    /// Something other than TLS.
    NotTls,
    /// Nothing, for as long as the caller wants to wait.
    Silence,
}

/// Why there is no greeting.
#[derive(Debug)]
pub(super) struct NoGreeting {
    pub(super) error: ExchangeError,
    /// The bytes so far look like TLS, so an alert will be understood.
    pub(super) is_tls: bool,
}

/// Reads the PROXY header that `peer` has to send first, and returns the client that it announces.
///
/// # Errors
/// There is no such header within `deadline`.
pub async fn read_proxy_header(
    transport: &mut Transport,
    peer: SocketAddr,
    deadline: Deadline,
    alarm: &mut Alarm,
) -> Result<Client, ExchangeError> {
    let mut seen = 0;
    let header = loop {
        let looking = poll_fn(|cx| poll_header(cx, transport, &mut seen));
        match alarm.bound(deadline, looking).await {
            Ok(Some(header)) => break header.map_err(refused)?,
            Ok(None) => {}
            // A reset in place of an end, as some health checks send it.
            Err(Halt::Io(_)) if seen == 0 => return Err(refused(OpeningError::Nothing)),
            Err(Halt::Io(error)) => {
                return Err(ExchangeError::client(Cause::Io(error.kind().into())));
            }
            Err(Halt::Expired(timer)) => return Err(ExchangeError::expired(timer)),
        }
    };
    let address = header.source.unwrap_or(peer);
    Ok(Client { address, destination: header.destination })
}

/// Whether `peer` is one of the proxies that have to send a PROXY header.
pub fn must_send_proxy_header(proxies: &[Network], peer: SocketAddr) -> bool {
    proxies.iter().any(|network| network.contains(peer.ip()))
}

/// Peeks once, and consumes a complete header. `None`: more bytes are needed.
fn poll_header(
    cx: &mut Context<'_>,
    transport: &mut Transport,
    seen: &mut usize,
) -> Poll<io::Result<Option<Result<Header, OpeningError>>>> {
    let refuse = |error| Poll::Ready(Ok(Some(Err(error))));
    with_scratch(|scratch| {
        let room = &mut scratch[..PROXY_HEADER_BYTES_MAX];
        let len = ready!(transport.poll_peek(cx, room, *seen))?;
        let is_ended = len == *seen;
        let header = match proxy_header::read(&room[..len]) {
            Ok(Some(header)) => header,
            Ok(None) if !is_ended => {
                *seen = len;
                return Poll::Ready(Ok(None));
            }
            Ok(None) if len > 0 => return refuse(OpeningError::BadProxyHeader(None)),
            Ok(None) => return refuse(OpeningError::Nothing),
            Err(ProxyHeaderError::NotProxyProtocol) => {
                return refuse(OpeningError::NoProxyHeader);
            }
            Err(error) => return refuse(OpeningError::BadProxyHeader(Some(error))),
        };
        // All of it was peeked at, so all of it is there, but not always in one read.
        let mut left = header.len;
        while left > 0 {
            match ready!(transport.poll_read(cx, &mut room[..left]))? {
                0 => return refuse(OpeningError::BadProxyHeader(None)),
                taken => left -= taken,
            }
        }
        Poll::Ready(Ok(Some(Ok(header))))
    })
}

/// Waits for the first bytes and classifies them. With `patience`, silence until then is a result,
/// too.
pub(super) async fn greeting(
    transport: &mut Transport,
    deadline: Deadline,
    patience: Option<Deadline>,
    alarm: &mut Alarm,
) -> Result<Greeting, NoGreeting> {
    let mut reader = HelloReader::default();
    let mut seen = 0;
    loop {
        let until = if seen == 0 { deadline.earlier(patience) } else { deadline };
        let before = seen;
        let looking = poll_fn(|cx| poll_hello(cx, transport, &mut reader, &mut seen));
        let looked = alarm.bound(until, looking).await;
        let is_tls = seen > 0;
        let error = match looked {
            Ok(Ok(FoundHello::Hello(hello))) => return Ok(Greeting::Hello(hello)),
            Ok(Ok(FoundHello::NotTls)) => return Ok(Greeting::NotTls),
            Ok(Ok(FoundHello::NeedMore)) if seen > before => continue,
            Ok(Ok(FoundHello::NeedMore)) if seen == 0 => ExchangeError::client(Cause::Gone),
            Ok(Ok(FoundHello::NeedMore)) => refused(OpeningError::HelloCut),
            Ok(Err(error)) => refused(OpeningError::Hello(error)),
            Err(Halt::Io(error)) => ExchangeError::client(Cause::Io(error.kind().into())),
            Err(Halt::Expired(_)) if seen == 0 && patience.is_some() => {
                return Ok(Greeting::Silence);
            }
            Err(Halt::Expired(timer)) => ExchangeError::expired(timer),
        };
        return Err(NoGreeting { error, is_tls });
    }
}

/// Peeks once.
fn poll_hello(
    cx: &mut Context<'_>,
    transport: &mut Transport,
    reader: &mut HelloReader,
    seen: &mut usize,
) -> Poll<io::Result<Result<FoundHello, HelloError>>> {
    with_scratch(|scratch| {
        let room = &mut scratch[..CLIENT_HELLO_BYTES_MAX];
        let len = ready!(transport.poll_peek(cx, room, *seen))?;
        *seen = len;
        Poll::Ready(Ok(if len == 0 { Ok(FoundHello::NeedMore) } else { reader.find(&room[..len]) }))
    })
}

pub(super) fn refused(error: OpeningError) -> ExchangeError {
    ExchangeError::client(Cause::Opening(error))
}
