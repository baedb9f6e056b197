//! Sending until everything is blocked, without waiting for time to pass.

use super::stage::{GET, OK, OK_LAST, Stage};
use narrows_kit::pattern::pattern;
use narrows_kit::peer::Peer;

/// Exchanges without progress after which a sender counts as blocked. Each takes the relay's only
/// worker through its event loop several times, and one of them would see the sender's bytes.
const QUIET_EXCHANGES: usize = 20;

/// Sends the pattern until the relay and the kernel take no more; gives how much they took.
///
/// The relay has one worker. That it has nothing left to do is seen by other exchanges, which it
/// serves in between.
pub async fn send_until_blocked(sender: &mut Peer, stage: &Stage, total: usize) -> usize {
    let (mut client, mut upstream) = stage.begin(GET).await;
    upstream.send(OK).await;
    client.read_message().await;
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
        client.send(GET).await;
        upstream.read_head().await;
        upstream.send(OK).await;
        client.read_message().await;
    }
    client.send(GET).await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    client.read_message().await;
    sent
}

/// Lets the relay's only worker do all that it can do now: it serves others in between.
pub async fn settle(stage: &Stage) {
    let (mut client, mut upstream) = stage.begin(GET).await;
    upstream.send(OK).await;
    client.read_message().await;
    for _ in 0..QUIET_EXCHANGES {
        client.send(GET).await;
        upstream.read_head().await;
        upstream.send(OK).await;
        client.read_message().await;
    }
    client.send(GET).await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    client.read_message().await;
}
