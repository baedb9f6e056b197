//! HTTP/1.1 as the strictest receiver reads it: what breaks the grammar is malformed.
//!
//! Written apart from the library and from the kit's own reader, because it judges both. Origin and
//! client of the suite read with it, so that whatever a relay forwards has to have one reading.

/// Which message is read.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// A request, at the origin.
    Request,
    /// A response, at a client.
    Response {
        /// It answers HEAD, and so has no body whatever its fields say.
        to_head: bool,
    },
}

/// A message, or as much of it as is here.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Start line and field section, without the empty line.
    pub head: Vec<u8>,
    /// The content, free of any coding.
    pub body: Vec<u8>,
    /// The trailer section, without the empty line.
    pub trailers: Vec<u8>,
    /// Only the end of the connection ends it.
    pub until_close: bool,
}

/// What some bytes begin with.
#[derive(Clone, Debug)]
pub enum Reading {
    /// No byte.
    Nothing,
    /// The beginning of a message.
    Part(Message),
    /// A message, and how many bytes it takes.
    Whole(Message, usize),
    /// No message that everyone would read alike.
    Malformed,
}

/// How long a body is.
enum Length {
    Exact(usize),
    Chunked,
    UntilClose,
}

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Reads the message at the front of `bytes`.
pub fn read(bytes: &[u8], role: Role) -> Reading {
    if bytes.is_empty() {
        return Reading::Nothing;
    }
    let Some(end) = find(bytes, HEAD_END) else {
        let message = Message { head: bytes.to_vec(), ..Message::default() };
        return if is_lines(bytes) { Reading::Part(message) } else { Reading::Malformed };
    };
    let head = &bytes[..end];
    let Some(length) = length(head, role) else { return Reading::Malformed };
    let (start, rest) = (end + HEAD_END.len(), &bytes[end + HEAD_END.len()..]);
    let mut message = Message { head: head.to_vec(), ..Message::default() };
    match length {
        Length::Exact(length) if rest.len() >= length => {
            message.body = rest[..length].to_vec();
            Reading::Whole(message, start + length)
        }
        Length::Exact(_) => {
            message.body = rest.to_vec();
            Reading::Part(message)
        }
        Length::UntilClose => {
            message.body = rest.to_vec();
            message.until_close = true;
            Reading::Part(message)
        }
        Length::Chunked => match chunks(rest, &mut message) {
            Some(Some(length)) => Reading::Whole(message, start + length),
            Some(None) => Reading::Part(message),
            None => Reading::Malformed,
        },
    }
}

impl Message {
    /// The start line.
    pub fn line(&self) -> String {
        let line = self.head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    }

    /// The second word of the start line: a target, or a status.
    pub fn second_word(&self) -> String {
        self.line().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// Start line, field lines and trailers.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines(&self.head).chain(lines(&self.trailers))
    }

    /// Whether the sender says that the connection ends after the message.
    pub fn says_close(&self) -> bool {
        let options = values(&self.head, "connection").flat_map(|it| it.split(|&it| it == b','));
        options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(b"close"))
    }
}

/// The lines of a head.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The position of `part` in `bytes`.
fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The length of the body, if the head is by the grammar.
fn length(head: &[u8], role: Role) -> Option<Length> {
    let mut lines = split_lines(head)?.into_iter();
    let line = lines.next()?;
    if !lines.all(is_field) {
        return None;
    }
    let bodiless = match role {
        Role::Request => {
            let hosts = values(head, "host").count();
            let old = line.ends_with(b" HTTP/1.0") && hosts == 0;
            if !is_request_line(line) || (hosts != 1 && !old) {
                return None;
            }
            false
        }
        Role::Response { to_head } => {
            let status = status(line)?;
            to_head || status.starts_with('1') || status == "204" || status == "304"
        }
    };
    let codings: Vec<_> = values(head, "transfer-encoding").collect();
    let lengths: Vec<_> = values(head, "content-length").collect();
    let announced = match (&codings[..], &lengths[..]) {
        ([], []) => None,
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => Some(Length::Chunked),
        ([], [length]) => Some(Length::Exact(number(length, 10)?)),
        _ => return None,
    };
    Some(match (bodiless, announced, role) {
        (true, _, _) => Length::Exact(0),
        (false, Some(length), _) => length,
        (false, None, Role::Request) => Length::Exact(0),
        (false, None, Role::Response { .. }) => Length::UntilClose,
    })
}

/// Walks through chunks: `None` when they are broken, `Some(None)` when more have to come.
fn chunks(bytes: &[u8], message: &mut Message) -> Option<Option<usize>> {
    let mut at = 0;
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else {
            return is_lines(&bytes[at..]).then_some(None);
        };
        let line = &bytes[at..at + end];
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
        if !is_text(line) {
            return None;
        }
        let size = number(digits, 16)?;
        at += end + 2;
        if size == 0 {
            let end = trailers(&bytes[at..])?.map(|end| at + end);
            message.trailers = bytes[at..end.unwrap_or(at)].to_vec();
            return Some(end);
        }
        let here = size.min(bytes.len() - at);
        message.body.extend(&bytes[at..at + here]);
        at += here;
        match &bytes[at..] {
            [] | [b'\r'] => return Some(None),
            [b'\r', b'\n', ..] => at += 2,
            [_, ..] => return None,
        }
    }
}

fn trailers(bytes: &[u8]) -> Option<Option<usize>> {
    if bytes.starts_with(b"\r\n") {
        return Some(Some(2));
    }
    let Some(end) = find(bytes, HEAD_END) else { return is_lines(bytes).then_some(None) };
    let sound = split_lines(&bytes[..end])?.into_iter().all(is_field);
    sound.then_some(Some(end + HEAD_END.len()))
}

fn split_lines(head: &[u8]) -> Option<Vec<&[u8]>> {
    is_lines(head).then(|| lines(head).collect())
}

/// Whether no line ends in anything but CRLF; the last one may be incomplete.
fn is_lines(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    let broken = |(&one, &next): (&u8, &u8)| (one == b'\r') != (next == b'\n');
    bytes.first() != Some(&b'\n') && !pairs.into_iter().any(broken) && !bytes.contains(&0)
}

fn is_request_line(line: &[u8]) -> bool {
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = words[..] else { return false };
    let is_visible = |byte: &u8| byte.is_ascii_graphic();
    is_token(method)
        && (target.first() == Some(&b'/') || find(target, b"://").is_some())
        && target.iter().all(is_visible)
        && !target.contains(&b'#')
        && (version == b"HTTP/1.1" || version == b"HTTP/1.0")
}

fn status(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (status, reason) = rest.split_at_checked(3)?;
    let sound = status.iter().all(u8::is_ascii_digit)
        && matches!(status[0], b'1'..=b'5')
        && (reason.is_empty() || reason[0] == b' ')
        && is_text(reason);
    sound.then(|| String::from_utf8_lossy(status).into_owned())
}

fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
    is_token(&line[..colon]) && is_text(&line[colon..])
}

fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

/// Visible bytes, blanks, and those over 127.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

fn values<'a>(head: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    lines(head).skip(1).filter_map(move |line| {
        let (field, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        field.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

fn number(digits: &[u8], base: u32) -> Option<usize> {
    let sound = !digits.is_empty() && digits.iter().all(|it| char::from(*it).is_digit(base));
    usize::from_str_radix(str::from_utf8(digits).ok()?, base).ok().filter(|_| sound)
}
