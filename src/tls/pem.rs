//! PEM (RFC 7468) as people have it: [`blocks`] finds every block of a file, or says which line is
//! wrong. No block is ignored silently.
//!
//! Files come by mail, out of spreadsheets, through environment variables and from Windows. So a
//! block may begin anywhere in a line: after a byte order mark, an indentation, a quotation mark or
//! another block. It is found even if its line breaks were lost, or became the two characters
//! `\n`. Anything ambiguous is refused.
//!
//! This is the only user of rustls-pemfile, which decodes the blocks. Its errors are not passed on:
//! they quote the file, which may be a private key. An error here is a line number and fixed words.

use rustls_pemfile::Item;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
};

/// One block of a file.
#[derive(Debug)]
pub struct PemBlock {
    /// The line in which it begins, counted from 1.
    pub line: usize,
    /// What it holds.
    pub content: Content,
}

/// What a block holds.
#[derive(Debug)]
pub enum Content {
    /// A certificate. That of a `TRUSTED CERTIFICATE` is still followed by what OpenSSL appends.
    Certificate(CertificateDer<'static>),
    /// A list of revoked certificates.
    RevocationList(CertificateRevocationListDer<'static>),
    /// A private key in the clear.
    Key(PrivateKeyDer<'static>),
    /// A private key protected by a passphrase, in the old style or the new.
    EncryptedKey,
    /// A private key in a form that TLS has no use for, by the name of that form.
    ForeignKey(&'static str),
    /// Something else, by its label if it is a well-known one.
    Other(Option<&'static str>),
}

/// Why a text is not PEM. Never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PemError {
    /// The line that is wrong, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: PemFault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemFault {
    /// A block begins and does not end.
    NoEnd,
    /// A block begins, and one of another kind ends.
    OtherEnd,
    /// An end without a beginning.
    NoBegin,
    /// Almost a `-----BEGIN …-----` or `-----END …-----`.
    DamagedMarker,
    /// A character that is not base64.
    NotBase64,
    /// Base64 that breaks off, or continues after its end.
    BadBase64,
    /// An empty block.
    Empty,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            PemFault::NoEnd => "the block that begins here has no END line",
            PemFault::OtherEnd => "the block that ends here is not of the kind that began",
            PemFault::NoBegin => "a block ends here that has no BEGIN line",
            PemFault::DamagedMarker => {
                "this is nearly a BEGIN or END line; -----BEGIN and -----END with five hyphens on \
                 either side are needed"
            }
            PemFault::NotBase64 => "there is a character that base64 does not have",
            PemFault::BadBase64 => "the block that begins here is damaged or cut off",
            PemFault::Empty => "the block that begins here is empty",
        };
        write!(f, "in line {}, {what}", self.line)
    }
}

/// Every block of a file, in its order. Text between blocks is skipped.
///
/// # Errors
/// The first line that is wrong.
pub fn blocks(file: &[u8]) -> Result<Vec<PemBlock>, PemError> {
    let text = in_utf8(file);
    let mut blocks = Vec::new();
    let (mut at, mut counted, mut line) = (0, 0, 1);
    while let Some(begin) = next_marker(&text, at)? {
        let (content, end) = block(&text, begin)?;
        line += line_ends(&text, counted..begin);
        blocks.push(PemBlock { line, content });
        (at, counted) = (end, begin);
    }
    Ok(blocks)
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const HYPHENS: &[u8] = b"-----";
/// Longest label, in bytes. The longest in use has 23.
const LABEL_BYTES_MAX: usize = 64;

/// Turns UTF-16 with a byte order mark, as PowerShell writes it, into ASCII, and leaves the rest.
fn in_utf8(file: &[u8]) -> Cow<'_, [u8]> {
    let decode = |bytes: &[u8], from: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|unit| from([unit[0], unit[1]]));
        // What is not ASCII is not PEM.
        units.map(|unit| u8::try_from(unit).unwrap_or(b'?')).collect()
    };
    match file {
        [0xff, 0xfe, rest @ ..] => decode(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => decode(rest, u16::from_be_bytes),
        file => Cow::Borrowed(file),
    }
}

/// Where the next block begins, from `from` on.
fn next_marker(text: &[u8], from: usize) -> Result<Option<usize>, PemError> {
    let mut at = from;
    while let Some(word) = find_word(text, at) {
        let rest = &text[word..];
        let before = &text[from..word];
        if before.ends_with(HYPHENS) && rest.starts_with(b"BEGIN ") {
            return Ok(Some(word - HYPHENS.len()));
        }
        if before.ends_with(HYPHENS) && rest.starts_with(b"END ") {
            return Err(error(text, word, PemFault::NoBegin));
        }
        // Hyphens of the previous block count, too: the two may have been joined.
        if is_meant_as_marker(&text[..word], rest) {
            return Err(error(text, word, PemFault::DamagedMarker));
        }
        at = word + 1;
    }
    Ok(None)
}

/// The next `begin` or `end`, in any case.
fn find_word(text: &[u8], from: usize) -> Option<usize> {
    let is = |at: usize, word: &[u8]| {
        text.get(at..at + word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word))
    };
    (from..text.len()).find(|&at| is(at, b"BEGIN") || is(at, b"END"))
}

/// Whether a word was meant as a marker: it follows hyphens, or the dashes that word processors
/// make of them, and the rest of its line names something that PEM holds. "Front-end certificate"
/// and an item of a list are not markers.
fn is_meant_as_marker(before: &[u8], rest: &[u8]) -> bool {
    const DASHES: [&str; 6] =
        ["\u{2010}", "\u{2011}", "\u{2012}", "\u{2013}", "\u{2014}", "\u{2212}"];
    let blanks = before.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let trimmed = &before[..before.len() - blanks];
    let one_hyphen = match before {
        [.., other, b'-'] => !other.is_ascii_alphanumeric(),
        before => before == b"-",
    };
    let follows_hyphens = one_hyphen
        || trimmed.ends_with(b"--")
        || DASHES.iter().any(|dash| trimmed.ends_with(dash.as_bytes()));
    let line = rest.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let line = line.to_ascii_uppercase();
    let named = ["CERTIFICATE", " KEY", "PARAMETERS", "CRL", "PKCS"];
    follows_hyphens && named.iter().any(|it| find(&line, 0, it.as_bytes()).is_some())
}

/// What the block at `begin` holds, and where it ends.
fn block(text: &[u8], begin: usize) -> Result<(Content, usize), PemError> {
    let damaged = |at| error(text, at, PemFault::DamagedMarker);
    let label_at = begin + BEGIN.len();
    let (label, body_at) = label(text, label_at).ok_or_else(|| damaged(begin))?;
    let Some(end) = find(text, body_at, b"--") else {
        return Err(error(text, begin, PemFault::NoEnd));
    };
    let rest = &text[end..];
    if rest.starts_with(BEGIN) {
        return Err(error(text, begin, PemFault::NoEnd));
    }
    if !rest.starts_with(END) {
        return Err(damaged(end));
    }
    let (end_label, block_end) = self::label(text, end + END.len()).ok_or_else(|| damaged(end))?;
    if end_label != label {
        return Err(error(text, end, PemFault::OtherEnd));
    }
    let content = content(text, label, body_at..end).map_err(|(at, fault)| {
        let at = at.unwrap_or(begin);
        error(text, at, fault)
    })?;
    Ok((content, block_end))
}

/// The label at `at`, and where its hyphens end.
fn label(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let end = find(text, at, HYPHENS)?;
    let label = text[at..end].trim_ascii();
    let is_label_byte = |it: &u8| it.is_ascii_graphic() || *it == b' ';
    let is_label = label.len() <= LABEL_BYTES_MAX && label.iter().all(is_label_byte);
    is_label.then_some((label, end + HYPHENS.len()))
}

/// What is wrong, and where, unless it is the whole block.
type LineFault = (Option<usize>, PemFault);

fn content(text: &[u8], label: &[u8], body: Range<usize>) -> Result<Content, LineFault> {
    let kind = KINDS.iter().find(|(known, _)| known.as_bytes() == label);
    let Some(&(name, kind)) = kind else { return Ok(Content::Other(None)) };
    let decode_as = match kind {
        Kind::Certificate => "CERTIFICATE",
        Kind::Key | Kind::RevocationList => name,
        Kind::EncryptedKey => return Ok(Content::EncryptedKey),
        Kind::ForeignKey(form) => return Ok(Content::ForeignKey(form)),
        Kind::Other => return Ok(Content::Other(Some(name))),
    };
    let (body_at, body) = (body.start, &text[body]);
    // RFC 1421, section 4.6.1.1: the label is the same as without a passphrase; fields say so.
    if find(body, 0, b"Proc-Type").is_some() && find(body, 0, b"ENCRYPTED").is_some() {
        return Ok(Content::EncryptedKey);
    }
    let base64_at = after_fields(body);
    let base64 = base64(&body[base64_at..])
        .map_err(|at| (Some(body_at + base64_at + at), PemFault::NotBase64))?;
    if base64.is_empty() {
        return Err((None, PemFault::Empty));
    }
    let plain = format!("-----BEGIN {decode_as}-----\n{base64}\n-----END {decode_as}-----\n");
    let item = rustls_pemfile::read_one_from_slice(plain.as_bytes());
    // `Item` belongs to another crate and may grow. Its errors may quote the text.
    match item.ok().flatten().map(|(item, _)| item) {
        Some(Item::X509Certificate(certificate)) => Ok(Content::Certificate(certificate)),
        Some(Item::Crl(list)) => Ok(Content::RevocationList(list)),
        Some(Item::Pkcs1Key(key)) => Ok(Content::Key(key.into())),
        Some(Item::Pkcs8Key(key)) => Ok(Content::Key(key.into())),
        Some(Item::Sec1Key(key)) => Ok(Content::Key(key.into())),
        Some(_) | None => Err((None, PemFault::BadBase64)),
    }
}

/// Where the fields before a body end (RFC 1421): after an empty line, or else after the last line
/// with a colon, which base64 does not have.
fn after_fields(body: &[u8]) -> usize {
    let mut end = 0;
    let mut at = 0;
    let mut seen_field = false;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if line.contains(&b':') {
            (seen_field, end) = (true, at);
        } else if seen_field && line.trim_ascii().is_empty() {
            return at;
        }
    }
    end
}

/// The base64 in `body`, without what people and programs put between its characters: blanks, line
/// breaks and their escapes, quotation marks, the marks of quoted mail, byte order marks.
///
/// # Errors
/// The place of the first character that is wrong.
fn base64(body: &[u8]) -> Result<String, usize> {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
    const NO_BREAK_SPACE: &[u8] = "\u{a0}".as_bytes();
    let mut base64 = String::with_capacity(body.len());
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        let rest = &body[at..];
        at += match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => {
                base64.push(char::from(byte));
                1
            }
            b'>' | b'|' | b'"' | b'\'' | b',' | 0x0b => 1,
            byte if byte.is_ascii_whitespace() => 1,
            // Escapes of shells and of JSON; that of "/" leaves the "/".
            b'\\' => match rest.get(1) {
                Some(b'n' | b'r' | b't') => 2,
                Some(b'/' | b'\n' | b'\r' | b'"') => 1,
                _ => return Err(at),
            },
            _ if rest.starts_with(BYTE_ORDER_MARK) => BYTE_ORDER_MARK.len(),
            _ if rest.starts_with(NO_BREAK_SPACE) => NO_BREAK_SPACE.len(),
            _ => return Err(at),
        };
    }
    Ok(base64)
}

fn find(text: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    memchr::memmem::find(&text[from..], what).map(|at| from + at)
}

fn error(text: &[u8], at: usize, fault: PemFault) -> PemError {
    PemError { line: line_ends(text, 0..at) + 1, fault }
}

/// How many lines end in this part of the text, with LF, CRLF or CR.
fn line_ends(text: &[u8], part: Range<usize>) -> usize {
    let ends = |index: &usize| match text[*index] {
        b'\n' => true,
        b'\r' => text.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    part.filter(ends).count()
}

#[derive(Clone, Copy)]
enum Kind {
    Certificate,
    RevocationList,
    Key,
    EncryptedKey,
    ForeignKey(&'static str),
    Other,
}

/// The labels of RFC 7468, of OpenSSL, OpenSSH and PGP.
const KINDS: &[(&str, Kind)] = &[
    ("CERTIFICATE", Kind::Certificate),
    ("X509 CERTIFICATE", Kind::Certificate),
    ("X.509 CERTIFICATE", Kind::Certificate),
    ("TRUSTED CERTIFICATE", Kind::Certificate),
    ("X509 CRL", Kind::RevocationList),
    ("PRIVATE KEY", Kind::Key),
    ("RSA PRIVATE KEY", Kind::Key),
    ("EC PRIVATE KEY", Kind::Key),
    ("ENCRYPTED PRIVATE KEY", Kind::EncryptedKey),
    ("DSA PRIVATE KEY", Kind::ForeignKey("a DSA key")),
    ("OPENSSH PRIVATE KEY", Kind::ForeignKey("a key of OpenSSH")),
    ("SSH2 ENCRYPTED PRIVATE KEY", Kind::ForeignKey("a key of SSH")),
    ("PGP PRIVATE KEY BLOCK", Kind::ForeignKey("a key of PGP")),
    ("ANY PRIVATE KEY", Kind::ForeignKey("a key of an unknown kind")),
    ("PUBLIC KEY", Kind::Other),
    ("RSA PUBLIC KEY", Kind::Other),
    ("EC PARAMETERS", Kind::Other),
    ("DH PARAMETERS", Kind::Other),
    ("X9.42 DH PARAMETERS", Kind::Other),
    ("DSA PARAMETERS", Kind::Other),
    ("CERTIFICATE REQUEST", Kind::Other),
    ("NEW CERTIFICATE REQUEST", Kind::Other),
    ("ATTRIBUTE CERTIFICATE", Kind::Other),
    ("PKCS7", Kind::Other),
    ("PKCS #7 SIGNED DATA", Kind::Other),
    ("CMS", Kind::Other),
    ("SSL SESSION PARAMETERS", Kind::Other),
    ("PGP PUBLIC KEY BLOCK", Kind::Other),
    ("PGP MESSAGE", Kind::Other),
    ("ECHCONFIG", Kind::Other),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::chain::{ROOT, TRUSTED_CERTIFICATE};
    use crate::tls::testing::pem::{CERTIFICATE, ENCRYPTED_KEY, KEY};

    /// What was found, one letter a block, or the line and what is wrong with it.
    fn found(text: impl AsRef<[u8]>) -> Result<String, (usize, PemFault)> {
        let letter = |block: &PemBlock| match &block.content {
            Content::Certificate(_) => 'C',
            Content::RevocationList(_) => 'L',
            Content::Key(_) => 'K',
            Content::EncryptedKey => 'E',
            Content::ForeignKey(_) => 'F',
            Content::Other(Some(_)) => 'O',
            Content::Other(None) => '?',
        };
        match blocks(text.as_ref()) {
            Ok(blocks) => Ok(blocks.iter().map(letter).collect()),
            Err(PemError { line, fault }) => Err((line, fault)),
        }
    }

    #[track_caller]
    fn check(text: impl AsRef<[u8]>, want: &str) {
        assert_eq!(found(text).as_deref(), Ok(want));
    }

    #[test]
    fn blocks_are_found_however_the_file_came_about() {
        let both = format!("{CERTIFICATE}{KEY}");
        check(&both, "CK");
        check(format!("issued by hand\n\n{CERTIFICATE}\nthe key:\n{KEY}bye"), "CK");
        check(both.replace('\n', "\r\n"), "CK");
        check(both.replace('\n', "\r"), "CK");
        check(both.replace('\n', "  \t\n"), "CK");
        check(both.replace('\n', "\n    "), "CK");
        check(both.replace('\n', "\n\n"), "CK");
        check(format!("> {}", both.replace('\n', "\n> ")), "CK");
        check(format!("\"{}\"", both.replace('\n', "\"\n\"")), "CK");
        check(format!("\u{feff}{CERTIFICATE}\u{feff}{KEY}"), "CK");
        check(both.replace("-----\n-----", "----------"), "CK");
        // Line breaks that were lost.
        check(both.replace('\n', " "), "CK");
        check(both.replace('\n', "\\n"), "CK");
        check(both.replace('\n', "\\r\\n"), "CK");
        check(both.replace('/', "\\/").replace('\n', "\\n"), "CK");
        check(both.replace('\n', ""), "CK");
        let wide = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            mark.into_iter().chain(both.encode_utf16().flat_map(bytes)).collect()
        };
        check(wide([0xff, 0xfe], u16::to_le_bytes), "CK");
        check(wide([0xfe, 0xff], u16::to_be_bytes), "CK");
    }

    #[test]
    fn a_label_says_what_a_block_holds() {
        check(TRUSTED_CERTIFICATE, "C");
        check(CERTIFICATE.replace("CERTIFICATE", "X509 CERTIFICATE"), "C");
        check(ENCRYPTED_KEY, "E");
        check(KEY.replace("PRIVATE", "OPENSSH PRIVATE"), "F");
        check(CERTIFICATE.replace("CERTIFICATE", "X509 CRL"), "L");
        check(CERTIFICATE.replace("CERTIFICATE", "DH PARAMETERS"), "O");
        check(CERTIFICATE.replace("CERTIFICATE", "SECRET RECIPE"), "?");
        check("", "");
        check("front-end certificate\n- end certificate, BACK-END KEY, append\n", "");
    }

    #[test]
    fn fields_before_a_key_are_read_as_such() {
        let with = |fields: &str| KEY.replacen("-----\n", &format!("-----\n{fields}"), 1);
        check(with("Comment: mine\n\n"), "K");
        check(with("Comment: mine\r\n\r\n"), "K");
        check(with("Comment: mine\n"), "K");
        check(with("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00FF\n\n"), "E");
        check(
            with("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00FF\n\n").replace('\n', " "),
            "E",
        );
    }

    #[test]
    fn an_ambiguous_file_is_refused_with_the_line_that_is_wrong() {
        let refuse = |text: String, line, fault| {
            assert_eq!(found(&text), Err((line, fault)), "{text}");
        };
        let two = format!("{CERTIFICATE}{ROOT}");
        let lines = CERTIFICATE.lines().count();
        for damaged in ["----BEGIN", "-BEGIN", "-----begin", "\u{2014}BEGIN", "--- BEGIN"] {
            let text = format!("{CERTIFICATE}{}", KEY.replace("-----BEGIN", damaged));
            refuse(text, lines + 1, PemFault::DamagedMarker);
        }
        refuse(two.replace("-----\n-----", "-----"), lines, PemFault::DamagedMarker);
        refuse(CERTIFICATE.replace("-----END", "END"), lines, PemFault::DamagedMarker);
        refuse(CERTIFICATE.replace("-----END CERTIFICATE-----", ""), 1, PemFault::NoEnd);
        refuse(CERTIFICATE.replace("-----END", "---END"), lines, PemFault::DamagedMarker);
        refuse(two.replacen("-----END CERTIFICATE-----\n", "", 1), 1, PemFault::NoEnd);
        refuse(CERTIFICATE.replace("END CERT", "END KERT"), lines, PemFault::OtherEnd);
        refuse(CERTIFICATE.replacen("-----BEGIN", "x", 1), lines, PemFault::NoBegin);
        refuse(KEY.replacen("M", "*", 1), 2, PemFault::NotBase64);
        refuse(KEY.replace("gtf\n", "g=tf\n"), 1, PemFault::BadBase64);
        let [first, .., last] = *KEY.lines().collect::<Vec<_>>() else { panic!() };
        refuse(format!("{first}\n{last}\n"), 1, PemFault::Empty);
    }

    #[test]
    fn a_file_cut_anywhere_is_read_or_refused_and_never_loses_a_block() {
        let both = format!("{CERTIFICATE}{KEY}");
        for cut in 0..both.len() {
            let found = found(&both[..cut]);
            let begun = both[..cut].matches("-----BEGIN ").count();
            let whole = found.as_ref().map_or(0, String::len);
            assert!(found.is_err() || whole == begun, "{cut}: {found:?}");
        }
    }
}
