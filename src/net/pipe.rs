//! Bytes from socket to socket through a pipe of the kernel (splice(2)): pages change hands, and nobody
//! copies what is in them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::net::Stream;

/// What is asked of the kernel, which gives an ordinary user up to 1 MiB (`fs.pipe-max-size`). Less
/// means more wake-ups of who reads, more lets one connection keep the others waiting.
const WANTED: usize = 512 << 10;

/// A pipe, and how much is in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty one.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Of many pipes the kernel lets the later ones have 64 KiB or less: slower, and as good.
        let _ = fcntl_setpipe_size(&write, WANTED);
        Ok(Self { read, write, held: 0 })
    }

    /// Bytes that are in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes at most `most` bytes out of a socket into the pipe, which is empty. `Ok(0)` is the end of
    /// the stream.
    pub fn poll_fill(
        &mut self,
        from: &mut Stream,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let filled = from.poll_io_read(cx, |socket| moved(socket, &self.write, most.min(WANTED)));
        filled.map_ok(|n| {
            self.held += n;
            n
        })
    }

    /// Passes on to a socket what it takes of what is in the pipe.
    pub fn poll_drain(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let drained = to.poll_io_write(cx, |socket| moved(&self.read, socket, self.held));
        drained.map_ok(|n| {
            self.held -= n;
            n
        })
    }
}

fn moved(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn all_bytes_come_through_in_order_and_the_end_is_told() {
        let (mut origin, from) = pair().await;
        let (to, mut client) = pair().await;
        let text: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let sent = text.clone();
        let writing = tokio::spawn(async move { origin.write_all(&sent).await.unwrap() });
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got
        });
        let (mut from, mut to) = (Stream::Tcp(from), Stream::Tcp(to));
        let mut pipe = Pipe::new().unwrap();
        while poll_fn(|cx| pipe.poll_fill(&mut from, usize::MAX, cx)).await.unwrap() > 0 {
            while pipe.held() > 0 {
                poll_fn(|cx| pipe.poll_drain(&mut to, cx)).await.unwrap();
            }
        }
        drop(to);
        writing.await.unwrap();
        assert!(reading.await.unwrap() == text);
    }
}
