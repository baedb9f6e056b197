//! The word of `reason` in the log: the rule that a malformed message broke. The words are
//! fixed: none of them was sent by a peer.

use super::{RequestError, ResponseError};
use crate::h1::chunked::ChunkError;
use crate::h1::framing::FramingError;
use crate::h1::head_error::HeadError;
use crate::h1::target::TargetError;
use crate::preface::client_hello::HelloError;
use crate::preface::proxy_header::ProxyHeaderError;

pub(super) fn of_request(error: RequestError) -> &'static str {
    match error {
        RequestError::Head(error) => of_head(error),
        RequestError::Target(error) => of_target(error),
        RequestError::Framing(error) => of_framing(error),
        RequestError::MissingHost => "no_host",
        RequestError::RepeatedHost => "two_hosts",
        RequestError::BadHost => "bad_host",
        RequestError::MethodNotAllowed => "refused_method",
        RequestError::UnknownExpectation => "unknown_expectation",
        RequestError::TooManyConnectionOptions => "too_many_options",
        RequestError::BadMaxForwards => "bad_max_forwards",
    }
}

pub(super) fn of_response(error: ResponseError) -> &'static str {
    match error {
        ResponseError::Head(error) => of_head(error),
        ResponseError::Framing(error) => of_framing(error),
        ResponseError::UnaskedSwitch => "unasked_switch",
        ResponseError::TooManyInterim => "too_many_interim",
        ResponseError::TooManyConnectionOptions => "too_many_options",
    }
}

/// Of a head, or of a trailer section.
pub(super) fn of_head(error: HeadError) -> &'static str {
    match error {
        HeadError::BareLf => "bare_lf",
        HeadError::BareCr => "bare_cr",
        HeadError::Nul => "nul_byte",
        HeadError::NotHttp => "not_http",
        HeadError::Tls => "tls_on_plain_port",
        HeadError::TargetTooLong => "line_too_long",
        HeadError::HeadTooLarge => "head_too_long",
        HeadError::TooManyFields => "too_many_fields",
        HeadError::BadRequestLine => "bad_request_line",
        HeadError::MethodCase => "method_case",
        HeadError::Target(error) => of_target(error),
        HeadError::BadStatusLine => "bad_status_line",
        HeadError::UnsupportedVersion => "unsupported_version",
        HeadError::BadFieldName => "bad_field_name",
        HeadError::BadFieldValue => "bad_field_value",
        HeadError::FoldedField => "folded_field",
        HeadError::NotOneHead => "not_one_head",
    }
}

fn of_target(error: TargetError) -> &'static str {
    match error {
        TargetError::BadByte => "bad_target_byte",
        TargetError::WrongForm => "wrong_target_form",
        TargetError::BadAuthority => "bad_authority",
        TargetError::AboveRoot => "climbing_path",
        TargetError::HiddenDotSegment => "hidden_dot_segment",
        TargetError::HiddenRoute => "hidden_route",
    }
}

fn of_framing(error: FramingError) -> &'static str {
    match error {
        FramingError::BadContentLength => "bad_content_length",
        FramingError::RepeatedContentLength => "two_lengths",
        FramingError::BothLengths => "length_and_coding",
        FramingError::ChunkedNotFinal => "chunked_not_last",
        FramingError::UnknownTransferCoding => "unknown_coding",
        FramingError::RepeatedTransferEncoding => "two_codings",
        FramingError::TransferEncodingInHttp10 => "coding_in_old_version",
        FramingError::Lookalike => "framing_lookalike",
    }
}

pub(super) fn of_chunk(error: ChunkError) -> &'static str {
    match error {
        ChunkError::BadSize => "bad_chunk_size",
        ChunkError::SizeTooLarge => "chunk_size_too_large",
        ChunkError::BadExtension => "bad_chunk_extension",
        ChunkError::LineTooLong => "chunk_line_too_long",
        ChunkError::BareLf => "bare_lf",
        ChunkError::BareCr => "bare_cr",
        ChunkError::ControlByte => "control_byte",
        ChunkError::ContentNotEnded => "chunk_not_ended",
        ChunkError::TrailersTooLarge => "trailers_too_long",
    }
}

/// Of a PROXY header; without an error, it was cut off.
pub(super) fn of_proxy_header(error: Option<ProxyHeaderError>) -> &'static str {
    match error {
        None => "incomplete_header",
        Some(ProxyHeaderError::NotProxyProtocol) => "not_proxy_protocol",
        Some(ProxyHeaderError::BadProtocolWord) => "bad_protocol_word",
        Some(ProxyHeaderError::BadAddress) => "bad_address",
        Some(ProxyHeaderError::BadPort) => "bad_port",
        Some(ProxyHeaderError::BadLineEnd) => "bad_line_end",
        Some(ProxyHeaderError::LineTooLong) => "line_too_long",
        Some(ProxyHeaderError::BadVersion) => "bad_version",
        Some(ProxyHeaderError::BadCommand) => "bad_command",
        Some(ProxyHeaderError::BadFamily) => "bad_family",
        Some(ProxyHeaderError::TooShort) => "header_too_short",
        Some(ProxyHeaderError::TooLong) => "header_too_long",
        Some(ProxyHeaderError::BadTlv) => "bad_tlv",
        Some(ProxyHeaderError::BadChecksum) => "bad_checksum",
    }
}

pub(super) fn of_hello(error: HelloError) -> &'static str {
    match error {
        HelloError::InterleavedRecord => "interleaved_record",
        HelloError::BadRecordVersion => "bad_record_version",
        HelloError::EmptyRecord => "empty_record",
        HelloError::RecordTooLong => "record_too_long",
        HelloError::NotClientHello => "not_client_hello",
        HelloError::HelloTooLong => "hello_too_long",
        HelloError::BadLength => "bad_inner_length",
        HelloError::BadSessionId => "bad_session_id",
        HelloError::BadCipherSuites => "bad_cipher_suites",
        HelloError::NoCompressionMethod => "no_compression_method",
        HelloError::RepeatedExtension => "repeated_extension",
        HelloError::NoHostName => "no_host_name",
        HelloError::RepeatedHostName => "two_host_names",
        HelloError::BadHostName => "bad_host_name",
    }
}
