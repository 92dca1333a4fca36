//! The one place where a new snapshot appears to its readers.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::watch;

use crate::model::Generation;
use crate::snapshot::Snapshot;

/// Holds the current snapshot. `control` keeps the only `Cell`; all others hold [`Reader`]s.
#[derive(Debug)]
pub struct Cell {
    current: Arc<ArcSwap<Snapshot>>,
    nudge: watch::Sender<Generation>,
}

impl Cell {
    /// A cell that holds `first`.
    pub fn new(first: Snapshot) -> Self {
        let nudge = watch::Sender::new(first.generation);
        Self { current: Arc::new(ArcSwap::from_pointee(first)), nudge }
    }

    /// Publishes `next` and nudges every reader that waits.
    pub fn publish(&self, next: Snapshot) -> Generation {
        let generation = next.generation;
        self.current.store(Arc::new(next));
        self.nudge.send_replace(generation);
        generation
    }

    /// The current snapshot.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A reader for one worker, or for the admin room.
    pub fn reader(&self) -> Reader {
        Reader { world: Arc::clone(&self.current), cache: None, nudge: self.nudge.subscribe() }
    }
}

/// A cached view of the cell: looking for news costs one relaxed load.
///
/// It keeps the snapshot that it saw last. One that has not looked, as a clone has not, keeps none:
/// what is only there to be cloned or to wait must not hold an old world and its series.
#[derive(Debug)]
pub struct Reader {
    world: Arc<ArcSwap<Snapshot>>,
    cache: Option<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    nudge: watch::Receiver<Generation>,
}

impl Clone for Reader {
    fn clone(&self) -> Self {
        Self { world: Arc::clone(&self.world), cache: None, nudge: self.nudge.clone() }
    }
}

impl Reader {
    /// The current snapshot.
    #[inline]
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.cache.get_or_insert_with(|| Cache::new(Arc::clone(&self.world))).load()
    }

    /// Waits until something newer than the last nudge is published. `false`: there will be no more.
    pub async fn changed(&mut self) -> bool {
        self.nudge.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_does_not_look_keeps_no_snapshot_alive() {
        let cell = Cell::new(Snapshot::empty());
        let first = Arc::downgrade(&cell.load());
        let mut looking = cell.reader();
        assert_eq!(looking.current().generation, Generation(0));
        let waiting = looking.clone();
        cell.publish(Snapshot { generation: Generation(1), ..Snapshot::empty() });
        assert!(first.upgrade().is_some(), "the one that looked has it");
        assert_eq!(looking.current().generation, Generation(1));
        assert!(first.upgrade().is_none());
        drop(waiting);
    }
}
