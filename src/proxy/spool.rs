//! A request body that is kept whole before a backend is asked: in memory up to a limit, beyond it
//! in a file without a name, which is gone with the request.
//!
//! The file is written and read on the worker's own thread, as nginx does: what is written goes to
//! the page cache, a buffer at a time. Directories on slow disks slow the worker down.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::snapshot::settings::RequestBuffering;

/// A body that is kept whole.
#[derive(Debug)]
pub(super) struct Spool {
    memory: Vec<u8>,
    /// Bytes that `memory` may hold.
    most: usize,
    directory: PathBuf,
    /// All that came once the memory was full.
    file: Option<File>,
    /// Bytes in the file.
    written: u64,
    /// Bytes of the whole that are read since the last rewind.
    read: u64,
}

impl Spool {
    /// An empty one.
    pub(super) fn new(settings: &RequestBuffering) -> Self {
        Self {
            memory: Vec::new(),
            most: settings.memory,
            directory: settings.directory.clone(),
            file: None,
            written: 0,
            read: 0,
        }
    }

    /// Bytes of the whole.
    pub(super) fn len(&self) -> u64 {
        self.memory.len() as u64 + self.written
    }

    /// The whole, if it is all in memory.
    pub(super) fn in_memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(&*self.memory)
    }

    /// Keeps the next bytes.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() <= self.most {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.directory)?),
        };
        file.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Begins to read from the start.
    pub(super) fn rewind(&mut self) {
        self.read = 0;
    }

    /// Whether all is read.
    pub(super) fn is_read(&self) -> bool {
        self.read == self.len()
    }

    /// Reads the next bytes into the front of `buffer`; tells how many.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than what was written.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let in_memory = self.memory.len() as u64;
        let n = match (&self.file, usize::try_from(self.read)) {
            (_, Ok(read)) if self.read < in_memory => {
                let rest = &self.memory[read..];
                let n = rest.len().min(buffer.len());
                buffer[..n].copy_from_slice(&rest[..n]);
                n
            }
            (Some(file), _) if !self.is_read() => {
                let left = self.len() - self.read;
                let n = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
                file.read_exact_at(&mut buffer[..n], self.read - in_memory)?;
                n
            }
            _ => 0,
        };
        self.read += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spool(memory: usize) -> Spool {
        Spool::new(&RequestBuffering { memory, directory: std::env::temp_dir() })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_kept_is_read_whole_and_again(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            memory in 0..1000_usize,
            room in 1..500_usize,
        ) {
            let mut spool = spool(memory);
            for piece in &pieces {
                spool.push(piece).unwrap();
            }
            let whole = pieces.concat();
            prop_assert_eq!(spool.len(), whole.len() as u64);
            prop_assert!(spool.memory.len() <= memory);
            prop_assert_eq!(spool.file.is_some(), whole.len() > memory);
            for _ in 0..2 {
                spool.rewind();
                let mut read = Vec::new();
                let mut buffer = vec![0; room];
                while !spool.is_read() {
                    let n = spool.read(&mut buffer).unwrap();
                    prop_assert!(n > 0);
                    read.extend_from_slice(&buffer[..n]);
                }
                prop_assert_eq!(&read, &whole);
                prop_assert_eq!(spool.read(&mut buffer).unwrap(), 0);
            }
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let directory = PathBuf::from("/nonexistent");
        let mut spool = Spool::new(&RequestBuffering { memory: 2, directory });
        spool.push(b"ab").unwrap();
        assert!(spool.push(b"c").is_err());
    }
}
