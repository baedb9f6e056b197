//! All the ways to leave a connection, proper or not.

use super::peer::{Peer, Wire};
use super::within;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A way to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// `close_notify` if there is TLS, and FIN.
    Close,
    /// FIN alone. Without TLS no different from `Close`.
    Fin,
    /// RST.
    Reset,
    /// `close_notify` alone; the socket stays open, as aiohttp does it. TLS only.
    Notify,
    /// A fatal alert of TLS; the socket stays open. TLS only.
    Alert,
    /// Bytes that are no TLS record of this session; the socket stays open. TLS only.
    Garbage,
}

/// A record of the right form whose content nobody has encrypted.
const GARBAGE: &[u8] = b"\x17\x03\x03\x00\x20garbage garbage garbage garbage.";

impl Leave {
    /// Those that exist without TLS.
    pub const OF_TCP: &[Self] = &[Self::Close, Self::Reset];
    /// Those that exist with TLS: all.
    pub const OF_TLS: &[Self] =
        &[Self::Close, Self::Fin, Self::Reset, Self::Notify, Self::Alert, Self::Garbage];

    /// Whether what was sent just before is sure to be read: TLS may see both at once, and then
    /// has nothing to show but the error.
    pub fn lets_bytes_arrive(self) -> bool {
        !matches!(self, Self::Alert | Self::Garbage)
    }

    /// All that exist on a connection with or without TLS.
    pub fn all(tls: bool) -> &'static [Self] {
        if tls { Self::OF_TLS } else { Self::OF_TCP }
    }
}

impl Peer {
    /// Leaves in this way. Hold on to what is given back: it is the socket that stays open, without
    /// the TLS that was on it.
    #[must_use = "to drop it closes the socket"]
    pub async fn leave(mut self, how: Leave) -> Option<Self> {
        match how {
            Leave::Close => {
                // The other side may have been the first to close.
                let _gone = within("the close", self.wire.shutdown()).await;
                self.close_without_notify();
            }
            Leave::Fin => self.close_without_notify(),
            Leave::Reset => self.reset(),
            Leave::Notify => {
                self.tls().get_mut().1.send_close_notify();
                self.flush().await;
                return Some(self.below_tls());
            }
            Leave::Alert => {
                let alert = self.alert();
                self.send_below_tls(&alert).await;
                return Some(self.below_tls());
            }
            Leave::Garbage => {
                self.send_below_tls(GARBAGE).await;
                return Some(self.below_tls());
            }
        }
        None
    }

    fn below_tls(self) -> Self {
        let tcp = match self.wire {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(tls) => match *tls {
                TlsStream::Client(tls) => tls.into_inner().0,
                TlsStream::Server(tls) => tls.into_inner().0,
            },
        };
        Self::new("socket below TLS", Wire::Plain(tcp))
    }

    /// Sends bytes past TLS.
    pub async fn send_below_tls(&mut self, bytes: &[u8]) {
        let tcp = match &mut self.wire {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(tls) => tls.get_mut().0,
        };
        let sent = within("raw bytes to be taken", tcp.write_all(bytes)).await;
        sent.expect("the other side takes our bytes");
    }

    /// Shows our own TLS something it cannot bear: gives what it has to say about that.
    fn alert(&mut self) -> Vec<u8> {
        let mut broken = GARBAGE;
        let mut alert = Vec::new();
        let failed = match self.tls() {
            TlsStream::Client(tls) => {
                let session = tls.get_mut().1;
                session.read_tls(&mut broken).unwrap();
                let failed = session.process_new_packets().is_err();
                session.write_tls(&mut alert).unwrap();
                failed
            }
            TlsStream::Server(tls) => {
                let session = tls.get_mut().1;
                session.read_tls(&mut broken).unwrap();
                let failed = session.process_new_packets().is_err();
                session.write_tls(&mut alert).unwrap();
                failed
            }
        };
        assert!(failed && !alert.is_empty(), "garbage was taken for a record");
        alert
    }

    async fn flush(&mut self) {
        within("TLS to be flushed", self.wire.flush()).await.expect("the other side takes it");
    }

    fn tls(&mut self) -> &mut TlsStream<TcpStream> {
        match &mut self.wire {
            Wire::Tls(tls) => tls,
            Wire::Plain(_) => panic!("there is no TLS to leave by"),
        }
    }
}
