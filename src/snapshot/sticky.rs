//! Clients that are bound to backends: who a value stands for, and what a cookie says.

use std::fmt::Write as _;
use std::sync::Arc;

use ahash::AHashMap;
use md5::{Digest, Md5};

use crate::balance::Pick;
use crate::model::{AdminState, BackendIx, BackendState, PassiveState, ProbedState};
use crate::snapshot::settings::StickyBy;
use crate::snapshot::{Backend, Cursors, Upstream};

/// What binds the clients of an upstream.
#[derive(Debug)]
pub struct Sticky {
    /// Where the value comes from.
    pub by: StickyBy,
    /// Whom each value stands for: several, if they have a route in common.
    bound: AHashMap<Box<[u8]>, Vec<BackendIx>>,
    /// Each backend's value.
    values: Box<[Box<str>]>,
}

impl Sticky {
    /// For these backends, of which each has a route or none.
    pub(super) fn new<'r>(
        by: &StickyBy,
        backends: &[Arc<Backend>],
        routes: impl Iterator<Item = Option<&'r str>>,
    ) -> Self {
        let values: Box<[Box<str>]> = backends
            .iter()
            .zip(routes)
            .map(|(backend, route)| match route {
                Some(route) => route.into(),
                None => fingerprint(backend),
            })
            .collect();
        let mut bound: AHashMap<Box<[u8]>, Vec<BackendIx>> = AHashMap::new();
        for (ix, value) in (0..).zip(&values) {
            bound.entry(value.as_bytes().into()).or_default().push(BackendIx(ix));
        }
        Self { by: by.clone(), bound, values }
    }

    /// The value that stands for a backend.
    pub fn value(&self, ix: BackendIx) -> &str {
        &self.values[ix.index()]
    }
}

/// The MD5 of the address, in hexadecimal digits: nginx's name for a server without a route.
fn fingerprint(backend: &Backend) -> Box<str> {
    let mut text = String::with_capacity(32);
    for byte in Md5::digest(backend.address.to_string()) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

impl Upstream {
    /// The backend that a value stands for, if it can serve now; it counts as a turn of its own.
    ///
    /// One that is draining serves those who are bound to it. A later tier does only when it is in turn.
    /// Nobody does while a circuit breaker is not closed.
    pub fn pick_bound(
        &self,
        value: &[u8],
        cursors: &mut Cursors,
        pick: &mut Pick<'_>,
    ) -> Option<BackendIx> {
        let bound = self.sticky.as_ref()?.bound.get(value)?;
        bound.iter().copied().find(|ix| {
            let backend = &self.backends[ix.index()];
            let tier = usize::from(backend.tier);
            if self.course.barrier.is_some() || !self.tiers.is_in_turn(tier) {
                return false;
            }
            let (plan, cursor) = self.tiers.at(tier, cursors);
            let may_serve = self.eligible[ix.index()] || finishes(backend.state);
            let found = may_serve && plan.has_room(*ix, pick);
            if found {
                plan.note_bound(*ix, cursor, pick);
            }
            found
        })
    }
}

/// Whether a backend gets no new clients, but is well.
fn finishes(state: BackendState) -> bool {
    use ProbedState::{Degraded, Draining, Unprobed, Up};
    let well = matches!(
        (state.admin, state.probed),
        (AdminState::Draining, Unprobed | Up | Degraded)
            | (AdminState::Enabled | AdminState::Draining, Draining)
    );
    well && state.passive == PassiveState::Ok
}
