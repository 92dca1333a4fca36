//! Bytes on their way out: a head, a piece of a body where it was read, a tail.
//!
//! The pieces leave in one system call when the kernel takes them all. The body piece stays in the
//! buffer into which it was read, so that large bodies are not copied.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use crate::proxy::buffers::{Buffer, Buffers, Reserved};
use crate::proxy::wire::Carries;

/// A body piece up to this size is copied behind the head: cheaper than a second piece.
const COPY_UP_TO: usize = 4096;

/// What is written of the tail is forgotten when it is this much, and a tail's room beyond it is
/// given back.
const TAIL: usize = 64 * 1024;

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What goes first; callers append to it while nothing is under way.
    pub(super) head: Vec<u8>,
    body: Option<(Buffer, Range<usize>)>,
    /// What goes last.
    pub(super) tail: Vec<u8>,
    /// Bytes of `head` and `tail` that are written; `body` is cut as it goes.
    head_written: usize,
    tail_written: usize,
    /// Room for what is read ahead of the client.
    reserved: Option<Reserved>,
    /// Nothing follows, and the connection is closed behind it.
    pub(super) is_last: bool,
}

impl Outgoing {
    /// Nothing is left to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.head_written == self.head.len()
            && self.body.is_none()
            && self.tail_written == self.tail.len()
    }

    /// Bytes that are left to be written.
    pub(super) fn left(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |(_, piece)| piece.len());
        self.head.len() - self.head_written + body + self.tail.len() - self.tail_written
    }

    /// Whether no lent buffer waits for its bytes to leave.
    pub(super) fn holds_no_buffer(&self) -> bool {
        self.body.is_none()
    }

    /// Sends `buffer[piece]` after the head.
    pub(super) fn set_body(&mut self, buffer: Buffer, piece: Range<usize>, buffers: &Buffers) {
        if piece.len() <= COPY_UP_TO {
            self.head.extend_from_slice(&buffer[piece]);
            buffers.give(buffer);
        } else {
            self.body = Some((buffer, piece));
        }
    }

    /// Whether the next piece of a body goes behind the head. If not, it goes to [`end`](Self::end).
    pub(super) fn takes_piece(&self) -> bool {
        self.body.is_none() && self.tail.is_empty()
    }

    /// Where more can be appended behind all that is on its way.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        if self.takes_piece() && self.head_written == 0 {
            return &mut self.head;
        }
        if self.tail_written >= TAIL {
            self.tail.drain(..self.tail_written);
            self.tail_written = 0;
        }
        &mut self.tail
    }

    /// Whether there is room to read so many bytes ahead of who takes them.
    pub(super) fn reserve(&mut self, buffers: &Buffers, bytes: usize) -> bool {
        if self.reserved.is_none() {
            self.reserved = buffers.reserve(bytes);
        }
        self.reserved.is_some()
    }

    /// Writes until nothing is left, or `most` bytes are written. Counts the bytes into `written`.
    pub(super) fn poll_flush_up_to(
        &mut self,
        mut most: u64,
        stream: &mut impl Carries,
        cx: &mut Context<'_>,
        buffers: &Buffers,
        written: &mut u64,
    ) -> Poll<io::Result<()>> {
        if most == u64::MAX {
            return self.poll_flush(stream, cx, buffers, written);
        }
        while !self.is_empty() && most > 0 {
            let piece = self.first();
            let end = usize::try_from(most).map_or(piece.len(), |most| most.min(piece.len()));
            let n = ready!(stream.poll_write(cx, &[IoSlice::new(&piece[..end])]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n as u64;
            most -= n as u64;
            self.advance(n, buffers);
        }
        if self.is_empty() {
            self.clear();
        }
        Poll::Ready(Ok(()))
    }

    /// What is next; something is.
    fn first(&self) -> &[u8] {
        match &self.body {
            _ if self.head_written < self.head.len() => &self.head[self.head_written..],
            Some((buffer, piece)) => &buffer[piece.clone()],
            None => &self.tail[self.tail_written..],
        }
    }

    /// Writes until nothing is left. Counts the bytes into `written`.
    #[inline]
    pub(super) fn poll_flush(
        &mut self,
        stream: &mut impl Carries,
        cx: &mut Context<'_>,
        buffers: &Buffers,
        written: &mut u64,
    ) -> Poll<io::Result<()>> {
        // Asked at every step of a request; mostly nothing is under way.
        let nothing = self.head.is_empty()
            && self.tail.is_empty()
            && self.body.is_none()
            && self.reserved.is_none();
        if nothing {
            Poll::Ready(Ok(()))
        } else {
            self.poll_flush_all(stream, cx, buffers, written)
        }
    }

    fn poll_flush_all(
        &mut self,
        stream: &mut impl Carries,
        cx: &mut Context<'_>,
        buffers: &Buffers,
        written: &mut u64,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let Poll::Ready(n) = self.poll_write(stream, cx) else {
                if stream.is_one_of_many() {
                    self.release(buffers);
                }
                return Poll::Pending;
            };
            let n = n?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n as u64;
            self.advance(n, buffers);
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    /// Puts what waits into memory of its own and gives the lent buffer back.
    fn release(&mut self, buffers: &Buffers) {
        if let Some((buffer, piece)) = self.body.take() {
            self.tail.splice(..self.tail_written, buffer[piece].iter().copied());
            self.tail_written = 0;
            buffers.give(buffer);
        }
    }

    fn poll_write(
        &self,
        stream: &mut impl Carries,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let head = &self.head[self.head_written..];
        let tail = &self.tail[self.tail_written..];
        let body = self.body.as_ref().map_or(&[][..], |(buffer, piece)| &buffer[piece.clone()]);
        if body.is_empty() && tail.is_empty() && !self.is_last {
            return stream.poll_write(cx, &[IoSlice::new(head)]);
        }
        let pieces = [IoSlice::new(head), IoSlice::new(body), IoSlice::new(tail)];
        let from = usize::from(head.is_empty()) + usize::from(head.is_empty() && body.is_empty());
        let to = pieces.len() - usize::from(tail.is_empty());
        let to = to - usize::from(tail.is_empty() && body.is_empty());
        if self.is_last {
            stream.poll_write_last(cx, &pieces[from..to])
        } else {
            stream.poll_write(cx, &pieces[from..to])
        }
    }

    fn advance(&mut self, mut n: usize, buffers: &Buffers) {
        let from_head = n.min(self.head.len() - self.head_written);
        self.head_written += from_head;
        n -= from_head;
        if let Some((_, piece)) = &mut self.body {
            let from_body = n.min(piece.len());
            piece.start += from_body;
            n -= from_body;
            if piece.start == piece.end
                && let Some((buffer, _)) = self.body.take()
            {
                buffers.give(buffer);
            }
        }
        self.tail_written += n;
    }

    /// Everything that is left, as one piece.
    pub(super) fn take(&mut self, buffers: &Buffers) -> Bytes {
        let mut all = BytesMut::from(&self.head[self.head_written..]);
        if let Some((buffer, piece)) = self.body.take() {
            all.extend_from_slice(&buffer[piece]);
            buffers.give(buffer);
        }
        all.extend_from_slice(&self.tail[self.tail_written..]);
        self.clear();
        all.freeze()
    }

    /// Forgets everything; the vectors keep their room.
    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.tail.clear();
        self.body = None;
        self.head_written = 0;
        self.tail_written = 0;
        self.reserved = None;
        self.is_last = false;
        if self.tail.capacity() > TAIL {
            self.tail = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use socket2::SockRef;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::net::Stream;

    /// Sends this through a socket that takes little at once; gives what came out.
    async fn sent(head: &[u8], body: &[u8], tail: &[u8]) -> Vec<u8> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
        let (mut stream, buffers) = (Stream::Unix(ours), Buffers::default());
        let mut outgoing = Outgoing::default();
        outgoing.head.extend_from_slice(head);
        let mut buffer = buffers.take();
        buffer[7..7 + body.len()].copy_from_slice(body);
        outgoing.set_body(buffer, 7..7 + body.len(), &buffers);
        outgoing.tail.extend_from_slice(tail);
        let whole = head.len() + body.len() + tail.len();
        assert_eq!(outgoing.left(), whole);
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.unwrap();
            got
        });
        let mut written = 0;
        poll_fn(|cx| {
            let flushed = outgoing.poll_flush(&mut stream, cx, &buffers, &mut written);
            assert_eq!(outgoing.left() as u64 + written, whole as u64);
            flushed
        })
        .await
        .unwrap();
        assert!(outgoing.is_empty());
        assert!(outgoing.body.is_none(), "the buffer was given back");
        drop(stream);
        reader.await.unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_pieces_leave_in_order_however_little_is_taken_at_once(
            head in proptest::collection::vec(any::<u8>(), 0..20_000),
            body in proptest::collection::vec(any::<u8>(), 0..60_000),
            tail in proptest::collection::vec(any::<u8>(), 0..9_000),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            let got = runtime.block_on(sent(&head, &body, &tail));
            prop_assert!(got == [head, body, tail].concat());
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_where_nothing_is() {
        assert_eq!(sent(b"", b"", b"").await, b"");
        assert_eq!(sent(b"", b"", b"tail").await, b"tail");
        assert_eq!(sent(b"", &[1; 5000], b"").await, [1; 5000]);
    }

    #[tokio::test]
    async fn a_side_that_is_gone_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (mut stream, buffers) = (Stream::Unix(ours), Buffers::default());
        let mut outgoing = Outgoing::default();
        outgoing.head.extend_from_slice(b"head");
        let flush = poll_fn(|cx| outgoing.poll_flush(&mut stream, cx, &buffers, &mut 0));
        assert!(flush.await.is_err());
    }
}
