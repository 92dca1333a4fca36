//! Buffers and request states that a worker lends out, the last one given back first.
//!
//! A buffer is taken when a socket has become readable and given back when its bytes have left:
//! on a busy worker nearly always the same one, which so stays in the cache. A connection that waits
//! holds none. After a burst the list shrinks to [`KEPT`].

use std::cell::RefCell;
use std::ops::Range;

/// Room of a buffer, and so the most that is read at once (256 KiB; measured: reads of that size
/// cost a fifth less CPU on 1 MB bodies than reads of 64 KiB, and larger ones gain nothing).
pub(super) const ROOM: usize = 256 * 1024;

/// Buffers kept for the next ones who ask.
const KEPT: usize = 16;

/// A lent buffer; always [`ROOM`] bytes long.
pub(super) type Buffer = Vec<u8>;

/// A lent buffer, and the bytes in it that count.
pub(super) type Lent = (Buffer, Range<usize>);

/// The free buffers of a worker.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: RefCell<Vec<Buffer>>,
}

impl Buffers {
    /// A buffer of [`ROOM`] bytes, with whatever was in it before.
    #[inline]
    pub(super) fn take(&self) -> Buffer {
        self.free.borrow_mut().pop().unwrap_or_else(|| vec![0; ROOM])
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
