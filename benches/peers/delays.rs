//! The delay that a relay adds to the events of many streams.
//!
//! All relays have their streams open all the time; they get events in turns, one after the other,
//! in another order each time, so that other load on the machine affects all alike.

use crate::Fault;
use crate::client::Way;
use crate::origin::Origin;
use crate::process::separate;
use crate::streams::Streams;
use narrows_kit::programs::Relay;
use std::time::Duration;

/// The delays of each turn, sorted.
pub(crate) type Turns = Vec<Vec<Duration>>;

/// Of each way: first the one without a relay, then those of `relays`, each with its origin.
pub(crate) async fn delays(
    straight: &Origin,
    relays: &[(Relay, Origin)],
    streams: usize,
    turns: usize,
    span: Duration,
) -> Result<Vec<Turns>, Fault> {
    for (relay, _) in relays {
        separate(relay)?;
    }
    let mut ways = vec![(Way { address: straight.address, prefix: "" }, straight)];
    ways.extend(
        relays
            .iter()
            .map(|(relay, origin)| (Way { address: relay.address, prefix: "/gpt" }, origin)),
    );
    let mut open = Vec::new();
    for (way, origin) in ways {
        let mut held = Streams::new(way, origin.clock);
        held.grow(streams).await?;
        open.push((held, origin));
    }
    let mut delays = vec![Turns::new(); open.len()];
    for turn in 0..=turns {
        for place in 0..open.len() {
            let number = (place + turn) % open.len();
            let (streams, origin) = &mut open[number];
            let of_turn = streams.run(origin, span).await?;
            // The first turn warms up.
            if turn > 0 {
                delays[number].push(of_turn);
            }
        }
    }
    Ok(delays)
}
