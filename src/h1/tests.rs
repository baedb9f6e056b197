//! Heads as they arrive: found by the reader, then parsed, whole and at every cut.

use super::head::{RequestHead, ResponseHead, Version};
use super::head_error::HeadError;
use super::head_reader::{HeadReader, HeadSpan};
use super::limits::{
    HEAD_BYTES_DEFAULT, HEADER_FIELDS_DEFAULT, HeadLimits, LEADING_EMPTY_LINES_MAX,
};
use super::start_line::StartLine;
use super::target::TargetError;

const LIMITS: HeadLimits = HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: HEADER_FIELDS_DEFAULT };

#[test]
fn heads_without_fields_are_heads() {
    request("GET / HTTP/1.0\r\n\r\n", Ok("GET"));
    response("HTTP/1.1 200 OK\r\n\r\n", Ok(200));
}

#[test]
fn empty_lines_before_a_request_are_skipped_up_to_a_limit() {
    let empty = "\r\n".repeat(LEADING_EMPTY_LINES_MAX);
    request(&format!("{empty}GET / HTTP/1.1\r\n\r\n"), Ok("GET"));
    request(&format!("{empty}\r\nGET / HTTP/1.1\r\n\r\n"), Err(HeadError::NotHttp));
    request("\nGET / HTTP/1.1\r\n\r\n", Err(HeadError::BareLf));
    request("\rGET / HTTP/1.1\r\n\r\n", Err(HeadError::BareCr));
    response("\r\nHTTP/1.1 200 OK\r\n\r\n", Err(HeadError::NotHttp));
    // The parsers do not skip anything: that is the reader's.
    let parsed = RequestHead::parse(b"\r\nGET / HTTP/1.1\r\n\r\n", &LIMITS);
    assert_eq!(parsed.err(), Some(HeadError::BadRequestLine));
    let parsed = ResponseHead::parse(b"\r\nHTTP/1.1 200 OK\r\n\r\n", &LIMITS);
    assert_eq!(parsed.err(), Some(HeadError::BadStatusLine));
}

#[test]
fn bare_line_ends_and_nul_are_refused_before_the_head_is_complete() {
    for (bytes, error) in [("\n", HeadError::BareLf), ("\rx", HeadError::BareCr)] {
        for front in ["GET", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nA: b"] {
            request(&format!("{front}{bytes}"), Err(error));
            request(&format!("{front}{bytes}\r\n\r\n"), Err(error));
        }
        for front in ["HTTP/1.1 200", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nA: b"] {
            response(&format!("{front}{bytes}\r\n\r\n"), Err(error));
        }
    }
    request("GET /\0", Err(HeadError::Nul));
    request("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", Err(HeadError::Nul));
    response("HTTP/1.1 200 O\0K\r\n\r\n", Err(HeadError::Nul));
}

/// As soon as a byte proves it, and at the end of the line at the latest.
#[test]
fn an_invalid_start_line_is_refused_before_its_head_is_complete() {
    let target = HeadError::Target;
    for (line, error) in [
        ("GET /x\r\n", HeadError::BadRequestLine),
        ("GET\r\n", HeadError::BadRequestLine),
        ("GET / HTTP/1.1 \r\n", HeadError::BadRequestLine),
        ("SSH-2.0-OpenSSH_9.6\r\n", HeadError::BadRequestLine),
        ("EHLO a b c\r\n", HeadError::BadRequestLine),
        ("hello there\x08", HeadError::BadRequestLine),
        ("GET /\u{e9}", HeadError::BadRequestLine),
        ("GET\t", HeadError::BadRequestLine),
        ("GET / HTTP/2.0\r\n", HeadError::UnsupportedVersion),
        ("PRI * HTTP/2.0\r\n", HeadError::UnsupportedVersion),
        ("get / HTTP/1.1\r\n", HeadError::MethodCase),
        ("Post / HTTP/1.1\r\n", HeadError::MethodCase),
        ("connect a:1 HTTP/1.1\r\n", HeadError::MethodCase),
        ("GET x HTTP/1.1\r\n", target(TargetError::WrongForm)),
        ("GET /#x HTTP/1.1\r\n", target(TargetError::BadByte)),
        ("GET ftp://a/ HTTP/1.1\r\n", target(TargetError::WrongForm)),
    ] {
        request(line, Err(error));
        // What follows in the same read does not change what is reported.
        for rest in ["\n", "a\0", "A : b\r\n\r\n"] {
            if line.ends_with('\n') {
                let found =
                    HeadReader::default().find((line.to_owned() + rest).as_bytes(), &LIMITS);
                assert!(found == Err(error) || matches!(found, Ok(Some(_))), "{line:?} {found:?}");
            }
        }
    }
    for line in
        ["HTTP/1.1 20\r\n", "HTTP/1.1 200 \x01", "HTTP 200 OK\r\n", "H2\r\n", "HTTP/1.1\r\n"]
    {
        response(line, Err(HeadError::BadStatusLine));
    }
    response("HTTP/2.0 200 OK\r\n", Err(HeadError::UnsupportedVersion));
}

#[test]
fn an_invalid_field_line_is_refused_before_its_head_is_complete() {
    for (lines, error) in [
        ("no colon here\r\n", HeadError::BadFieldName),
        ("A : b\r\n", HeadError::BadFieldName),
        (": b\r\n", HeadError::BadFieldName),
        ("\u{e9}: b\r\n", HeadError::BadFieldName),
        (" a: b\r\n", HeadError::FoldedField),
        ("a: b\r\n\tc\r\n", HeadError::FoldedField),
        ("a: b\r\nc: \x01\r\n", HeadError::BadFieldValue),
        ("a: b\r\nc: d\x7f\r\n", HeadError::BadFieldValue),
    ] {
        request(&format!("GET / HTTP/1.1\r\n{lines}"), Err(error));
        request(&format!("\r\nGET / HTTP/1.1\r\na: b\r\n{lines}"), Err(error));
        response(&format!("HTTP/1.1 200\r\n{lines}"), Err(error));
        // What follows does not change what is reported, in the same read or in a later one.
        for rest in ["c: d", "c: d\r\n\r\n", "c\n", "\0", " x\r\n", "y\r\n\r\n"] {
            request(&format!("GET / HTTP/1.1\r\n{lines}{rest}"), Err(error));
        }
    }
    let limits = HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: 2 };
    for end in ["", "\r\n", "d : e\r\n", "d:\x01\r\n\r\n"] {
        let head = format!("GET / HTTP/1.1\r\na:b\r\na:b\r\na:\x01\r\n{end}");
        let found = decide_at_every_cut(StartLine::Request, head.as_bytes(), &limits);
        assert_eq!(found, Err(HeadError::TooManyFields), "{end:?}");
    }
}

#[test]
fn standard_methods_in_the_wrong_case_are_refused() {
    for method in
        ["get", "Get", "hEAD", "post", "Put", "delete", "Connect", "options", "trace", "patch"]
    {
        request(&format!("{method} / HTTP/1.1\r\n\r\n"), Err(HeadError::MethodCase));
        request(&format!("{method} / HTTP/1.1\r\nA: b\r\n\r\n"), Err(HeadError::MethodCase));
    }
    for method in ["GET", "PATCH", "query", "Foo", "gets", "ge"] {
        request(&format!("{method} / HTTP/1.1\r\n\r\n"), Ok(method));
    }
}

#[test]
fn the_request_line_is_three_words_with_single_spaces() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET /\x0bHTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a b HTTP/2.0",
        "GET HTTP/1.1",
        "GET / HTTP/1.1\t",
        "GET / HTTP/1.10",
        "GET / HTTP/1.",
        "GET / HTTP/1",
        "GET / HTTP/01.1",
        "GET / http/1.1",
        "GET / HTTP/1,1",
        "GET / HTTPS/1.1",
        "G{T / HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
    ] {
        request(&format!("{line}\r\n\r\n"), Err(HeadError::BadRequestLine));
    }
}

#[test]
fn the_status_line_has_three_digits_from_100_to_599() {
    for line in [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1  200",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 +20",
        "HTTP/1.1 2 0",
        "HTTP/1.1 099 a",
        "HTTP/1.1 600 a",
        "HTTP/1.1 000 a",
        "HTTP/1.1 999 a",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\x01K",
        "HTTP/1.1 200 O\x7fK",
        "HTTP/1.10 200 OK",
        "Http/1.1 200 OK",
        "HTTP 200 OK",
    ] {
        response(&format!("{line}\r\n\r\n"), Err(HeadError::BadStatusLine));
    }
    response("HTTP/1.1 100 a\r\n\r\n", Ok(100));
    response("HTTP/1.1 599 a\r\n\r\n", Ok(599));
}

#[test]
fn other_versions_are_unsupported_and_not_malformed() {
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0"] {
        request(&format!("GET / {version}\r\n\r\n"), Err(HeadError::UnsupportedVersion));
        response(&format!("{version} 200 OK\r\n\r\n"), Err(HeadError::UnsupportedVersion));
    }
    request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err(HeadError::UnsupportedVersion));
}

#[test]
fn field_names_are_tokens_directly_before_a_colon() {
    for line in ["A : b", "A\t: b", ": b", "A", "A b: c", "A(b): c", "\u{e9}: a", "\x7f: a"] {
        field(line, Err(HeadError::BadFieldName));
    }
}

#[test]
fn lines_that_begin_with_a_blank_are_refused_as_obs_fold() {
    for line in [" A: b", "\tA: b", "A: b\r\n c", "A: b\r\n\tc: d", "A:\r\n \r\n b"] {
        field(line, Err(HeadError::FoldedField));
    }
}

#[test]
fn a_head_at_its_limit_is_accepted_and_one_byte_more_is_refused() {
    let head = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
    let with = |bytes| {
        let limits = HeadLimits { bytes, fields: 1 };
        decide_at_every_cut(StartLine::Request, head.as_bytes(), &limits)
    };
    assert_eq!(with(head.len()), Ok(HeadSpan { start: 0, end: head.len() }));
    assert_eq!(with(head.len() - 1), Err(HeadError::HeadTooLarge));
    assert_eq!(with(17), Err(HeadError::HeadTooLarge));
    assert_eq!(with(16), Err(HeadError::HeadTooLarge));
    assert_eq!(with(15), Err(HeadError::TargetTooLong));
    assert_eq!(with(0), Err(HeadError::TargetTooLong));
    let limits = HeadLimits { bytes: head.len() - 1, fields: 1 };
    let parsed = RequestHead::parse(head.as_bytes(), &limits);
    assert_eq!(parsed.err(), Some(HeadError::HeadTooLarge));
}

#[test]
fn a_status_line_over_the_limit_is_a_head_that_is_too_large() {
    let limits = HeadLimits { bytes: 10, fields: 1 };
    let found = decide_at_every_cut(StartLine::Status, b"HTTP/1.1 200 OK\r\n\r\n", &limits);
    assert_eq!(found, Err(HeadError::HeadTooLarge));
}

#[test]
fn empty_lines_before_a_request_do_not_count_against_the_limit() {
    let head = "\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let limits = HeadLimits { bytes: head.len() - 4, fields: 0 };
    let found = decide_at_every_cut(StartLine::Request, head.as_bytes(), &limits);
    assert_eq!(found, Ok(HeadSpan { start: 4, end: head.len() }));
}

#[test]
fn the_reader_finds_exactly_one_head_in_mangled_bytes() {
    let sound = b"\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nX: \t b \r\nY:\r\n\r\nHTTP/1.0 200 OK";
    let alphabet = b"\r\n\r\n\0 \t:aH/1.\x7f\xc3\xa9";
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % bound
    };
    for _ in 0..20_000 {
        let mut bytes = sound.to_vec();
        for _ in 0..below(4) {
            let at = below(bytes.len());
            let byte = alphabet[below(alphabet.len())];
            match below(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let Ok(Some(span)) = HeadReader::default().find(&bytes, &LIMITS) else { continue };
        let head = &bytes[span.start..span.end];
        let shown = head.escape_ascii();
        match RequestHead::parse(head, &LIMITS) {
            Ok(parsed) => {
                let RequestHead { method, target, version, fields } = &parsed;
                let version = if *version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
                let line = [*method, *target, version.as_bytes()].join(&b' ');
                let again = [&line, b"\r\n".as_slice(), fields.bytes(), b"\r\n"].concat();
                assert_eq!(again, head, "{shown}");
            }
            Err(error) => assert_ne!(error, HeadError::NotOneHead, "{shown}"),
        }
        let error = ResponseHead::parse(head, &LIMITS).err();
        assert_ne!(error, Some(HeadError::NotOneHead), "{shown}");
    }
}

/// Reads `bytes` as requests arrive: found, then parsed. The verdict is the method.
#[track_caller]
fn request(bytes: &str, want: Result<&str, HeadError>) {
    let bytes = bytes.as_bytes();
    let got = decide_at_every_cut(StartLine::Request, bytes, &LIMITS)
        .and_then(|span| RequestHead::parse(&bytes[span.start..span.end], &LIMITS))
        .map(|head| head.method);
    assert_eq!(got, want.map(str::as_bytes), "{:?}", bytes.escape_ascii().to_string());
}

/// Reads `bytes` as responses arrive: found, then parsed. The verdict is the status.
#[track_caller]
fn response(bytes: &str, want: Result<u16, HeadError>) {
    let bytes = bytes.as_bytes();
    let got = decide_at_every_cut(StartLine::Status, bytes, &LIMITS)
        .and_then(|span| ResponseHead::parse(&bytes[span.start..span.end], &LIMITS))
        .map(|head| head.status);
    assert_eq!(got, want, "{:?}", bytes.escape_ascii().to_string());
}

/// One field line, or a few, in heads of both kinds, alone and between others.
#[track_caller]
fn field(line: &str, want: Result<(), HeadError>) {
    for front in ["", "First: 1\r\n"] {
        let fields = format!("{front}{line}\r\nLast: 1\r\n\r\n");
        request(&format!("GET / HTTP/1.1\r\n{fields}"), want.map(|()| "GET"));
        response(&format!("HTTP/1.1 200\r\n{fields}"), want.map(|()| 200));
    }
}

/// The span, if what is there is a head. A start line that is none is refused here, or before
/// the head has ended.
fn parsed(
    kind: StartLine,
    bytes: &[u8],
    span: HeadSpan,
    limits: &HeadLimits,
) -> Result<HeadSpan, HeadError> {
    let head = &bytes[span.start..span.end];
    match kind {
        StartLine::Request => RequestHead::parse(head, limits).map(|_| span),
        StartLine::Status => ResponseHead::parse(head, limits).map(|_| span),
    }
}

/// Finds the head in `bytes` whole, in two parts cut at every offset, and byte by byte.
#[track_caller]
fn decide_at_every_cut(
    kind: StartLine,
    bytes: &[u8],
    limits: &HeadLimits,
) -> Result<HeadSpan, HeadError> {
    let find = |cuts: &mut dyn Iterator<Item = usize>| {
        let mut reader = match kind {
            StartLine::Request => HeadReader::default(),
            StartLine::Status => HeadReader::for_response(),
        };
        for cut in cuts.chain([bytes.len()]) {
            if let Some(decided) = reader.find(&bytes[..cut], limits).transpose() {
                return decided.and_then(|span| parsed(kind, bytes, span, limits));
            }
        }
        panic!("undecided: {:?}", bytes.escape_ascii().to_string());
    };
    let whole = find(&mut std::iter::empty());
    for cut in 0..bytes.len() {
        assert_eq!(find(&mut [cut].into_iter()), whole, "cut at {cut}");
    }
    assert_eq!(find(&mut (0..bytes.len())), whole, "byte by byte");
    whole
}
