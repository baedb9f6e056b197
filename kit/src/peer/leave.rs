//! All ways to leave a connection, proper or not.

use super::Peer;
use crate::wire::Wire;
use crate::within;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A way to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// `close_notify` if there is TLS, and FIN.
    Close,
    /// FIN alone. The same as `Close` without TLS.
    Fin,
    /// RST.
    Reset,
    /// `close_notify` alone; the socket stays open, as with aiohttp. TLS only.
    Notify,
    /// A fatal TLS alert; the socket stays open. TLS only.
    Alert,
    /// Bytes that are not a TLS record of this session; the socket stays open. TLS only.
    Garbage,
}

/// A record of the right form whose content was never encrypted.
const GARBAGE: &[u8] = b"\x17\x03\x03\x00\x20garbage garbage garbage garbage.";

impl Leave {
    /// Those that exist without TLS.
    pub const OF_TCP: &[Self] = &[Self::Close, Self::Reset];
    /// Those that exist with TLS: all.
    pub const OF_TLS: &[Self] =
        &[Self::Close, Self::Fin, Self::Reset, Self::Notify, Self::Alert, Self::Garbage];

    /// Whether the bytes sent just before are sure to be read: TLS may see both at once, and then
    /// reports only the error.
    pub fn lets_bytes_arrive(self) -> bool {
        !matches!(self, Self::Alert | Self::Garbage)
    }

    /// All that exist on a connection with or without TLS.
    pub fn all(tls: bool) -> &'static [Self] {
        if tls { Self::OF_TLS } else { Self::OF_TCP }
    }
}

impl Peer {
    /// Leaves in this way. Hold on to what is returned: it is the socket that stays open, without
    /// the TLS that was on it.
    #[must_use = "to drop it closes the socket"]
    pub async fn leave(mut self, how: Leave) -> Option<Self> {
        match how {
            Leave::Close => {
                self.try_half_close().await;
                self.close_without_notify();
            }
            Leave::Fin => self.close_without_notify(),
            Leave::Reset => self.reset(),
            Leave::Notify => {
                self.tls().get_mut().1.send_close_notify();
                let flushed = within("TLS to be flushed", self.connection.wire.flush()).await;
                flushed.expect("the other side takes it");
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
        let tcp = match self.connection.wire {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(tls) => match *tls {
                TlsStream::Client(tls) => tls.into_inner().0,
                TlsStream::Server(tls) => tls.into_inner().0,
            },
        };
        Self::new("socket below TLS", tcp)
    }

    /// Shows garbage to our own TLS, and gives the alert that it answers with.
    fn alert(&mut self) -> Vec<u8> {
        let mut garbage = GARBAGE;
        let mut alert = Vec::new();
        let failed = match self.tls() {
            TlsStream::Client(tls) => {
                let session = tls.get_mut().1;
                session.read_tls(&mut garbage).unwrap();
                let failed = session.process_new_packets().is_err();
                session.write_tls(&mut alert).unwrap();
                failed
            }
            TlsStream::Server(tls) => {
                let session = tls.get_mut().1;
                session.read_tls(&mut garbage).unwrap();
                let failed = session.process_new_packets().is_err();
                session.write_tls(&mut alert).unwrap();
                failed
            }
        };
        assert!(failed && !alert.is_empty(), "garbage was taken for a record");
        alert
    }

    fn tls(&mut self) -> &mut TlsStream<TcpStream> {
        match &mut self.connection.wire {
            Wire::Tls(tls) => tls,
            Wire::Plain(_) => panic!("there is no TLS to leave by"),
        }
    }
}
