//! What the backends of an upstream are good for, where the operator says so.

use crate::balance::is_able;
use crate::config::model as config;
use crate::model::{BackendId, BackendIx, BackendState};
use crate::snapshot::Upstream;

/// Whether it is said: for a failover group, and of its backends.
pub(super) fn is_told(source: &config::Upstream) -> bool {
    source.failover.is_some() && source.backends.iter().any(|one| one.capacity.is_some())
}

impl Upstream {
    /// Requests in a second that those of each tier are good for that may be picked now; `None`: it is not
    /// said.
    pub fn room(&self) -> Option<Vec<f64>> {
        self.room_of(|ix| self.eligible[ix.index()])
    }

    /// The same of those that nothing speaks against in the states that `states` tells.
    pub fn room_by(&self, states: impl Fn(BackendId) -> Option<BackendState>) -> Option<Vec<f64>> {
        self.room_of(|ix| {
            let backend = &self.backends[ix.index()];
            is_able(states(backend.id).unwrap_or(backend.state))
        })
    }

    fn room_of(&self, serves: impl Fn(BackendIx) -> bool) -> Option<Vec<f64>> {
        if !is_told(&self.source) {
            return None;
        }
        let told: Vec<_> = self.source.backends.iter().filter_map(|one| one.capacity).collect();
        // Of who was added by hand it is not known: it is taken for one like the others.
        let mean = told.iter().map(|one| f64::from(*one)).sum::<f64>() / told.len() as f64;
        let mut rooms = vec![0.0; self.tiers.count()];
        for (ix, backend) in (0..).map(BackendIx).zip(&self.backends) {
            if serves(ix) {
                let capacity = self.declared(ix).capacity.map_or(mean, f64::from);
                let share = f64::from(backend.state.share.value()) / 100.0;
                rooms[usize::from(backend.tier)] += capacity * share;
            }
        }
        Some(rooms)
    }
}
