//! How long a request takes over a new connection, one that resumes a session, and a warm one.

use super::finding::Finding;
use std::time::Duration;

const STEP: &str = "times";

/// From the name, or from TCP, to the end of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// With the lookup and a whole handshake.
    pub(super) cold: Duration,
    /// Over a new connection to the same address; whether a session was resumed.
    pub(super) resumed: Option<(bool, Duration)>,
    /// Over the connection that was there.
    pub(super) warm: Option<Duration>,
}

/// Judges them: that a connection does not persist costs a handshake for each request.
pub(super) fn verdict(about: &str, times: Times) -> Finding {
    let text = |it: Duration| format!("{} ms", it.as_millis());
    let mut what = format!("cold {}", text(times.cold));
    match times.resumed {
        Some((true, took)) => what += &format!(", resumed {}", text(took)),
        Some((false, took)) => what += &format!(", new connection {} (not resumed)", text(took)),
        None => {}
    }
    match times.warm {
        Some(warm) => Finding::ok(STEP, about, format!("{what}, warm {}", text(warm))),
        None => Finding::warning(
            STEP,
            about,
            format!("{what}; the connection does not stay open"),
            "every request pays for a new connection: look for what closes it, such as a proxy on \
             the way or \"Connection: close\" of the server",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn times_are_listed_and_a_connection_that_does_not_stay_is_a_warning() {
        let ms = Duration::from_millis;
        let times = Times { cold: ms(300), resumed: Some((true, ms(200))), warm: Some(ms(90)) };
        let good = verdict("a", times);
        assert_eq!(good.what, "cold 300 ms, resumed 200 ms, warm 90 ms");
        let bad = verdict("a", Times { resumed: Some((false, ms(1))), warm: None, ..times });
        assert!(bad.verdict == Verdict::Warning && bad.what.contains("not resumed"), "{bad:?}");
    }
}
