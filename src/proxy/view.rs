//! A worker's own view of the current snapshot.
//!
//! Requests clone an `Rc` of the view, never an `Arc` of the snapshot: a reference count that all
//! workers share would be a hidden lock. What is the worker's own, cursors and pools, moves from
//! view to view with the upstream and the backend that it belongs to.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashMap;

use crate::balance::Rng;
use crate::model::{BackendId, UpstreamId, WorkerIx};
use crate::proxy::pool::Pool;
use crate::snapshot::{Cursors, Snapshot, Upstream};

/// The snapshot with what this worker keeps beside it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    /// In the order of [`Snapshot::upstreams`].
    pub(super) upstreams: Box<[Rc<Local>]>,
}

/// An upstream with this worker's cursors and pools.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) upstream: Arc<Upstream>,
    pub(super) cursors: RefCell<Cursors>,
    /// In the order of [`Upstream::backends`].
    pub(super) pools: Box<[Rc<Pool>]>,
}

impl View {
    /// A worker's first view.
    pub(super) fn new(snapshot: Arc<Snapshot>, worker: WorkerIx, rng: &mut Rng) -> Self {
        let upstreams = snapshot
            .upstreams
            .iter()
            .map(|upstream| Rc::new(Local::new(Arc::clone(upstream), worker, rng)))
            .collect();
        Self { snapshot, upstreams }
    }

    /// The view of a newer snapshot. Unchanged upstreams are kept as they are, changed ones keep
    /// their cursors and the pools of their remaining backends; pools of backends that left are
    /// emptied.
    pub(super) fn next(&self, snapshot: Arc<Snapshot>, worker: WorkerIx, rng: &mut Rng) -> Self {
        let before: AHashMap<UpstreamId, &Rc<Local>> =
            self.upstreams.iter().map(|local| (local.upstream.id, local)).collect();
        let upstreams: Box<[Rc<Local>]> = snapshot
            .upstreams
            .iter()
            .map(|upstream| match before.get(&upstream.id) {
                Some(local) if Arc::ptr_eq(&local.upstream, upstream) => Rc::clone(local),
                Some(local) => Rc::new(local.next(Arc::clone(upstream))),
                None => Rc::new(Local::new(Arc::clone(upstream), worker, rng)),
            })
            .collect();
        let kept: AHashMap<UpstreamId, &Rc<Local>> =
            upstreams.iter().map(|local| (local.upstream.id, local)).collect();
        for local in &self.upstreams {
            if !kept.contains_key(&local.upstream.id) {
                local.pools.iter().for_each(|pool| pool.close());
            }
        }
        Self { snapshot, upstreams }
    }
}

impl Local {
    fn new(upstream: Arc<Upstream>, worker: WorkerIx, rng: &mut Rng) -> Self {
        let cursors = upstream.cursors(worker, rng.next_u64());
        let pools = upstream.backends.iter().map(|_| Rc::new(Pool::default())).collect();
        Self { upstream, cursors: RefCell::new(cursors), pools }
    }

    fn next(&self, upstream: Arc<Upstream>) -> Self {
        // Requests under way on the old view keep its cursors; the copy goes on from there.
        let mut cursors = self.cursors.borrow().clone();
        upstream.refit(&mut cursors);
        let mut before: AHashMap<BackendId, &Rc<Pool>> = self
            .upstream
            .backends
            .iter()
            .zip(&self.pools)
            .map(|(backend, pool)| (backend.id, pool))
            .collect();
        let pools = upstream
            .backends
            .iter()
            .map(|backend| before.remove(&backend.id).map(Rc::clone).unwrap_or_default())
            .collect();
        before.into_values().for_each(|pool| pool.close());
        Self { upstream, cursors: RefCell::new(cursors), pools }
    }
}
