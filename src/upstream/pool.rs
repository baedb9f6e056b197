//! Idle connections to one upstream (RFC 9112, section 9.3): last in, first out, bounded in
//! number and age.
//!
//! The most recently used connection goes out first, so that the surplus of a burst ages and is
//! closed. The age at which the upstream closes idle connections is learned from its closes and
//! from what its Keep-Alive fields say, and ours end before: a request on a connection that is
//! just being closed is the one failure that a client can do nothing about.
//!
//! Not here: who looks at the idle connections when something happens to them (`keeper`).

use crate::limits::{
    CLOSING_AGE_MIN, CLOSING_AGE_REMEMBERED, CLOSING_AGES_APART_MAX, POOL_CONNECTIONS_MAX,
    POOL_IDLE_MAX, POOL_PEEK_AGE, WARM_RENEWAL,
};
use crate::net::transport::{Peek, Transport};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

/// An open connection to an upstream.
#[derive(Debug)]
pub struct Line {
    /// The connection, after its handshake.
    pub transport: Transport,
    /// It has carried an exchange before.
    pub used: bool,
    /// It has been idle, so that the upstream may be closing it this moment.
    pub was_idle: bool,
    /// For how long the upstream said it keeps the connection idle.
    pub keep_alive: Option<Duration>,
}

/// The idle connections of one upstream and worker.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// Closing ages of connections without and with an exchange behind them: servers have two
    /// limits, one for the first request and one between requests.
    learned: [Cell<Learned>; 2],
}

#[derive(Debug)]
struct Idle {
    line: Line,
    since: Instant,
    /// When we close it.
    until: Instant,
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
    /// The most recently used connection that is still open and silent at `now`.
    pub fn take(&self, now: Instant) -> Option<Line> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            match idle.line.listen(&mut Context::from_waker(Waker::noop())) {
                Heard::Silence if now < idle.until && idle.is_silent_in_the_kernel(now) => {
                    return Some(idle.line);
                }
                Heard::Silence | Heard::Bytes => {}
                Heard::End => self.learn(&idle),
            }
        }
    }

    /// Keeps a line if it is silent. The oldest one makes room. From now on the readiness of the
    /// line wakes `keeper`.
    pub fn put(&self, checked: Checked, keeper: &Waker) {
        // A fresh one has not been listened to yet.
        let checked = if checked.0.was_idle { Some(checked) } else { checked.0.check(keeper) };
        let Some(Checked(line)) = checked else { return };
        let since = Instant::now();
        let until = since + self.idle_limit(&line);
        if until == since {
            return;
        }
        let line = Line { was_idle: true, ..line };
        let added = Idle { line, since, until };
        let mut idle = self.idle.borrow_mut();
        if idle.len() == POOL_CONNECTIONS_MAX {
            idle.remove(0);
        }
        idle.push(added);
    }

    /// How many connections are idle.
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Whether no connection is idle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many idle connections have more than [`WARM_RENEWAL`] to live.
    pub fn ready(&self, now: Instant) -> usize {
        self.idle.borrow().iter().filter(|idle| now + WARM_RENEWAL < idle.until).count()
    }

    /// Removes what is over, and learns from it. Gives the end of the connection that ends first.
    pub fn sweep(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| match idle.line.listen(cx) {
            Heard::Silence => now < idle.until,
            Heard::End => {
                self.learn(idle);
                false
            }
            Heard::Bytes => false,
        });
        idle.iter().map(|idle| idle.until).min()
    }

    /// How long `line` may stay idle.
    fn idle_limit(&self, line: &Line) -> Duration {
        let learned = self.closing_limit(line.used);
        let told = line.keep_alive.map(below);
        [learned, told].into_iter().flatten().fold(POOL_IDLE_MAX, Duration::min)
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
        let place = &self.learned[usize::from(closed.line.used)];
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

/// What a look at an idle connection found.
enum Heard {
    Silence,
    /// The upstream has closed it, or it broke.
    End,
    /// Bytes that answer nothing.
    Bytes,
}

impl Line {
    /// Anything but silence ends an idle connection. TLS session tickets are silence: TLS takes
    /// them in and has nothing to show.
    fn listen(&mut self, cx: &mut Context<'_>) -> Heard {
        // Beside the task's budget: a look that the runtime put off would pass for silence.
        let look = pin!(unconstrained(poll_fn(|cx| self.transport.poll_read(cx, &mut [0]))));
        match look.poll(cx) {
            Poll::Pending => Heard::Silence,
            Poll::Ready(Ok(0) | Err(_)) => Heard::End,
            Poll::Ready(Ok(_)) => Heard::Bytes,
        }
    }

    /// The line, if nothing was heard of it since its last exchange ended. From now on its
    /// readiness wakes `keeper`, not the session it served last.
    ///
    /// No line is handed on without this: what an upstream sends behind one response would be
    /// taken for the beginning of the next.
    pub fn check(mut self, keeper: &Waker) -> Option<Checked> {
        let heard = self.listen(&mut Context::from_waker(keeper));
        matches!(heard, Heard::Silence).then_some(Checked(self))
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
        match self.line.transport.peek() {
            Peek::Silence => true,
            // Behind a fresh handshake come session tickets.
            Peek::Bytes => !self.line.used && self.line.transport.is_tls(),
            Peek::End => false,
        }
    }
}

/// A line of which nothing was heard when it was last looked at, or a fresh one.
#[derive(Debug)]
pub struct Checked(Line);

impl Checked {
    /// A line that nobody has used. Whatever its upstream does with it is the answer to its first
    /// request: another line would meet with the same.
    pub fn fresh(transport: Transport) -> Self {
        Self(Line { transport, used: false, was_idle: false, keep_alive: None })
    }

    /// The line, if there is still nothing to be heard of it.
    pub fn take(self) -> Option<Line> {
        let Self(line) = self;
        if line.was_idle { line.check(Waker::noop()).map(|Self(line)| line) } else { Some(line) }
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

    fn line(used: bool) -> (Line, MemoryStream) {
        let (near, far) = MemoryStream::pair(64);
        (Line { transport: Transport::from(near), used, was_idle: false, keep_alive: None }, far)
    }

    fn sweep(pool: &Pool) {
        pool.sweep(&mut Context::from_waker(Waker::noop()));
    }

    fn put(pool: &Pool, line: Line) {
        pool.put(line.check(Waker::noop()).unwrap(), Waker::noop());
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_used_last_goes_out_first() {
        let pool = Pool::default();
        let ((first, _far_first), (second, mut far_second)) = (line(true), line(true));
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
        let pool = Pool::default();
        let (near, mut far) = line(true);
        put(&pool, near);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(far.poll_write(cx, &[IoSlice::new(b"x")]).is_ready());
        sweep(&pool);
        assert!(pool.take(Instant::now()).is_none());
    }

    /// An idle connection over TCP, and the upstream's end of it.
    async fn tcp_line() -> (Line, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let near = MeteredTcp::new(listener.accept().await.unwrap().0);
        (
            Line {
                transport: Transport::Tcp(Box::new(near)),
                used: true,
                was_idle: true,
                keep_alive: None,
            },
            far,
        )
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
        let (pool, (near, far)) = (Pool::default(), tcp_line().await);
        put(&pool, near);
        drop(far);
        let ended = poll_fn(|cx| {
            let mut idle = pool.idle.borrow_mut();
            idle[0].line.transport.poll_read(cx, &mut [0])
        });
        assert_eq!(ended.await.unwrap(), 0);
        assert!(pool.take(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn the_kernel_is_asked_about_a_line_that_the_upstream_may_just_be_closing() {
        let (pool, (near, far)) = (Pool::default(), tcp_line().await);
        put(&pool, near);
        drop(far);
        // No turn of the runtime in between, which would tell it of the FIN.
        while pool.idle.borrow()[0].line.transport.peek() != Peek::End {}
        pool.idle.borrow_mut()[0].since -= POOL_PEEK_AGE;
        assert!(pool.take(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_end_at_their_age() {
        let pool = Pool::default();
        let (old, _far_old) = line(true);
        put(&pool, old);
        sleep(POOL_IDLE_MAX - Duration::from_secs(1)).await;
        let (young, _far_young) = line(true);
        put(&pool, young);
        sleep(Duration::from_secs(1)).await;
        sweep(&pool);
        assert_eq!(pool.len(), 1);
        sleep(POOL_IDLE_MAX).await;
        assert!(pool.take(Instant::now()).is_none(), "even before a sweep");
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_connection_makes_room_when_the_pool_is_full() {
        let pool = Pool::default();
        let mut ends: Vec<_> = (0..POOL_CONNECTIONS_MAX + 1)
            .map(|_| {
                let (near, far) = line(true);
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
        let (near, mut far) = line(used);
        put(pool, near);
        sleep(age).await;
        far.end(End::Clean);
        sweep(pool);
        pool.idle_limit(&line(used).0)
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_at_which_the_upstream_closes_is_kept_below_from_then_on() {
        let pool = Pool::default();
        let limit = after_close_at(&pool, Duration::from_secs(5), true).await;
        assert_eq!(limit, POOL_IDLE_MAX, "once is no rule");
        let limit = after_close_at(&pool, Duration::from_millis(5100), true).await;
        assert_eq!(limit, Duration::from_millis(4500));
        after_close_at(&pool, Duration::from_secs(3), true).await;
        let limit = after_close_at(&pool, Duration::from_secs(3), true).await;
        assert_eq!(limit, Duration::from_millis(2500), "the shortest counts");
        assert_eq!(pool.idle_limit(&line(false).0), POOL_IDLE_MAX, "another limit, not seen yet");
        sleep(CLOSING_AGE_REMEMBERED).await;
        assert_eq!(pool.idle_limit(&line(true).0), POOL_IDLE_MAX, "not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn closes_right_after_use_are_no_idle_limit() {
        let pool = Pool::default();
        for _ in 0..3 {
            let limit = after_close_at(&pool, Duration::from_millis(100), true).await;
            assert_eq!(limit, POOL_IDLE_MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_that_closes_all_connections_at_once_teaches_nothing() {
        let pool = Pool::default();
        let mut ends: Vec<_> = (0..9)
            .map(|_| {
                let (near, far) = line(true);
                put(&pool, near);
                far
            })
            .collect();
        sleep(Duration::from_secs(20)).await;
        ends.iter_mut().for_each(|far| far.end(End::Clean));
        sweep(&pool);
        assert!(pool.is_empty());
        assert_eq!(pool.idle_limit(&line(true).0), POOL_IDLE_MAX);
    }

    #[test]
    fn a_line_of_which_something_was_heard_is_not_handed_on() {
        let (near, mut far) = line(true);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(far.poll_write(cx, &[IoSlice::new(b"HTTP/1.1 200")]).is_ready());
        assert!(near.check(Waker::noop()).is_none());
        let (near, mut far) = line(true);
        far.end(End::Clean);
        assert!(near.check(Waker::noop()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_upstream_says_of_its_keep_alive_is_kept_below() {
        let limit = |seconds| {
            let keep_alive = Some(Duration::from_secs(seconds));
            Pool::default().idle_limit(&Line { keep_alive, ..line(true).0 })
        };
        assert_eq!(limit(5), Duration::from_millis(4500));
        assert_eq!(limit(100), Duration::from_secs(90));
        assert_eq!(limit(4000), POOL_IDLE_MAX);
        assert_eq!(limit(0), Duration::ZERO);
    }
}
