//! One client connection: a request, its response, and again.

use crate::clock::{Alarm, Deadline, Halt};
use crate::error::{Cause, DialFailure, ExchangeError, Fault};
use crate::gateway::answer::ResponseOptions;
use crate::gateway::request::has_begun;
use crate::h1::head_reader::{HeadReader, HeadSpan};
use crate::limits::DRAIN_GRACE;
use crate::net::read_buffer::Fill;
use crate::net::transport::{Peek, Transport};
use crate::proxy::connection::{Connection, GONE};
use crate::proxy::context::{About, Client, Context, Watch};
use crate::proxy::record::Recorder;
use crate::timeouts::Timer;
use crate::tls::fault;
use crate::upstream::Preconnect;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::Instant;

/// One client connection, after its TLS handshake if it has one.
pub struct Session {
    pub(super) context: Rc<Context>,
    pub(super) client: Connection,
    pub(super) recorder: Recorder,
    pub(super) alarm: Alarm,
    /// Announces the need of an upstream connection, until the first request has one.
    pub(super) preconnect: Option<Preconnect>,
    /// What is known of the client beyond its address.
    pub(super) about: About,
    /// The client has sent a request before.
    has_asked: bool,
    /// A stop that cuts what runs wakes the session.
    watch: Watch,
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another request may follow.
    Request,
    /// The last response is sent: end in order.
    End,
    /// The response is not complete, and nobody may take it for complete: what there is of it
    /// arrives first. The exchange has not written its line yet.
    Cut(ExchangeError),
    /// The client is gone, or takes nothing.
    Abort,
}

impl Session {
    /// A session for `transport`, at whose other end `who` is.
    pub fn new(context: Rc<Context>, transport: Transport, who: impl Into<Client>) -> Self {
        let (client, alarm) = (Connection::new(transport), Alarm::default());
        let Client { address, destination } = who.into();
        let about = About::new(destination);
        let (recorder, preconnect) = (Recorder::new(address), None);
        let (has_asked, watch) = (false, Watch::default());
        Self { context, client, recorder, alarm, preconnect, about, has_asked, watch }
    }

    /// The session holds `expectation` until its first request has a connection.
    pub fn with_preconnect(mut self, preconnect: Option<Preconnect>) -> Self {
        self.preconnect = preconnect;
        self
    }

    /// Who the client is, for upstreams that are told.
    pub(super) fn who(&self) -> Client {
        Client { address: self.recorder.client(), destination: self.about.destination() }
    }

    /// Serves requests until the connection ends. The session is dropped then.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps a second place for `self`")]
    pub fn run(&mut self) -> impl Future<Output = ()> {
        async move {
            self.watch = self.context.drain.watched().await;
            loop {
                let next = match self.next_request().await {
                    Ok(Some(span)) => self.serve(span).await,
                    Ok(None) => Next::End,
                    // Nobody knows where another request would begin.
                    Err(error) => {
                        let begun = self.client.read_buffer.bytes();
                        let options = ResponseOptions::malformed(begun);
                        self.answer_error(&error, None, options).await
                    }
                };
                match next {
                    Next::Request => {}
                    Next::End => return self.end().await,
                    Next::Cut(error) => return self.cut(&error).await,
                    Next::Abort => return self.client.transport.abort(),
                }
            }
        }
    }

    /// Waits for a whole request head. `None` is a clean end: silence or a close between requests.
    async fn next_request(&mut self) -> Result<Option<HeadSpan>, ExchangeError> {
        // Behind a stray CRLF a client may idle: no request has begun with it, so none may be late.
        while !has_begun(self.client.read_buffer.bytes()) {
            if !self.first_byte_arrives().await {
                return Ok(None);
            }
        }
        self.has_asked = true;
        self.recorder.start();
        self.whole_head().await.map(Some)
    }

    async fn first_byte_arrives(&mut self) -> bool {
        let deadline = Deadline::start(Timer::KeepAlive, &self.context.site().timeouts);
        let context = Rc::clone(&self.context);
        let mut drained = pin!(context.drain.begun());
        let client = &mut self.client;
        let step = poll_fn(|cx| match client.read_buffer.poll_fill(cx, &mut client.transport) {
            Poll::Pending => drained.as_mut().poll(cx).map(|()| Ok(None)),
            Poll::Ready(fill) => Poll::Ready(fill.map(Some)),
        });
        match self.alarm.bound(deadline, step).await {
            Ok(Some(Fill::Bytes)) => true,
            Ok(Some(Fill::End)) | Err(_) => false,
            Ok(None) => self.has_last_request().await,
        }
    }

    /// We are asked to stop. A request that is here already, or that a client which has just
    /// connected is about to send, is still served; an idle connection ends.
    async fn has_last_request(&mut self) -> bool {
        if self.has_asked && self.client.transport.peek() != Peek::Bytes {
            return false;
        }
        let deadline = Deadline { at: Instant::now() + DRAIN_GRACE, timer: Timer::KeepAlive };
        let client = &mut self.client;
        let step = poll_fn(|cx| client.read_buffer.poll_fill(cx, &mut client.transport));
        matches!(self.alarm.bound(deadline, step).await, Ok(Fill::Bytes))
    }

    async fn whole_head(&mut self) -> Result<HeadSpan, ExchangeError> {
        let site = self.context.site();
        let mut reader = HeadReader::default();
        let mut deadline = None;
        loop {
            let found = reader.find(self.client.read_buffer.bytes(), &site.head_limits);
            if let Some(span) =
                found.map_err(|error| ExchangeError::client(Cause::Request(error.into())))?
            {
                return Ok(span);
            }
            // A head that is here at once, as most are, needs no clock.
            let deadline = *deadline
                .get_or_insert_with(|| Deadline::start(Timer::RequestHead, &site.timeouts));
            let (client, bytes_max) = (&mut self.client, site.head_limits.bytes);
            let step = poll_fn(|cx| client.poll_rest_of_head(cx, bytes_max));
            match self.alarm.bound(deadline, step).await {
                Ok(Fill::Bytes) => {}
                Ok(Fill::End) => return Err(ExchangeError::client(Cause::ClosedEarly)),
                Err(halt) => return Err(fault::halted(Fault::Client, &halt)),
            }
        }
    }

    /// Answers `error`, if there is anybody to read an answer, and writes the exchange's line.
    pub(super) async fn answer_error(
        &mut self,
        error: &ExchangeError,
        dial: Option<Box<DialFailure>>,
        options: ResponseOptions,
    ) -> Next {
        let Some(answer) = error.answer() else { return Next::Cut(*error) };
        self.recorder.answered(answer.status);
        self.queue_answer(&answer, options);
        match self.send_answer().await {
            Ok(()) => {
                match dial {
                    Some(failure) => self.recorder.fail_to_dial(failure, true),
                    None => self.recorder.fail(error, true),
                }
                if options.close { Next::End } else { Next::Request }
            }
            Err(Halt::Io(_)) => {
                self.recorder.fail(&GONE, false);
                Next::Abort
            }
            Err(Halt::Expired(timer)) => {
                self.recorder.fail(&ExchangeError::expired(timer), false);
                Next::Abort
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.drain.forget(self.watch);
    }
}
