//! One client connection in http mode: one request after the other.

use crate::error::{Cause, ExchangeError, Fault};
use crate::gateway::answer::{Reply, ResponseOptions, answer_to};
use crate::net::read_limit::PlainHttp;
use crate::net::transport::Transport;
use crate::proxy::client_connection::{ClientConnection, Next, Unserved};
use crate::proxy::context::{Client, Context, Watch};
use crate::proxy::exchange::exchange;
use crate::upstream::Preconnect;
use std::rc::Rc;

/// One client connection, after its TLS handshake if it has one.
pub struct Session {
    context: Rc<Context>,
    client: ClientConnection,
    /// A stop wakes the session.
    watch: Watch,
}

impl Session {
    /// A session for `transport`, at whose other end `who` is.
    pub fn new(context: Rc<Context>, transport: Transport, who: impl Into<Client>) -> Self {
        let client = ClientConnection::new(transport, who.into(), &context.metrics);
        Self { context, client, watch: Watch::default() }
    }

    /// The session holds `preconnect` until its first request has a connection.
    pub fn with_preconnect(mut self, preconnect: Option<Preconnect>) -> Self {
        self.client.preconnect = preconnect;
        self
    }

    /// The session of a listener that leads to https.
    pub fn leading_to_https(mut self) -> Self {
        self.client.about.lead_to_https();
        self
    }

    /// Serves requests until the connection ends. The session is dropped then.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps a second place for `self`")]
    pub fn run(&mut self) -> impl Future<Output = ()> {
        async move {
            self.watch = self.context.drain.watched().await;
            loop {
                // In a block of its own, or what it holds would have a place beside the exchange.
                let next = {
                    let served = match self.client.next_head(&self.context).await {
                        Ok(Some(head)) => exchange(&mut self.client, &self.context, head).await,
                        Ok(None) => Ok(Next::End),
                        Err(error) => Err(self.client.malformed(error)),
                    };
                    match served {
                        Ok(next) => next,
                        Err(unserved) => self.client.reply(&self.context, unserved).await,
                    }
                };
                match next {
                    Next::Request => self.client.io.let_others_in().await,
                    Next::End => return self.client.end(&self.context).await,
                    Next::Cut(error) => return self.client.cut(&self.context, &error).await,
                    Next::Abort => return self.client.io.transport.abort(),
                }
            }
        }
    }

    /// Answers a client over a limit, and ends.
    pub async fn turn_away(&mut self) {
        let Self { context, client, .. } = self;
        let error = ExchangeError { fault: Fault::Internal, cause: Cause::TooManyConnections };
        if let Some(answer) = answer_to(&error) {
            client.queue_answer(&answer, ResponseOptions::CLOSE);
        }
        if client.send_answer(context).await.is_ok() {
            client.end(context).await;
        }
    }

    /// Answers a client that speaks plain HTTP on an HTTPS port, and ends.
    pub async fn refuse_plain_http(&mut self, request: PlainHttp) {
        let Self { context, client, .. } = self;
        client.recorder.start();
        let reply = Reply::Error(ExchangeError::client(Cause::PlainHttp));
        let options = ResponseOptions { head_only: request.may_be_head, ..ResponseOptions::CLOSE };
        match client.reply(context, Unserved::boxed(reply, options, None)).await {
            Next::Request | Next::End => client.end(context).await,
            Next::Cut(_) | Next::Abort => client.io.transport.abort(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.drain.forget(self.watch);
    }
}
