//! What the pool keeps, hands out and learns.

use super::*;
use crate::limits::CLOSING_AGE_REMEMBERED;
use crate::net::memory::{End, MemoryStream};
use crate::net::tcp::MeteredTcp;
use crate::net::transport::Transport;
use std::future::poll_fn;
use std::io::IoSlice;
use std::task::Poll;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::poll_proceed;
use tokio::task::yield_now;
use tokio::time::sleep;

fn pool() -> Pool {
    Pool::new(Arc::new(Health::new("a:443", 1, 1)), &UpstreamMetrics::default(), None)
}

fn connection(used: bool) -> (UpstreamConnection, MemoryStream) {
    let (near, far) = MemoryStream::pair(64);
    (UpstreamConnection { used, ..UpstreamConnection::fresh(Transport::from(near).into()) }, far)
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
async fn an_unexpected_byte_ends_an_idle_connection() {
    let pool = pool();
    let (near, mut far) = connection(true);
    put(&pool, near);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(far.poll_write(cx, &[IoSlice::new(b"x")]).is_ready());
    sweep(&pool);
    assert!(pool.take(Instant::now()).is_none());
}

/// An idle connection over TCP, and the upstream's end of it.
async fn tcp_connection() -> (UpstreamConnection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let near = MeteredTcp::new(listener.accept().await.unwrap().0);
    let near: Transport = Box::new(near);
    let near = UpstreamConnection::fresh(near.into());
    (UpstreamConnection { used: true, was_idle: true, ..near }, far)
}

#[tokio::test]
async fn a_task_without_budget_still_sees_a_byte_on_a_connection_that_it_hands_on() {
    let (near, mut far) = tcp_connection().await;
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
async fn a_close_that_the_runtime_knows_of_ends_a_connection_before_maintenance_has_run() {
    let (pool, (near, far)) = (pool(), tcp_connection().await);
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
async fn the_kernel_is_asked_about_a_connection_that_the_upstream_may_just_be_closing() {
    let (pool, (near, far)) = (pool(), tcp_connection().await);
    put(&pool, near);
    drop(far);
    // Without a turn of the runtime, which would learn of the FIN.
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

/// How long a connection may stay idle after the upstream has closed another at `age`.
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
    assert_eq!(pool.idle_limit(&connection(false).0), POOL_IDLE_MAX, "another limit, not seen yet");
    sleep(CLOSING_AGE_REMEMBERED).await;
    assert_eq!(pool.idle_limit(&connection(true).0), POOL_IDLE_MAX, "not for ever");
}

#[tokio::test(start_paused = true)]
async fn a_408_on_an_idle_connection_teaches_its_limit_as_a_close_does() {
    let pool = pool();
    for _ in 0..2 {
        let (near, mut far) = connection(true);
        put(&pool, near);
        sleep(Duration::from_secs(5)).await;
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(far.poll_write(cx, &[IoSlice::new(b"HTTP/1.1 408")]).is_ready());
        sweep(&pool);
        assert_eq!(pool.len(), 0);
    }
    assert_eq!(pool.idle_limit(&connection(true).0), Duration::from_millis(4500));
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
    assert_eq!(pool.len(), 0);
    assert_eq!(pool.idle_limit(&connection(true).0), POOL_IDLE_MAX);
}

#[test]
fn a_connection_that_was_not_silent_is_not_handed_on() {
    let (near, mut far) = connection(true);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(far.poll_write(cx, &[IoSlice::new(b"HTTP/1.1 200")]).is_ready());
    assert!(near.check(Waker::noop()).is_none());
    let (near, mut far) = connection(true);
    far.end(End::Clean);
    assert!(near.check(Waker::noop()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_may_not_be_idle_is_not_kept() {
    let pool = pool();
    let (near, _far) = connection(true);
    put(&pool, UpstreamConnection { keep_alive: Some(Duration::ZERO), ..near });
    assert_eq!(pool.len(), 0);
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
