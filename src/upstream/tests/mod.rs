//! Which connections are opened, kept and given to whom, on a paused clock.

mod age;
mod log;
mod pauses;
mod preconnect;
mod waiting;
mod warm;
mod workers;

use super::*;
use crate::error::{Cause, ExchangeError, SocketError};
use crate::limits::{
    POOL_IDLE_MAX, SPECULATIVE_FORGIVEN_AFTER, SPECULATIVE_PAUSE_MAX, SPECULATIVE_PAUSE_MIN,
    SPECULATIVE_UNUSED_MAX, WARM_COUNTED_AGAIN_AFTER, WARM_FOR, WARM_LIFE_MIN, WARM_RENEWAL,
};
use crate::net::memory::{End, MemoryStream};
use crate::net::transport::Transport;
use crate::telemetry::{LogFormat, logged};
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::IoSlice;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::sleep;
use tracing::Level;

const DIAL_TIME: Duration = Duration::from_millis(100);

const REFUSED: ExchangeError =
    ExchangeError::upstream(Cause::Unreachable(SocketError::ConnectionRefused));

const HOUR: Duration = Duration::from_secs(3600);

/// An upstream in memory: dials take [`DIAL_TIME`], and fail while it is down.
#[derive(Clone, Default)]
struct Fake(Rc<FakeState>);

#[derive(Default)]
struct FakeState {
    down: Cell<bool>,
    dials: RefCell<Vec<Instant>>,
    ends: RefCell<Vec<MemoryStream>>,
    opened: Notify,
    /// So many dials fail at once.
    refused: Cell<usize>,
}

impl Dial for Fake {
    fn dial(&self, _: Option<&ProxyHeader>) -> Dialing {
        let state = Rc::clone(&self.0);
        state.dials.borrow_mut().push(Instant::now());
        Box::pin(async move {
            if let Some(left) = state.refused.get().checked_sub(1) {
                state.refused.set(left);
                return Err(REFUSED.into());
            }
            sleep(DIAL_TIME).await;
            if state.down.get() {
                return Err(REFUSED.into());
            }
            let (near, far) = MemoryStream::pair(64);
            state.ends.borrow_mut().push(far);
            state.opened.notify_one();
            Ok(Transport::from(near).into())
        })
    }
}

impl Fake {
    fn dials(&self) -> usize {
        self.0.dials.borrow().len()
    }

    fn upstream(&self, warm: usize) -> Upstream {
        Upstream::new(Box::new(self.clone()), warm)
    }
}

fn run(test: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let options = LocalOptions::default();
    builder.enable_all().start_paused(true).build_local(options).unwrap().block_on(test);
}

fn checkout(upstream: &Upstream) -> JoinHandle<Result<UpstreamConnection, ExchangeError>> {
    let checkout = upstream.checkout();
    spawn_local(async move { checkout.await.map_err(|failure| failure.error) })
}

/// Workers of one process, each with a part of the same upstream.
fn workers<const N: usize>(fake: &Fake, warm: usize) -> [Upstream; N] {
    let health = Arc::new(Health::new("a:443", warm, N));
    [(); N].map(|()| Upstream::sharing(Box::new(fake.clone()), Arc::clone(&health), None))
}

fn ready<const N: usize>(workers: &[Upstream; N]) -> [usize; N] {
    workers.each_ref().map(|worker| worker.0.pool.len())
}

/// What becomes of the connections of an upstream that opens them.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// A FIN so long after the handshake.
    Closed(Duration),
    Reset,
    /// A byte that answers nothing.
    Byte,
}

/// When connections were opened in `time`, in which each meets `fate` and a client connects every
/// `clients`.
async fn dials_in(time: Duration, fate: Fate, clients: Option<Duration>) -> Vec<Duration> {
    let fake = Fake::default();
    let upstream = fake.upstream(1);
    let begun = Instant::now();
    let ends = Rc::clone(&fake.0);
    let meets_its_fate = spawn_local(async move {
        loop {
            ends.opened.notified().await;
            let Some(mut end) = ends.ends.borrow_mut().pop() else { continue };
            match fate {
                Fate::Closed(after) => {
                    sleep(after).await;
                    end.end(End::Clean);
                }
                Fate::Reset => end.reset(),
                Fate::Byte => {
                    let _ = poll_fn(|cx| end.poll_write(cx, &[IoSlice::new(b"x")])).await;
                    // It stays open.
                    spawn_local(async move {
                        pending::<()>().await;
                        drop(end);
                    });
                }
            }
        }
    });
    while begun.elapsed() < time {
        sleep(clients.unwrap_or(time)).await;
        if clients.is_some() {
            drop(upstream.preconnect());
        }
    }
    meets_its_fate.abort();
    let dials = fake.0.dials.borrow();
    dials.iter().map(|dial| *dial - begun).collect()
}

/// Waits for the next connection, and closes it `after` that.
async fn close_next(fake: &Fake, after: Duration) {
    fake.0.opened.notified().await;
    sleep(after).await;
    fake.0.ends.borrow_mut().pop().unwrap().end(End::Clean);
}

/// How long it takes from now until the next connection is opened.
async fn pause_before_next(fake: &Fake) -> Duration {
    let now = Instant::now();
    fake.0.opened.notified().await;
    now.elapsed() - DIAL_TIME
}
