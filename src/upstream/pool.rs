//! Idle connections to one upstream (RFC 9112, section 9.3): last in, first out, bounded in
//! number and age.
//!
//! The most recently used connection goes out first, so that the surplus of a burst ages and is
//! closed. One task, the keeper, watches all idle connections: a close by the upstream, or a byte
//! that nobody asked for, removes the connection when it happens and not at its next use.

use crate::limits::{POOL_CONNECTIONS_MAX, POOL_IDLE_MAX};
use crate::net::transport::Transport;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Weak;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

use crate::deadline::Alarm;

/// The idle connections of one upstream and worker.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    keeper: RefCell<Option<Waker>>,
    /// The keeper's alarm is set, so that it will look at the ages by itself.
    alarmed: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Transport,
    since: Instant,
}

impl Pool {
    /// The most recently used connection that is still open and silent.
    pub fn take(&self) -> Option<Transport> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            // Even a young one: the upstream's FIN may have come since the last round of the
            // runtime (RFC 9112, section 9.5).
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection`, unless the upstream has already closed it. The oldest one makes room.
    pub fn put(&self, connection: Transport) {
        let mut idle = self.idle.borrow_mut();
        let mut added = Idle { connection, since: Instant::now() };
        let keeper = self.keeper.borrow();
        if let Some(waker) = &*keeper {
            // From now on its readiness wakes the keeper, not the session it served last.
            if added.is_over(&mut Context::from_waker(waker)) {
                return;
            }
            if !self.alarmed.replace(true) {
                waker.wake_by_ref();
            }
        }
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

    /// Removes what is over, and tells when to look again at the latest.
    fn sweep(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        idle.retain_mut(|idle| now < idle.since + POOL_IDLE_MAX && !idle.is_over(cx));
        let next = idle.iter().map(|idle| idle.since + POOL_IDLE_MAX).min();
        self.alarmed.set(next.is_some());
        next
    }
}

impl Idle {
    /// Anything but silence ends an idle connection. TLS session tickets are silence: TLS takes
    /// them in and has nothing to show.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        self.connection.poll_read(cx, &mut byte).is_ready()
    }
}

/// Watches the idle connections of `pool` for as long as it exists.
pub async fn keep(pool: Weak<Pool>) {
    let mut alarm = Alarm::default();
    poll_fn(|cx| {
        let Some(pool) = pool.upgrade() else { return Poll::Ready(()) };
        pool.keeper.replace(Some(cx.waker().clone()));
        while let Some(at) = pool.sweep(cx) {
            if alarm.poll(cx, at).is_pending() {
                break;
            }
        }
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::{End, MemoryStream};
    use std::io::IoSlice;
    use std::rc::Rc;
    use std::time::Duration;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::{spawn_local, yield_now};
    use tokio::time::sleep;

    fn run(test: impl Future<Output = ()>) {
        let mut builder = Builder::new_current_thread();
        let options = LocalOptions::default();
        builder.enable_all().start_paused(true).build_local(options).unwrap().block_on(test);
    }

    async fn kept_pool() -> Rc<Pool> {
        let pool = Rc::new(Pool::default());
        spawn_local(keep(Rc::downgrade(&pool)));
        yield_now().await;
        pool
    }

    fn connection() -> (Transport, MemoryStream) {
        let (near, far) = MemoryStream::pair(64);
        (Transport::Memory(near), far)
    }

    #[test]
    fn the_connection_used_last_goes_out_first() {
        run(async {
            let pool = kept_pool().await;
            let (first, _far_first) = connection();
            let (second, mut far_second) = connection();
            pool.put(first);
            pool.put(second);
            let mut taken = pool.take().unwrap();
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(taken.poll_write(cx, &[IoSlice::new(b"x")]).is_ready());
            assert!(far_second.poll_read(cx, &mut [0; 8]).is_ready());
            assert_eq!(pool.len(), 1);
        });
    }

    #[test]
    fn a_close_by_the_upstream_is_noticed_when_it_happens() {
        run(async {
            let pool = kept_pool().await;
            let (near, mut far) = connection();
            pool.put(near);
            far.end(End::Clean);
            yield_now().await;
            assert!(pool.is_empty());
        });
    }

    #[test]
    fn a_byte_that_nobody_asked_for_condemns_an_idle_connection() {
        run(async {
            let pool = kept_pool().await;
            let (near, mut far) = connection();
            pool.put(near);
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(far.poll_write(cx, &[IoSlice::new(b"x")]).is_ready());
            yield_now().await;
            assert!(pool.take().is_none());
        });
    }

    #[test]
    fn idle_connections_end_at_their_age_whatever_came_in_between() {
        run(async {
            let pool = kept_pool().await;
            let (old, _far_old) = connection();
            pool.put(old);
            sleep(POOL_IDLE_MAX - Duration::from_secs(1)).await;
            let (young, _far_young) = connection();
            pool.put(young);
            sleep(Duration::from_secs(2)).await;
            assert_eq!(pool.len(), 1);
            sleep(POOL_IDLE_MAX).await;
            assert!(pool.is_empty());
        });
    }

    #[test]
    fn the_oldest_connection_makes_room_when_the_pool_is_full() {
        run(async {
            let pool = kept_pool().await;
            let mut ends: Vec<_> = (0..POOL_CONNECTIONS_MAX + 1)
                .map(|_| {
                    let (near, far) = connection();
                    pool.put(near);
                    far
                })
                .collect();
            assert_eq!(pool.len(), POOL_CONNECTIONS_MAX);
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(ends[0].poll_read(cx, &mut [0]).is_ready(), "the oldest was closed");
            assert!(ends[1].poll_read(cx, &mut [0]).is_pending());
        });
    }
}
