//! Whom a request goes to: the pick for one attempt.

use crate::balance::{Key, Need, Pick, Rng, Tried};
use crate::model::{BackendIx, Clock};
use crate::proxy::failure::Failure;
use crate::proxy::passage::Passage;

/// A backend picked for an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) ix: BackendIx,
    /// The attempt decides whether a parked backend comes back.
    pub(super) trial: bool,
    /// The pool is passed over.
    pub(super) fresh: bool,
    /// It was waited for in line, where others wait until its place is taken.
    pub(super) waited: bool,
}

impl Choice {
    /// Whether the attempt decides on a parked backend.
    pub(super) fn is_trial(self) -> bool {
        self.trial
    }

    /// An attempt like any other.
    pub(super) fn of(ix: BackendIx) -> Self {
        Self { ix, trial: false, fresh: false, waited: false }
    }
}

impl Passage<'_> {
    /// A backend whose trial is due, else the strategy's pick among those not tried yet.
    pub(super) fn choose(&self, tried: &mut Tried, key: &[u8]) -> Option<Choice> {
        let upstream = &self.local.upstream;
        for ix in &upstream.trials {
            if !tried.contains(*ix) && upstream.live[ix.index()].begin_trial() {
                tried.insert(*ix);
                return Some(Choice {
                    ix: *ix,
                    trial: true,
                    // What is left in the pool is from before it was parked.
                    fresh: true,
                    waited: false,
                });
            }
        }
        let mut rng = self.at.worker.rng.borrow_mut();
        let mut pick = self.pick(tried, key, &mut rng);
        let ix = upstream.pick(&mut self.local.cursors.borrow_mut(), &mut pick)?;
        tried.insert(ix);
        upstream.backends[ix.index()].series.worker(self.at.worker.ix).pick();
        if upstream.fail_open {
            upstream.series.worker(self.at.worker.ix).fail_open_pick();
        }
        Some(Choice::of(ix))
    }

    /// What a pick looks at.
    pub(super) fn pick<'p>(
        &'p self,
        tried: &'p Tried,
        key: &'p [u8],
        rng: &'p mut Rng,
    ) -> Pick<'p> {
        let upstream = &self.local.upstream;
        let key = match upstream.strategy.needs() {
            Need::ClientAddress => Key::Address(self.client.address),
            Need::Key => Key::Bytes(key),
            Need::Nothing => Key::None,
        };
        let now = Clock::tick(self.at.whole.into_std());
        Pick { key, live: &upstream.live, tried, now, rng }
    }

    /// There is no backend to ask.
    pub(super) fn none_eligible(&self) -> Failure {
        let upstream = &self.local.upstream;
        if let Some(barrier) = &upstream.course.barrier {
            upstream.series.worker(self.at.worker.ix).kept_out();
            return Failure::BreakerOpen(barrier.retry_after(Clock::now()));
        }
        match upstream.nginx.none_eligible {
            502 => Failure::NoneLive,
            _ => Failure::NoneEligible,
        }
    }

    /// Whether after so many tries another one would be made whoever is left, as nginx does it: it
    /// counts servers that are out too, and then answers that there are none.
    pub(super) fn goes_on(&self, tries: u32) -> bool {
        let upstream = &self.local.upstream;
        upstream.nginx.failures && (tries as usize) < upstream.in_service()
    }

    /// The backend to ask in place of one that answered with a listed status. None: the answer is
    /// passed on.
    pub(super) fn choose_instead(
        &self,
        tried: &mut Tried,
        key: &[u8],
        tries: u32,
    ) -> Result<Option<Choice>, Failure> {
        match self.choose(tried, key) {
            None if self.goes_on(tries) => Err(self.none_eligible()),
            next => Ok(next),
        }
    }
}
