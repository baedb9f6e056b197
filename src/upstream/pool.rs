//! Idle connections to one upstream (RFC 9112, section 9.3): last in, first out, bounded in
//! number and age.
//!
//! The most recently used connection goes out first, so that the surplus of a burst ages and is
//! closed. The age at which the upstream closes idle connections is learned from its closes and
//! from what its Keep-Alive fields say, and ours end before: a request on a connection that is
//! just being closed is the one failure that a client can do nothing about.
//!
//! Not here: who looks at the idle connections when something happens to them (`maintenance`).

use crate::limits::{
    CLOSING_AGE_MIN, CLOSING_AGE_REMEMBERED, CLOSING_AGES_APART_MAX, POOL_CONNECTIONS_MAX,
    POOL_IDLE_MAX, POOL_PEEK_AGE, WARM_LIFE_MIN, WARM_RENEWAL,
};
use crate::net::transport::{Peek, Transport};
use crate::upstream::standing::{Ending, Own, Standing, Unasked};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

/// An open connection to an upstream.
#[derive(Debug)]
pub struct UpstreamConnection {
    /// The connection, after its handshake.
    pub transport: Transport,
    /// It has carried an exchange before.
    pub used: bool,
    /// It has been idle, so that the upstream may be closing it this moment.
    pub was_idle: bool,
    /// For how long it was idle before it was taken, in milliseconds: an exchange keeps it.
    pub idle_ms: u32,
    /// For how long the upstream said it keeps the connection idle.
    pub keep_alive: Option<Duration>,
}

/// The idle connections of one upstream and worker.
#[derive(Debug)]
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// How many these are, for the other workers.
    count: Arc<AtomicUsize>,
    standing: Arc<Standing>,
    /// Connections older than this are not kept.
    age_max: Option<Duration>,
    /// Closing ages of connections without and with an exchange behind them: servers have two
    /// limits, one for the first request and one between requests.
    learned: [Cell<Learned>; 2],
}

#[derive(Debug)]
struct Idle {
    connection: UpstreamConnection,
    since: Instant,
    /// When we close it.
    until: Instant,
    /// Nobody has asked for it yet.
    unasked: Option<Unasked>,
}

/// What the upstream's closes of idle connections have taught.
#[derive(Clone, Copy, Debug, Default)]
struct Learned {
    /// The age at the last close. One alone may be a restart.
    last: Option<Seen>,
    /// The shortest age that was seen twice.
    limit: Option<Seen>,
}

/// An idle age at which the upstream has closed a connection, and when that was.
#[derive(Clone, Copy, Debug)]
struct Seen {
    age: Duration,
    at: Instant,
}

impl Pool {
    /// An empty one, of one worker.
    pub fn new(standing: Arc<Standing>, age_max: Option<Duration>) -> Self {
        let count = standing.join();
        let (idle, learned) = Default::default();
        Self { idle, count, standing, age_max, learned }
    }

    /// The most recently used connection that is still open and silent at `now`.
    pub fn take(&self, now: Instant) -> Option<UpstreamConnection> {
        loop {
            let popped = self.idle.borrow_mut().pop();
            self.publish();
            let mut idle = popped?;
            let is_over = now >= idle.until || self.standing.is_suspect(idle.since);
            match idle.connection.listen(&mut Context::from_waker(Waker::noop())) {
                Heard::Silence if !is_over && idle.is_silent_in_the_kernel(now) => {
                    return Some(self.hand_out(idle, now));
                }
                Heard::Silence => {}
                Heard::End(why) => self.ended(&idle, why),
            }
        }
    }

    fn hand_out(&self, idle: Idle, now: Instant) -> UpstreamConnection {
        let Idle { connection, since, unasked, .. } = idle;
        let idle = now.duration_since(since);
        if !connection.used && idle >= WARM_LIFE_MIN {
            self.standing.survived(since);
            self.standing.kept();
        }
        if let Some(unasked) = unasked {
            unasked.used();
        }
        let idle_ms = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
        UpstreamConnection { idle_ms, ..connection }
    }

    /// Keeps a line if it is silent. The oldest one makes room. From now on the readiness of the
    /// line wakes `maintenance`.
    pub fn put(&self, checked: Checked, keeper: &Waker) {
        let Checked { mut connection, unasked } = checked;
        let since = Instant::now();
        let until = self.end_of(&connection, since);
        if !connection.was_idle {
            // A fresh one has not been listened to yet.
            if let Heard::End(why) = connection.listen(&mut Context::from_waker(keeper)) {
                return self.ended(&Idle { connection, since, until, unasked }, why);
            }
        }
        if until <= since {
            return;
        }
        let connection = UpstreamConnection { was_idle: true, ..connection };
        let added = Idle { connection, since, until, unasked };
        let mut idle = self.idle.borrow_mut();
        if idle.len() == POOL_CONNECTIONS_MAX {
            idle.remove(0);
        }
        idle.push(added);
        drop(idle);
        self.publish();
    }

    /// How many connections are idle.
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Whether no connection is idle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many connections are idle, and how many have more than [`WARM_RENEWAL`] to live.
    pub(super) fn own(&self, now: Instant) -> Own {
        let idle = self.idle.borrow();
        let ready = idle.iter().filter(|idle| now + WARM_RENEWAL < idle.until).count();
        Own { idle: idle.len(), ready }
    }

    /// The first connection opened at `begin` or later that no request has come for: since when it
    /// is open, and when it will have lived for as long as one needs to be of use.
    pub(super) fn proof(&self, begin: Instant) -> Option<(Instant, Instant)> {
        let idle = self.idle.borrow();
        let unused = idle.iter().filter(|idle| !idle.connection.used && idle.since >= begin);
        unused.map(|idle| (idle.since, idle.since + WARM_LIFE_MIN)).min()
    }

    /// Whether `line` is too old to be kept.
    pub fn is_aged(&self, connection: &UpstreamConnection) -> bool {
        self.age_max.is_some_and(|age| connection.transport.opened().elapsed() >= age)
    }

    /// Removes those that may be as dead as a connection that was idle for so long before it died
    /// without a word. The other workers see to theirs when they take one.
    pub fn suspect(&self, idle: Duration) {
        self.standing.suspect(idle, Instant::now());
        self.idle.borrow_mut().retain(|idle| !self.standing.is_suspect(idle.since));
        self.publish();
    }

    /// Removes what is over, and learns from it. Gives the end of the connection that ends first.
    pub fn sweep(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| match idle.connection.listen(cx) {
            Heard::Silence => {
                let goes_on = now < idle.until;
                if !goes_on && !idle.connection.used {
                    self.standing.kept();
                }
                goes_on
            }
            Heard::End(why) => {
                self.ended(idle, why);
                false
            }
        });
        let next = idle.iter().map(|idle| idle.until).min();
        drop(idle);
        self.publish();
        next
    }

    fn publish(&self) {
        self.count.store(self.len(), Ordering::Relaxed);
    }

    /// When `line`, idle since `since`, has to go.
    fn end_of(&self, connection: &UpstreamConnection, since: Instant) -> Instant {
        let idle = since + self.idle_limit(connection);
        self.age_max.map_or(idle, |age| idle.min(connection.transport.opened() + age))
    }

    /// How long `line` may stay idle.
    fn idle_limit(&self, connection: &UpstreamConnection) -> Duration {
        let learned = self.closing_limit(connection.used);
        let told = connection.keep_alive.map(below);
        [learned, told].into_iter().flatten().fold(POOL_IDLE_MAX, Duration::min)
    }

    /// Learns from a line that the upstream has ended.
    fn ended(&self, idle: &Idle, why: Ending) {
        self.learn(idle);
        if !idle.connection.used {
            let is_early = idle.connection.transport.opened().elapsed() < WARM_LIFE_MIN;
            self.standing.ended_unused(idle.connection.transport.opened(), is_early.then_some(why));
        }
    }

    /// For how long connections may stay idle, by what was learned of the upstream.
    pub fn closing_limit(&self, used: bool) -> Option<Duration> {
        let limit = self.learned[usize::from(used)].get().limit?;
        (limit.at.elapsed() < CLOSING_AGE_REMEMBERED).then(|| below(limit.age))
    }

    /// Two closes at about the same age, one after the other, are a limit of the upstream's. A
    /// restart closes lines of any age, and all of them at once.
    fn learn(&self, closed: &Idle) {
        let seen = Seen { age: closed.since.elapsed(), at: Instant::now() };
        let place = &self.learned[usize::from(closed.connection.used)];
        let Learned { last, mut limit } = place.get();
        let again = last.filter(|last| {
            last.at.elapsed() >= CLOSING_AGE_MIN
                && last.age.abs_diff(seen.age) <= CLOSING_AGES_APART_MAX
        });
        if let Some(again) = again {
            let age = again.age.min(seen.age);
            let known = limit.filter(|limit| limit.at.elapsed() < CLOSING_AGE_REMEMBERED);
            let age = known.map_or(age, |known| known.age.min(age));
            limit = Some(Seen { age, at: seen.at });
        }
        let is_restart = seen.age < CLOSING_AGE_MIN;
        place.set(Learned { last: if is_restart { last } else { Some(seen) }, limit });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.count.store(0, Ordering::Relaxed);
    }
}

/// What a look at an idle connection found.
enum Heard {
    Silence,
    /// The upstream has closed it, or it broke, or bytes came that answer nothing.
    End(Ending),
}

impl UpstreamConnection {
    /// A connection that nobody has used.
    pub fn fresh(transport: Transport) -> Self {
        Self { transport, used: false, was_idle: false, idle_ms: 0, keep_alive: None }
    }

    /// Anything but silence ends an idle connection. TLS session tickets are silence: TLS takes
    /// them in and has nothing to show.
    fn listen(&mut self, cx: &mut Context<'_>) -> Heard {
        // Beside the task's budget: a look that the runtime put off would pass for silence.
        let look = pin!(unconstrained(poll_fn(|cx| self.transport.poll_read(cx, &mut [0]))));
        match look.poll(cx) {
            Poll::Pending => Heard::Silence,
            Poll::Ready(Ok(0)) => Heard::End(Ending::CLOSED),
            Poll::Ready(Ok(_)) => Heard::End(Ending::BYTES),
            Poll::Ready(Err(error)) => Heard::End(Ending::failed(&error)),
        }
    }

    /// The line, if nothing was heard of it since its last exchange ended. From now on its
    /// readiness wakes `maintenance`, not the session it served last.
    ///
    /// No line is handed on without this: what an upstream sends behind one response would be
    /// taken for the beginning of the next.
    pub fn check(mut self, keeper: &Waker) -> Option<Checked> {
        let heard = self.listen(&mut Context::from_waker(keeper));
        matches!(heard, Heard::Silence).then_some(Checked { connection: self, unasked: None })
    }
}

impl Idle {
    /// Whether the kernel knows of nothing that speaks against using the line: the runtime learns
    /// of a byte or a FIN only in its next round. Asked of lines that are old enough for their
    /// upstream to be closing them; for the others, a system call in each exchange would win
    /// microseconds against the time that a FIN is on its way (RFC 9112, section 9.5).
    fn is_silent_in_the_kernel(&self, now: Instant) -> bool {
        if now.duration_since(self.since) < POOL_PEEK_AGE {
            return true;
        }
        match self.connection.transport.peek() {
            Peek::Silence => true,
            // Behind a fresh handshake come session tickets.
            Peek::Bytes => !self.connection.used && self.connection.transport.is_tls(),
            Peek::End => false,
        }
    }
}

/// A line of which nothing was heard when it was last looked at, or a fresh one.
#[derive(Debug)]
pub struct Checked {
    connection: UpstreamConnection,
    unasked: Option<Unasked>,
}

impl Checked {
    /// A line that nobody has used. Whatever its upstream does with it is the answer to its first
    /// request: another line would meet with the same.
    pub(super) fn fresh(transport: Transport, unasked: Option<Unasked>) -> Self {
        Self { connection: UpstreamConnection::fresh(transport), unasked }
    }

    /// The line, if there is still nothing to be heard of it.
    pub fn take(self) -> Option<UpstreamConnection> {
        let Self { connection, unasked } = self;
        if let Some(unasked) = unasked {
            unasked.used();
        }
        if connection.was_idle {
            connection.check(Waker::noop()).map(|checked| checked.connection)
        } else {
            Some(connection)
        }
    }
}

/// An age that is safely below the upstream's: a tenth, and never less than half a second, for
/// the way there and for clocks that tick in whole seconds.
fn below(limit: Duration) -> Duration {
    const MARGIN_MIN: Duration = Duration::from_millis(500);
    limit.saturating_sub((limit / 10).max(MARGIN_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::{End, MemoryStream};
    use crate::net::tcp::MeteredTcp;
    use std::io::IoSlice;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::coop::poll_proceed;
    use tokio::task::yield_now;
    use tokio::time::sleep;

    fn pool() -> Pool {
        Pool::new(Arc::new(Standing::new("a:443", 1, 1)), None)
    }

    fn connection(used: bool) -> (UpstreamConnection, MemoryStream) {
        let (near, far) = MemoryStream::pair(64);
        (UpstreamConnection { used, ..UpstreamConnection::fresh(Transport::from(near)) }, far)
    }

    fn sweep(pool: &Pool) {
        pool.sweep(&mut Context::from_waker(Waker::noop()));
    }

    fn put(pool: &Pool, connection: UpstreamConnection) {
        pool.put(connection.check(Waker::noop()).unwrap(), Waker::noop());
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_used_last_goes_out_first() {
        let pool = pool();
        let ((first, _far_first), (second, mut far_second)) = (connection(true), connection(true));
        put(&pool, first);
        put(&pool, second);
        let mut taken = pool.take(Instant::now()).unwrap();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(taken.transport.poll_write(cx, &[IoSlice::new(b"x")]).is_ready());
        assert!(far_second.poll_read(cx, &mut [0; 8]).is_ready());
        assert_eq!(pool.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_that_nobody_asked_for_condemns_an_idle_connection() {
        let pool = pool();
        let (near, mut far) = connection(true);
        put(&pool, near);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(far.poll_write(cx, &[IoSlice::new(b"x")]).is_ready());
        sweep(&pool);
        assert!(pool.take(Instant::now()).is_none());
    }

    /// An idle connection over TCP, and the upstream's end of it.
    async fn tcp_line() -> (UpstreamConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let near = MeteredTcp::new(listener.accept().await.unwrap().0);
        let near = UpstreamConnection::fresh(Box::new(near));
        (UpstreamConnection { used: true, was_idle: true, ..near }, far)
    }

    #[tokio::test]
    async fn a_task_that_has_used_up_its_turn_hears_what_it_should_not_hand_on() {
        let (near, mut far) = tcp_line().await;
        far.write_all(b"x").await.unwrap();
        while near.transport.peek() != Peek::Bytes {
            yield_now().await;
        }
        poll_fn(|cx| {
            while let Poll::Ready(budget) = poll_proceed(cx) {
                budget.made_progress();
            }
            Poll::Ready(())
        })
        .await;
        assert!(near.check(Waker::noop()).is_none());
    }

    #[tokio::test]
    async fn a_close_that_the_runtime_knows_of_condemns_a_line_before_the_keeper_has_looked() {
        let (pool, (near, far)) = (pool(), tcp_line().await);
        put(&pool, near);
        drop(far);
        let ended = poll_fn(|cx| {
            let mut idle = pool.idle.borrow_mut();
            idle[0].connection.transport.poll_read(cx, &mut [0])
        });
        assert_eq!(ended.await.unwrap(), 0);
        assert!(pool.take(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn the_kernel_is_asked_about_a_line_that_the_upstream_may_just_be_closing() {
        let (pool, (near, far)) = (pool(), tcp_line().await);
        put(&pool, near);
        drop(far);
        // No turn of the runtime in between, which would tell it of the FIN.
        while pool.idle.borrow()[0].connection.transport.peek() != Peek::End {}
        pool.idle.borrow_mut()[0].since -= POOL_PEEK_AGE;
        assert!(pool.take(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_end_at_their_age() {
        let pool = pool();
        let (old, _far_old) = connection(true);
        put(&pool, old);
        sleep(POOL_IDLE_MAX - Duration::from_secs(1)).await;
        let (young, _far_young) = connection(true);
        put(&pool, young);
        sleep(Duration::from_secs(1)).await;
        sweep(&pool);
        assert_eq!(pool.len(), 1);
        sleep(POOL_IDLE_MAX).await;
        assert!(pool.take(Instant::now()).is_none(), "even before a sweep");
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_connection_makes_room_when_the_pool_is_full() {
        let pool = pool();
        let mut ends: Vec<_> = (0..POOL_CONNECTIONS_MAX + 1)
            .map(|_| {
                let (near, far) = connection(true);
                put(&pool, near);
                far
            })
            .collect();
        assert_eq!(pool.len(), POOL_CONNECTIONS_MAX);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(ends[0].poll_read(cx, &mut [0]).is_ready(), "the oldest was closed");
        assert!(ends[1].poll_read(cx, &mut [0]).is_pending());
    }

    /// Lets the upstream close a line at `age`, and gives how long the next one may stay.
    async fn after_close_at(pool: &Pool, age: Duration, used: bool) -> Duration {
        let (near, mut far) = connection(used);
        put(pool, near);
        sleep(age).await;
        far.end(End::Clean);
        sweep(pool);
        pool.idle_limit(&connection(used).0)
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_at_which_the_upstream_closes_is_kept_below_from_then_on() {
        let pool = pool();
        let limit = after_close_at(&pool, Duration::from_secs(5), true).await;
        assert_eq!(limit, POOL_IDLE_MAX, "once is no rule");
        let limit = after_close_at(&pool, Duration::from_millis(5100), true).await;
        assert_eq!(limit, Duration::from_millis(4500));
        after_close_at(&pool, Duration::from_secs(3), true).await;
        let limit = after_close_at(&pool, Duration::from_secs(3), true).await;
        assert_eq!(limit, Duration::from_millis(2500), "the shortest counts");
        assert_eq!(
            pool.idle_limit(&connection(false).0),
            POOL_IDLE_MAX,
            "another limit, not seen yet"
        );
        sleep(CLOSING_AGE_REMEMBERED).await;
        assert_eq!(pool.idle_limit(&connection(true).0), POOL_IDLE_MAX, "not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn closes_at_ages_that_differ_are_no_limit() {
        let pool = pool();
        for milliseconds in [5000, 5501, 4999, 7000] {
            let limit = after_close_at(&pool, Duration::from_millis(milliseconds), true).await;
            assert_eq!(limit, POOL_IDLE_MAX, "{milliseconds}");
        }
        let limit = after_close_at(&pool, Duration::from_millis(6500), true).await;
        assert_eq!(limit, Duration::from_millis(5850), "within half a second of the last");
    }

    #[tokio::test(start_paused = true)]
    async fn a_408_on_an_idle_connection_tells_its_limit_as_a_close_does() {
        let pool = pool();
        for _ in 0..2 {
            let (near, mut far) = connection(true);
            put(&pool, near);
            sleep(Duration::from_secs(5)).await;
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(far.poll_write(cx, &[IoSlice::new(b"HTTP/1.1 408")]).is_ready());
            sweep(&pool);
            assert!(pool.is_empty());
        }
        assert_eq!(pool.idle_limit(&connection(true).0), Duration::from_millis(4500));
    }

    #[tokio::test(start_paused = true)]
    async fn closes_right_after_use_are_no_idle_limit() {
        let pool = pool();
        for _ in 0..3 {
            let limit = after_close_at(&pool, Duration::from_millis(100), true).await;
            assert_eq!(limit, POOL_IDLE_MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_that_closes_all_connections_at_once_teaches_nothing() {
        let pool = pool();
        let mut ends: Vec<_> = (0..9)
            .map(|_| {
                let (near, far) = connection(true);
                put(&pool, near);
                far
            })
            .collect();
        sleep(Duration::from_secs(20)).await;
        ends.iter_mut().for_each(|far| far.end(End::Clean));
        sweep(&pool);
        assert!(pool.is_empty());
        assert_eq!(pool.idle_limit(&connection(true).0), POOL_IDLE_MAX);
    }

    #[test]
    fn a_line_of_which_something_was_heard_is_not_handed_on() {
        let (near, mut far) = connection(true);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(far.poll_write(cx, &[IoSlice::new(b"HTTP/1.1 200")]).is_ready());
        assert!(near.check(Waker::noop()).is_none());
        let (near, mut far) = connection(true);
        far.end(End::Clean);
        assert!(near.check(Waker::noop()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_be_idle_at_all_is_not_kept() {
        let pool = pool();
        let (near, _far) = connection(true);
        put(&pool, UpstreamConnection { keep_alive: Some(Duration::ZERO), ..near });
        assert!(pool.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_upstream_says_of_its_keep_alive_is_kept_below() {
        let limit = |seconds| {
            let keep_alive = Some(Duration::from_secs(seconds));
            pool().idle_limit(&UpstreamConnection { keep_alive, ..connection(true).0 })
        };
        assert_eq!(limit(5), Duration::from_millis(4500));
        assert_eq!(limit(100), Duration::from_secs(90));
        assert_eq!(limit(4000), POOL_IDLE_MAX);
        assert_eq!(limit(0), Duration::ZERO);
    }
}
