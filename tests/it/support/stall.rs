//! Sending until everything is blocked, without waiting for time to pass.

use super::stage::{GET, OK, OK_LAST, Stage};
use narrows_kit::pattern::pattern;
use narrows_kit::peer::Peer;

/// Exchanges without progress after which a sender counts as blocked. Each takes the relay's only
/// worker through its event loop several times, and one of them would see the sender's bytes.
const QUIET_EXCHANGES: usize = 20;

/// Sends the pattern until the relay and the kernel take no more; gives how much they took.
///
/// The relay has one worker. Exchanges of another client, in between, show that it has nothing left
/// to do.
pub async fn send_until_blocked(sender: &mut Peer, stage: &Stage, total: usize) -> usize {
    let mut other = Bystander::new(stage).await;
    let (mut sent, mut quiet) = (0, 0);
    while quiet < QUIET_EXCHANGES && sent < total {
        let part = pattern(sent, (total - sent).min(64 * 1024));
        let taken = sender.send_now(&part).await;
        sent += taken;
        if taken == part.len() {
            quiet = 0;
            continue;
        }
        quiet = if taken == 0 { quiet + 1 } else { 0 };
        other.exchange(OK).await;
    }
    other.exchange(OK_LAST).await;
    sent
}

/// Lets the relay's only worker do all that it can do now: it serves another client in between.
pub async fn settle(stage: &Stage) {
    let mut other = Bystander::new(stage).await;
    for _ in 0..QUIET_EXCHANGES {
        other.exchange(OK).await;
    }
    other.exchange(OK_LAST).await;
}

/// Another client and its upstream connection.
struct Bystander {
    client: Peer,
    upstream: Peer,
}

impl Bystander {
    async fn new(stage: &Stage) -> Self {
        let (mut client, mut upstream) = stage.begin(GET).await;
        upstream.send(OK).await;
        client.read_message().await;
        Self { client, upstream }
    }

    async fn exchange(&mut self, response: &str) {
        self.client.send(GET).await;
        self.upstream.read_head().await;
        self.upstream.send(response).await;
        self.client.read_message().await;
    }
}
