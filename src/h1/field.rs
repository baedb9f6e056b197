//! The names of fields that some rule asks for (RFC 9110, section 5.1).
//!
//! [`FieldId::of`] is asked once for each field line while it is parsed. All other names are just
//! bytes. RFC 9112 itself needs the two lengths and a few more; the others are here for a gateway,
//! so that it reads each name once.
//!
//! Not here: where a line lies (`h1::section`), and what happens to which field
//! (`gateway::rewrite`, which also knows the names that describe the client, such as
//! `X-Forwarded-For`).

/// A field name that some rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldId {
    /// `Host` (RFC 9110, section 7.2).
    Host,
    /// `Content-Length` (RFC 9110, section 8.6).
    ContentLength,
    /// `Transfer-Encoding` (RFC 9112, section 6.1).
    TransferEncoding,
    /// `Connection` (RFC 9110, section 7.6.1).
    Connection,
    /// `Keep-Alive`: hop-by-hop since RFC 2068, section 19.7.1.
    KeepAlive,
    /// `Proxy-Connection`: never standard, hop-by-hop in practice (RFC 9110, section 7.6.1).
    ProxyConnection,
    /// `Proxy-Authorization` (RFC 9110, section 11.7.2).
    ProxyAuthorization,
    /// `TE` (RFC 9110, section 10.1.4).
    Te,
    /// `Trailer` (RFC 9110, section 6.6.2).
    Trailer,
    /// `Upgrade` (RFC 9110, section 7.8).
    Upgrade,
    /// `HTTP2-Settings` (RFC 7540, section 3.2.1), obsolete.
    Http2Settings,
    /// `Expect` (RFC 9110, section 10.1.1).
    Expect,
    /// `Max-Forwards` (RFC 9110, section 7.6.2).
    MaxForwards,
    /// `Via` (RFC 9110, section 7.6.3).
    Via,
    /// `Content-Type` (RFC 9110, section 8.3).
    ContentType,
    /// `Date` (RFC 9110, section 6.6.1).
    Date,
    /// `Alt-Svc` (RFC 7838, section 3).
    AltSvc,
    /// `X-Accel-Buffering`: nginx's switch for response buffering.
    XAccelBuffering,
    /// A policy that a browser applies to a whole host: `Strict-Transport-Security` (RFC 6797),
    /// `NEL`, `Report-To`, `Clear-Site-Data` and their like.
    HostPolicy,
    /// `Origin` (RFC 6454, section 7): the request comes from a page in a browser.
    Origin,
    /// `Idempotency-Key`: the APIs' promise that a request may be repeated.
    IdempotencyKey,
    /// `X-Request-Id`: in no RFC, but what most APIs call the id of an exchange.
    XRequestId,
    /// `Location` (RFC 9110, section 10.2.2), `Content-Location` (section 8.7), and where Azure's
    /// APIs say how an operation goes: the whole value is a reference.
    Reference,
    /// `X-Goog-Upload-URL` and `X-Goog-Upload-Control-URL`: a reference to which Google's SDKs send
    /// a file, some without any other credential than is in it.
    UploadUrl,
    /// `Refresh`: in no RFC, but in all browsers. Its value holds a reference.
    Refresh,
    /// `Set-Cookie` (RFC 6265, section 4.1).
    SetCookie,
    /// `Authorization` (RFC 9110, section 11.6.2).
    Authorization,
    /// `x-api-key`: where Anthropic's API and others expect a key.
    XApiKey,
    /// `api-key`: where Azure expects a key.
    ApiKey,
    /// `x-goog-api-key`: where Google's APIs expect a key.
    XGoogApiKey,
    /// `X-Narrows-Token`: a token for us alone.
    NarrowsToken,
    /// `Sec-WebSocket-Protocol` (RFC 6455, section 11.3.4), in which browsers send a key, because
    /// they can set no other field.
    WebSocketProtocol,
    /// A lookalike of one of the fields for keys: `_` in its name for `-`.
    KeyLookalike,
    /// `Content_Length` or `Transfer_Encoding`, which CGI and its heirs read as the real names.
    FramingLookalike,
    /// Likewise a lookalike of another field that a gateway removes or changes, such as
    /// `Proxy_Authorization`.
    Lookalike,
}

impl FieldId {
    /// One bit of 64 for each id.
    pub(super) fn bit(self) -> u64 {
        // The last one.
        const { assert!((Self::Lookalike as u32) < u64::BITS) };
        1 << self as u32
    }

    /// The id of `name`, in any case, or `None` for a name that no rule asks for.
    pub fn of(name: &[u8]) -> Option<Self> {
        let (known, id) = Self::like(name)?;
        if is_lowercase_of(known.as_bytes(), name) {
            Some(id)
        } else if reads_as(known, name) {
            id.lookalike()
        } else {
            None
        }
    }

    /// The only name that `name` may be, in lower case: asked for every field line, so length and
    /// first letter pick it, in two cases another letter.
    fn like(name: &[u8]) -> Option<(&'static str, Self)> {
        let first = name.first()?.to_ascii_lowercase();
        Some(match (name.len(), first) {
            (2, b't') => ("te", Self::Te),
            (3, b'n') => ("nel", Self::HostPolicy),
            (3, b'v') => ("via", Self::Via),
            (4, b'h') => ("host", Self::Host),
            (4, b'd') => ("date", Self::Date),
            (6, b'e') => ("expect", Self::Expect),
            (6, b'o') => ("origin", Self::Origin),
            (7, b'u') => ("upgrade", Self::Upgrade),
            (7, b't') => ("trailer", Self::Trailer),
            (7, b'r') => ("refresh", Self::Refresh),
            (7, b'a') if name[1] | 0x20 == b'p' => ("api-key", Self::ApiKey),
            (7, b'a') => ("alt-svc", Self::AltSvc),
            (8, b'l') => ("location", Self::Reference),
            (9, b'e') => ("expect-ct", Self::HostPolicy),
            (9, b'r') => ("report-to", Self::HostPolicy),
            (9, b'x') => ("x-api-key", Self::XApiKey),
            (10, b'c') => ("connection", Self::Connection),
            (10, b'k') => ("keep-alive", Self::KeepAlive),
            (10, b's') => ("set-cookie", Self::SetCookie),
            (12, b'c') => ("content-type", Self::ContentType),
            (12, b'm') => ("max-forwards", Self::MaxForwards),
            (12, b'x') => ("x-request-id", Self::XRequestId),
            (13, b'a') => ("authorization", Self::Authorization),
            (14, b'c') => ("content-length", Self::ContentLength),
            (13, b'e') => ("expect-staple", Self::HostPolicy),
            (14, b'h') => ("http2-settings", Self::Http2Settings),
            (14, b'x') => ("x-goog-api-key", Self::XGoogApiKey),
            (15, b'c') => ("clear-site-data", Self::HostPolicy),
            (15, b'i') => ("idempotency-key", Self::IdempotencyKey),
            (15, b'p') => ("public-key-pins", Self::HostPolicy),
            (15, b'x') => ("x-narrows-token", Self::NarrowsToken),
            (16, b'c') => ("content-location", Self::Reference),
            (16, b'p') => ("proxy-connection", Self::ProxyConnection),
            (17, b't') => ("transfer-encoding", Self::TransferEncoding),
            (18, b'a') => ("alternate-protocol", Self::HostPolicy),
            (17, b'x') if name[2] | 0x20 == b'g' => ("x-goog-upload-url", Self::UploadUrl),
            (17, b'x') => ("x-accel-buffering", Self::XAccelBuffering),
            (18, b'o') => ("operation-location", Self::Reference),
            (19, b'p') => ("proxy-authorization", Self::ProxyAuthorization),
            (19, b'r') => ("reporting-endpoints", Self::HostPolicy),
            (20, b'a') => ("azure-asyncoperation", Self::Reference),
            (22, b's') if name[2] | 0x20 == b'r' => ("service-worker-allowed", Self::HostPolicy),
            (22, b's') => ("sec-websocket-protocol", Self::WebSocketProtocol),
            (25, b's') => ("strict-transport-security", Self::HostPolicy),
            (25, b'x') => ("x-goog-upload-control-url", Self::UploadUrl),
            (27, b'p') => ("public-key-pins-report-only", Self::HostPolicy),
            _ => return None,
        })
    }

    /// The id of a name that becomes this one's when `_` is read as `-`.
    fn lookalike(self) -> Option<Self> {
        match self {
            Self::ContentLength | Self::TransferEncoding => Some(Self::FramingLookalike),
            Self::KeepAlive
            | Self::ProxyConnection
            | Self::ProxyAuthorization
            | Self::Http2Settings
            | Self::MaxForwards
            | Self::NarrowsToken => Some(Self::Lookalike),
            Self::XApiKey | Self::ApiKey | Self::XGoogApiKey | Self::WebSocketProtocol => {
                Some(Self::KeyLookalike)
            }
            Self::Host
            | Self::Connection
            | Self::Te
            | Self::Trailer
            | Self::Upgrade
            | Self::Expect
            | Self::Via
            | Self::ContentType
            | Self::Date
            | Self::AltSvc
            | Self::XAccelBuffering
            | Self::HostPolicy
            | Self::Origin
            | Self::IdempotencyKey
            | Self::XRequestId
            | Self::Reference
            | Self::UploadUrl
            | Self::Refresh
            | Self::SetCookie
            | Self::Authorization
            | Self::KeyLookalike
            | Self::FramingLookalike
            | Self::Lookalike => None,
        }
    }
}

/// Whether `name` is `known` in any case. `known` is of lower-case letters, digits and `-`, so one
/// bit is all that another case may change. Only control characters, which no name or value holds,
/// are taken for others by that.
fn is_lowercase_of(known: &[u8], name: &[u8]) -> bool {
    const EACH: u64 = u64::MAX / 0xff;
    let lower = |eight: &[u8; 8]| u64::from_le_bytes(*eight) | (EACH * 0x20);
    let is_lower = |known: &[u8; 8], name: &[u8; 8]| u64::from_le_bytes(*known) == lower(name);
    let (Some(known_end), Some(name_end)) = (known.last_chunk(), name.last_chunk()) else {
        return known.len() == name.len()
            && known.iter().zip(name).all(|(known, byte)| *known == *byte | 0x20);
    };
    // The last eight bytes overlap with those before.
    let ((known_words, _), (words, _)) = (known.as_chunks(), name.as_chunks());
    known.len() == name.len()
        && is_lower(known_end, name_end)
        && known_words.iter().zip(words).all(|(known, word)| is_lower(known, word))
}

/// A byte of a name as CGI and its heirs read it: `_` as `-`, and in lower case here.
fn read(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// Whether CGI and its heirs read `name` as `known`, which is in lower case: in any case, and with
/// `_` for any `-`.
pub fn reads_as(known: &str, name: &[u8]) -> bool {
    known.len() == name.len() && known.bytes().zip(name).all(|(known, byte)| known == read(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(&str, FieldId)] = &[
        ("Host", FieldId::Host),
        ("Content-Length", FieldId::ContentLength),
        ("Transfer-Encoding", FieldId::TransferEncoding),
        ("Connection", FieldId::Connection),
        ("Keep-Alive", FieldId::KeepAlive),
        ("Proxy-Connection", FieldId::ProxyConnection),
        ("Proxy-Authorization", FieldId::ProxyAuthorization),
        ("TE", FieldId::Te),
        ("Trailer", FieldId::Trailer),
        ("Upgrade", FieldId::Upgrade),
        ("HTTP2-Settings", FieldId::Http2Settings),
        ("Expect", FieldId::Expect),
        ("Max-Forwards", FieldId::MaxForwards),
        ("Via", FieldId::Via),
        ("Content-Type", FieldId::ContentType),
        ("Date", FieldId::Date),
        ("Alt-Svc", FieldId::AltSvc),
        ("X-Accel-Buffering", FieldId::XAccelBuffering),
        ("Strict-Transport-Security", FieldId::HostPolicy),
        ("NEL", FieldId::HostPolicy),
        ("Report-To", FieldId::HostPolicy),
        ("Reporting-Endpoints", FieldId::HostPolicy),
        ("Expect-CT", FieldId::HostPolicy),
        ("Expect-Staple", FieldId::HostPolicy),
        ("Public-Key-Pins", FieldId::HostPolicy),
        ("Public-Key-Pins-Report-Only", FieldId::HostPolicy),
        ("Alternate-Protocol", FieldId::HostPolicy),
        ("Clear-Site-Data", FieldId::HostPolicy),
        ("Service-Worker-Allowed", FieldId::HostPolicy),
        ("Origin", FieldId::Origin),
        ("Idempotency-Key", FieldId::IdempotencyKey),
        ("X-Request-Id", FieldId::XRequestId),
        ("Location", FieldId::Reference),
        ("Content-Location", FieldId::Reference),
        ("Operation-Location", FieldId::Reference),
        ("Azure-AsyncOperation", FieldId::Reference),
        ("X-Goog-Upload-URL", FieldId::UploadUrl),
        ("X-Goog-Upload-Control-URL", FieldId::UploadUrl),
        ("Refresh", FieldId::Refresh),
        ("Set-Cookie", FieldId::SetCookie),
        ("Authorization", FieldId::Authorization),
        ("X-Api-Key", FieldId::XApiKey),
        ("Api-Key", FieldId::ApiKey),
        ("X-Goog-Api-Key", FieldId::XGoogApiKey),
        ("X-Narrows-Token", FieldId::NarrowsToken),
        ("Sec-WebSocket-Protocol", FieldId::WebSocketProtocol),
    ];

    #[test]
    fn known_names_are_known_in_any_case() {
        for (name, id) in KNOWN {
            for spelt in [name.to_string(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(FieldId::of(spelt.as_bytes()), Some(*id), "{spelt}");
            }
        }
    }

    #[test]
    fn a_name_with_one_other_byte_is_another_name() {
        for (name, _) in KNOWN {
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] = b'~';
                assert_eq!(FieldId::of(&other), None, "{:?}", String::from_utf8_lossy(&other));
            }
            assert_eq!(FieldId::of(&name.as_bytes()[1..]), None, "{name}");
            assert_eq!(FieldId::of(format!("{name}s").as_bytes()), None, "{name}s");
        }
    }

    #[test]
    fn a_name_that_cgi_reads_as_a_known_one_is_a_lookalike() {
        for (name, id) in [
            ("Content_Length", FieldId::FramingLookalike),
            ("TRANSFER_ENCODING", FieldId::FramingLookalike),
            ("Proxy_Authorization", FieldId::Lookalike),
            ("keep_alive", FieldId::Lookalike),
            ("Proxy_Connection", FieldId::Lookalike),
            ("HTTP2_Settings", FieldId::Lookalike),
            ("Max_Forwards", FieldId::Lookalike),
            ("X-Narrows_Token", FieldId::Lookalike),
            ("X_API_Key", FieldId::KeyLookalike),
            ("api_key", FieldId::KeyLookalike),
            ("x-goog_api-key", FieldId::KeyLookalike),
            ("Sec_WebSocket_Protocol", FieldId::KeyLookalike),
        ] {
            assert_eq!(FieldId::of(name.as_bytes()), Some(id), "{name}");
        }
    }

    #[test]
    fn names_that_apis_use_have_no_id() {
        for name in [
            "",
            "Accept",
            "User-Agent",
            "Content-Encoding",
            "session_id",
            "content_type",
            "idempotency_key",
            "set_cookie",
            "X-Stainless-Retry-Count",
            "OpenAI-Organization",
            "Sec-WebSocket-Key",
            "X-Forward",
            "CF",
            "Cookie",
        ] {
            assert_eq!(FieldId::of(name.as_bytes()), None, "{name}");
        }
    }
}
