//! A request body that is kept whole before a backend is asked: in memory up to a limit, beyond it
//! in a file without a name, which is gone with the request.
//!
//! The file is made, written and read in pieces on threads of their own, so that a slow disk, or a page
//! cache that has to make room, keeps no other request of the worker waiting.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::snapshot::settings::RequestBuffering;

/// Bytes that go to the file, or come from it, at once: many enough for the way to another thread and
/// back to count for little.
const PIECE: usize = 64 * 1024;

/// A body that is kept whole.
#[derive(Debug)]
pub(super) struct Spool {
    memory: Vec<u8>,
    /// Bytes that `memory` may hold.
    most: usize,
    directory: PathBuf,
    /// What came once the memory was full and is not in the file yet.
    gathered: Vec<u8>,
    /// All that came before that.
    file: Option<Arc<File>>,
    /// Bytes in the file.
    written: u64,
    /// Bytes of the whole that are read since the last rewind.
    read: u64,
    /// What was read of the file, and how much of it is used.
    ahead: (Vec<u8>, usize),
    /// The next piece of the file on its way.
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl Spool {
    /// An empty one.
    pub(super) fn new(settings: &RequestBuffering) -> Self {
        Self {
            memory: Vec::new(),
            most: settings.memory,
            directory: settings.directory.clone(),
            gathered: Vec::new(),
            file: None,
            written: 0,
            read: 0,
            ahead: (Vec::new(), 0),
            reading: None,
        }
    }

    /// Bytes of the whole.
    pub(super) fn len(&self) -> u64 {
        (self.memory.len() + self.gathered.len()) as u64 + self.written
    }

    /// The whole, if it is all in memory.
    pub(super) fn in_memory(&self) -> Option<&[u8]> {
        (self.file.is_none() && self.gathered.is_empty()).then_some(&*self.memory)
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let fits = self.memory.len() + bytes.len() <= self.most;
        let kept =
            if fits && self.in_memory().is_some() { &mut self.memory } else { &mut self.gathered };
        kept.extend_from_slice(bytes);
    }

    /// Whether enough came for the file.
    pub(super) fn is_due(&self) -> bool {
        self.gathered.len() >= PIECE
    }

    /// Writes to the file what belongs there.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub(super) async fn write(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.gathered);
        let (file, directory, at) = (self.file.take(), self.directory.clone(), self.written);
        let written = spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile_in(directory)?),
            };
            file.write_all_at(&bytes, at)?;
            Ok::<_, io::Error>((file, bytes))
        });
        let (file, mut bytes) = written.await.map_err(io::Error::other)??;
        self.written += bytes.len() as u64;
        bytes.clear();
        (self.file, self.gathered) = (Some(file), bytes);
        Ok(())
    }

    /// Begins to read from the start.
    pub(super) fn rewind(&mut self) {
        self.read = 0;
        self.ahead = (Vec::new(), 0);
        self.reading = None;
    }

    /// Whether all is read.
    pub(super) fn is_read(&self) -> bool {
        self.read == self.len()
    }

    /// Reads the next bytes into the front of `buffer`; tells how many. All has to be written.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than what was written.
    pub(super) fn poll_read(
        &mut self,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_read() {
            return Poll::Ready(Ok(0));
        }
        let rest = match usize::try_from(self.read) {
            Ok(read) if read < self.memory.len() => &self.memory[read..],
            _ => {
                if self.ahead.1 == self.ahead.0.len() {
                    self.ahead = (ready!(self.poll_piece(cx))?, 0);
                }
                &self.ahead.0[self.ahead.1..]
            }
        };
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        if self.read >= self.memory.len() as u64 {
            self.ahead.1 += n;
        }
        self.read += n as u64;
        Poll::Ready(Ok(n))
    }

    /// The piece of the file that is to be read next.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let at = self.read - self.memory.len() as u64;
        let reading = self.reading.get_or_insert_with(|| {
            let left = usize::try_from(self.written - at).unwrap_or(PIECE);
            let (file, (mut piece, _)) = (self.file.clone(), std::mem::take(&mut self.ahead));
            spawn_blocking(move || {
                let file = file.ok_or(io::ErrorKind::NotFound)?;
                piece.resize(left.min(PIECE), 0);
                file.read_exact_at(&mut piece, at)?;
                Ok(piece)
            })
        });
        let piece = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(piece.map_err(io::Error::other)?)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;

    use super::*;

    fn spool(memory: usize) -> Spool {
        Spool::new(&RequestBuffering { memory, directory: std::env::temp_dir() })
    }

    async fn keep(spool: &mut Spool, pieces: &[Vec<u8>]) -> io::Result<()> {
        for piece in pieces {
            spool.push(piece);
            if spool.is_due() {
                spool.write().await?;
            }
        }
        spool.write().await
    }

    async fn read_whole(spool: &mut Spool, room: usize) -> Vec<u8> {
        let (mut read, mut buffer) = (Vec::new(), vec![0; room]);
        while !spool.is_read() {
            let n = poll_fn(|cx| spool.poll_read(&mut buffer, cx)).await.unwrap();
            assert!(n > 0);
            read.extend_from_slice(&buffer[..n]);
        }
        assert_eq!(poll_fn(|cx| spool.poll_read(&mut buffer, cx)).await.unwrap(), 0);
        read
    }

    fn in_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_kept_is_read_whole_and_again(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            memory in 0..1000_usize,
            room in 1..500_usize,
        ) {
            in_runtime(async {
                let mut spool = spool(memory);
                keep(&mut spool, &pieces).await.unwrap();
                let whole = pieces.concat();
                prop_assert_eq!(spool.len(), whole.len() as u64);
                prop_assert!(spool.memory.len() <= memory);
                prop_assert_eq!(spool.in_memory().is_none(), whole.len() > memory);
                for _ in 0..2 {
                    spool.rewind();
                    prop_assert_eq!(&read_whole(&mut spool, room).await, &whole);
                }
                Ok(())
            })?;
        }
    }

    #[test]
    fn many_pieces_come_back_in_their_order_from_wherever_it_was_left() {
        in_runtime(async {
            let pieces: Vec<Vec<u8>> =
                (0..7_u8).map(|n| vec![n; PIECE / 2 + usize::from(n)]).collect();
            let mut spool = spool(100);
            keep(&mut spool, &pieces).await.unwrap();
            let mut buffer = vec![0; 10_000];
            for _ in 0..5 {
                poll_fn(|cx| spool.poll_read(&mut buffer, cx)).await.unwrap();
            }
            spool.rewind();
            assert!(read_whole(&mut spool, 16 * 1024).await == pieces.concat());
        });
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let directory = PathBuf::from("/nonexistent");
        let mut spool = Spool::new(&RequestBuffering { memory: 2, directory });
        in_runtime(async {
            assert!(keep(&mut spool, &[b"ab".to_vec()]).await.is_ok());
            assert!(keep(&mut spool, &[b"c".to_vec()]).await.is_err());
        });
    }
}
