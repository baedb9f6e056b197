//! Open descriptors that travel from one process to another over a Unix socket (`SCM_RIGHTS`).
//!
//! [`send_descriptors`] and [`receive_descriptors`] are the two ends. On the wire, each descriptor
//! comes with a byte of the stream: batches of them, each with `MORE`, then `LAST` with none.
//! The bytes of the stream that follow belong to the caller.
//!
//! A descriptor arrives close-on-exec under a number of its own, and a process that gets none has
//! none: nothing leaks into a program that is started, as it would if descriptors were inherited.

use rustix::cmsg_space;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream as StdUnixStream;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Most descriptors in one message. The kernel allows 253 (`SCM_MAX_FD`).
const BATCH_MAX: usize = 128;
/// The byte of a batch.
const MORE: u8 = b'+';
/// The byte after the last batch.
const LAST: u8 = b'.';

/// Sends duplicates of `descriptors`.
///
/// # Errors
/// The other end is closed, or the kernel refuses to have so many descriptors in flight.
pub async fn send_descriptors(
    stream: &UnixStream,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    for batch in descriptors.chunks(BATCH_MAX) {
        stream.async_io(Interest::WRITABLE, || send(stream, MORE, batch)).await?;
    }
    stream.async_io(Interest::WRITABLE, || send(stream, LAST, &[])).await
}

fn send(stream: &UnixStream, mark: u8, batch: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !batch.is_empty() {
        // There is room for a whole batch.
        let _pushed = control.push(SendAncillaryMessage::ScmRights(batch));
    }
    sendmsg(stream, &[IoSlice::new(&[mark])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives what [`send_descriptors`] sends, in its order. Waits, for as long as the socket does.
///
/// # Errors
/// The other end is closed before the last batch, something else comes in its place, or this
/// process may not open so many descriptors.
pub fn receive_descriptors(stream: &StdUnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut received = Vec::new();
    loop {
        let mut mark = [0];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let iov = &mut [IoSliceMut::new(&mut mark)];
        let got = recvmsg(stream, iov, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(batch) = message {
                received.extend(batch);
            }
        }
        if got.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("the limit of open files has no room for the sockets"));
        }
        match (got.bytes, mark) {
            (0, _) => return Err(ErrorKind::UnexpectedEof.into()),
            (_, [MORE]) => {}
            (_, [LAST]) => return Ok(received),
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_getfd};
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::os::fd::AsFd;
    use tokio::io::AsyncWriteExt;

    async fn pair() -> (UnixStream, StdUnixStream) {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (UnixStream::from_std(ours).unwrap(), theirs)
    }

    /// Sends `count` sockets and what follows them; gives their addresses, and the other end.
    async fn sent(count: usize, rest: &[u8]) -> (Vec<SocketAddr>, StdUnixStream) {
        let (mut ours, theirs) = pair().await;
        let sockets: Vec<_> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        send_descriptors(&ours, &borrowed).await.unwrap();
        ours.write_all(rest).await.unwrap();
        (sockets.iter().map(|it| it.local_addr().unwrap()).collect(), theirs)
    }

    #[tokio::test]
    async fn descriptors_arrive_in_order_and_the_rest_of_the_stream_after_them() {
        for count in [0, 1, BATCH_MAX, 2 * BATCH_MAX + 1] {
            let (addresses, mut theirs) = sent(count, b"the rest").await;
            let received = receive_descriptors(&theirs).unwrap();
            let found = received.into_iter().map(|it| TcpListener::from(it).local_addr().unwrap());
            assert_eq!(found.collect::<Vec<_>>(), addresses, "{count}");
            let mut rest = String::new();
            theirs.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "the rest");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_started_later_does_not_get_them() {
        let (_, theirs) = sent(1, b"").await;
        for descriptor in receive_descriptors(&theirs).unwrap() {
            assert_eq!(fcntl_getfd(&descriptor).unwrap(), FdFlags::CLOEXEC);
        }
    }

    #[tokio::test]
    async fn an_end_before_the_last_batch_and_other_bytes_are_errors() {
        for (bytes, kind) in [
            (&b""[..], ErrorKind::UnexpectedEof),
            (b"+", ErrorKind::UnexpectedEof),
            (b"[[listener]]", ErrorKind::InvalidData),
        ] {
            let (mut ours, theirs) = StdUnixStream::pair().unwrap();
            ours.write_all(bytes).unwrap();
            drop(ours);
            assert_eq!(receive_descriptors(&theirs).unwrap_err().kind(), kind, "{bytes:?}");
        }
    }
}
