//! Whom a request goes to: the pick for one attempt, and for the one after it.

use crate::balance::{Key, Need, Pick, Rng, Tried};
use crate::model::{BackendIx, Clock};
use crate::proxy::failure::Failure;
use crate::proxy::passage::Passage;
use crate::telemetry::RetryDenied;

/// A backend picked for an attempt.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) ix: BackendIx,
    /// The attempt decides whether a parked backend comes back.
    pub(super) trial: bool,
    /// The pool is passed over.
    pub(super) fresh: bool,
    /// It was waited for in line, where others wait until its place is taken.
    pub(super) waited: bool,
    /// A circuit breaker that is not closed let it pass, to try.
    pub(super) tries: bool,
    /// It stands in another zone than the first one that was asked.
    pub(super) crossed: bool,
    /// The client is bound to it.
    pub(super) bound: bool,
}

impl Choice {
    /// Whether the attempt decides on a parked backend.
    pub(super) fn is_trial(self) -> bool {
        self.trial
    }

    /// An attempt like any other.
    pub(super) fn of(ix: BackendIx) -> Self {
        Self {
            ix,
            trial: false,
            fresh: false,
            waited: false,
            tries: false,
            crossed: false,
            bound: false,
        }
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
                    ..Choice::of(*ix)
                });
            }
        }
        let mut rng = self.at.worker.rng.borrow_mut();
        let mut pick = self.pick(tried, key, &mut rng);
        let ix = upstream.pick(&mut self.local.cursors.borrow_mut(), &mut pick)?;
        self.local.picked(ix, self.at.worker.ix);
        tried.insert(ix);
        if upstream.fail_open {
            upstream.series.worker(self.at.worker.ix).fail_open_pick();
        }
        Some(Choice { tries: upstream.course.barrier.is_some(), ..Choice::of(ix) })
    }

    /// Nobody is asked after all: the next request is to make the trial.
    pub(super) fn give_back(&self, choice: Choice) {
        if choice.trial {
            self.local.upstream.live[choice.ix.index()].offer_trial();
        }
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
        let now = Clock::tick(self.since.into_std());
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
        failed: Choice,
        (tried, key): (&mut Tried, &[u8]),
        (tries, terms): (u32, Terms),
    ) -> Result<Option<Choice>, Failure> {
        match self.choose_after(failed, (tried, key), terms) {
            Err(_) if self.goes_on(tries) => Err(self.none_eligible()),
            next => Ok(next.ok()),
        }
    }

    /// Whether the request may go to another zone than that of the backend which failed.
    pub(super) fn may_cross(&self, failed: Choice) -> bool {
        self.local.upstream.is_placed() && !failed.crossed
    }

    /// The backend to ask after one that failed: of the same zone and region, where it is said who stands
    /// where, else elsewhere. That happens once, and within the budget of retries, whether anybody has
    /// seen the request or not: who loses a zone shall not overrun the next one.
    pub(super) fn choose_after(
        &self,
        failed: Choice,
        (tried, key): (&mut Tried, &[u8]),
        terms: Terms,
    ) -> Result<Choice, RetryDenied> {
        let upstream = &self.local.upstream;
        let Some(mut others) = upstream.all_but_near(failed.ix, tried) else {
            return self.choose(tried, key).ok_or(RetryDenied::NoBackendLeft);
        };
        if !terms.leaves
            && let Some(near) = self.choose(&mut others, key)
        {
            tried.insert(near.ix);
            return Ok(Choice { crossed: failed.crossed, ..near });
        }
        if failed.crossed {
            return Err(RetryDenied::NoBackendLeft);
        }
        if !self.is_within_budget() {
            return Err(RetryDenied::Budget);
        }
        let far = self.choose(tried, key).ok_or(RetryDenied::NoBackendLeft)?;
        upstream.series.worker(self.at.worker.ix).crossed(terms.seen);
        Ok(Choice { crossed: true, ..far })
    }
}

/// What is known of an attempt when another one is to follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// A backend may have seen the request.
    pub(super) seen: bool,
    /// It has to go to another zone.
    pub(super) leaves: bool,
}
