//! What backends do with attempts and with probes.

use super::{Attempt, BREAKS_AFTER, Event, ROUND_TRIP, Run};
use crate::model::{BackendIx, Found, Outcome, Tick};
use crate::simulate::scenario::{Change, Effect};

/// What happens to a backend.
struct Doing {
    refuses: bool,
    hangs: bool,
    /// This part of its requests is broken off.
    breaks: Option<f64>,
    /// Serving takes so many times as long.
    slower: f64,
}

impl Run<'_> {
    /// What happens to a backend at this time.
    fn doing(&self, backend: BackendIx) -> Doing {
        let is = |of: fn(Effect) -> bool| {
            let now = self.time();
            let to = |change: &&Change| change.to.contains(&backend.index());
            let mut changes = self.scenario.changes.iter().filter(to);
            changes.any(|change| of(change.effect) && change.progress(now).is_some())
        };
        let breaks = self.factor(Some(backend), |effect, _| match effect {
            Effect::Breaks(part) => Some(part),
            _ => None,
        });
        let slower = self.factor(Some(backend), |effect, progress| match effect {
            Effect::Slow(times) => Some(times),
            Effect::Warms(times) => Some(1.0 + (times - 1.0) * (1.0 - progress)),
            _ => None,
        });
        Doing {
            refuses: is(|effect| effect == Effect::Refuses),
            hangs: is(|effect| effect == Effect::Hangs),
            breaks,
            slower: slower.unwrap_or(1.0),
        }
    }

    /// What the backend does with an attempt.
    pub(super) fn send(&mut self, number: usize, backend: BackendIx) {
        let Doing { refuses, hangs, breaks, .. } = self.doing(backend);
        if refuses {
            let after = ROUND_TRIP.min(self.patience.connect);
            self.at(after, Event::Ends(number, Outcome::ConnectFailed));
        } else if breaks.is_some_and(|part| self.chance.even() < part) {
            self.at(BREAKS_AFTER, Event::Ends(number, Outcome::Reset));
        } else {
            self.at(self.patience.read, Event::Ends(number, Outcome::Timeout));
            if !hangs && self.queues[backend.index()].come(number, self.scenario.places) {
                self.serve(number);
            }
        }
    }

    /// The backend begins to serve an attempt.
    pub(super) fn serve(&mut self, number: usize) {
        let Attempt { request, backend, .. } = &self.attempts[number];
        let (request, backend) = (*request, *backend);
        let drawn = match self.requests[request].service {
            Some(recorded) => recorded,
            None => self.chance.service(self.scenario.service),
        };
        let service = drawn.mul_f64(self.doing(backend).slower);
        self.at(service, Event::Served(number));
        self.at(service + ROUND_TRIP, Event::Ends(number, Outcome::Ok));
    }

    pub(super) fn served(&mut self, number: usize) {
        let backend = self.attempts[number].backend;
        if let Some(next) = self.queues[backend.index()].leave() {
            self.serve(next);
        }
    }

    /// A probe asks for less than a request does, and waits for none of them.
    pub(super) fn probe(&mut self, ix: BackendIx) {
        let Some(check) = self.keeper.check() else { return };
        let (timeout, slow) = (check.timeout, check.max_latency);
        let does = self.doing(ix);
        let takes = self.chance.service(self.scenario.service).mul_f64(does.slower) + ROUND_TRIP;
        let (found, after) = match () {
            () if does.refuses => (Found::Down, ROUND_TRIP),
            () if does.breaks.is_some_and(|part| self.chance.even() < part) => {
                (Found::Down, BREAKS_AFTER)
            }
            () if does.hangs || takes > timeout => (Found::Down, timeout),
            () if slow.is_some_and(|slow| takes > slow) => (Found::Degraded, takes),
            () => (Found::Up, takes),
        };
        self.at(after, Event::Probed(ix, found, self.now));
    }

    pub(super) fn probed(&mut self, ix: BackendIx, found: Found, began: Tick) {
        let draw = self.chance.even();
        let (pause, fell) = self.keeper.probed(ix, found, draw, self.now);
        if fell {
            self.taken.figures.down += 1;
            self.notice();
        }
        self.refit();
        let next = began.after(pause).since(self.now);
        self.at_regularly(Some(next), Event::Probe(ix));
    }
}
