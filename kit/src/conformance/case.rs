//! One row of the table: what is sent, what the origin answers, and what both must see.

use std::borrow::Cow;

/// Why a row is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The standard says so, in words that leave no choice.
    Must,
    /// There may be several proper answers; none of them forwards what has two readings, answers
    /// one client with what is another's, or serves a request that is inside another one.
    Safety,
    /// A choice that the standard leaves open, and ours.
    Choice,
}

/// When the origin answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// When the request is here to its end.
    #[default]
    Whole,
    /// When its head is here.
    Early,
    /// As `Early`, and what follows a head is the next request, whatever lengths say.
    Blind,
}

/// What the origin does after its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// Keeps the connection.
    #[default]
    Stay,
    /// Ends its direction.
    Close,
    /// Resets the connection.
    Reset,
}

/// What the client and what the upstream sees.
pub type Verdicts = (&'static str, &'static str);

/// A row. Both verdicts are transcripts.
///
/// The client's: each response as its status with its content, and how the connection goes on:
/// `keep` (it serves another request), `end`, `reset`, `waits` (nothing comes), or `tunnel` with
/// the bytes that came out of it. An interim response is its status alone; the content of a
/// relay's own page is left out. `cut` is anything that cannot be taken for a whole response.
///
/// The upstream's: each request with its content, or `-` for none; `reused` when another
/// one came over a connection that may not be used again. `cut` is nothing, or the
/// beginning of a request that cannot be taken for a whole one.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about; unique in its section.
    pub name: Cow<'static, str>,
    /// The standard, section or report that it comes from.
    pub source: &'static str,
    /// How it is judged.
    pub kind: Kind,
    /// Ours differs from what the standard wants, on purpose.
    pub deviates: bool,
    /// What the client sends.
    pub sent: Vec<u8>,
    /// What the client sends after the first response.
    pub sent_then: Option<Vec<u8>>,
    /// The client ends its direction after that.
    pub hangs_up: bool,
    /// The verdict depends on whether all comes at once.
    pub at_once: bool,
    /// The first request is HEAD.
    pub is_head: bool,
    /// The answers to the requests in their order; the last one counts for all others.
    pub answers: Vec<Vec<u8>>,
    /// When the origin answers.
    pub manner: Manner,
    /// What the origin does after its answer.
    pub then: Then,
    /// The connection that carried the answer may not be used again.
    pub spends: bool,
    /// What the origin sends when the client has its answer.
    pub later: Option<Vec<u8>>,
    /// The client's verdict.
    pub client: Cow<'static, str>,
    /// The upstream's verdict.
    pub upstream: Cow<'static, str>,
    /// Other verdicts that the standard allows as well. Ours has the first.
    pub allowed: Vec<Verdicts>,
    /// Lines that the upstream's heads must have; `name: ` stands for any value.
    pub forwards: Vec<Cow<'static, str>>,
    /// Beginnings of lines that the upstream's heads must not have.
    pub drops: Vec<Cow<'static, str>>,
    /// As `forwards`, for the heads that the client gets.
    pub returns: Vec<Cow<'static, str>>,
    /// As `drops`, for the heads that the client gets.
    pub hides: Vec<Cow<'static, str>>,
    /// All bytes that the upstream gets, of a relay that changes nothing without need.
    pub exactly: Option<Vec<u8>>,
}

/// A row of [`Kind::Must`].
pub fn must(name: impl Into<Cow<'static, str>>, source: &'static str) -> Case {
    Case::new(name.into(), source, Kind::Must)
}

/// A row of [`Kind::Safety`].
pub fn safety(name: impl Into<Cow<'static, str>>, source: &'static str) -> Case {
    Case::new(name.into(), source, Kind::Safety)
}

/// A row of [`Kind::Choice`].
pub fn choice(name: impl Into<Cow<'static, str>>, source: &'static str) -> Case {
    Case::new(name.into(), source, Kind::Choice)
}

impl Case {
    fn new(name: Cow<'static, str>, source: &'static str, kind: Kind) -> Self {
        Self {
            name,
            source,
            kind,
            deviates: false,
            sent: b"GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            sent_then: None,
            hangs_up: false,
            at_once: false,
            is_head: false,
            answers: Vec::new(),
            manner: Manner::Whole,
            then: Then::Stay,
            spends: false,
            later: None,
            client: "200 \"ok\", keep".into(),
            upstream: "GET /x".into(),
            allowed: Vec::new(),
            forwards: Vec::new(),
            drops: Vec::new(),
            returns: Vec::new(),
            hides: Vec::new(),
            exactly: None,
        }
    }

    /// The client sends this instead of a plain GET.
    pub fn sends(self, bytes: impl Into<Vec<u8>>) -> Self {
        let sent = bytes.into();
        Self { is_head: sent.starts_with(b"HEAD "), sent, ..self }
    }

    /// And this when it has had a first response, interim or not.
    pub fn then_sends(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { sent_then: Some(bytes.into()), ..self }
    }

    /// The client ends its direction after what it sends.
    pub fn hangs_up(self) -> Self {
        Self { hangs_up: true, ..self }
    }

    /// Not played in pieces: the verdict depends on one write.
    pub fn at_once(self) -> Self {
        Self { at_once: true, ..self }
    }

    /// The origin answers with this instead of a plain 200.
    pub fn answered(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.answers.push(bytes.into());
        self
    }

    /// The origin answers when the head is here.
    pub fn early(self) -> Self {
        Self { manner: Manner::Early, ..self }
    }

    /// The origin takes what follows a head for the next request.
    pub fn blind(self) -> Self {
        Self { manner: Manner::Blind, ..self }
    }

    /// The origin ends its direction after its answer.
    pub fn then_closes(self) -> Self {
        Self { then: Then::Close, ..self }
    }

    /// The origin resets the connection after its answer.
    pub fn then_resets(self) -> Self {
        Self { then: Then::Reset, ..self }
    }

    /// The connection that carried the answer may not be used again.
    pub fn spends(self) -> Self {
        Self { spends: true, ..self }
    }

    /// The origin sends this, unasked, when the client has its answer.
    pub fn later(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { later: Some(bytes.into()), ..self }
    }

    /// The verdicts.
    pub fn is(
        self,
        client: impl Into<Cow<'static, str>>,
        upstream: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { client: client.into(), upstream: upstream.into(), ..self }
    }

    /// A refusal that ends the connection; the upstream sees nothing of the request.
    pub fn refused(self, status: u16) -> Self {
        self.is(format!("{status}, end"), "-")
    }

    /// Verdicts that would be as good.
    pub fn or(mut self, client: &'static str, upstream: &'static str) -> Self {
        self.allowed.push((client, upstream));
        self
    }

    /// Ours differs from what the standard wants, on purpose.
    pub fn deviates(self) -> Self {
        Self { deviates: true, ..self }
    }

    /// The upstream's heads must have this line.
    pub fn forwards(mut self, line: impl Into<Cow<'static, str>>) -> Self {
        self.forwards.push(line.into());
        self
    }

    /// The upstream's heads must not have a line that begins like this.
    pub fn drops(mut self, line: impl Into<Cow<'static, str>>) -> Self {
        self.drops.push(line.into());
        self
    }

    /// The client's heads must have this line.
    pub fn returns(mut self, line: impl Into<Cow<'static, str>>) -> Self {
        self.returns.push(line.into());
        self
    }

    /// The client's heads must not have a line that begins like this.
    pub fn hides(mut self, line: impl Into<Cow<'static, str>>) -> Self {
        self.hides.push(line.into());
        self
    }

    /// The upstream gets exactly these bytes.
    pub fn exactly(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { exactly: Some(bytes.into()), ..self }
    }
}
