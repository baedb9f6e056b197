//! hyper as the independent reader: its server reads what an upstream has received, and its client
//! what a client has received.

use super::naive::Head;
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Uri, client, server};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const FIELDS_MAX: usize = 1024;

/// A message as hyper read it, to its last octet.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Method and target, or the status.
    pub(super) start: String,
    /// Names in lower case, sorted by name; the order of the values of one name stays.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) content: Vec<u8>,
    pub(super) trailers: Vec<(String, Vec<u8>)>,
}

/// What a server read on a connection that ended in order after its bytes.
#[derive(Debug)]
pub(super) struct ServerRead {
    pub(super) requests: Vec<Seen>,
    /// The connection ended between two requests.
    pub(super) nothing_left_over: bool,
}

/// Whether hyper can read a request for this target at all. It is stricter than HTTP parsers
/// usually are about bytes that RFC 3986 wants encoded.
pub(super) fn takes_target(target: &[u8]) -> bool {
    Uri::try_from(target).is_ok()
}

/// Lets hyper's server read a whole connection.
pub(super) fn server_reads(bytes: &[u8]) -> ServerRead {
    let (seen, incomplete) = (RefCell::new(Vec::new()), Cell::new(false));
    let service = service_fn(async |request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        let start = format!("{} {}", parts.method, parts.uri);
        match collect(start, &parts.headers, body).await {
            Some(message) => seen.borrow_mut().push(message),
            None => incomplete.set(true),
        }
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let io = Io { input: bytes, may_read: Rc::new(Cell::new(true)), end: Ok(()) };
    let mut builder = server::conn::http1::Builder::new();
    let builder = builder.max_headers(FIELDS_MAX).header_read_timeout(None).half_close(true);
    let result = block_on(builder.serve_connection(io, service), bytes.len());
    let nothing_left_over = result.is_ok() && !incomplete.get();
    ServerRead { requests: seen.into_inner(), nothing_left_over }
}

/// Lets hyper's client read the answer to one request: the final response, if it is complete and
/// nothing follows it. `ended`: the connection ended in order after `bytes`.
pub(super) fn client_reads(method: &str, bytes: &[u8], ended: bool) -> Option<Seen> {
    let asked = Rc::new(Cell::new(false));
    let end = if ended { Ok(()) } else { Err(ErrorKind::ConnectionReset) };
    let io = Io { input: bytes, may_read: Rc::clone(&asked), end };
    block_on(
        async {
            let mut builder = client::conn::http1::Builder::new();
            let handshake = builder.max_headers(FIELDS_MAX).handshake::<_, String>(io);
            let (mut sender, connection) = handshake.await.expect("nothing is sent yet");
            let mut connection = pin!(connection);
            let mut over = None;
            let request = Request::builder().method(method).uri("/").body(String::new());
            let answer = async {
                let response = sender.send_request(request.expect("a request")).await.ok()?;
                let (parts, body) = response.into_parts();
                let seen = collect(parts.status.as_u16().to_string(), &parts.headers, body).await;
                drop(sender);
                seen
            };
            let mut answer = pin!(answer);
            let seen = poll_fn(|cx| {
                if over.is_none()
                    && let Poll::Ready(result) = connection.as_mut().poll(cx)
                {
                    over = Some(result.is_ok());
                }
                answer.as_mut().poll(cx)
            })
            .await;
            let in_order = match over {
                Some(in_order) => in_order,
                None => connection.await.is_ok(),
            };
            seen.filter(|_| in_order || !ended)
        },
        bytes.len(),
    )
}

/// The fields of a head, as hyper would list them.
pub(super) fn fields_of(head: &Head) -> Vec<(String, Vec<u8>)> {
    let fields = head.fields.iter().map(|it| (it.name.clone(), it.value.clone()));
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// Reads the body. `None` if it is incomplete.
async fn collect(start: String, fields: &HeaderMap, mut body: Incoming) -> Option<Seen> {
    let mut seen = Seen { start, fields: listed(fields), ..Seen::default() };
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame.ok()?.into_data() {
            Ok(data) => seen.content.extend_from_slice(&data),
            Err(frame) => {
                seen.trailers.extend(frame.trailers_ref().map(listed).into_iter().flatten());
            }
        }
    }
    Some(seen)
}

fn listed(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let fields = fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// Polls a future that depends on no one else to its end.
fn block_on<T>(future: impl Future<Output = T>, bytes: usize) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..1000 + bytes {
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
    }
    panic!("hyper does not come to an end");
}

/// Bytes to read, and then the end. Reading is allowed after the first write, if not before; what
/// is written is discarded.
struct Io<'b> {
    input: &'b [u8],
    may_read: Rc<Cell<bool>>,
    end: Result<(), ErrorKind>,
}

impl Read for Io<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.may_read.get() {
            return Poll::Pending;
        }
        if self.input.is_empty() {
            return Poll::Ready(self.end.map_err(Into::into));
        }
        let (now, later) = self.input.split_at(into.remaining().min(self.input.len()));
        into.put_slice(now);
        self.input = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Io<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.may_read.set(true);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
