//! The trailers that a recipient gets.

use super::*;

#[test]
fn trailers_keep_what_only_informs_and_lose_what_would_decide() {
    for kept in ["", "Server-Timing: a;dur=1\r\n", "x-sum:  1 \r\nX-Sum: \u{fc}\r\n"] {
        trailers(kept, kept);
    }
    for name in [
        "Host",
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "TE",
        "Trailer",
        "Expect",
        "Date",
        "Content-Type",
        "X-Forwarded-For",
        "Alt-Svc",
        "Authorization",
        "authoriZATION",
        "Set-Cookie",
        "Cookie",
        "Content-Encoding",
        "Content-Range",
        "Cache-Control",
        "Location",
    ] {
        trailers(&format!("A: 1\r\n{name}: x\r\nB: 2\r\n"), "A: 1\r\nB: 2\r\n");
    }
    trailers("Connection: a\r\nA: 1\r\nB: 2\r\n", "B: 2\r\n");
}

#[test]
fn trailers_reach_a_receiver_that_gets_chunks_and_a_malformed_section_none() {
    let taken = |writer, section: &str| {
        trailers_for(writer, section.as_bytes()).map(|fields| fields.is_some()).ok()
    };
    assert_eq!(taken(BodyWriter::Chunked, "A: b\r\n\r\n"), Some(true));
    assert_eq!(taken(BodyWriter::UntilClose, "A: b\r\n\r\n"), Some(false));
    assert_eq!(taken(BodyWriter::Bare, "A: b\r\n\r\n"), Some(false));
    for writer in [BodyWriter::Chunked, BodyWriter::UntilClose, BodyWriter::Bare] {
        assert_eq!(taken(writer, "A b\r\n\r\n"), None, "{writer:?}");
    }
}

#[track_caller]
fn trailers(section: &str, want: &str) {
    let section = format!("{section}\r\n");
    let fields = parse_trailers(section.as_bytes(), 8).unwrap();
    let mut out = BytesMut::new();
    put_trailers(&mut out, &fields);
    assert_eq!(out, format!("{want}\r\n").as_bytes());
}
