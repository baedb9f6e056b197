//! One client connection in http mode: one request after the other.

use crate::error::{Cause, ExchangeError, Fault};
use crate::gateway::answer::{Reply, ResponseOptions, answer_to};
use crate::net::read_limit::PlainHttp;
use crate::net::transport::Transport;
use crate::proxy::client_connection::{ClientConnection, Next, NoHead, Unserved};
use crate::proxy::context::{Client, Context, Watch};
use crate::proxy::exchange::exchange;
use crate::upstream::Preconnect;
use std::rc::Rc;
use tokio::task::yield_now;

/// One client connection, after its TLS handshake if it has one.
pub struct Session {
    context: Rc<Context>,
    client: ClientConnection,
    /// A stop wakes the session.
    watch: Watch,
    /// A request has come.
    has_asked: bool,
}

impl Session {
    /// A session for `transport`, at whose other end `who` is.
    pub fn new(context: Rc<Context>, transport: Transport, who: impl Into<Client>) -> Self {
        let client = ClientConnection::new(transport, who.into(), &context.metrics);
        Self { context, client, watch: Watch::default(), has_asked: false }
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
                    let served = match self.client.next_head(&self.context, self.has_asked).await {
                        Ok(head) => {
                            self.has_asked = true;
                            exchange(&mut self.client, &self.context, head).await
                        }
                        Err(NoHead::Ended) => Ok(Next::End),
                        Err(NoHead::GivesWay) => Ok(Next::GiveWay),
                        Err(NoHead::Malformed(error)) => Err(self.client.malformed(error)),
                    };
                    match served {
                        Ok(next) => next,
                        Err(unserved) => self.client.reply(&self.context, unserved).await,
                    }
                };
                match next {
                    // A client that pipelines hundreds must not have one turn for all of them.
                    Next::Request if !self.client.io.read_buffer.bytes().is_empty() => {
                        yield_now().await;
                    }
                    Next::Request => {}
                    Next::End => return self.client.end(&self.context).await,
                    Next::Cut(error) => return self.client.cut(&self.context, &error).await,
                    Next::Abort => return self.client.io.transport.abort(),
                    Next::GiveWay => return self.client.give_way(),
                }
            }
        }
    }

    /// Answers a client over a limit, and ends: when the client has left, or as soon as the answer
    /// is sent.
    pub async fn turn_away(&mut self, lingers: bool) {
        let Self { context, client, .. } = self;
        let error = ExchangeError { fault: Fault::Internal, cause: Cause::TooManyConnections };
        if let Some(answer) = answer_to(&error) {
            client.queue_answer(&answer, ResponseOptions::CLOSE);
        }
        match (client.send_answer(context).await, lingers) {
            (Ok(()), true) => client.end(context).await,
            (Ok(()), false) => client.give_way(),
            (Err(_left), _) => {}
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
            Next::Cut(_) | Next::Abort | Next::GiveWay => client.io.transport.abort(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.drain.forget(self.watch);
    }
}
