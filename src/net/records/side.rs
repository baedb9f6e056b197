//! What the server's and the client's side of rustls have in common: [`Side`].

use std::ops::DerefMut;
use tokio_rustls::rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use tokio_rustls::rustls::kernel::KernelConnection;
use tokio_rustls::rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use tokio_rustls::rustls::unbuffered::{UnbufferedConnectionCommon, UnbufferedStatus};
use tokio_rustls::rustls::{Error, ExtractedSecrets};

/// One side of a handshake.
pub trait Side: DerefMut<Target = UnbufferedConnectionCommon<Self::Data>> + 'static {
    /// What only this side has.
    type Data;

    /// Whether the peer is the client of the handshake.
    const IS_WITH_CLIENT: bool;

    /// Advances by one step, with what has arrived.
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// The keys, and what makes new ones and keeps tickets.
    ///
    /// # Errors
    /// The handshake is not complete, or its configuration does not allow it.
    fn into_keys(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error>;

    /// Stores the session ticket in the body of a NewSessionTicket, which only clients get.
    ///
    /// # Errors
    /// What is wrong with it.
    fn store_ticket(schedule: &mut KernelConnection<Self::Data>, body: &[u8]) -> Result<(), Error>;
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    const IS_WITH_CLIENT: bool = true;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error> {
        self.dangerous_into_kernel_connection()
    }

    fn store_ticket(_: &mut KernelConnection<Self::Data>, _: &[u8]) -> Result<(), Error> {
        Err(Error::General("a ticket for a server".into()))
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    const IS_WITH_CLIENT: bool = false;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error> {
        self.dangerous_into_kernel_connection()
    }

    fn store_ticket(schedule: &mut KernelConnection<Self::Data>, body: &[u8]) -> Result<(), Error> {
        schedule.handle_new_session_ticket(body)
    }
}
