//! Second requests for those that take long: the part of `proxy::hedge`.

use std::time::Duration;

use super::{Event, Run};
use crate::config::model::Hedge;
use crate::model::{Outcome, WorkerIx};
use crate::policy::usual::Usual;
use crate::proxy::budget::{Budget, Counted};

/// Second requests that are allowed in any case, within ten seconds.
const ALLOWED: u32 = 1;

/// What is known where requests are hedged.
pub(super) struct Hedging<'c> {
    terms: &'c Hedge,
    usual: Usual,
    /// When the second backend is asked; `None`: not known yet.
    after: Option<Duration>,
    /// Of each worker: second requests, and their budget.
    made: Vec<(u64, Budget)>,
}

impl<'c> Hedging<'c> {
    pub(super) fn of(terms: &'c Hedge, workers: usize) -> Self {
        let made = vec![(0, Budget::new(Counted::default())); workers];
        Self { terms, usual: Usual::default(), after: terms.after, made }
    }
}

impl Run<'_> {
    /// A first attempt was begun: it may take long.
    pub(super) fn hedge_later(&mut self, number: usize) {
        if let Some(after) = self.hedging.as_ref().and_then(|hedging| hedging.after)
            && !self.attempts[number].trial
        {
            self.at(after, Event::Hedge(number));
        }
    }

    /// A second is over.
    pub(super) fn look_at_usual(&mut self) {
        let Some(hedging) = &mut self.hedging else { return };
        if hedging.terms.after.is_none() {
            hedging.usual.look(&self.keeper.upstream().series.first_bytes(), self.now);
            hedging.after = hedging.usual.quantile(hedging.terms.part);
        }
        for ((made, budget), (counted, _)) in hedging.made.iter_mut().zip(&self.budgets) {
            budget.mark(Counted { attempts: counted.attempts, retries: *made });
        }
    }

    /// An attempt takes long: a second backend is asked, if there is one and it is within the budget.
    pub(super) fn hedge(&mut self, number: usize) {
        let place = self.attempts[number].request;
        let worker = self.requests[place].worker;
        let attempts = self.budgets[worker].0.attempts;
        let Some(hedging) = &self.hedging else { return };
        let (made, budget) = &hedging.made[worker];
        let counted = Counted { attempts, retries: *made };
        let ended = self.attempts[number].held.is_none();
        if ended || self.is_crowded() || !budget.allows((hedging.terms.budget, ALLOWED), counted) {
            return;
        }
        let Some((backend, trial)) = self.choose(place) else { return };
        if let Some(hedging) = &mut self.hedging {
            hedging.made[worker].0 += 1;
        }
        self.taken.figures.hedges += 1;
        let second = self.begin(place, backend, trial);
        self.requests[place].pair = Some((number, second));
    }

    /// The attempt beside this one, if it is still under way.
    pub(super) fn beside(&self, number: usize) -> Option<usize> {
        let (first, second) = self.requests[self.attempts[number].request].pair?;
        let other = if number == first { second } else { first };
        self.attempts[other].held.is_some().then_some(other)
    }

    /// The other attempt has won. It would have taken at least as long.
    pub(super) fn give_up(&mut self, number: usize) {
        let attempt = &mut self.attempts[number];
        attempt.held = None;
        let (backend, took) = (attempt.backend, self.now.since(attempt.began));
        let worker = self.requests[attempt.request].worker;
        let upstream = self.keeper.upstream();
        upstream.live[backend.index()].observe_at_least(took, self.now);
        let cell = upstream.backends[backend.index()].series.worker(WorkerIx(0));
        cell.attempt(Outcome::Cancelled, took);
        cell.waited_in_vain(took);
        self.budgets[worker].0.attempts += 1;
        if attempt.trial {
            upstream.live[backend.index()].offer_trial();
        }
    }
}
