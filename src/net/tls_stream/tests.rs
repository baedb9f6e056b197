//! A TLS stream over sockets and over memory, ours at both ends.

mod keys;

use super::*;
use crate::limits::SCRATCH_BYTES;
use crate::net::buffer::free_buffers;
use crate::net::memory::{End, MemoryStream};
use crate::tls::alpn::Alpn;
use crate::tls::certificates::Certificates;
use crate::tls::client::ClientSide;
use crate::tls::credential_file::Chain;
use crate::tls::key_exchange::KeyExchange;
use crate::tls::server::Greeted;
use crate::tls::testing::identity;
use crate::tls::{client, server};
use std::io::ErrorKind;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Waker;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::client::UnbufferedClientConnection as Client;
use tokio_rustls::rustls::server::UnbufferedServerConnection as Server;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// What TLS 1.3 adds to the content of a record.
const FRAME: usize = 5 + 1 + 16;

/// Both ends of a TLS connection: that of its client, which has read its session ticket, and
/// that of its server.
async fn pair() -> (Transport, Transport) {
    let (near, far) = concrete_pair().await;
    (near.into(), far)
}

async fn concrete_pair() -> (Box<TlsStream<impl Side>>, Transport) {
    let (server, side) = sides();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let far = MeteredTcp::new(listener.accept().await.unwrap().0);
    let (near, far) = tokio::join!(
        TlsStream::shake_hands(side, MeteredTcp::new(near)),
        server::accept(&server, far, Alpn::Http, None)
    );
    let Ok(Greeted::Tls(far)) = far else { panic!("no TLS") };
    let mut near = near.unwrap();
    near.carrier.arrived(1).await;
    assert!(poll_fn(|cx| Poll::Ready(near.poll_read(cx, &mut [0]))).await.is_pending());
    (near, far)
}

/// The same in memory, with room for so many bytes in each direction.
async fn pair_in_memory(capacity: usize) -> (InMemory<Client>, InMemory<Server>) {
    pair_of(sides(), capacity).await
}

async fn pair_of(
    (server, side): (Arc<ServerConfig>, Client),
    capacity: usize,
) -> (InMemory<Client>, InMemory<Server>) {
    let (near, far) = MemoryStream::pair(capacity);
    let server = Server::new(server).unwrap();
    let mut near = pin!(TlsStream::shake_hands(side, near));
    let mut far = pin!(TlsStream::shake_hands(server, far));
    let (mut shaken, mut greeted) = (None, None);
    poll_fn(|cx| {
        match &mut shaken {
            None => shaken = ready_now(near.as_mut().poll(cx)),
            // The session ticket, without which the server's handshake does not end.
            Some(near) => assert!(near.poll_read(cx, &mut [0]).is_pending()),
        }
        if greeted.is_none() {
            greeted = ready_now(far.as_mut().poll(cx));
        }
        cx.waker().wake_by_ref();
        if shaken.is_some() && greeted.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let (mut near, far) = (shaken.unwrap(), greeted.unwrap());
    assert!(poll_fn(|cx| Poll::Ready(near.poll_read(cx, &mut [0]))).await.is_pending());
    (near, far)
}

fn ready_now<T>(shaken: Poll<Result<T, (io::Error, MemoryStream)>>) -> Option<T> {
    match shaken {
        Poll::Ready(shaken) => Some(shaken.unwrap()),
        Poll::Pending => None,
    }
}

type InMemory<S> = Box<TlsStream<S, MemoryStream>>;

fn sides() -> (Arc<ServerConfig>, Client) {
    sides_with(|_| {})
}

fn sides_with(change: impl Fn(&mut ClientConfig)) -> (Arc<ServerConfig>, Client) {
    let certificates = Certificates::new(&[identity("server").into()], &[]).into();
    let server = server::config(certificates, None, Alpn::Http, None).unwrap();
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/ca.pem");
    let roots = Chain::read(&ca).unwrap();
    let mut client = client::config(ClientSide {
        ca: Some(&roots),
        identity: None,
        key_exchange: KeyExchange::default(),
        alpn: Alpn::Http,
    })
    .unwrap();
    change(Arc::make_mut(&mut client));
    (server, Client::new(client, "localhost".try_into().unwrap()).unwrap())
}

async fn arrived(at: &Transport, len: usize) {
    at.tcp().unwrap().arrived(len).await;
}

/// Writes past TLS.
fn write_raw(to: &Transport, bytes: &[u8]) {
    assert_eq!(to.tcp().unwrap().socket().try_write(bytes).unwrap(), bytes.len());
}

async fn write(to: &mut Transport, bytes: &[u8]) {
    let len = poll_fn(|cx| to.poll_write(cx, &[IoSlice::new(bytes)])).await.unwrap();
    assert_eq!(len, bytes.len());
    poll_fn(|cx| to.poll_flush(cx)).await.unwrap();
}

async fn read(from: &mut Transport, into: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| from.poll_read(cx, into)).await
}

#[tokio::test]
async fn records_that_came_together_are_read_together_and_cut_where_the_room_ends() {
    let (mut near, mut far) = pair().await;
    for word in ["hello ", "w", "orld"] {
        write(&mut far, word.as_bytes()).await;
    }
    arrived(&near, 11 + 3 * FRAME).await;
    let mut into = [0; 64];
    assert_eq!(read(&mut near, &mut into[..8]).await.unwrap(), 8);
    assert_eq!(read(&mut near, &mut into[8..]).await.unwrap(), 3);
    assert_eq!(&into[..11], b"hello world");
    let silence = poll_fn(|cx| Poll::Ready(near.poll_read(cx, &mut into))).await;
    assert!(silence.is_pending());
}

#[tokio::test]
async fn a_read_that_found_nothing_wakes_when_something_comes() {
    let (mut near, mut far) = pair().await;
    let mut into = [0; 64];
    let (len, ()) = tokio::join!(read(&mut near, &mut into), write(&mut far, b"late"));
    assert_eq!(&into[..len.unwrap()], b"late");
}

#[tokio::test]
async fn close_notify_is_an_end_and_a_fin_alone_is_none() {
    for is_proper in [true, false] {
        let (mut near, mut far) = pair().await;
        write(&mut far, b"bytes").await;
        if is_proper {
            poll_fn(|cx| far.poll_shutdown(cx)).await.unwrap();
        }
        drop(far);
        let mut into = [0; 64];
        assert_eq!(read(&mut near, &mut into).await.unwrap(), 5);
        for _ in 0..2 {
            let end = read(&mut near, &mut into).await.map_err(|error| error.kind());
            assert_eq!(end, if is_proper { Ok(0) } else { Err(ErrorKind::UnexpectedEof) });
        }
    }
}

/// A good record and nonsense after it, in one read of TLS.
#[tokio::test]
async fn what_is_wrong_in_the_same_read_as_good_bytes_is_reported_after_them() {
    let (mut near, mut far) = pair().await;
    write(&mut far, b"good").await;
    let nonsense = b"\x17\x03\x03\x00\x20nonsense nonsense nonsense nonse";
    write_raw(&far, nonsense);
    arrived(&near, 4 + FRAME + nonsense.len()).await;
    let mut into = [0; 3];
    assert_eq!(read(&mut near, &mut into).await.unwrap(), 3);
    assert_eq!(read(&mut near, &mut into).await.unwrap(), 1);
    let end = read(&mut near, &mut into).await.map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::InvalidData));
}

#[tokio::test]
async fn a_client_may_send_as_much_content_at_once_as_it_likes() {
    let (mut near, mut far) = pair().await;
    let sent = vec![b'x'; 4 * 12_000];
    for part in sent.chunks(12_000) {
        write(&mut near, part).await;
    }
    arrived(&far, sent.len() + 4 * FRAME).await;
    let mut into = vec![0; 64 * 1024];
    let mut got = 0;
    while got < sent.len() {
        got += read(&mut far, &mut into[got..]).await.unwrap();
    }
    assert!(into[..got] == sent);
}

/// Or the beginning of one more would be copied twice, each time.
#[tokio::test]
async fn a_read_takes_as_many_full_records_as_it_has_room_for() {
    let (mut near, mut far) = pair_in_memory(1 << 20).await;
    let mut into = vec![0; SCRATCH_BYTES];
    let records = seal(&mut far, &into);
    assert_eq!(records.len(), SCRATCH_BYTES + 4 * FRAME);
    write_below(&mut far, &records).await;
    assert_eq!(read_some(&mut near, &mut into).await.unwrap(), SCRATCH_BYTES);
    assert!(near.incomplete.is_empty());
}

#[tokio::test]
async fn a_silent_connection_holds_no_buffer_and_half_a_record_one() {
    let (mut near, mut far) = pair_in_memory(64 * 1024).await;
    let record = seal(&mut far, &[b'x'; 1000]);
    let (first, second) = record.split_at(500);
    let free = fill_pool();
    assert!(write_below(&mut far, first).await == 500 && is_silent(&mut near).await);
    assert_eq!((near.incomplete.len(), free - free_buffers()), (500, 1));
    write_below(&mut far, second).await;
    assert_eq!(read_some(&mut near, &mut [0; 2000]).await.unwrap(), 1000);
    assert!(is_silent(&mut near).await);
    assert_eq!(free, free_buffers());
}

#[tokio::test]
async fn content_for_which_there_is_no_room_is_held_and_given_first() {
    let (mut near, mut far) = pair_in_memory(64 * 1024).await;
    let sent: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
    let record = seal(&mut far, &sent);
    write_below(&mut far, &record).await;
    let (mut got, free) = (Vec::new(), fill_pool());
    while got.len() < sent.len() {
        let mut into = [0; 999];
        let len = read_some(&mut near, &mut into).await.unwrap();
        got.extend_from_slice(&into[..len]);
    }
    assert!(got == sent);
    assert_eq!(free, free_buffers(), "all buffers are given back");
}

/// Everything is cut at every byte: the handshake, content, and both ends.
#[tokio::test]
async fn a_carrier_that_takes_a_byte_at_a_time_carries_everything() {
    for capacity in [1, 2, 5, 100, 16_000] {
        let (mut near, mut far) = pair_in_memory(capacity).await;
        let sent: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
        let mut got = Vec::new();
        let (mut at, mut is_shut) = (0, false);
        poll_fn(|cx| {
            loop {
                if at < sent.len() {
                    let rest = [IoSlice::new(&sent[at..])];
                    if let Poll::Ready(len) = near.poll_write(cx, &rest) {
                        at += len.unwrap();
                    }
                } else if !is_shut {
                    is_shut = near.poll_shutdown(cx).is_ready();
                }
                let mut into = [0; 3000];
                match ready!(far.poll_read(cx, &mut into)).unwrap() {
                    0 => return Poll::Ready(()),
                    len => got.extend_from_slice(&into[..len]),
                }
            }
        })
        .await;
        assert!(got == sent, "capacity {capacity}");
    }
}

/// The worker's scratch buffer serves them in turns, with half records and half writes of each.
#[tokio::test]
async fn connections_that_alternate_get_nothing_of_each_other() {
    let (mut first, mut second) = (pair_in_memory(700).await, pair_in_memory(900).await);
    let (one, other) = (vec![b'a'; 40_000], vec![b'b'; 50_000]);
    let (mut one, mut other) = (Transfer::new(&one), Transfer::new(&other));
    while !one.is_done() || !other.is_done() {
        one.advance(&mut *first.0, &mut *first.1);
        other.advance(&mut *second.0, &mut *second.1);
    }
}

#[tokio::test]
async fn after_an_error_nothing_is_written_but_the_alert() {
    let (mut near, mut far) = pair_in_memory(64 * 1024).await;
    write_below(&mut far, b"\x17\x03\x03\x00\x20nonsense nonsense nonsense nonse").await;
    for _ in 0..2 {
        let failed = read_some(&mut near, &mut [0; 64]).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::InvalidData);
    }
    let write = poll_fn(|cx| near.poll_write(cx, &[IoSlice::new(b"lost")])).await;
    assert_eq!(write.unwrap_err().kind(), ErrorKind::InvalidData);
    poll_fn(|cx| near.poll_shutdown(cx)).await.unwrap();
    let alert = read_some(&mut far, &mut [0; 64]).await.unwrap_err();
    assert!(alert.to_string().contains("BadRecordMac"), "{alert}");
}

/// With certificates, a client's part may be as long as two records.
#[tokio::test]
async fn a_long_handshake_leaves_a_client_all_the_time_for_a_record() {
    let (server, client) = sides_with(|client| {
        // A hello of 30 KB.
        client.alpn_protocols.extend((0..120).map(|n| vec![n; 250]));
    });
    let (mut near, mut far) = pair_of((server, client), 64 * 1024).await;
    let record = seal(&mut near, &[b'x'; RECORD_CONTENT_BYTES_MAX]);
    let (first, second) = record.split_at(record.len() - 1);
    write_below(&mut near, first).await;
    assert!(is_silent(&mut far).await);
    write_below(&mut near, second).await;
    let len = read_some(&mut far, &mut [0; SCRATCH_BYTES]).await.unwrap();
    assert_eq!(len, RECORD_CONTENT_BYTES_MAX);
}

#[tokio::test]
async fn the_end_of_the_carrier_alone_is_no_end() {
    let (mut near, mut far) = pair_in_memory(64 * 1024).await;
    far.carrier.end(End::Clean);
    for _ in 0..2 {
        let cut = read_some(&mut near, &mut [0; 64]).await.unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
    }
}

/// Content on its way from one end to the other, some of it in each turn.
struct Transfer<'s> {
    sent: &'s [u8],
    at: usize,
    got: usize,
}

impl<'s> Transfer<'s> {
    fn new(sent: &'s [u8]) -> Self {
        Self { sent, at: 0, got: 0 }
    }

    fn advance(&mut self, from: &mut dyn Stream, to: &mut dyn Stream) {
        let cx = &mut Context::from_waker(Waker::noop());
        let end = self.sent.len().min(self.at + 500);
        if let Poll::Ready(len) = from.poll_write(cx, &[IoSlice::new(&self.sent[self.at..end])]) {
            self.at += len.unwrap();
        }
        let mut into = [0; 300];
        if let Poll::Ready(len) = to.poll_read(cx, &mut into) {
            let len = len.unwrap();
            assert!(self.sent[self.got..].starts_with(&into[..len]));
            self.got += len;
        }
    }

    fn is_done(&self) -> bool {
        self.got == self.sent.len()
    }
}

/// Makes the pool large enough for a test, and returns how many buffers it has.
fn fill_pool() -> usize {
    drop([(); 4].map(|()| Buffer::take()));
    free_buffers()
}

/// One record with `content`, which is not sent.
fn seal<S: Side>(of: &mut TlsStream<S, MemoryStream>, content: &[u8]) -> Vec<u8> {
    with_tls_scratch(|space| {
        let (_, record) = of.records.seal(&[IoSlice::new(content)], space).unwrap();
        record.to_vec()
    })
}

/// Writes past TLS.
async fn write_below<S: Side>(to: &mut TlsStream<S, MemoryStream>, bytes: &[u8]) -> usize {
    poll_fn(|cx| to.carrier.poll_write(cx, &[IoSlice::new(bytes)])).await.unwrap()
}

async fn read_some<S: Side>(
    from: &mut TlsStream<S, MemoryStream>,
    into: &mut [u8],
) -> io::Result<usize> {
    poll_fn(|cx| from.poll_read(cx, into)).await
}

async fn is_silent<S: Side>(it: &mut TlsStream<S, MemoryStream>) -> bool {
    poll_fn(|cx| Poll::Ready(it.poll_read(cx, &mut [0; 64]).is_pending())).await
}
