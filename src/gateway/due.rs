//! Which limits of time an exchange is under, and when the driver has to check on the client.
//!
//! The driver has a [`Clock`] for each direction, which measures gaps: it starts again with each
//! byte that moves in that direction. Which clock runs, and under which limit, follows from the two
//! states and from where bytes wait:
//!
//! - Bytes wait for a peer: its gap, under the limit for writes to it.
//! - Otherwise, while the request is `Sending`: the client's gap. A client that waits for a 100 is
//!   not late; then the upstream is under its limit to answer.
//! - While the response is `Silent` or `Head`, after the request was `Sending`: the upstream's time
//!   to answer, since the end of the request. While it is `Body`: its gap.
//! - Once the response has its head, no limit applies to the request: a response under way is not
//!   cut off because the rest of the request is late.
//!
//! A client that leaves ends its exchange at once, in every state. The driver notices by reading;
//! where it may not read, [`Due::Look`] asks it to check.
//!
//! Not here: how long a limit is (`timeouts`), and the time (`clock`).

use crate::gateway::exchange::{Exchange, RequestState, ResponseState};
use crate::timeouts::Timer;

/// What the driver holds at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Bytes that the upstream has not taken.
    pub for_upstream: bool,
    /// Bytes that the client has not taken.
    pub for_client: bool,
    /// As many bytes of pipelined requests as are read ahead.
    pub pipelined: bool,
    /// A copy of the request, in case it has to be sent again.
    pub copy: bool,
    /// Content of the request has come from the client.
    pub content: bool,
}

/// What happens next if no byte moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The exchange fails by the name of `timer`, as soon as `clock` has run for as long.
    Expire(Clock, Timer),
    /// The driver looks whether the client is still there: nothing would wake it.
    Look,
}

/// A clock of the driver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Runs since the last byte moved towards the upstream. Once the request has left the state
    /// `Sending`, it does not begin anew.
    Upload,
    /// Runs since the last byte moved towards the client.
    Download,
}

/// What is due if no further byte moves: the driver acts on whichever comes first. `held` is
/// what it holds meanwhile.
pub fn due(exchange: &Exchange, held: Held) -> [Option<Due>; 3] {
    let upload = upload_timer(exchange, held).map(|timer| Due::Expire(Clock::Upload, timer));
    let look = cannot_see_the_client(exchange, held).then_some(Due::Look);
    [upload, download_due(exchange, held), look]
}

fn upload_timer(exchange: &Exchange, held: Held) -> Option<Timer> {
    match exchange.request_state() {
        _ if exchange.has_response_head() => None,
        _ if held.for_upstream => Some(Timer::ToUpstreamWrite),
        RequestState::Sending if exchange.awaits_continue() && !held.content => {
            Some(Timer::ResponseHead)
        }
        RequestState::Sending => Some(Timer::ToUpstreamRead),
        RequestState::Sent | RequestState::Refused => None,
    }
}

fn download_due(exchange: &Exchange, held: Held) -> Option<Due> {
    if held.for_client {
        return Some(Due::Expire(Clock::Download, Timer::ToClientWrite));
    }
    match exchange.response_state() {
        ResponseState::Silent | ResponseState::Head => match exchange.request_state() {
            RequestState::Sending => None,
            RequestState::Sent | RequestState::Refused => {
                Some(Due::Expire(Clock::Upload, Timer::ResponseHead))
            }
        },
        ResponseState::Body => Some(Due::Expire(Clock::Download, Timer::ToClientRead)),
        ResponseState::Doubted | ResponseState::Ended | ResponseState::Switched => None,
    }
}

/// Whether the client cannot be read now, so that its departure causes no wake-up.
fn cannot_see_the_client(exchange: &Exchange, held: Held) -> bool {
    match exchange.request_state() {
        RequestState::Sending => held.for_upstream,
        RequestState::Sent => held.pipelined,
        // What it sends is read and discarded, except while it may be needed for a repeat.
        RequestState::Refused => held.copy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::request::validate;
    use crate::h1::head::{RequestHead, ResponseHead};
    use crate::h1::limits::HeadLimits;

    const LIMITS: HeadLimits = HeadLimits { bytes: 65536, fields: 256 };
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    fn exchange(request: &str) -> Exchange {
        let head = RequestHead::parse(request.as_bytes(), &LIMITS).unwrap();
        Exchange::new(validate(&head).unwrap().request)
    }

    /// The limits that run, in words.
    fn words(exchange: &Exchange, held: Held) -> String {
        let word = |due| match due {
            Due::Expire(clock, timer) => format!("{clock:?} {timer:?}"),
            Due::Look => "Look".to_owned(),
        };
        due(exchange, held).into_iter().flatten().map(word).collect::<Vec<_>>().join(", ")
    }

    const NOTHING: Held = Held {
        for_upstream: false,
        for_client: false,
        pipelined: false,
        copy: false,
        content: false,
    };

    #[test]
    fn a_request_on_its_way_is_under_the_limit_of_the_one_that_holds_it_up() {
        let mut exchange = exchange(GET);
        assert_eq!(words(&exchange, NOTHING), "Upload ToUpstreamRead");
        let full = Held { for_upstream: true, ..NOTHING };
        assert_eq!(words(&exchange, full), "Upload ToUpstreamWrite, Look");
        exchange.end_request();
        assert_eq!(words(&exchange, NOTHING), "Upload ResponseHead");
        exchange.begin_response();
        assert_eq!(words(&exchange, NOTHING), "Upload ResponseHead");
    }

    #[test]
    fn a_client_that_waits_for_a_100_is_not_late() {
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
        let mut exchange = exchange(head);
        assert_eq!(words(&exchange, NOTHING), "Upload ResponseHead");
        assert_eq!(words(&exchange, Held { content: true, ..NOTHING }), "Upload ToUpstreamRead");
        exchange.begin_response();
        assert_eq!(words(&exchange, NOTHING), "Upload ToUpstreamRead");
    }

    #[test]
    fn an_answer_that_has_begun_is_not_cut_off_for_its_request() {
        let mut exchange = exchange(GET);
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let head = ResponseHead::parse(text, &LIMITS).unwrap();
        exchange.response_head(&head, false).unwrap();
        assert_eq!(words(&exchange, NOTHING), "Download ToClientRead");
        let full = Held { for_upstream: true, for_client: true, ..NOTHING };
        assert_eq!(words(&exchange, full), "Download ToClientWrite, Look");
        exchange.end_response();
        assert_eq!(words(&exchange, NOTHING), "");
        assert_eq!(
            words(&exchange, Held { for_client: true, ..NOTHING }),
            "Download ToClientWrite"
        );
    }

    #[test]
    fn a_client_that_may_not_be_read_is_looked_after() {
        let mut sent = exchange(GET);
        sent.end_request();
        assert_eq!(words(&sent, Held { pipelined: true, ..NOTHING }), "Upload ResponseHead, Look");
        let mut refused = exchange(GET);
        refused.refuse_request();
        assert_eq!(words(&refused, NOTHING), "Upload ResponseHead");
        assert_eq!(words(&refused, Held { copy: true, ..NOTHING }), "Upload ResponseHead, Look");
    }

    #[test]
    fn nothing_is_due_while_a_response_is_doubted() {
        let mut exchange = exchange(GET);
        exchange.end_request();
        exchange.begin_response();
        exchange.doubt_response();
        assert_eq!(words(&exchange, NOTHING), "");
    }
}
