//! What runs on a worker: its [`Running`] exchanges and connections in tcp mode.
//!
//! Each client connection has one entry, from its begin to its end, so that an exchange which
//! begins or ends changes no list. An entry without an exchange is idle.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The entries of one worker's client connections.
#[derive(Clone, Default)]
pub struct Running(Rc<RefCell<Vec<Rc<dyn Entry>>>>);

/// What runs on one route or forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningOnRoute {
    /// The name of the route or forward; `None` while there is none yet.
    pub name: Option<Arc<str>>,
    /// How many exchanges, or connections in tcp mode.
    pub count: usize,
    /// The age of the oldest.
    pub oldest: Duration,
}

/// What a client connection is at.
pub(super) trait Entry {
    /// Where it is in the list.
    fn position(&self) -> &Cell<usize>;

    /// Since when an exchange runs, and the name of its route; `None` when the connection is idle.
    fn current(&self) -> Option<(Instant, Option<Arc<str>>)>;
}

impl Running {
    /// How many run on each route, in no order.
    pub fn by_route(&self) -> Vec<RunningOnRoute> {
        let now = Instant::now();
        let mut routes: HashMap<Option<Arc<str>>, (usize, Duration)> = HashMap::new();
        for (since, name) in self.0.borrow().iter().filter_map(|entry| entry.current()) {
            let (count, oldest) = routes.entry(name).or_default();
            *count += 1;
            *oldest = (*oldest).max(now.duration_since(since));
        }
        let of_route = |(name, (count, oldest))| RunningOnRoute { name, count, oldest };
        routes.into_iter().map(of_route).collect()
    }

    /// Adds an entry, until [`Running::leave`].
    pub(super) fn enter(&self, entry: Rc<dyn Entry>) {
        let mut entries = self.0.borrow_mut();
        entry.position().set(entries.len());
        entries.push(entry);
    }

    /// Removes an entry. The last one takes its place.
    pub(super) fn leave(&self, entry: &dyn Entry) {
        let mut entries = self.0.borrow_mut();
        let at = entry.position().get();
        let _left = entries.swap_remove(at);
        if let Some(moved) = entries.get(at) {
            moved.position().set(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{ConnectionRecorder, ExchangeRecorder, Outcome};
    use std::net::SocketAddr;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_each_route_is_known_whatever_began_and_ended_meanwhile() {
        let running = Running::default();
        let mut recorders: Vec<_> = (0..3).map(|_| exchange(&running)).collect();
        assert_eq!(by_route(&running), [], "a connection without a request is idle");
        for recorder in &mut recorders {
            recorder.start();
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(by_route(&running), [(None, 3, 3)]);
        recorders[0].route(&"/other/".into());
        recorders[1].route(&"/gpt/".into());
        // After a reload, a route of the same name has another one.
        recorders[2].route(&"/gpt/".into());
        let (gpt, other) = (Some("/gpt/"), Some("/other/"));
        assert_eq!(by_route(&running), [(gpt, 2, 2), (other, 1, 3)]);

        recorders[1].end(Outcome::Completed);
        assert_eq!(by_route(&running), [(gpt, 1, 1), (other, 1, 3)]);
        recorders[1].start();
        assert_eq!(by_route(&running), [(None, 1, 0), (gpt, 1, 1), (other, 1, 3)]);
        drop(recorders.remove(0));
        assert_eq!(by_route(&running), [(None, 1, 0), (gpt, 1, 1)]);
        drop(recorders.remove(0));
        drop(recorders);
        assert_eq!(by_route(&running), []);
        assert!(running.0.borrow().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_in_tcp_mode_runs_from_its_acceptance_to_its_end() {
        let running = Running::default();
        let mut recorder = ConnectionRecorder::new(client(), &running);
        assert_eq!(by_route(&running), [(None, 1, 0)]);
        recorder.forward(&"*".into());
        assert_eq!(by_route(&running), [(Some("*"), 1, 0)]);
        recorder.tunnelled(Ok(()));
        assert_eq!(by_route(&running), []);
    }

    fn exchange(running: &Running) -> ExchangeRecorder {
        ExchangeRecorder::new(client(), running)
    }

    fn client() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 7], 4711))
    }

    /// Name, count, and the oldest's age in seconds.
    fn by_route(running: &Running) -> Vec<(Option<&'static str>, usize, u64)> {
        let known = ["/gpt/", "/other/", "*"];
        let name = |name: Option<Arc<str>>| {
            name.map(|name| *known.iter().find(|known| ***known == *name).unwrap())
        };
        let routes = running.by_route().into_iter();
        let mut routes: Vec<_> =
            routes.map(|it| (name(it.name), it.count, it.oldest.as_secs())).collect();
        routes.sort_unstable();
        routes
    }
}
