//! Identities. An `Ix` is a place in one snapshot and dies with it; an `Id` outlives reloads.

use std::fmt;

/// A backend's place in its upstream's list, within one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIx(pub u32);

impl BackendIx {
    /// The place as an index into a slice.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A backend's identity across reloads: the same upstream name and the same address text keep the
/// same id for the life of the process, and an id is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub u64);

/// An upstream's identity across reloads: one id per name for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u32);

/// An upstream's place in one snapshot's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamIx(pub u32);

impl UpstreamIx {
    /// The place as an index into a slice.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A worker's number, from 0. Metric cells and the stagger of cursors are indexed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerIx(pub u16);

impl WorkerIx {
    /// The number as an index into a slice.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The number of a published snapshot; it only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
