//! What is sent to the CA and what it answers, apart from HTTP: [`Request`] and [`Response`].

/// Longest body of an answer that is read. A chain of ten certificates has some 20 KiB.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Longest URL that the CA may give. Those of well-known CAs have at most 150 bytes.
const URL_BYTES_MAX: usize = 2048;

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// For what needs no account.
    Get,
    /// For a nonce.
    Head,
    /// For everything else (RFC 8555, section 6.3).
    Post,
}

/// A request to send. A redirect must not be followed: the URL is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where: always `https`, printable ASCII without blanks.
    pub url: String,
    /// JSON, empty unless it is a POST.
    pub body: String,
    /// What the body is.
    pub content_type: Option<&'static str>,
    /// What may come back.
    pub accept: &'static str,
}

impl Request {
    /// A request without a signature.
    pub(super) fn unsigned(method: Method, url: &str) -> Self {
        let accept = "application/json";
        Self { method, url: url.to_owned(), body: String::new(), content_type: None, accept }
    }
}

/// An answer, with the fields that matter as they were received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Replay-Nonce (RFC 8555, section 6.5).
    pub nonce: Option<String>,
    /// Location.
    pub location: Option<String>,
    /// Retry-After, a number of seconds or a date.
    pub retry_after: Option<String>,
    /// Date.
    pub date: Option<String>,
    /// The content.
    pub body: Vec<u8>,
}

impl Response {
    /// Whether the CA did what was asked.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// When to ask again, if the answer says so (RFC 9110, section 10.2.3).
    pub(super) fn retry_at(&self, now: i64) -> Option<i64> {
        let value = self.retry_after.as_deref()?.trim();
        if value.bytes().all(|it| it.is_ascii_digit()) {
            // More digits than fit: as late as there is.
            let seconds = value.parse().unwrap_or(i64::MAX);
            return (!value.is_empty()).then(|| now.saturating_add(seconds));
        }
        date(value)
    }

    /// How far the CA's clock is ahead of ours, in seconds.
    pub(super) fn clock_difference(&self, now: i64) -> Option<i64> {
        Some(date(self.date.as_deref()?)? - now)
    }
}

/// A URL from the CA, if we would send a request to it.
pub(super) fn checked_url(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let is_sound = !authority.is_empty()
        && url.len() <= URL_BYTES_MAX
        && url.bytes().all(|it| it.is_ascii_graphic() && !br#""\<>^`{|}#"#.contains(&it))
        && !authority.contains('@');
    is_sound.then_some(url)
}

/// An HTTP date, in seconds since 1970.
fn date(text: &str) -> Option<i64> {
    let date = httpdate::parse_http_date(text).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let at = |value: &str| {
            let retry_after = Some(value.to_owned());
            Response { retry_after, ..Response::default() }.retry_at(1000)
        };
        assert_eq!(at("120"), Some(1120));
        assert_eq!(at(" 0 "), Some(1000));
        assert_eq!(at("Thu, 01 Jan 1970 01:00:00 GMT"), Some(3600));
        assert_eq!(at("99999999999999999999999"), Some(i64::MAX));
        for bad in ["", "-1", "soon", "1.5", "Thu, 01 Jan 1970"] {
            assert_eq!(at(bad), None, "{bad}");
        }
        assert_eq!(Response::default().retry_at(0), None);
    }

    #[test]
    fn the_date_of_an_answer_shows_a_clock_that_is_off() {
        let date = Some("Thu, 01 Jan 1970 01:00:00 GMT".to_owned());
        let response = Response { date, ..Response::default() };
        assert_eq!(response.clock_difference(0), Some(3600));
        assert_eq!(response.clock_difference(7200), Some(-3600));
    }

    #[test]
    fn only_sound_https_urls_are_accepted() {
        for good in ["https://a.example", "https://[::1]:14000/dir?x=1", "https://a/b%20c"] {
            assert_eq!(checked_url(good), Some(good));
        }
        let long = format!("https://a/{}", "a".repeat(URL_BYTES_MAX));
        let bad = ["http://a/", "https://", "https:///x", "https://u@a/", "https://a/ b", &long];
        for bad in bad.into_iter().chain(["https://a/\r\nX: y", "https://a/#b", "https://ä/", ""])
        {
            assert_eq!(checked_url(bad), None, "{bad}");
        }
    }
}
