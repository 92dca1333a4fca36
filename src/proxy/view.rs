//! A worker's own view of the current snapshot.
//!
//! Requests clone an `Rc` of the view, never an `Arc` of the snapshot: a reference count that all
//! workers share would be a hidden lock. What is the worker's own, cursors and pools, moves from
//! view to view with the upstream and the backend that it belongs to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashMap;

use crate::balance::Rng;
use tokio::time::Instant;

use crate::balance::Live;
use crate::model::{BackendId, BackendIx, UpstreamId, WorkerIx};
use crate::proxy::budget::{Budget, Counted};
use crate::proxy::hedge::Hedges;
use crate::proxy::lines;
use crate::proxy::pool::{Connection, Pool};
use crate::snapshot::{Backend, Cursors, Snapshot, Upstream};
use crate::telemetry::BackendCell;

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
    /// What this worker's retries may be.
    pub(super) budget: RefCell<Budget>,
    /// When a second backend is asked, where that is declared.
    pub(super) hedges: Option<Rc<Hedges>>,
    /// When control was last told that a backend asks to be left alone.
    pub(super) asked_to_wait: Cell<Option<Instant>>,
}

/// Where a request finds what it needs of its backend again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near<'a> {
    pool: &'a Pool,
    cell: &'a BackendCell,
    live: &'a Live,
}

impl Near<'_> {
    /// Asks for it before it is needed. Of hundreds of backends the processor's caches hold no one's from a
    /// request to the next, and they lose it while an answer is waited for.
    #[inline]
    pub(super) fn fetch(self) {
        lines::fetch(self.cell);
        lines::fetch(self.live);
        self.pool.fetch();
    }
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
    /// What this worker has counted of the upstream.
    pub(super) fn counted(&self, worker: WorkerIx) -> Counted {
        counted(&self.upstream, worker)
    }

    /// The strategy chose this backend: it is counted, and what the request needs of it is asked for.
    #[inline]
    pub(super) fn picked(&self, ix: BackendIx, worker: WorkerIx) {
        let near = self.near(ix, worker);
        near.fetch();
        near.pool.fetch_newest();
        near.cell.pick();
    }

    /// What each request needs of a backend.
    #[inline]
    pub(super) fn near(&self, ix: BackendIx, worker: WorkerIx) -> Near<'_> {
        let (pool, live) = (&*self.pools[ix.index()], &*self.upstream.live[ix.index()]);
        Near { pool, cell: pool.cell(worker), live }
    }

    /// Where this worker counts what becomes of requests to a backend.
    #[inline]
    pub(super) fn cell(&self, ix: BackendIx, worker: WorkerIx) -> &BackendCell {
        self.pools[ix.index()].cell(worker)
    }

    /// Keeps a backend's connection for another request.
    pub(super) fn keep(&self, ix: BackendIx, connection: Box<Connection>, now: Instant) {
        let settings = &self.upstream.pool;
        self.pools[ix.index()].put(connection, settings, now);
        if let Some(most) = settings.max_idle_total {
            self.close_oldest(most);
        }
    }

    /// A request has ended on an HTTP/2 connection that others share.
    pub(super) fn keep_shared(&self, ix: BackendIx, now: Instant) {
        self.pools[ix.index()].used(&self.upstream.pool, now);
        if let Some(most) = self.upstream.pool.max_idle_total {
            self.close_oldest(most);
        }
    }

    /// Closes those idle connections, of all backends, that are more than `most`.
    fn close_oldest(&self, most: usize) {
        let mut kept: usize = self.pools.iter().map(|pool| pool.len()).sum();
        while kept > most {
            let oldest = self.pools.iter().filter(|pool| pool.len() > 0);
            if let Some(pool) = oldest.min_by_key(|pool| pool.oldest()) {
                pool.close_oldest();
            }
            kept -= 1;
        }
    }

    fn new(upstream: Arc<Upstream>, worker: WorkerIx, rng: &mut Rng) -> Self {
        let cursors = upstream.cursors(worker, rng.next_u64());
        let pools = upstream.backends.iter().map(|backend| Pool::of(backend)).collect();
        let budget = budget(&upstream, worker);
        let (asked_to_wait, hedges) = (Cell::default(), Hedges::of(&upstream));
        Self { upstream, cursors: RefCell::new(cursors), pools, budget, hedges, asked_to_wait }
    }

    fn next(&self, upstream: Arc<Upstream>) -> Self {
        // Requests under way on the old view keep its cursors; the copy goes on from there.
        let mut cursors = self.cursors.borrow().clone();
        upstream.refit(&mut cursors);
        // Connections on other terms are not used again.
        let kept =
            if self.upstream.tls() == upstream.tls() { &*self.upstream.backends } else { &[] };
        let pools = (&self.pools[..kept.len()], Pool::of as fn(&Backend) -> _);
        let (pools, left) = carry(kept, pools, &upstream.backends, |backend| backend.id);
        if kept.is_empty() {
            self.pools.iter().for_each(|pool| pool.close());
        }
        for pool in left {
            pool.close();
        }
        let budget = self.budget.clone();
        let asked_to_wait = self.asked_to_wait.clone();
        let hedges = Hedges::next(self.hedges.as_ref(), &upstream);
        Self { upstream, cursors: RefCell::new(cursors), pools, budget, hedges, asked_to_wait }
    }
}

/// A budget for a worker's retries that begins now.
pub(super) fn budget(upstream: &Upstream, worker: WorkerIx) -> RefCell<Budget> {
    RefCell::new(Budget::new(counted(upstream, worker)))
}

fn counted(upstream: &Upstream, worker: WorkerIx) -> Counted {
    let (attempts, retries) = upstream.series.worker(worker).repeated();
    Counted { attempts, retries }
}

/// The pools of the backends of now, taken over from those of before, and the pools of those that
/// left. Requests wait meanwhile: what stands the same at the beginning and at the end, of thousands
/// of backends usually all but one, is not looked at closer than by its pointer.
fn carry<B>(
    before: &[Arc<B>],
    (pools, fresh): (&[Rc<Pool>], impl Fn(&B) -> Rc<Pool>),
    now: &[Arc<B>],
    id: impl Fn(&B) -> BackendId,
) -> (Box<[Rc<Pool>]>, Vec<Rc<Pool>>) {
    let same = |(old, new): &(&Arc<B>, &Arc<B>)| Arc::ptr_eq(old, new) || id(old) == id(new);
    let head = before.iter().zip(now).take_while(same).count();
    let shorter = before.len().min(now.len()) - head;
    let tail = before.iter().rev().zip(now.iter().rev()).take(shorter).take_while(same).count();
    let (old, new) = (head..before.len() - tail, head..now.len() - tail);
    let mut between: AHashMap<BackendId, &Rc<Pool>> =
        before[old.clone()].iter().map(|backend| id(backend)).zip(&pools[old.clone()]).collect();
    let mut carried = Vec::with_capacity(now.len());
    carried.extend_from_slice(&pools[..old.start]);
    carried.extend(
        now[new]
            .iter()
            .map(|backend| between.remove(&id(backend)).map_or_else(|| fresh(backend), Rc::clone)),
    );
    carried.extend_from_slice(&pools[old.end..]);
    (carried.into(), between.into_values().map(Rc::clone).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whoever_stays_keeps_its_pool_and_whoever_leaves_loses_it(
            before in prop::collection::vec(0_u64..20, 0..12),
            now in prop::collection::vec(0_u64..20, 0..12),
            fresh in any::<bool>(),
        ) {
            let distinct = |list: Vec<u64>| {
                let mut seen = std::collections::BTreeSet::new();
                list.into_iter().filter(|id| seen.insert(*id)).map(Arc::new).collect::<Vec<_>>()
            };
            let (before, mut now) = (distinct(before), distinct(now));
            if !fresh {
                // Shared with the list before, as what has not changed is.
                let find = |id: &Arc<u64>| before.iter().find(|old| *old == id).cloned();
                for id in &mut now {
                    *id = find(id).unwrap_or_else(|| Arc::clone(id));
                }
            }
            let pools: Vec<Rc<Pool>> = before.iter().map(|_| Rc::default()).collect();
            let (carried, left) = carry(&before, (&pools, |_: &u64| Rc::default()), &now, |id| BackendId(*id));
            prop_assert_eq!(carried.len(), now.len());
            for (id, pool) in now.iter().zip(&carried) {
                let known = pools.iter().position(|old| Rc::ptr_eq(old, pool));
                prop_assert_eq!(known, before.iter().position(|old| old == id));
            }
            let gone = before.iter().zip(&pools).filter(|(id, _)| !now.contains(id));
            prop_assert_eq!(left.len(), gone.clone().count());
            for (_, pool) in gone {
                prop_assert!(left.iter().any(|other| Rc::ptr_eq(other, pool)));
            }
        }
    }
}
