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
        Reader { cache: Cache::new(Arc::clone(&self.current)), nudge: self.nudge.subscribe() }
    }
}

/// A cached view of the cell: looking for news costs one relaxed load.
#[derive(Debug, Clone)]
pub struct Reader {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    nudge: watch::Receiver<Generation>,
}

impl Reader {
    /// The current snapshot.
    #[inline]
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }

    /// Waits until something newer than the last nudge is published. `false`: there will be no more.
    pub async fn changed(&mut self) -> bool {
        self.nudge.changed().await.is_ok()
    }
}
