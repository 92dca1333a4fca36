//! Buffers and request states that a worker lends out, the last one given back first.
//!
//! A buffer is taken when a socket has become readable and given back when its bytes have left:
//! on a busy worker nearly always the same one, which so stays in the cache. A connection that waits
//! holds none. After a burst the list shrinks to [`KEPT`]. Pipes for large bodies are lent in the same
//! way.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use crate::net::Pipe;

/// Room of a buffer, and so the most that is read at once (256 KiB; measured: reads of that size
/// cost a fifth less CPU on 1 MB bodies than reads of 64 KiB, and larger ones gain nothing).
pub(super) const ROOM: usize = 256 * 1024;

/// Buffers kept for the next ones who ask.
const KEPT: usize = 16;

/// Most pipes that a worker has at a time, for two descriptors each; of more, the kernel gives ordinary
/// users less room in each. Bodies beyond it go through buffers.
const MOST_PIPES: usize = 64;

/// Most that a worker reads ahead of its clients, all together (64 MiB). Beyond it, responses are
/// passed on as their clients take them.
const MOST_AHEAD: usize = 64 << 20;

/// A lent buffer; always [`ROOM`] bytes long.
pub(super) type Buffer = Vec<u8>;

/// A lent buffer, and the bytes in it that count.
pub(super) type Lent = (Buffer, Range<usize>);

/// The free buffers of a worker.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: RefCell<Vec<Buffer>>,
    /// Bytes that are reserved for reading ahead.
    ahead: Rc<Cell<usize>>,
    /// Empty pipes.
    #[expect(clippy::vec_box, reason = "a pipe is lent as a box")]
    pipes: RefCell<Vec<Box<LentPipe>>>,
    /// All pipes, those that are lent included.
    piped: Rc<Cell<usize>>,
}

/// A lent pipe, counted until this is dropped.
#[derive(Debug)]
pub(super) struct LentPipe {
    pub(super) pipe: Pipe,
    all: Rc<Cell<usize>>,
}

impl Drop for LentPipe {
    fn drop(&mut self) {
        self.all.set(self.all.get() - 1);
    }
}

/// Room for reading ahead, held until this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    all: Rc<Cell<usize>>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.bytes);
    }
}

impl Buffers {
    /// A buffer of [`ROOM`] bytes, with whatever was in it before.
    #[inline]
    pub(super) fn take(&self) -> Buffer {
        self.free.borrow_mut().pop().unwrap_or_else(|| vec![0; ROOM])
    }

    /// Room to read so many bytes ahead of a client, if there is any left.
    pub(super) fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let all = self.ahead.get() + bytes;
        if all > MOST_AHEAD {
            return None;
        }
        self.ahead.set(all);
        Some(Reserved { all: Rc::clone(&self.ahead), bytes })
    }

    /// An empty pipe, if there are not too many.
    pub(super) fn take_pipe(&self) -> Option<Box<LentPipe>> {
        if let Some(pipe) = self.pipes.borrow_mut().pop() {
            return Some(pipe);
        }
        let all = self.piped.get() + 1;
        if all > MOST_PIPES {
            return None;
        }
        let pipe = Pipe::new().ok()?;
        self.piped.set(all);
        Some(Box::new(LentPipe { pipe, all: Rc::clone(&self.piped) }))
    }

    /// Gives a pipe back, which is closed if there is something in it.
    pub(super) fn give_pipe(&self, lent: Box<LentPipe>) {
        let mut pipes = self.pipes.borrow_mut();
        if lent.pipe.held() == 0 && pipes.len() < KEPT {
            pipes.push(lent);
        }
    }

    /// Gives a buffer back.
    #[inline]
    pub(super) fn give(&self, buffer: Buffer) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_bounded_and_comes_back() {
        let buffers = Buffers::default();
        let first = buffers.reserve(MOST_AHEAD - 1).unwrap();
        assert!(buffers.reserve(2).is_none());
        let second = buffers.reserve(1).unwrap();
        drop(first);
        assert_eq!(buffers.ahead.get(), 1);
        drop(second);
        assert_eq!(buffers.ahead.get(), 0);
    }

    #[test]
    fn pipes_are_bounded_and_come_back() {
        let buffers = Buffers::default();
        let mut lent: Vec<_> = (0..MOST_PIPES).map(|_| buffers.take_pipe().unwrap()).collect();
        assert!(buffers.take_pipe().is_none());
        buffers.give_pipe(lent.pop().unwrap());
        lent.push(buffers.take_pipe().unwrap());
        drop(lent);
        assert_eq!(buffers.piped.get(), 0);
    }
}
