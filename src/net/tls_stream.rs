//! A TLS stream that holds no buffer while it waits: [`TlsStream`].
//!
//! A read goes into the worker's scratch buffer for TLS, is decrypted there, and its content is
//! copied to where the caller wants it. A write is encrypted into the same buffer and leaves in one
//! call to the socket. Only what cannot be finished waits in a pooled buffer: an incomplete record,
//! records that the socket does not accept, and content that the caller had no room for.
//!
//! Most polls of a relay find nothing, because each wake-up of a task polls both of its peers. So a
//! read first asks the runtime whether the socket is readable, which costs less than anything else.

use crate::limits::{RECORD_CONTENT_BYTES_MAX, RECORD_FRAME_BYTES, TLS_READ_BYTES_MIN};
use crate::net::buffer::{Buffer, with_tls_scratch};
use crate::net::records::{Content, Records, Side};
use crate::net::send_queue::SendQueue;
use crate::net::tcp::MeteredTcp;
use crate::net::transport::{Stream, Transport};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, ready};
use tokio::time::Instant;
use tokio_rustls::rustls::{Error, InvalidMessage};

/// TLS as server or as client, over TCP, or over memory in tests.
pub struct TlsStream<S: Side, C = MeteredTcp> {
    carrier: C,
    records: Records<S>,
    /// What has arrived of a record, or of a message in several records.
    incomplete: Buffer,
    /// Content that the last read had no room for.
    content: Buffer,
    /// Records that the carrier has not accepted.
    due: Buffer,
    ending: Ending,
    asked_name: Option<Box<str>>,
}

/// How the peer's direction has ended.
#[derive(Debug)]
enum Ending {
    /// Not yet.
    None,
    /// With close_notify.
    Closed,
    /// With a FIN alone.
    Truncated,
    /// With something that is not TLS, or an alert. An error is large, and rare.
    Failed(Box<Error>),
}

impl<S: Side, C: Stream + 'static> TlsStream<S, C> {
    /// Shakes hands. Boxed, because the stream stays where it is when it becomes a [`Transport`].
    ///
    /// # Errors
    /// Those of the carrier, which is returned with them; `InvalidData` with what is wrong with
    /// TLS, after an attempt to send the alert that says so; `UnexpectedEof`.
    pub async fn shake_hands(side: S, carrier: C) -> Result<Box<Self>, (io::Error, C)> {
        let mut stream = Box::new(Self {
            carrier,
            records: Records::new(side),
            incomplete: Buffer::default(),
            content: Buffer::default(),
            due: Buffer::default(),
            ending: Ending::None,
            asked_name: None,
        });
        // The hello of a client. A server waits for it.
        let no_room = &mut Content::new(&mut []);
        let (_, begun) = stream.records.open(&mut [], no_room, &mut stream.due);
        if let Err(error) = begun {
            return Err((invalid(&error), stream.carrier));
        }
        match poll_fn(|cx| stream.poll_handshake(cx)).await {
            Ok(()) => Ok(stream),
            Err(error) => Err((error, stream.carrier)),
        }
    }

    /// What is known of the connection.
    pub fn records(&self) -> &Records<S> {
        &self.records
    }

    /// What carries the records.
    pub fn carrier_mut(&mut self) -> &mut C {
        &mut self.carrier
    }

    /// Notes the server name that the client asked for, which rustls shows only to those that
    /// choose a certificate.
    pub fn note_asked_name(&mut self, name: Option<Box<str>>) {
        self.asked_name = name;
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let flushed = self.poll_flush(cx)?;
            if !self.records.is_handshaking() {
                return flushed.map(Ok);
            }
            // Reads meanwhile, because both sides may have something to send. A client may have
            // sent its first request already, which is then held.
            ready!(self.poll_open(cx, &mut []))?;
            match &self.ending {
                Ending::None | Ending::Closed => {}
                Ending::Truncated => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Ending::Failed(error) => return Poll::Ready(Err(invalid(error))),
            }
        }
    }

    /// Reads from the carrier once, and returns how much content there is in `into`.
    fn poll_open(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(tcp) = self.carrier.tcp() {
            ready!(tcp.poll_readable(cx));
        }
        self.poll_open_arrived(cx, into)
    }

    // Never inlined, so that a poll that finds nothing does not prepare for what it does not do.
    #[inline(never)]
    fn poll_open_arrived(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        with_tls_scratch(|scratch| {
            let kept = self.incomplete.len();
            scratch[..kept].copy_from_slice(&self.incomplete);
            // For full records as many as `into` has room for, and not the most of one more.
            let frames = into.len() / RECORD_CONTENT_BYTES_MAX * RECORD_FRAME_BYTES;
            let room = (into.len() + frames).saturating_sub(kept).max(TLS_READ_BYTES_MIN);
            let end = scratch.len().min(kept + room);
            if kept == end {
                let error = InvalidMessage::HandshakePayloadTooLarge.into();
                self.ending = Ending::Failed(Box::new(error));
                return Poll::Ready(Ok(0));
            }
            let len = ready!(self.carrier.poll_read(cx, &mut scratch[kept..end]))?;
            if len == 0 {
                self.ending = Ending::Truncated;
                return Poll::Ready(Ok(0));
            }
            Poll::Ready(Ok(self.take_in(cx, &mut scratch[..kept + len], into)))
        })
    }

    /// Takes in what has arrived, what was incomplete before first, and returns how much content
    /// there is in `into`.
    fn take_in(&mut self, cx: &mut Context<'_>, arrived: &mut [u8], into: &mut [u8]) -> usize {
        let mut content = Content::new(into);
        let (consumed, opened) = self.records.open(arrived, &mut content, &mut self.due);
        let (filled, excess) = content.into_parts();
        self.content = excess;
        self.incomplete = Buffer::default();
        let rest = &arrived[consumed..];
        if let Err(error) = opened {
            self.ending = Ending::Failed(Box::new(error));
        } else if self.records.is_closed() {
            self.ending = Ending::Closed;
        } else if !rest.is_empty() {
            self.incomplete = Buffer::copy_of(rest);
        }
        // The alert, if the socket accepts it at once, also for a client that asked to renegotiate,
        // and may wait. A server sends on (RFC 5246, section 7.4.1.1), but OpenSSL's not after it.
        if S::IS_WITH_CLIENT || matches!(self.ending, Ending::Failed(_)) {
            let _ = self.poll_flush(cx);
        }
        filled
    }

    /// Sends `records`, or keeps what the carrier does not accept. All that was due has been sent.
    fn send(&mut self, cx: &mut Context<'_>, records: &[u8]) -> io::Result<()> {
        let mut left = records;
        while !left.is_empty() {
            match self.carrier.poll_write(cx, &[IoSlice::new(left)]) {
                Poll::Ready(sent) => left = &left[some(sent)?..],
                Poll::Pending => {
                    self.due = Buffer::copy_of(left);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl<S: Side, C: fmt::Debug> fmt::Debug for TlsStream<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { carrier, ending, .. } = self;
        let mut shown = f.debug_struct("TlsStream");
        shown.field("carrier", carrier).field("ending", ending).finish_non_exhaustive()
    }
}

/// What a write has accepted, which is not nothing.
fn some(sent: io::Result<usize>) -> io::Result<usize> {
    match sent? {
        0 => Err(ErrorKind::WriteZero.into()),
        len => Ok(len),
    }
}

#[cold]
fn invalid(error: &Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.clone())
}

impl<S: Side, C: Stream + 'static> From<Box<TlsStream<S, C>>> for Transport {
    fn from(stream: Box<TlsStream<S, C>>) -> Self {
        stream
    }
}

impl<S: Side, C: Stream + 'static> Stream for TlsStream<S, C> {
    /// Reads once, as many of the records that are here as fit. There must be room for a byte.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!into.is_empty(), "no room is no end");
        loop {
            if !self.content.is_empty() {
                let len = self.content.len().min(into.len());
                into[..len].copy_from_slice(&self.content[..len]);
                self.content.consume(len);
                return Poll::Ready(Ok(len));
            }
            match &self.ending {
                Ending::None => {}
                Ending::Closed => return Poll::Ready(Ok(0)),
                Ending::Truncated => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Ending::Failed(error) => return Poll::Ready(Err(invalid(error))),
            }
            let filled = ready!(self.poll_open(cx, into))?;
            if filled > 0 {
                return Poll::Ready(Ok(filled));
            }
        }
    }

    /// Encrypts what fits into the scratch buffer, and sends it.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        if let Ending::Failed(error) = &self.ending {
            return Poll::Ready(Err(invalid(error)));
        }
        with_tls_scratch(|scratch| {
            let sealed = self.records.seal(slices, scratch);
            let (content, records) = sealed.map_err(|error| invalid(&error))?;
            self.send(cx, records)?;
            Poll::Ready(Ok(content))
        })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.due.is_empty() {
            let sent = ready!(self.carrier.poll_write(cx, &[IoSlice::new(&self.due)]));
            self.due.consume(some(sent)?);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = self.records.close(&mut self.due);
        closed.map_err(|error| invalid(&error))?;
        ready!(self.poll_flush(cx))?;
        self.carrier.poll_shutdown(cx)
    }

    fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier.poll_hang_up(cx)
    }

    fn abort(&mut self) {
        if !S::IS_WITH_CLIENT {
            self.carrier.abort();
        }
    }

    fn abort_unless_shut_down(&mut self) {
        self.carrier.abort_unless_shut_down();
    }

    fn only_its_end_tells(&self) -> bool {
        self.carrier.only_its_end_tells()
    }

    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        self.carrier.poll_peek(cx, into, seen)
    }

    fn opened(&self) -> Instant {
        self.carrier.opened()
    }

    fn written(&self) -> u64 {
        self.carrier.written()
    }

    fn send_queue(&self) -> Option<SendQueue> {
        self.carrier.send_queue()
    }

    fn is_broken(&self) -> bool {
        self.carrier.is_broken()
    }

    fn tcp(&self) -> Option<&MeteredTcp> {
        self.carrier.tcp()
    }

    fn into_plain(self: Box<Self>) -> Result<Box<MeteredTcp>, Transport> {
        Err(self)
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn asked_name(&self) -> Option<&str> {
        self.asked_name.as_deref()
    }

    fn client_certificate(&self) -> Option<&[u8]> {
        self.records.peer_certificate().filter(|_| S::IS_WITH_CLIENT)
    }
}

#[cfg(test)]
mod tests;
