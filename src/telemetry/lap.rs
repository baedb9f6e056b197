//! A time since the start of an exchange, in few bytes: [`Lap`].

use std::num::NonZero;
use std::time::Duration;

/// In nanoseconds, never 0: an optional one is half as large as an optional [`Duration`], and a
/// session has three for as long as it lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lap(NonZero<u64>);

impl From<Duration> for Lap {
    fn from(time: Duration) -> Self {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZero::new(nanoseconds).unwrap_or(NonZero::<u64>::MIN))
    }
}

impl From<Lap> for Duration {
    fn from(Lap(nanoseconds): Lap) -> Self {
        Self::from_nanos(nanoseconds.get())
    }
}
