//! A request from its coming to its end: whom it is sent to, what came of it, and what follows.

use std::net::{IpAddr, Ipv4Addr};

use super::event::Event;
use super::{Attempt, CLIENTS, Request, Run, WORKERS};
use crate::balance::{Key, Need, Pick, Tried};
use crate::model::{BackendIx, Outcome, WorkerIx};
use crate::policy::admission::ALL;
use crate::proxy::retry::{Decision, Facts, decide, longest_pause};
use crate::simulate::load::{Arrival, Load};
use crate::simulate::scenario::Effect;

impl Run<'_> {
    pub(super) fn comes(&mut self, load: &Load, place: usize) {
        let (client, service) = match load {
            Load::MadeUp => {
                let rush = self.factor(None, |effect, _| match effect {
                    Effect::Rush(times) => Some(times),
                    _ => None,
                });
                let gap = self.chance.gap(self.scenario.rate * rush.unwrap_or(1.0));
                if self.time() + gap < self.scenario.time {
                    self.at(gap, Event::Comes(0));
                }
                (self.chance.below(CLIENTS), None)
            }
            Load::Recorded(arrivals) => {
                let Some(arrival) = arrivals.get(place) else { return };
                if let Some(next) = arrivals.get(place + 1) {
                    self.at(next.at.saturating_sub(arrival.at), Event::Comes(place + 1));
                }
                (number(arrival), Some(arrival.took))
            }
        };
        let worker = self.requests.len() % WORKERS;
        let (began, tried) = (self.now, Tried::new());
        let pair = None;
        self.requests.push(Request { began, tries: 0, tried, worker, client, service, pair });
        if self.sheds() {
            self.taken.figures.shed += 1;
            return self.taken.ended(self.now, None);
        }
        let place = self.requests.len() - 1;
        let found = if self.is_crowded() { None } else { self.choose(place) };
        match found {
            Some(found) => self.ask(place, found),
            None => self.join(place),
        }
    }

    /// Whether a request is refused before a backend is asked.
    fn sheds(&mut self) -> bool {
        let (guards, upstream) = (&self.keeper.guards, self.keeper.upstream());
        let is_beyond = guards.adapts() && upstream.queue.is_none() && self.is_full();
        let refused = guards.refused();
        is_beyond || (refused > 0 && self.chance.below(ALL) < refused)
    }

    /// Begins another attempt for a request, or ends it where nobody is left.
    pub(super) fn attempt(&mut self, place: usize) {
        match self.choose(place) {
            Some(found) => self.ask(place, found),
            None => self.taken.ended(self.now, None),
        }
    }

    /// Asks a backend that was picked.
    pub(super) fn ask(&mut self, place: usize, (backend, trial): (BackendIx, bool)) {
        let request = &mut self.requests[place];
        request.tries += 1;
        let is_first = request.tries == 1;
        self.taken.figures.retries += u64::from(!is_first);
        let number = self.begin(place, backend, trial);
        if is_first {
            self.hedge_later(number);
        }
    }

    /// Sends a request to a backend; gives the attempt's number.
    pub(super) fn begin(&mut self, place: usize, backend: BackendIx, trial: bool) -> usize {
        self.requests[place].tried.insert(backend);
        self.taken.figures.attempts[backend.index()] += 1;
        let upstream = self.keeper.upstream();
        let held = Some(upstream.live[backend.index()].enter_owned());
        upstream.backends[backend.index()].series.worker(WorkerIx(0)).started();
        let number = self.attempts.len();
        let began = self.now;
        let tries = self.keeper.upstream().course.barrier.is_some();
        self.attempts.push(Attempt { request: place, backend, began, trial, tries, held });
        self.send(number, backend);
        number
    }

    pub(super) fn ends(&mut self, number: usize, outcome: Outcome) {
        let attempt = &mut self.attempts[number];
        if attempt.held.take().is_none() {
            // It was given up, or has been answered.
            return;
        }
        let Attempt { request: place, backend, trial, tries, .. } = *attempt;
        let (now, took) = (self.now, self.now.since(attempt.began));
        let failed = outcome.is_failure();
        let upstream = self.keeper.upstream();
        let (live, limits) =
            (&upstream.live[backend.index()], upstream.backends[backend.index()].limits);
        let cell = upstream.backends[backend.index()].series.worker(WorkerIx(0));
        cell.attempt(outcome, took);
        if failed {
            live.observe_failure(took, now);
        } else {
            cell.first_byte(took);
            live.observe(took, now);
        }
        let worker = self.requests[place].worker;
        self.budgets[worker].0.attempts += 1;
        let crossed =
            failed && !trial && live.record_failure(now, limits.fail_timeout, limits.max_fails);
        self.keeper.count(backend, failed, tries);
        let news = match (trial, crossed) {
            (true, _) => self.keeper.trial_ended(backend, !failed, now),
            (false, true) => self.keeper.crossed(backend, now),
            (false, false) => None,
        };
        self.heard(backend, news);
        let other = self.beside(number);
        if !failed {
            if let Some(other) = other {
                self.give_up(other);
            }
            let whole = now.since(self.requests[place].began);
            return self.taken.ended(now, Some(whole));
        }
        if other.is_some() {
            // The other one may still answer.
            return;
        }
        self.again(place, outcome);
    }

    /// Another attempt, if there may be one.
    fn again(&mut self, place: usize, outcome: Outcome) {
        let request = &self.requests[place];
        let elapsed = self.now.since(request.began);
        let (counted, budget) = &self.budgets[request.worker];
        let sent = outcome != Outcome::ConnectFailed;
        let decision = decide(&Facts {
            outcome,
            status: None,
            sent,
            stale: false,
            shown: false,
            idempotent: true,
            replayable: true,
            elsewhere: false,
            within_budget: budget.allows((self.policy.budget, self.policy.budget_min), *counted),
            tries: request.tries,
            elapsed,
            policy: self.policy,
        });
        let late = self.patience.total.is_some_and(|total| elapsed >= total);
        if decision != Decision::AnotherBackend || late {
            return self.taken.ended(self.now, None);
        }
        let Request { worker, tries, .. } = self.requests[place];
        self.budgets[worker].0.retries += u64::from(sent);
        match self.policy.backoff.filter(|_| sent) {
            None => self.attempt(place),
            Some(first) => {
                let pause = longest_pause(first, tries).mul_f64(self.chance.even());
                self.line.pausing += 1;
                self.at(pause, Event::Again(place));
            }
        }
    }

    pub(super) fn choose(&mut self, place: usize) -> Option<(BackendIx, bool)> {
        let Self { keeper, cursors, requests, picks, now, .. } = self;
        let (upstream, request) = (keeper.upstream(), &requests[place]);
        let due = upstream
            .trials
            .iter()
            .find(|ix| !request.tried.contains(**ix) && upstream.live[ix.index()].begin_trial());
        if let Some(ix) = due {
            return Some((*ix, true));
        }
        let bytes = request.client.to_be_bytes();
        let key = match upstream.strategy.needs() {
            Need::ClientAddress => {
                // Networks of clients, for the hash leaves out the last part of an address.
                let address = Ipv4Addr::from((10 << 24) | (request.client << 8) | 1);
                Key::Address(IpAddr::V4(address))
            }
            Need::Key => Key::Bytes(&bytes),
            Need::Nothing => Key::None,
        };
        let live = &upstream.live;
        let mut pick = Pick { key, live, tried: &request.tried, now: *now, rng: picks };
        upstream.pick(&mut cursors[request.worker], &mut pick).map(|ix| (ix, false))
    }
}

/// A number for the client of a recorded request.
fn number(arrival: &Arrival) -> u32 {
    // FNV-1a: the same on every machine.
    let hash = arrival
        .client
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % CLIENTS
}
