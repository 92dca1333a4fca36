//! What becomes of a request's body on its way to a backend.

use std::path::PathBuf;

/// A request's body is read whole before a backend is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestBuffering {
    /// Bytes that are kept in memory.
    pub memory: usize,
    /// Where files for longer ones are made.
    pub directory: PathBuf,
}
