//! One end of a connection, plain or TLS, in raw bytes.
//!
//! The little HTTP in here (heads end at an empty line, three ways to delimit a body) is written
//! apart from the library on purpose: it checks the library, and panics where framing is wrong.

use super::within;
use socket2::SockRef;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};

/// Turns of the runtime that [`Peer::assert_silent`] grants to everyone else. Each polls the
/// kernel, and a byte needs a few on its way through both TLS sessions of a relay in this process.
pub const ROUNDS: usize = 64;

/// One end of a connection.
pub struct Peer {
    /// `client` or `origin`, for messages.
    role: &'static str,
    pub(super) wire: Wire,
    /// Bytes read and not yet asked for.
    surplus: Vec<u8>,
    /// The trailer section behind the last chunk of the last body.
    trailers: String,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN; over TLS, `close_notify`.
    Clean,
    /// FIN without `close_notify`, over TLS: someone may have cut it.
    Truncated,
    /// RST.
    Reset,
}

/// What carries the bytes.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Peer {
    pub fn new(role: &'static str, wire: Wire) -> Self {
        Self { role, wire, surplus: Vec::new(), trailers: String::new() }
    }

    /// The protocol agreed on by ALPN, if any.
    pub fn alpn(&self) -> Option<String> {
        let Wire::Tls(tls) = &self.wire else { return None };
        let name = tls.get_ref().1.alpn_protocol()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// Whether TLS took up a session of before instead of a full handshake.
    pub fn is_resumed(&self) -> bool {
        let Wire::Tls(tls) = &self.wire else { return false };
        tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The version of TLS, if there is any.
    pub fn tls_version(&self) -> Option<ProtocolVersion> {
        let Wire::Tls(tls) = &self.wire else { return None };
        tls.get_ref().1.protocol_version()
    }

    /// At an origin: the name that the other side asked for by SNI, if any.
    pub fn server_name(&self) -> Option<String> {
        let Wire::Tls(tls) = &self.wire else { return None };
        let TlsStream::Server(tls) = &**tls else { return None };
        tls.get_ref().1.server_name().map(str::to_owned)
    }

    /// The port of our end.
    pub fn local_port(&self) -> u16 {
        self.wire.tcp().local_addr().expect("an address").port()
    }

    /// Length of the TLS record that will be read next, its header left out.
    pub async fn peek_record_length(&mut self) -> usize {
        assert!(self.surplus.is_empty(), "bytes of the record before are left");
        let mut header = [0; 5];
        within("a TLS record", async {
            while self.wire.tcp().peek(&mut header).await.expect("a record") < header.len() {}
        })
        .await;
        usize::from(u16::from_be_bytes([header[3], header[4]]))
    }

    /// Sends all of `bytes`, in one write if the kernel takes them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the other side takes our bytes");
    }

    /// As [`send`](Self::send), for a peer that may be gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let role = self.role;
        within(&format!("the {role}'s bytes to be taken"), async {
            self.wire.write_all(bytes.as_ref()).await?;
            self.wire.flush().await
        })
        .await
    }

    /// Reads a message head, up to and including its empty line.
    pub async fn read_head(&mut self) -> String {
        self.read_through(b"\r\n\r\n", "a head").await
    }

    /// Reads exactly `count` bytes.
    pub async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.surplus.len() < count {
            self.fill(&format!("{count} bytes")).await;
        }
        self.surplus.drain(..count).collect()
    }

    /// What one read gives, or what an earlier read left over.
    pub async fn read_some(&mut self) -> Vec<u8> {
        if self.surplus.is_empty() {
            self.fill("some bytes").await;
        }
        std::mem::take(&mut self.surplus)
    }

    /// Reads a head and the body behind it.
    pub async fn read_message(&mut self) -> (String, Vec<u8>) {
        let head = self.read_head().await;
        let body = self.read_body_to_end(&head).await;
        (head, body)
    }

    /// Reads the body behind `head` to its end and decodes it. It does not know about HEAD.
    pub async fn read_body_to_end(&mut self, head: &str) -> Vec<u8> {
        let length = field_value(head, "content-length");
        match (field_value(head, "transfer-encoding"), length) {
            (Some(_), Some(_)) => panic!("two lengths in {head:?}"),
            (Some(coding), None) => {
                assert_eq!(coding, "chunked", "in {head:?}");
                self.read_chunks_to_end().await
            }
            (None, Some(digits)) => {
                assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "in {head:?}");
                self.read_exactly(digits.parse().expect("a length")).await
            }
            (None, None) if is_bodiless(head) => Vec::new(),
            (None, None) => {
                let (body, end) = self.read_to_end().await;
                assert_eq!(end, End::Clean, "{} lost the end of {body:?}", self.role);
                body
            }
        }
    }

    /// Reads one chunk and gives its content; the last chunk, with its trailer section, is empty.
    pub async fn read_chunk(&mut self) -> Vec<u8> {
        let line = self.read_through(b"\r\n", "a chunk-size line").await;
        let digits = line.trim_end_matches("\r\n");
        assert!(
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{line:?} is no chunk-size line without extension"
        );
        let size = usize::from_str_radix(digits, 16).expect("a chunk size");
        if size == 0 {
            self.read_trailers().await;
            return Vec::new();
        }
        let content = self.read_exactly(size).await;
        assert_eq!(self.read_exactly(2).await, b"\r\n", "behind a chunk of {size} bytes");
        content
    }

    /// The trailer section of the last chunked body, its final empty line left out.
    pub fn trailers(&self) -> &str {
        &self.trailers
    }

    /// Reads what comes until the connection ends, and says how it ended.
    pub async fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            if let Some(end) = self.fill_or_end("the end").await {
                break end;
            }
        };
        (std::mem::take(&mut self.surplus), end)
    }

    /// Asserts that the connection ends in this way, and that no byte comes before.
    #[track_caller]
    pub fn expect_end(&mut self, want: End) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let (bytes, end) = self.read_to_end().await;
            let bytes = String::from_utf8_lossy(&bytes);
            assert_eq!((&*bytes, end), ("", want), "at the {}, {caller}", self.role);
        }
    }

    /// Asserts that no byte and no end is here, after everyone in this process had their turns.
    ///
    /// This cannot see what a relay in another process is still about to send: order the steps of
    /// a test so that a wrong byte would already be here (wait for something sent after it). It
    /// can pass wrongly, and never fails wrongly.
    pub async fn assert_silent(&mut self) {
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
        }
        let surplus = String::from_utf8_lossy(&self.surplus);
        assert_eq!(surplus, "", "the {} should have received nothing", self.role);
        let mut bytes = [0; 1024];
        let mut bytes = ReadBuf::new(&mut bytes);
        let now =
            poll_fn(|context| Poll::Ready(Pin::new(&mut self.wire).poll_read(context, &mut bytes)));
        if let Poll::Ready(result) = now.await {
            let bytes = String::from_utf8_lossy(bytes.filled());
            panic!("the {} should be silent, but read {bytes:?} ({result:?})", self.role);
        }
    }

    /// Whether neither a byte nor an end comes for so long; below TLS, if there is any.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.wire.tcp().peek(&mut [0])).await.is_err()
    }

    /// Sends a byte of `bytes` each time `gap` has passed, until something comes back.
    pub async fn trickle(&mut self, bytes: &[u8], gap: Duration) {
        for byte in bytes {
            if self.try_send([*byte]).await.is_err() || !self.is_silent_for(gap).await {
                return;
            }
        }
    }

    /// Ends our direction in order (`close_notify`, FIN) and reads on.
    pub async fn half_close(&mut self) {
        within("our half-close", self.wire.shutdown()).await.expect("our half-close");
    }

    /// As [`half_close`](Self::half_close), for a peer that may be gone.
    pub async fn try_half_close(&mut self) {
        let _gone = within("our half-close", self.wire.shutdown()).await;
    }

    /// Whether bytes have arrived that were not read yet; below TLS, if there is any.
    pub fn has_bytes(&self) -> bool {
        !self.surplus.is_empty()
            || SockRef::from(self.wire.tcp()).peek(&mut [MaybeUninit::uninit()]).is_ok()
    }

    /// Closes in order: `close_notify` and FIN.
    pub async fn close(mut self) {
        self.half_close().await;
        self.drain();
    }

    /// Closes by FIN alone, which over TLS is a truncation. No different from `close` without TLS.
    pub fn close_without_notify(self) {
        self.drain();
    }

    /// Sends a byte with TCP's urgent pointer behind it.
    pub fn send_urgent(&mut self, byte: u8) {
        assert_eq!(SockRef::from(self.wire.tcp()).send_out_of_band(&[byte]).unwrap(), 1);
    }

    /// Closes by RST.
    pub fn reset(self) {
        SockRef::from(self.wire.tcp()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Throws away what has arrived: the kernel turns a close with unread bytes into a reset.
    pub(super) fn drain(&self) {
        let mut bytes = [0; 4096];
        while self.wire.tcp().try_read(&mut bytes).is_ok_and(|count| count > 0) {}
    }

    async fn read_chunks_to_end(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.read_chunk().await;
            if chunk.is_empty() {
                return body;
            }
            body.extend(chunk);
        }
    }

    async fn read_trailers(&mut self) {
        self.trailers.clear();
        loop {
            let line = self.read_through(b"\r\n", "a trailer line").await;
            if line == "\r\n" {
                return;
            }
            self.trailers.push_str(&line);
        }
    }

    /// Reads up to and including `delimiter`.
    async fn read_through(&mut self, delimiter: &[u8], what: &str) -> String {
        loop {
            let found = self.surplus.windows(delimiter.len()).position(|it| it == delimiter);
            if let Some(at) = found {
                let bytes = self.surplus.drain(..at + delimiter.len()).collect();
                return String::from_utf8(bytes).expect("ASCII");
            }
            self.fill(what).await;
        }
    }

    /// Reads once; the connection may not end here.
    async fn fill(&mut self, what: &str) {
        if let Some(end) = self.fill_or_end(what).await {
            let surplus = String::from_utf8_lossy(&self.surplus);
            panic!("the {} wanted {what}, has {surplus:?}, and met {end:?}", self.role);
        }
    }

    async fn fill_or_end(&mut self, what: &str) -> Option<End> {
        let surplus = String::from_utf8_lossy(&self.surplus[..self.surplus.len().min(200)]);
        let what = format!("{what} at the {}, which has {surplus:?}", self.role);
        let read = within(&what, self.wire.read_buf(&mut self.surplus)).await;
        read_or_end(read, &what).err()
    }

    /// What one read of at most `room` bytes gives, or what an earlier read left over, or how the
    /// connection ended.
    pub(super) async fn read_up_to(&mut self, room: usize) -> Result<Vec<u8>, End> {
        if !self.surplus.is_empty() {
            return Ok(std::mem::take(&mut self.surplus));
        }
        let mut bytes = vec![0; room];
        let what = format!("bytes or an end at the {}", self.role);
        let read = within(&what, self.wire.read(&mut bytes)).await;
        bytes.truncate(read_or_end(read, &what)?);
        Ok(bytes)
    }
}

fn read_or_end(read: io::Result<usize>, what: &str) -> Result<usize, End> {
    match read {
        Ok(0) => Err(End::Clean),
        Ok(count) => Ok(count),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(End::Truncated),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
        Err(error) => panic!("{what}: {error}"),
    }
}

impl Wire {
    /// Below TLS, if there is any.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}

/// The value of the only field of this (lower-case) name; more than one is a failure.
pub fn field_value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut values = head
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_matches([' ', '\t']));
    let value = values.next();
    assert_eq!(values.next(), None, "a second {name} in {head:?}");
    value
}

/// Whether a message without any length has no body: a request, and some responses.
fn is_bodiless(head: &str) -> bool {
    let Some((_version, rest)) = head.strip_prefix("HTTP/").and_then(|it| it.split_once(' '))
    else {
        return true;
    };
    rest.starts_with('1') || rest.starts_with("204") || rest.starts_with("304")
}
