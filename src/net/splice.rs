//! Moves bytes from one socket to another through a pipe (splice(2)): [`Splice`]. The kernel moves
//! pages, and nothing is copied into this process.
//!
//! Pipes belong to a worker. A direction takes one when there are bytes and returns it when they
//! are through, so a silent connection has none. If none is available, because too many are in use
//! or descriptors have run out, the caller copies: [`Spliced::NoPipe`].

use crate::limits::{PIPE_BYTES, PIPE_SHORTAGE, PIPES_KEPT_MAX, PIPES_MAX};
use crate::net::descriptors::is_spare;
use crate::net::tcp::MeteredTcp;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use socket2::SockRef;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The bytes of one direction that are in the kernel, between its two sockets.
#[derive(Debug, Default)]
pub struct Splice {
    /// Only while it holds bytes.
    pipe: Option<Pipe>,
    held: usize,
}

/// What came of one read into a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spliced {
    /// So many bytes. They wait for [`Splice::poll_drain`].
    Bytes(usize),
    /// The proper end of that direction.
    End,
    /// Nothing was read, although there may be bytes: no pipe is available, or a pipe cannot take
    /// these bytes.
    NoPipe,
}

impl Splice {
    /// Reads once. What was read before has to be drained first.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &MeteredTcp,
    ) -> Poll<io::Result<Spliced>> {
        debug_assert!(self.pipe.is_none(), "a full pipe would look like an empty socket");
        loop {
            ready!(from.socket().poll_read_ready(cx))?;
            let Some(pipe) = Pipes::take() else { return Poll::Ready(Ok(Spliced::NoPipe)) };
            let read = from.socket().try_io(Interest::READABLE, || {
                match move_bytes(from.socket(), &pipe.write, PIPE_BYTES) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
                    Ok(len @ 1..) => Ok(Spliced::Bytes(len)),
                    // A splice never gets past TCP's urgent byte, and takes a FIN after it for the
                    // end of the stream. A read steps over it.
                    Ok(0) | Err(_) if has_bytes(from.socket()) => Ok(Spliced::NoPipe),
                    dry => dry.map(|_| Spliced::End),
                }
            });
            if let Ok(Spliced::Bytes(len)) = read {
                (self.pipe, self.held) = (Some(pipe), len);
                return Poll::Ready(Ok(Spliced::Bytes(len)));
            }
            Pipes::put(pipe);
            match read {
                Ok(spliced) => return Poll::Ready(Ok(spliced)),
                Err(error) if is_passing(&error) => {}
                Err(error) if is_forbidden(&error) => return Poll::Ready(Ok(Spliced::NoPipe)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// How many bytes wait for [`Splice::poll_drain`].
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// Ready when the other socket has accepted everything.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut MeteredTcp,
    ) -> Poll<io::Result<()>> {
        let Some(pipe) = &self.pipe else { return Poll::Ready(Ok(())) };
        while self.held > 0 {
            ready!(to.socket().poll_write_ready(cx))?;
            let write = || move_bytes(&pipe.read, to.socket(), self.held);
            match to.socket().try_io(Interest::WRITABLE, write) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(len) => {
                    self.held -= len;
                    to.add_written(len);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if let Some(pipe) = self.pipe.take() {
            Pipes::put(pipe);
        }
        Poll::Ready(Ok(()))
    }
}

/// Bytes that a connection leaves in a pipe are lost with it; the pipe must not go to another.
impl Drop for Splice {
    fn drop(&mut self) {
        if self.pipe.take().is_some() {
            Pipes::forget();
        }
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, len, flags)?)
}

/// Whether a read would find bytes.
fn has_bytes(socket: &TcpStream) -> bool {
    SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]).is_ok_and(|len| len > 0)
}

/// Worth another poll for readiness, which waits if there is none.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The kernel, or a filter of system calls, does not let us splice at all.
fn is_forbidden(error: &io::Error) -> bool {
    let errors = [Errno::INVAL, Errno::NOSYS, Errno::PERM];
    errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Both ends of a pipe.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        if is_spare(&write) {
            return Err(Errno::MFILE.into());
        }
        // Refused if all pipes of the user together take more memory than they may
        // (`fs.pipe-user-pages-soft`). A smaller pipe would be slower than a copy.
        fcntl_setpipe_size(&write, PIPE_BYTES)?;
        Ok(Self { read, write })
    }
}

/// The pipes of one worker.
struct Pipes {
    /// Empty ones.
    free: Vec<Pipe>,
    in_use: usize,
    max: usize,
    /// When a pipe could last not be opened.
    shortage: Option<Instant>,
}

thread_local! {
    static PIPES: RefCell<Pipes> = const {
        RefCell::new(Pipes { free: Vec::new(), in_use: 0, max: PIPES_MAX, shortage: None })
    };
}

impl Pipes {
    /// An empty pipe, if one is available.
    fn take() -> Option<Pipe> {
        PIPES.with_borrow_mut(|pipes| {
            if pipes.in_use >= pipes.max {
                return None;
            }
            let pipe = match pipes.free.pop() {
                Some(pipe) => pipe,
                None if pipes.shortage.is_some_and(|at| at.elapsed() < PIPE_SHORTAGE) => {
                    return None;
                }
                None => match Pipe::open() {
                    Ok(pipe) => pipe,
                    Err(_) => {
                        pipes.shortage = Some(Instant::now());
                        return None;
                    }
                },
            };
            pipes.in_use += 1;
            Some(pipe)
        })
    }

    /// Takes an empty pipe back.
    fn put(pipe: Pipe) {
        // The thread may be ending, its pipes gone: then this one is just closed.
        let _ = PIPES.try_with(|pipes| {
            let mut pipes = pipes.borrow_mut();
            pipes.in_use -= 1;
            if pipes.free.len() < PIPES_KEPT_MAX {
                pipes.free.push(pipe);
            }
        });
    }

    /// Notes that a pipe in use is gone.
    fn forget() {
        let _ = PIPES.try_with(|pipes| pipes.borrow_mut().in_use -= 1);
    }
}

/// Lets this thread use at most `max` pipes at a time; with 0 everything is copied.
#[cfg(test)]
pub(crate) fn limit_pipes(max: usize) {
    PIPES.with_borrow_mut(|pipes| pipes.max = max);
}

/// How many pipes of this thread hold bytes.
#[cfg(test)]
pub(crate) fn pipes_in_use() -> usize {
    PIPES.with_borrow(|pipes| pipes.in_use)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    async fn fill(splice: &mut Splice, from: &MeteredTcp) -> io::Result<Spliced> {
        poll_fn(|cx| splice.poll_fill(cx, from)).await
    }

    #[tokio::test]
    async fn bytes_and_the_end_after_them_pass_and_the_pipe_is_returned() {
        let ((mut sender, from), (to, mut receiver)) = (pair().await, pair().await);
        let (from, mut to) = (MeteredTcp::new(from), MeteredTcp::new(to));
        let mut splice = Splice::default();
        sender.write_all(b"hello").await.unwrap();
        drop(sender);
        assert_eq!(fill(&mut splice, &from).await.unwrap(), Spliced::Bytes(5));
        assert_eq!(pipes_in_use(), 1);
        poll_fn(|cx| splice.poll_drain(cx, &mut to)).await.unwrap();
        assert_eq!((pipes_in_use(), to.written()), (0, 5));
        assert_eq!(fill(&mut splice, &from).await.unwrap(), Spliced::End);
        assert_eq!(pipes_in_use(), 0);
        let mut got = [0; 5];
        receiver.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }

    #[tokio::test]
    async fn a_silent_socket_holds_no_pipe() {
        let (_sender, from) = pair().await;
        let (from, mut splice) = (MeteredTcp::new(from), Splice::default());
        // The runtime takes a new socket for readable until it was tried once.
        for _ in 0..2 {
            let polled = poll_fn(|cx| Poll::Ready(splice.poll_fill(cx, &from).is_pending())).await;
            assert!(polled && pipes_in_use() == 0);
        }
    }

    #[tokio::test]
    async fn bytes_that_a_cut_connection_leaves_in_a_pipe_reach_no_other_connection() {
        let (mut sender, from) = pair().await;
        let (from, mut splice) = (MeteredTcp::new(from), Splice::default());
        sender.write_all(b"secret").await.unwrap();
        assert_eq!(fill(&mut splice, &from).await.unwrap(), Spliced::Bytes(6));
        drop(splice);
        assert_eq!(pipes_in_use(), 0);
        assert!(PIPES.with_borrow(|pipes| pipes.free.is_empty()));
    }

    #[tokio::test]
    async fn without_a_free_pipe_the_caller_has_to_copy() {
        let (mut sender, from) = pair().await;
        let (from, mut splice) = (MeteredTcp::new(from), Splice::default());
        sender.write_all(b"hello").await.unwrap();
        limit_pipes(0);
        assert_eq!(fill(&mut splice, &from).await.unwrap(), Spliced::NoPipe);
        limit_pipes(1);
        assert_eq!(fill(&mut splice, &from).await.unwrap(), Spliced::Bytes(5));
    }

    #[tokio::test]
    async fn a_reset_is_an_error_and_not_an_end() {
        let (sender, from) = pair().await;
        let (from, mut splice) = (MeteredTcp::new(from), Splice::default());
        MeteredTcp::new(sender).reset_on_close(true);
        let error = fill(&mut splice, &from).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}
