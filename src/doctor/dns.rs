//! One question of the DNS and its answer, as bytes (RFC 1035, section 4). Pure.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl Record {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }
}

/// What a nameserver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// How it went (section 4.1.1): 0, [`NAME_ERROR`], or a failure.
    pub(super) code: u8,
    /// How many addresses the answer has.
    pub(super) addresses: usize,
}

/// The server failed.
pub(super) const SERVER_FAILURE: u8 = 2;
/// There is no such name.
pub(super) const NAME_ERROR: u8 = 3;
/// The server does not answer us.
pub(super) const REFUSED: u8 = 5;

const HEADER_BYTES: usize = 12;
const RECURSION_DESIRED: u16 = 0x0100;
const IS_REPLY: u8 = 0x80;
const INTERNET: u16 = 1;

/// A question about `name`, which is a host name, without or with a final dot.
pub(super) fn question(id: u16, name: &str, record: Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        // A host name has labels of at most 63 bytes.
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(record.number().to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    bytes
}

/// Reads a reply to the question `id` for `record`. `None`: it is none.
pub(super) fn reply(id: u16, record: Record, bytes: &[u8]) -> Option<Reply> {
    let header = bytes.get(..HEADER_BYTES)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if word(0) != id || header[2] & IS_REPLY == 0 {
        return None;
    }
    let code = header[3] & 0x0f;
    let (questions, answers) = (word(4), word(6));
    let mut rest = &bytes[HEADER_BYTES..];
    for _ in 0..questions {
        rest = after_name(rest)?.get(4..)?;
    }
    let mut addresses = 0;
    for _ in 0..answers {
        // A reply that was cut has had its say.
        let Some((kind, after)) = resource(rest) else { break };
        addresses += usize::from(kind == record.number());
        rest = after;
    }
    Some(Reply { code, addresses })
}

/// The type of the resource record at the front, and what follows it (section 4.1.3).
fn resource(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let rest = after_name(bytes)?;
    let fixed = rest.get(..10)?;
    let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
    let length = u16::from_be_bytes([fixed[8], fixed[9]]);
    Some((kind, rest.get(10 + usize::from(length)..)?))
}

/// What follows the name at the front, which may end in a pointer (section 4.1.4).
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        match bytes.split_first()? {
            (0, rest) => return Some(rest),
            (0xc0.., rest) => return rest.get(1..),
            (&length, rest) => bytes = rest.get(usize::from(length)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_as_the_rfc_has_it() {
        let want =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x02bc\x00\x00\x1c\x00\x01";
        assert_eq!(question(0x1234, "a.bc.", Record::Aaaa), want);
    }

    /// The question for `a.bc`, answered by an alias and an address.
    fn answered() -> Vec<u8> {
        let mut bytes = question(7, "a.bc", Record::A);
        bytes[2] |= IS_REPLY;
        bytes[7] = 2;
        bytes.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01x\xc0\x0e");
        bytes.extend(b"\x01x\xc0\x0e\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01");
        bytes
    }

    #[test]
    fn a_reply_has_addresses_after_its_aliases() {
        assert_eq!(reply(7, Record::A, &answered()), Some(Reply { code: 0, addresses: 1 }));
        assert_eq!(reply(7, Record::Aaaa, &answered()), Some(Reply { code: 0, addresses: 0 }));
        assert_eq!(reply(8, Record::A, &answered()), None, "another question's");
        assert_eq!(reply(7, Record::A, &question(7, "a.bc", Record::A)), None, "a question");
        let mut unknown = question(7, "a.bc", Record::A);
        (unknown[2], unknown[3]) = (0x81, 0x83);
        let want = Some(Reply { code: NAME_ERROR, addresses: 0 });
        assert_eq!(reply(7, Record::A, &unknown), want);
    }

    #[test]
    fn a_damaged_reply_is_no_panic() {
        let whole = answered();
        for cut in 0..whole.len() {
            let _either = reply(7, Record::A, &whole[..cut]);
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x40, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                let _either = reply(7, Record::A, &damaged);
            }
        }
    }
}
