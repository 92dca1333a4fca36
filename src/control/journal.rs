//! What was published, when and why: the last generations, for the status API.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::control::Origin;
use crate::model::Generation;

/// Entries that are kept.
const KEPT: usize = 256;

/// One published generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub generation: Generation,
    /// When it was published.
    pub at: SystemTime,
    /// Where the change came from.
    pub origin: Origin,
    /// What changed and why, in words.
    pub cause: String,
}

/// The control loop writes, status requests read; no request of the data plane comes here.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal(Arc<Mutex<VecDeque<Entry>>>);

impl Journal {
    /// Notes a generation as published now.
    pub(super) fn note(&self, generation: Generation, origin: Origin, cause: String) {
        let mut entries = self.lock();
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry { generation, at: SystemTime::now(), origin, cause });
    }

    /// All entries, the latest one last.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        // Every write leaves the queue whole, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_are_kept() {
        let journal = Journal::default();
        for n in 1..=300 {
            journal.note(Generation(n), Origin::Health, format!("change {n}"));
        }
        let entries = journal.entries();
        assert_eq!(entries.len(), KEPT);
        assert_eq!(entries[0].generation, Generation(45));
        assert_eq!(entries[KEPT - 1].cause, "change 300");
    }
}
