//! The near end: asks as an SDK does, over TLS, and times each token on its arrival.

use crate::Fault;
use narrows_kit::connection::Connection;
use narrows_kit::http::chat_request;
use std::time::{Duration, Instant};

/// An answer that is arriving.
pub(crate) struct Answer {
    connection: Connection,
    clock: Instant,
    /// Content that is not a whole event yet, and when the last of it came.
    content: String,
    arrived: Duration,
}

/// A piece of the answer.
pub(crate) struct Token {
    pub(crate) text: String,
    /// From the origin's stamp to its arrival here.
    pub(crate) delay: Duration,
}

impl Answer {
    /// Asks over a new connection, and waits for the response head.
    pub(crate) async fn ask(
        mut connection: Connection,
        path: &str,
        clock: Instant,
    ) -> Result<Self, Fault> {
        connection.send(chat_request(path)).await?;
        let head = connection.read_head().await?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(head.into());
        }
        Ok(Self { connection, clock, content: String::new(), arrived: Duration::ZERO })
    }

    /// The next token, or `None` after `[DONE]` and the proper end of the body.
    pub(crate) async fn next_token(&mut self) -> Result<Option<Token>, Fault> {
        loop {
            while let Some(end) = self.content.find("\n\n") {
                let event: String = self.content.drain(..end + 2).collect();
                if event == "data: [DONE]\n\n" {
                    while self.read_chunk().await? {}
                    return Ok(None);
                }
                if let Some((sent, text)) = parse(&event) {
                    let delay = self.arrived.saturating_sub(sent);
                    return Ok(Some(Token { text: text.to_owned(), delay }));
                }
            }
            if !self.read_chunk().await? {
                return Err("the answer ended without [DONE]".into());
            }
        }
    }

    /// Appends the content of the next chunk; false at the last one.
    async fn read_chunk(&mut self) -> Result<bool, Fault> {
        let chunk = self.connection.read_chunk().await?;
        self.arrived = self.clock.elapsed();
        self.content.push_str(str::from_utf8(&chunk)?);
        Ok(!chunk.is_empty())
    }
}

/// The stamp and the text of an event that carries text.
fn parse(event: &str) -> Option<(Duration, &str)> {
    let (id, data) = event.strip_prefix("id: ")?.split_once('\n')?;
    let (_, content) = data.split_once(r#""content":""#)?;
    let (text, _) = content.split_once('"')?;
    Some((Duration::from_nanos(id.parse().ok()?), text))
}
