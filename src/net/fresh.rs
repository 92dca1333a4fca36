//! A connection that was accepted a moment ago, before the runtime knows it.
//!
//! Whoever asks once and leaves has mostly sent the request by the time that the connection is accepted,
//! and takes the answer at once: there is nothing to wait for at its socket, and so nothing that the
//! runtime, and epoll, would have to be told, and to forget again. `HAProxy` does the same.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};

use tokio::time::Instant;

/// So many reads and writes are tried before the runtime is told in any case: at sockets that it knows it
/// sees to it that others have their turn, even if a client never has to be waited for.
const TRIES: u8 = 16;

/// A connection over TCP that does not block.
#[derive(Debug)]
pub struct Fresh {
    /// `None`: the runtime could not take it, and it was closed.
    socket: Option<TcpStream>,
    accepted: Instant,
    /// The last read took all that there was.
    pub(super) is_emptied: bool,
    /// Reads and writes that may still be tried.
    tries: u8,
}

impl Fresh {
    /// A socket that must not block, accepted now.
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket: Some(socket), accepted: Instant::now(), is_emptied: false, tries: TRIES }
    }

    /// When it was accepted.
    pub(super) fn accepted(&self) -> Instant {
        self.accepted
    }

    /// The socket itself.
    ///
    /// # Errors
    /// The runtime could not take it, and it was closed.
    pub(super) fn socket(&self) -> io::Result<&TcpStream> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The socket for one read or write.
    ///
    /// # Errors
    /// `WouldBlock`: the runtime has to know it now. Else as [`socket`](Self::socket).
    pub(super) fn socket_to_try(&mut self) -> io::Result<&TcpStream> {
        self.tries = self.tries.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
        self.socket()
    }

    /// Makes it known to the runtime.
    ///
    /// # Errors
    /// The runtime cannot take it, and it is closed.
    pub(super) fn register(&mut self) -> io::Result<tokio::net::TcpStream> {
        let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        tokio::net::TcpStream::from_std(socket)
    }
}

impl AsRawFd for Fresh {
    /// -1, which is no descriptor, of one that was closed.
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::io::IoSlice;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use rustix::io::Errno;
    use rustix::net::{RecvFlags, recv};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::LocalSet;

    use super::super::{Listener, Pipe, Stream};

    /// What a listener of ours accepts, and its client.
    async fn accepted() -> (Stream, tokio::net::TcpStream) {
        let mut listeners = super::super::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let listener: Listener = listeners.remove(0);
        let address = listener.local_addr().unwrap();
        let acceptor = listener.register().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (stream, peer) = acceptor.accept().await.unwrap();
        assert_eq!(peer, Some(address.ip()));
        assert_eq!(stream.ends(), Some((client.local_addr().unwrap(), address)));
        (stream, client)
    }

    #[tokio::test]
    async fn who_has_sent_and_takes_at_once_is_served_without_the_runtime() {
        let (mut stream, mut client) = accepted().await;
        client.write_all(b"question").await.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut buffer = [0; 16];
        assert!(matches!(stream.poll_read(&mut cx, &mut buffer), Poll::Ready(Ok(8))));
        let pieces = [IoSlice::new(b"ans"), IoSlice::new(b"wer")];
        assert!(matches!(stream.poll_write(&mut cx, &pieces), Poll::Ready(Ok(6))));
        assert!(stream.is_silent());
        assert!(stream.fresh_since().is_some());
        drop(stream);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }

    /// In most cases, that is: the kernel holds a few bytes back for a fifth of a second only.
    #[tokio::test]
    async fn the_last_bytes_leave_with_the_end_of_the_stream() {
        let mut held_back = 0;
        for registered in [false, true].repeat(5) {
            let (mut stream, mut client) = accepted().await;
            let mut cx = Context::from_waker(Waker::noop());
            if registered {
                assert!(stream.poll_read(&mut cx, &mut [0; 16]).is_pending());
                poll_fn(|cx| stream.poll_io_write(cx, |_| Ok(()))).await.unwrap();
            }
            let pieces = [IoSlice::new(b"ans"), IoSlice::new(b"wer")];
            assert!(matches!(stream.poll_write_last(&mut cx, &pieces[..1]), Poll::Ready(Ok(3))));
            assert!(matches!(stream.poll_write_last(&mut cx, &pieces[1..]), Poll::Ready(Ok(3))));
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            held_back += usize::from(recv(&client, &mut [0; 16], flags) == Err(Errno::WOULDBLOCK));
            drop(stream);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "answer");
        }
        assert!(held_back > 5, "{held_back}");
    }

    #[tokio::test]
    async fn who_has_not_sent_yet_is_waited_for() {
        let (mut stream, mut client) = accepted().await;
        let mut buffer = [0; 16];
        let mut cx = Context::from_waker(Waker::noop());
        assert!(stream.poll_read(&mut cx, &mut buffer).is_pending());
        assert!(stream.fresh_since().is_none());
        let sending = async { client.write_all(b"late").await.unwrap() };
        let reading = poll_fn(|cx| stream.poll_read(cx, &mut buffer));
        let (read, ()) = tokio::join!(reading, sending);
        assert_eq!(read.unwrap(), 4);
    }

    #[tokio::test]
    async fn who_is_always_ready_leaves_others_their_turn() {
        const ALL: usize = 1000;
        let (mut stream, mut client) = accepted().await;
        client.write_all(&[7; ALL]).await.unwrap();
        let read = Rc::new(Cell::new(0));
        let so_far = Rc::clone(&read);
        let tasks = LocalSet::new();
        let reading = tasks.spawn_local(async move {
            while so_far.get() < ALL {
                poll_fn(|cx| stream.poll_read(cx, &mut [0])).await.unwrap();
                so_far.set(so_far.get() + 1);
            }
        });
        let other = tasks.spawn_local(async move { read.get() });
        tasks.await;
        reading.await.unwrap();
        assert!(other.await.unwrap() < ALL);
    }

    #[tokio::test]
    async fn who_takes_slowly_is_waited_for() {
        const ALL: usize = 20_000_000;
        let (mut stream, mut client) = accepted().await;
        let sending = async {
            stream.send(&vec![7; ALL]).await.unwrap();
            assert!(stream.fresh_since().is_none());
            drop(stream);
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(client.read_to_end(&mut got), sending);
        assert_eq!(read.unwrap(), ALL);
    }

    #[tokio::test]
    async fn what_is_moved_through_a_pipe_comes_through() {
        let (mut from, mut origin) = accepted().await;
        let (mut to, mut client) = accepted().await;
        let text: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let sending = async {
            origin.write_all(&text).await.unwrap();
            drop(origin);
        };
        let moving = async {
            let mut pipe = Pipe::new().unwrap();
            while poll_fn(|cx| pipe.poll_fill(&mut from, usize::MAX, cx)).await.unwrap() > 0 {
                while pipe.held() > 0 {
                    poll_fn(|cx| pipe.poll_drain(&mut to, cx)).await.unwrap();
                }
            }
            drop(to);
        };
        let mut got = Vec::new();
        let (read, (), ()) = tokio::join!(client.read_to_end(&mut got), sending, moving);
        read.unwrap();
        assert!(got == text);
    }
}
